"""Shape of settlement.toml: the settlement month, groups that share common costs, purchase prices.

Rule: as in `config.schema`, one table at a time; names of other tables are checked in `config.checks`.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from billing_core.sharing import Key
from config.schema import Id, Medium, Named, Price, Table, YesNo

MONTH_PATTERN = r"^([0-9]{4}-(0[1-9]|1[0-2]))?$"
Percent = Annotated[int, Field(ge=0, le=100)]


class SettlementTable(Table):
    """The settlement month of the site."""

    day: Annotated[int, Field(ge=1, le=28)] = 1  # of the calendar month, at whose local midnight a month begins


class ShareGroupTable(Named):
    """公摊: who shares what. Either `points` (their whole cost), or `main` less `subs` at a price (a loss)."""

    medium: Medium
    by: Key
    payer: Id  # account that pays the common cost and gets the shares
    participants: tuple[Id, ...] = ()  # supply points; none: all of the medium in `building`
    building: str = ""
    points: tuple[Id, ...] = ()
    main: str = ""
    subs: tuple[Id, ...] = ()
    price: Price = Decimal(0)  # of a lost unit
    cap_percent: Percent = 7  # most of the main quantity that is shared as a loss; above it somebody must look
    tax_percent: Annotated[Decimal, Field(ge=0, lt=100)] = Decimal(0)
    compliance: YesNo = True  # print the warning that common costs may not be added to passed-on energy

    @model_validator(mode="after")
    def _one_source_and_somebody(self) -> "ShareGroupTable":
        if bool(self.points) == bool(self.main):
            raise ValueError("either points (their cost is shared) or main with subs (its loss is shared)")
        if self.main and not self.price:
            raise ValueError("a price for the loss between main and subs")
        if bool(self.participants) == bool(self.building):
            raise ValueError("either participants (supply points) or a building (all of its supply points)")
        if (self.tax_percent * 10_000) % 1:
            raise ValueError("tax_percent with at most 4 decimals")
        return self


class PurchaseTable(Table):
    """转供电: the average price at which the site buys a medium."""

    medium: Medium
    price: Price
    month: Annotated[str, Field(pattern=MONTH_PATTERN)] = ""  # settlement month; empty: every one without its own
    cap_percent: Annotated[int, Field(ge=0, le=1000)] = 0  # how much more a tenant may effectively pay
