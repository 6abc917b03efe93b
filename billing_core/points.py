"""Supply points and accounts, as the billing core needs them: rows, ratios, limits. Plain frozen data."""

from dataclasses import dataclass
from typing import Literal

from billing_core.plan import NO_OPTIONS, TierOptions
from billing_core.rate_tables import Week


@dataclass(frozen=True, slots=True)
class VirtualPart:
    """One term of a virtual meter's formula."""

    row: int  # of the supply point it takes from
    ppm: int  # millionths of what that point is billed: 1_000_000 adds all of it, -1_000_000 subtracts it


@dataclass(frozen=True, slots=True)
class PointSpec:
    """One supply point: the place where a quantity is sold. Its row is its place in the tuple of points."""

    id: str
    meter: str  # device that measures it now
    account: int  # row of the paying account
    tariff: int  # index of the plan
    medium: str
    unit: str  # priced unit
    milli_per_count: int  # thousandths of the priced unit per register count, CT and PT included
    modulus_counts: int  # counts at which the register rolls over
    max_milli_per_s: int  # what the connection can carry; a faster register is held
    options: TierOptions = NO_OPTIONS
    rate_registers: bool = False  # split by the meter's own rate registers wherever rate_check.py believes them
    rate_week: Week = ()  # the table programmed into the meter
    rates_used: tuple[bool, ...] = ()  # which of RATES the meter has a register for
    catch_up: Literal["time", "rate-registers"] = "time"  # how what was used in a gap is spread over it
    register_milli: int = 0  # thousandths of the unit per count as the meter shows it, before CT and PT; 0: not known
    virtual: tuple[VirtualPart, ...] = ()  # its register is made of other points' quantities
    slack_milli: int = 0  # how far a virtual register may dip before it is held


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """One tenant's purse."""

    id: str
    name_zh: str
    name_en: str
    currency: str
    opening_nano: int  # posted once, when the account is first seen
    alarm1_nano: int  # reminder when the balance falls below
    alarm2_nano: int  # last warning, <= alarm1_nano
    overdraft_nano: int  # >= 0; supply stops when balance <= -overdraft
    reconnect_nano: int  # balance at which supply may return
    protected: bool  # 保电: never switched off by credit
    breakers: tuple[str, ...]  # devices with a switch that carry this tenant's supply
    account_class: str = "standard"  # names its limits (account_rules.AccountClass)
    tenant: str = ""  # who it belongs to; one tenant may have several purses
