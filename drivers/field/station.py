"""One device of the simulated field, whatever it speaks: the registers of its profile over the state of a meter.

Rule: contents are computed when they are read, from one state, so that a request never sees two instants. The faults
that concern the whole device are plain attributes. No transport, no framing, no function codes.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Final, Literal

from drivers.field.hostile import Lie
from drivers.field.model import NS_PER_S, Field, MeterState
from drivers.field.registers import (
    encode,
    encode_bcd,
    encode_binary_clock,
    encode_clock,
    encode_counts,
    limits,
    unit_code,
)
from drivers.field.sources import source_of
from drivers.profile import Register, WordOrder

Pattern = Literal["", "nan", "inf", "-inf", "denormal"]

FOREVER: Final = -1
LONG_BYTES: Final = 4  # registers that carry counters
# What a broken sensor shows: the bits of an IEEE 754 single, and the byte that fills a decimal register
PATTERNS: Final[dict[str, tuple[int, int]]] = {
    "nan": (0x7FC0_0000, 0xFF), "inf": (0x7F80_0000, 0xEE), "-inf": (0xFF80_0000, 0xEE),
    "denormal": (0x0000_0001, 0xAA),
}  # fmt: skip


@dataclass(slots=True)
class Panel:
    """What a DL/T 645 or CJ/T 188 meter keeps beside its registers: button, relay orders, parameters, its calendar."""

    permit: bool = False  # a close is permitted and waits for its button
    protected: bool = False  # protected supply: no trip moves the relay
    alarm: bool = False  # pre-trip alarm
    ordered_open: bool | None = None  # the last relay command; None: none yet, its position stands for it
    synced: date | None = None  # when it last took a broadcast time
    written: dict[int, bytes] = field(default_factory=dict)  # parameters as they were written, by data identifier
    snapshot: bytes = b""  # what the last freeze kept: time and energies
    part_bytes: int = 0  # longest piece of an answer before it is cut into follow-up frames; 0: the standard's limit


class Station:
    """One device. A gateway may be told to let it answer for another (see FaultDesk)."""

    def __init__(self, field: Field, state: MeterState) -> None:
        device = state.meter.device
        self.silent_left = 0  # requests it will not answer yet; FOREVER: none
        self.refuses = False  # answers every command with "device failure"
        self.mute = False  # executes a command and does not answer it
        self.delay_ms = 0
        self.order: WordOrder | None = None  # fault: shows its long registers in this order
        self.factor = Fraction(1)  # fault: its long registers come multiplied by this
        self.pattern: Pattern = ""  # fault: what its sensors show
        self.lie: Lie | None = None  # hostile replies
        self.holes = False  # fault: refuses a read that bridges what its profile does not use
        self.serial = self.number = device.serial or device.address  # number: what it answers when asked who it is
        self.panel = Panel()
        self.clock_offset_s = 0.0  # how far its clock is ahead
        self.state = state
        self.field = field
        self.profile = device.profile
        self._sources = [source_of(state, register) for register in self.profile.registers]
        self._frozen: list[bytes] | None = None

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    def freeze(self, frozen: bool) -> None:
        """Let every register stand still as it is, while the meter below goes on counting; or let it go again."""
        self._frozen = [self._encoded(index) for index in range(len(self._sources))] if frozen else None

    def answers(self) -> bool:
        """Tell whether it answers the request that has come; a silence for a number of requests counts down."""
        if self.silent_left > 0:
            self.silent_left -= 1
            return False
        return self.silent_left == 0

    def now(self) -> datetime:
        """Return what its own clock shows: local time of the site, without a zone."""
        seconds = self.field.utc_ns / NS_PER_S + self.clock_offset_s
        return (
            (datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds))
            .astimezone(self.field.zone)
            .replace(tzinfo=None)
        )

    def set_clock(self, moment: datetime) -> None:
        """Set its clock to a local time."""
        self.clock_offset_s += (moment - self.now()).total_seconds()

    def contents(self, index: int) -> bytes:
        """Return the payload bytes of one register as they stand on the wire."""
        return self._frozen[index] if self._frozen is not None else self._encoded(index)

    def lay(self, payload: bytearray, index: int) -> None:
        """Put a register of a data identifier in its place, with its unit byte; what does not fit is cut off.

        Of bits only the position of the switch is the profile's matter; the others are what the protocol says.
        """
        register, switch = self.profile.registers[index], self.profile.switch
        if register.mask and (switch is None or register.measure != switch.position):
            return
        place = slice(register.at, min(register.at + register.bytes, len(payload)))
        content = self.contents(index)[: place.stop - place.start]
        if register.mask:
            mask = encode(replace(register, mask=0), register.mask)
            content = bytes(
                new | old & ~bits & 0xFF for new, old, bits in zip(content, payload[place], mask, strict=False)
            )
        payload[place] = content
        if 0 <= register.unit_at < len(payload):
            payload[register.unit_at] = unit_code(register.unit)

    def _encoded(self, index: int) -> bytes:
        register = self.profile.registers[index]
        if register.measure == self.profile.identity:
            return self._identity(register)
        if register.type == "clock":
            modbus = self.profile.protocol == "modbus"
            return (encode_binary_clock if modbus else encode_clock)(register.layout, self.now())
        if self.pattern and not register.mask and register.type in ("f32", "bcd", "sbcd"):
            return self._broken(register)
        raw = self._sources[index]()
        if register.mask:
            return encode(register, int(raw) << _lowest_bit(register.mask) & register.mask)
        if register.bytes < LONG_BYTES:
            return encode(register, raw)
        if self.factor != 1:
            raw = float(raw * self.factor) if register.type == "f32" else int(raw * self.factor)
        if self.order is None:
            return encode(register, raw)
        if register.size:
            return encode(register, raw)[::-1]  # decimal digits with the highest byte first
        return encode(replace(register, order=self.order), raw)

    def _broken(self, register: Register) -> bytes:
        bits, filler = PATTERNS[self.pattern]
        if register.type == "f32":
            return encode(replace(register, type="u32"), bits)
        return bytes([filler]) * register.size

    def _identity(self, register: Register) -> bytes:
        """The number on its nameplate, as many digits as fit."""
        number = int("".join(c for c in self.number if c.isdecimal()) or "0")
        if register.size:
            return encode_bcd(number, register.size)
        most = limits(register)[1]
        shown = number if number <= most else number % 10 ** (len(str(most)) - 1)
        return b"".join(word.to_bytes(2, "big") for word in encode_counts(register, shown))


def _lowest_bit(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
