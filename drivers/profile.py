"""Meter profiles: what a model of meter offers, as data. A new model is a new file in config/profiles, not new code.

Rule: plain frozen data; the loader in `config` makes it from TOML and checks it, the poll plan and the decoder read it.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

RegisterType = Literal["bit", "u16", "s16", "u32", "s32", "u64", "s64", "f32"]
WordOrder = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Ratio = Literal["", "ct", "pt", "ctpt"]

WORDS: Final[dict[RegisterType, int]] = {
    "bit": 1, "u16": 1, "s16": 1, "u32": 2, "s32": 2, "u64": 4, "s64": 4, "f32": 2,
}  # fmt: skip


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

    @property
    def words(self) -> int:
        """Registers it covers on the wire (a coil or discrete input covers one bit)."""
        return WORDS[self.type]


@dataclass(frozen=True, slots=True)
class Billing:
    """The cumulative register that is charged."""

    measure: str  # a Register of the same profile, an integer type
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
    open_value: int
    close_value: int
    current: str = ""  # measure that must fall to nearly nothing after a trip; "" when the device has none
    verify_s: float = 10.0  # how long the mechanism may take


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
