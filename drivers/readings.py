"""What the replies and failures of one device do to the stage.

Rule: a value is staged only from a checked reply, with the time of its complete receipt; a failure changes the quality
alone, and a row that never held a usable value never becomes "uncertain, last usable".
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from drivers.decode import Decoded, Decoder
from drivers.device import NO_ROW, Device
from drivers.dialects import Question, dialect_of
from drivers.pollplan import Block, plan_blocks
from drivers.profile import Register
from scada.quality import BAD_NO_COMMUNICATION, GOOD, bad_mask, is_bad
from scada.stage import NO_RATES, Stage

Rows = npt.NDArray[np.int64]
NO_ROWS: Final[Rows] = np.zeros(0, dtype=np.int64)
POSITION_VALUES: Final = tuple(np.array([float(position)]) for position in range(4))  # by Dbpos


class _BlockReadings:
    """One block of the poll plan: its request, its image rows and which of them hold a usable value."""

    def __init__(self, device: Device, block: Block, framed: bool) -> None:
        registers = [device.profile.registers[index] for index in block.registers]
        self.request: Question = dialect_of(device.profile.protocol, framed).read(device, block)
        self.rows: Rows = np.array([device.rows[register.measure] for register in registers], dtype=np.int64)
        self.usable = np.zeros(len(self.rows), dtype=np.bool_)
        self.bills = device.point != NO_ROW and _names(device.profile.billing, "measure", registers)
        self.shows_position = _names(device.profile.switch, "position", registers)
        self.shows_current = _names(device.profile.switch, "current", registers)


def _names(part: object | None, attribute: str, registers: list[Register]) -> bool:
    return part is not None and any(getattr(part, attribute) == register.measure for register in registers)


class DeviceReadings:
    """The poll plan of one device and the way of its values into the stage."""

    def __init__(self, device: Device, stage: Stage, framed: bool = True) -> None:
        """framed: the line carries Modbus TCP frames, not bare serial ones."""
        self.device = device
        self._stage = stage
        plan = plan_blocks(device.profile)
        self._decoder = Decoder(device.profile, device.ct, device.pt, plan)
        self._blocks = tuple(_BlockReadings(device, block, framed) for block in plan)
        self.polls = tuple(block.poll for block in plan)
        self.requests = tuple(block.request for block in self._blocks)
        position_block = [i for i, block in enumerate(self._blocks) if block.shows_position]
        current_block = [i for i, block in enumerate(self._blocks) if block.shows_current and not block.shows_position]
        self.switch_blocks = tuple(position_block + current_block)  # what proves that a switching was executed
        self._position_row = np.array([device.position_row], dtype=np.int64)
        self._point = np.array([device.point], dtype=np.int64)
        self._point_usable = False

    def accept(self, block: int, payload: bytes, utc_ns: int) -> int | None:
        """Stage a checked reply received at `utc_ns`; return the Dbpos it shows, None when it shows none."""
        readings = self._blocks[block]
        decoded = self._decoder.decode(block, payload)
        if decoded.good:
            self._stage.put(readings.rows, decoded.values, GOOD, utc_ns)
            readings.usable[:] = True
        else:
            self._accept_mixed(readings, decoded, utc_ns)
        if readings.bills and decoded.billing_raw is not None:
            self._accept_register(decoded.billing_raw, decoded.billing_quality, utc_ns, decoded.rates_raw)
        if decoded.position is not None and self.device.position_row not in (NO_ROW, *readings.rows):
            self._stage.put(self._position_row, POSITION_VALUES[decoded.position], GOOD, utc_ns)
        return decoded.position

    def reject(self, block: int, quality: int) -> None:
        """Stage that one block has no valid reply while the device itself answers."""
        readings = self._blocks[block]
        if is_bad(quality):
            readings.usable[:] = False
            self._point_usable &= not readings.bills
        self._lose(readings, quality)

    def lose(self, quality: int) -> None:
        """Stage that nothing comes from the device: `quality` where a usable value is held, else BadNoCommunication."""
        for readings in self._blocks:
            self._lose(readings, quality)

    def _lose(self, readings: _BlockReadings, quality: int) -> None:
        fallback = quality if is_bad(quality) else BAD_NO_COMMUNICATION
        point = self._point if readings.bills else NO_ROWS
        point_quality = quality if self._point_usable else fallback
        rows, usable = readings.rows, readings.usable
        if readings.shows_position and self.device.position_row not in (NO_ROW, *rows):
            rows, usable = np.append(rows, self._position_row), np.append(usable, usable.all())
        self._stage.fail(rows[usable], NO_ROWS, quality)
        self._stage.fail(rows[~usable], NO_ROWS, fallback)
        self._stage.fail(NO_ROWS, point, point_quality)

    def _accept_mixed(self, readings: _BlockReadings, decoded: Decoded, utc_ns: int) -> None:
        """Stage a block whose rows differ in quality; a bad row keeps its old value and time."""
        bad = bad_mask(decoded.quality)
        readings.usable[:] = ~bad
        for quality in map(int, np.unique(decoded.quality)):
            chosen = decoded.quality == quality
            if is_bad(quality):
                self._stage.fail(readings.rows[chosen], NO_ROWS, quality)
            else:
                self._stage.put(readings.rows[chosen], decoded.values[chosen], quality, utc_ns)

    def _accept_register(self, raw: int, quality: int, utc_ns: int, rates_raw: tuple[int, ...]) -> None:
        """Stage the billing register; a reading that the register cannot hold, or a bad one, is not taken over."""
        billing = self.device.profile.billing
        possible = billing is not None and 0 <= raw < min(billing.modulus_counts, 2**63)
        self._point_usable = possible and not is_bad(quality)
        if self._point_usable:
            self._stage.put_register(self.device.point, raw, quality, utc_ns, rates_raw or NO_RATES)
        else:
            self._stage.fail(NO_ROWS, self._point, quality)
