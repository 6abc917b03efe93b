"""The bulk decoder of a site: what lies fresh in the reply store goes into the stage, a whole profile's block at once.

Lines put payloads into the store as they come; the stage calls `collect` right before it publishes. Only who cannot
wait for the scan (the read-back of a switch) has one slot decoded at once.
Rule: replies and failures of a device take effect in the order in which they came: a failure first decodes what was put
before it, and what is put after it stands fresh until it is decoded over the failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

import numpy as np

from drivers import bulk_kernel
from drivers.bulk_kernel import Slots
from drivers.bulk_program import (
    CLOCK_KINDS,
    H_POSITION,
    R_KIND,
    Program,
    bills_in,
    make_program,
    ratios_of,
)
from drivers.device import NO_ROW, Device
from drivers.profile import POLL_S
from drivers.replies import ReplyStore, ReplyTable
from scada.clock import NS_PER_S
from scada.quality import BAD_NO_COMMUNICATION, is_bad
from scada.stage import Stage

NO_POSITION: Final = -1


class Decoder(NamedTuple):
    """What decodes one table of the store."""

    program: Program
    slots: Slots
    shows_clock: bool


@dataclass(frozen=True, slots=True)
class Place:
    """One slot of the store, with the program that decodes it."""

    slot: int
    program: Program
    slots: Slots
    number: int  # of the device in `slots`
    shows_clock: bool


class BulkDecoder:
    """All devices of a store and where their values go. One thread: the stage's."""

    def __init__(
        self, store: ReplyStore, stage: Stage, zone: tzinfo = UTC, periods_s: Mapping[str, float] | None = None
    ) -> None:
        """zone: of the site, which meters show on their clocks. periods_s: gateway id -> seconds of its poll cycle.

        ValueError for a profile that cannot be decoded.
        """
        self.store = store
        self._stage = stage
        self._zone = zone
        self._tables = {(table.profile.id, table.block_number): table for table in store.tables}
        self._decoders: dict[tuple[str, int], Decoder] = {}
        for key, table in self._tables.items():
            if not table.dormant:
                _expect(stage, table, self._decoder(*key).slots, periods_s or {})
        stage.sources.append(self.collect)

    def _decoder(self, profile_id: str, block: int) -> Decoder:
        """Return the decoder of a table; that of a part is made when the first device is asked for it."""
        key = profile_id, block
        if key not in self._decoders:
            self._decoders[key] = _compile(self._tables[key])
        return self._decoders[key]

    def place(self, device: Device, block: int) -> Place:
        """Return where a block or part of a device is. KeyError for a device or block that does not exist."""
        slot = self.store.slot(device.id, block)
        program, slots, shows_clock = self._decoder(device.profile.id, block)
        number = slot - self._tables[device.profile.id, block].first_slot
        return Place(slot, program, slots, number, shows_clock)

    def collect(self, utc_ns: int) -> None:
        """Decode everything that is fresh."""
        decoders = self._decoders.values()
        offset_s = self._offset_s(utc_ns) if any(decoder.shows_clock for decoder in decoders) else 0
        for program, slots, _ in decoders:
            bulk_kernel.decode(program, slots, self._stage.staged, 0, len(slots.fresh), offset_s)

    def decode(self, place: Place) -> int:
        """Decode one slot now, if it is fresh; return the Dbpos that its block shows, NO_POSITION for none."""
        program, slots, i = place.program, place.slots, place.number
        bulk_kernel.decode(program, slots, self._stage.staged, i, i + 1, self._offset_of(place))
        at = int(program.head[H_POSITION])
        if at < 0:
            return NO_POSITION
        value, quality, _ = self._stage.newest(int(slots.rows[i, at]))
        return NO_POSITION if is_bad(quality) else int(value)

    def fail(self, place: Place, quality: int, spoils: bool) -> None:
        """Stage that a block has no valid reply: `quality` where a usable value is held, else BadNoCommunication.

        spoils: what is held is not usable any more.
        """
        otherwise = quality if is_bad(quality) else BAD_NO_COMMUNICATION
        program, slots, i = place.program, place.slots, place.number
        offset_s = self._offset_of(place)
        bulk_kernel.fail(program, slots, self._stage.staged, i, offset_s, quality, otherwise, int(spoils))

    def _offset_of(self, place: Place) -> int:
        return self._offset_s(int(place.slots.received_ns[place.number])) if place.shows_clock else 0

    def _offset_s(self, utc_ns: int) -> int:
        """Return local time less UTC."""
        offset = datetime.fromtimestamp(utc_ns // NS_PER_S, self._zone).utcoffset()
        return 0 if offset is None else round(offset.total_seconds())


def _shows_clock(program: Program) -> bool:
    return bool(np.isin(program.registers[:, R_KIND], CLOCK_KINDS).any())


def _compile(table: ReplyTable) -> Decoder:
    pairs = ratios_of(table.devices)
    registers = [table.profile.registers[index] for index in table.block.registers]
    measures = [register.measure for register in registers]
    bills = bills_in(table.profile, registers)
    number = {pair: i for i, pair in enumerate(pairs)}
    slots = Slots(
        table.payload,
        table.received_ns,
        table.fresh,
        _column([[device.rows[measure] for measure in measures] for device in table.devices]),
        _column([number[device.ct, device.pt] for device in table.devices]),
        _column([device.point if bills else NO_ROW for device in table.devices]),
        _column([_position_row(device, measures) for device in table.devices]),
    )
    program = make_program(table.profile, table.block, pairs)
    return Decoder(program, slots, _shows_clock(program))


def _position_row(device: Device, measures: Sequence[str]) -> int:
    """Return the row that shows the position a second time, NO_ROW when its register's row is the one."""
    switch = device.profile.switch
    if switch is None or switch.position not in measures or device.position_row == device.rows[switch.position]:
        return NO_ROW
    return device.position_row


def _column(values: Sequence[object]) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    return np.array(values, dtype=np.int64)


def _expect(stage: Stage, table: ReplyTable, slots: Slots, periods_s: Mapping[str, float]) -> None:
    """Tell the stage how often the block is read: its poll class, or the cycle of the gateway when that is longer."""
    period_s = np.array([max(periods_s.get(d.gateway, 0.0), POLL_S[table.block.poll]) for d in table.devices])
    for each_s in np.unique(period_s):
        chosen = period_s == each_s
        points = slots.point[chosen]
        stage.expect(slots.rows[chosen].ravel(), points[points != NO_ROW], float(each_s))
