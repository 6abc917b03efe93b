"""The shape of a meter profile and of the secrets of meters: which keys exist, their types, bounds and defaults.

Rule: as in `config.schema`, one table at a time. Which keys a protocol has, and what takes two of them to judge, is in
`config.profile_checks` and `config.protocol_checks`. Data identifiers are text of hexadecimal digits, as the standards
print them.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field

from config.schema import Id, Measure, Medium, RateName, Table, Text, Unit
from drivers.profile import PollClass, Protocol, Ratio, RegisterType, WordOrder

DI_PATTERN: Final = r"^([0-9A-F]{4}|[0-9A-F]{8})?$"
LAYOUT_PATTERN: Final = r"^[smhwDMYCt-]*$"
PASSWORD_PATTERN: Final = r"^[0-9]{6}$"
OPERATOR_PATTERN: Final = r"^[0-9]{8}$"
SIZE_MAX: Final = 8  # 16 packed digits, the most that an int64 holds; a clock has 7 bytes
DATA_MAX: Final = 200  # bytes of one DL/T 645 read (2007, length field of a read)

Di = Annotated[str, Field(pattern=DI_PATTERN)]
Address = Annotated[int, Field(ge=0, le=65535)]
Word = Annotated[int, Field(ge=0, le=65535)]


class RegisterTable(Table):
    measure: Measure
    function: Literal[1, 2, 3, 4] | None = None  # Modbus
    address: Address | None = None  # Modbus
    di: Di = ""  # DL/T 645, CJ/T 188
    at: Annotated[int, Field(ge=0, lt=DATA_MAX)] = 0
    size: Annotated[int, Field(ge=0, le=SIZE_MAX)] = 0  # bytes of bcd, sbcd, clock
    unit_at: Annotated[int, Field(ge=0, lt=DATA_MAX)] | None = None  # CJ/T 188
    layout: Annotated[str, Field(pattern=LAYOUT_PATTERN, max_length=SIZE_MAX)] = ""  # of a clock
    type: RegisterType
    scale: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    unit: Unit = ""
    zh: Text
    en: Text
    order: WordOrder = "ABCD"
    ratio: Ratio = ""
    absent: Annotated[int, Field(ge=0)] | None = None
    mask: Annotated[int, Field(ge=0)] = 0
    poll: PollClass = "scan"
    deadband: Annotated[float, Field(ge=0)] = 0.0
    low: float | None = None
    high: float | None = None


class BillingTable(Table):
    measure: Measure
    milli_per_count: Annotated[int, Field(ge=1)]
    modulus_counts: Annotated[int, Field(ge=2, le=2**63 - 1)]
    rates: Mapping[RateName, Measure] = {}  # rate period -> register that counts in it, in one block with `measure`


class SwitchTable(Table):
    position: Literal["Position"]
    open_raw: Annotated[tuple[int, ...], Field(min_length=1)]  # raw values of the position register
    closed_raw: Annotated[tuple[int, ...], Field(min_length=1)]
    intermediate_raw: tuple[int, ...] = ()
    function: Literal[5, 6, 16] | None = None  # Modbus, with the three below
    address: Address | None = None
    open_value: Word | None = None
    close_value: Word | None = None
    open: str = ""  # DL/T 645, CJ/T 188: a word of drivers.profile.SWITCH_WORDS
    close: str = ""
    n2: Annotated[int, Field(ge=0, le=255)] = 0  # DL/T 645
    expiry_s: Annotated[int, Field(ge=60, le=86_400)] = 600  # DL/T 645
    current: str = ""
    verify_s: Annotated[float, Field(gt=0, le=300)] = 10.0


class DataTable(Table):
    """How long the data of one identifier are when no register reaches their end."""

    di: Annotated[str, Field(pattern=DI_PATTERN, min_length=4)]
    bytes: Annotated[int, Field(ge=1, le=DATA_MAX)]


class WriteTable(Table):
    """Modbus registers or coils that may be written, from `first` to `last`."""

    function: Literal[5, 6, 15, 16]
    first: Address
    last: Address


class ProfileTable(Table):
    id: Id
    maker: Text
    model: Text
    medium: Medium
    source: Annotated[str, Field(min_length=1, max_length=300)]  # where the register map comes from
    verified: bool = False
    protocol: Protocol = "modbus"
    phases: Literal[0, 1, 3] = 0
    voltage_v: Annotated[float, Field(ge=0)] = 0.0  # nominal, between phase and neutral
    max_registers: Annotated[int, Field(ge=1, le=125)] = 125  # Modbus
    merge_gap: Annotated[int, Field(ge=0, le=32)] = 0  # Modbus
    writable: tuple[WriteTable, ...] = ()  # Modbus
    wake_bytes: Annotated[int, Field(ge=0, le=20)] = 4  # DL/T 645, CJ/T 188; battery meters may want 20
    level: Annotated[int, Field(ge=0, le=0x99)] = 0x02  # DL/T 645-2007: 00 to 09, 98, 99
    di_low_first: bool = False  # CJ/T 188
    meter_type: Annotated[int, Field(ge=0x10, le=0x49)] = 0x10  # CJ/T 188
    any_type: bool = False  # CJ/T 188
    data: tuple[DataTable, ...] = ()  # DL/T 645, CJ/T 188
    identity: str = ""
    clock: str = ""
    billing: BillingTable | None = None
    switch: SwitchTable | None = None
    registers: Annotated[tuple[RegisterTable, ...], Field(min_length=1)]


# ---- secrets.toml ----------------------------------------------------------------------------------------------------


class SecretsTable(Table):
    """What holds for the whole of secrets.toml."""

    public: bool = False  # the words are known to everybody: those of a simulated field


class SecretTable(Table):
    """What one meter, or every meter of one profile, wants to hear before it switches. Never printed."""

    id: Id  # of a meter or of a profile
    password: Annotated[Annotated[str, Field(pattern=PASSWORD_PATTERN)] | None, Field(repr=False)] = None
    operator: Annotated[Annotated[str, Field(pattern=OPERATOR_PATTERN)] | None, Field(repr=False)] = None
    level: Annotated[int, Field(ge=0, le=0x99)] | None = None
