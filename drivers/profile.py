"""Meter profiles: what a model of meter offers, as data. A new model is a new file in config/profiles, not new code.

Rule: plain frozen data; the loader in `config` makes it from TOML and checks it, the poll plan and the decoder read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

Protocol = Literal["modbus", "dlt645-2007", "dlt645-1997", "cjt188"]
# bcd, sbcd: packed decimal, lowest byte first, `size` bytes; sbcd carries its sign in the top bit.
# clock: the meter's date and time, whose value is the deviation from ours in seconds (positive: the meter is fast);
# `size` bytes as `layout` names them, packed decimal in DL/T 645 and CJ/T 188, binary in Modbus.
RegisterType = Literal["bit", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "bcd", "sbcd", "clock"]
WordOrder = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Ratio = Literal["", "ct", "pt", "ctpt"]

PollClass = Literal["scan", "minute", "quarter", "hour", "day", "connect"]

WORDS: Final[dict[RegisterType, int]] = {
    "bit": 1, "u16": 1, "s16": 1, "u32": 2, "s32": 2, "u64": 4, "s64": 4, "f32": 2, "bcd": 0, "sbcd": 0, "clock": 0,
}  # fmt: skip
# How often a register is read; "scan": every cycle of its line; "connect": after each (re)connection and once an hour.
POLL_S: Final[dict[PollClass, float]] = {
    "scan": 0.0, "minute": 60.0, "quarter": 900.0, "hour": 3600.0, "day": 86400.0, "connect": 3600.0,
}  # fmt: skip
CLOCK_LETTERS: Final = "smhDMYC"  # second, minute, hour, day, month, year of two digits, century
CLOCK_IGNORED: Final = "w-"  # weekday, anything
# Modbus: milliseconds of the minute, two bytes, high one first, in the place of a second. A clock with them has
# weekday, summer time and validity above the bits of day, hour and minute (IEC 60870-5-4, as Schneider prints it).
CLOCK_MILLIS: Final = "tt"
IDENTITY_DIGITS: Final = 15  # of a meter's number are compared, at most: a double holds so many


@dataclass(frozen=True, slots=True)
class SwitchWords:
    """How a profile names the commands of a protocol, and what they are on the wire."""

    opening: Mapping[str, int]
    closing: Mapping[str, int]


NEVER: Final = -1  # instead of a command value: this is never done remotely (opening the valve of a gas meter)
# DL/T 645-2007: N1 of control 1C; the other values of N1 (automatic re-close) are not for an operator who must verify.
# CJ/T 188: the byte written to A017. A valve that is shut interrupts the supply, as a breaker that is open does.
SWITCH_WORDS: Final[Mapping[Protocol, SwitchWords]] = {
    "dlt645-2007": SwitchWords({"trip": 0x1A}, {"close-permit": 0x1B, "direct-close": 0x1C}),
    "cjt188": SwitchWords({"shut-valve": 0x99}, {"open-valve": 0x55}),
}


@dataclass(frozen=True, slots=True)
class Register:
    """One quantity of a meter and where it lives."""

    measure: str  # PascalCase, e.g. "ActivePowerTotal"; unique in the profile
    function: int  # Modbus function code of the read: 1, 2, 3 or 4
    address: int  # address on the wire, counted from 0
    type: RegisterType
    scale: Fraction  # engineering units per count, before CT and PT
    unit: str
    description_zh: str
    description_en: str
    order: WordOrder = "ABCD"
    ratio: Ratio = ""  # which ratio of the device multiplies the value
    absent: int | None = None  # raw unsigned pattern that means "not available"
    deadband: float = 0.0
    low: float | None = None  # plausibility: below or above is UncertainEngineeringUnitsExceeded
    high: float | None = None
    poll: PollClass = "scan"
    mask: int = 0  # bits of the raw value that count, shifted down to bit 0; 0: all of them
    di: int = 0  # data identifier of DL/T 645 or CJ/T 188, as written (0x00010000, 0x901F)
    at: int = 0  # where it begins in the data of its identifier, bytes
    size: int = 0  # bytes of bcd, sbcd and clock (and of every type that is not Modbus)
    unit_at: int = -1  # where the data hold its unit code (CJ/T 188 annex); -1: none, `unit` and `scale` hold always
    layout: str = ""  # of a clock: one letter a byte in wire order, see CLOCK_LETTERS

    @property
    def words(self) -> int:
        """Modbus registers it covers on the wire (a coil or discrete input covers one bit)."""
        return WORDS[self.type] or -(-self.size // 2)

    @property
    def bytes(self) -> int:
        """Bytes it covers in a payload."""
        return self.size or 2 * WORDS[self.type]


@dataclass(frozen=True, slots=True)
class Billing:
    """The cumulative register that is charged."""

    measure: str  # a Register of the same profile: an integer type, or f32 counted at the resolution below
    milli_per_count: int  # thousandths of the priced unit per count, before CT and PT (10 for 0.01 kWh)
    modulus_counts: int  # counts at which the register rolls over
    rates: tuple[str, ...] = ()  # Registers of sharp, peak, flat, valley, deep valley, "" where the model has none


@dataclass(frozen=True, slots=True)
class Switch:
    """The breaker or valve of a device: how it is commanded and how its position is read back."""

    position: str  # measure of the Register that shows the position
    states: tuple[tuple[int, int], ...]  # (raw value, Dbpos); a raw value not named here is BAD_STATE
    function: int  # 5 write coil, 6 write register, 16 write registers
    address: int
    open_value: int  # DL/T 645: N1 of control 1C (0x1A trip); CJ/T 188: valve byte (0x99 close the valve)
    close_value: int  # DL/T 645: 0x1B close permit or 0x1C direct close; CJ/T 188: 0x55
    current: str = ""  # measure that must fall to nearly nothing after a trip; "" when the device has none
    verify_s: float = 10.0  # how long the mechanism may take
    n2: int = 0  # DL/T 645 control 1C: second byte, 0 but for a few firmwares
    expiry_s: int = 600  # DL/T 645 control 1C: the command is void so long after it was made


@dataclass(frozen=True, slots=True)
class DataItem:
    """How long the data of one identifier are when its registers do not cover them to the end."""

    di: int
    bytes: int


@dataclass(frozen=True, slots=True)
class WriteRange:
    """Modbus registers (or coils) of a model that may be written; nothing else ever is."""

    function: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Profile:
    """One model of meter."""

    id: str
    maker: str
    model: str
    medium: str  # electricity, water, gas, steam, heat, cooling
    registers: tuple[Register, ...]
    billing: Billing | None
    switch: Switch | None
    max_registers: int = 125  # longest block read the model accepts
    merge_gap: int = 0  # unused registers a block read may bridge
    verified: bool = False  # proven on a device, not only on paper
    protocol: Protocol = "modbus"
    data: tuple[DataItem, ...] = ()
    identity: str = ""  # measure whose number must equal the serial number (or address) of the device; "" unknown
    clock: str = ""  # measure of type clock; "" none
    writable: tuple[WriteRange, ...] = ()  # beside the switch
    wake_bytes: int = 4  # FE before a request (DL/T 645, CJ/T 188)
    di_low_first: bool = False  # CJ/T 188: identifier goes out low byte first (1F 90), as most 2018 devices want it
    meter_type: int = 0x10  # CJ/T 188: T
    any_type: bool = False  # CJ/T 188: the reply may carry another T than the request
    level: int = 0x02  # DL/T 645: PA, access level of the password
