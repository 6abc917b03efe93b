"""Shape of the tables of credit control in plant.toml: [credit], and [[credit_class]] for classes of accounts.

Rule: defaults are those of a real site: days of notice, friendly hours, a guard over a whole day.
"""

from datetime import date
from typing import Annotated, Final

from pydantic import Field, model_validator

from config.schema import DAYS, Day, Id, Minute, Table


class FriendlyTable(Table):
    """Hours in which credit never switches off (a stop that is due waits), within one local day."""

    days: tuple[Day, ...] = DAYS
    start: Minute
    end: Minute  # earlier than `start` means the next day

    @model_validator(mode="after")
    def _lasts(self) -> "FriendlyTable":
        if self.start == self.end or self.start == "24:00":
            raise ValueError("hours that last: start before 24:00 and different from end")
        return self


FRIENDLY: Final = (  # stops on working days from 09:00 to 15:00, while somebody sits in the office
    FriendlyTable(start="15:00", end="09:00"),
    FriendlyTable(days=("fri",), start="12:00", end="24:00"),
    FriendlyTable(days=("sat", "sun"), start="00:00", end="24:00"),
)

Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class CreditTable(Table):
    """Credit control; seconds are plant seconds where nothing else is said."""

    automatic: bool = True  # False: a person switches, the system only reminds
    reconnect: bool = True  # close again by itself after a top-up; False: permit, and wait for a person
    grace_s: Seconds = 600.0  # between the overdraft's end and the stop
    notice_lead_s: Seconds = 259_200.0  # between the delivered final notice and the stop: three days
    again_lead_s: Seconds = 3600.0  # between the last word and the stop; 0: no last word
    notice_repeat_s: Seconds = 86_400.0  # a notice is repeated this often while its state lasts; 0: never
    remind1_days: Annotated[int, Field(ge=0, le=366)] = 7  # first reminder also below so many days of usual cost
    remind2_days: Annotated[int, Field(ge=0, le=366)] = 3
    stops_max: Count = 20  # switch-offs per interval before the guard holds the rest
    stops_interval_s: Annotated[float, Field(gt=0)] = 600.0
    load_max_kw: Annotated[float, Field(gt=0)] = 500.0  # load switched off per interval before the guard holds
    hold_percent: Annotated[float, Field(gt=0, le=100)] = 5.0  # tenants due at once beyond which a person is asked
    hold_interval_s: Annotated[float, Field(gt=0)] = 86_400.0  # "at once": within so long
    reconnect_spacing_s: Seconds = 2.0  # inrush: seconds between two reconnections
    clock_jump_s: Annotated[float, Field(gt=0)] = 300.0  # a clock set by more suspends automatic stops ...
    clock_steady_s: Annotated[float, Field(gt=0)] = 3600.0  # ... until it was steady for so many real seconds
    friendly: tuple[FriendlyTable, ...] = FRIENDLY
    holidays: str = ""  # country whose public holidays, and the days before, are friendly; "": none
    closed: tuple[date, ...] = ()  # more friendly dates: storms, examinations, elections


class CreditClassTable(Table):
    """What credit control does differently for the accounts of a class; a missing key is as in [credit]."""

    id: Id  # of [[account_class]], or "standard"
    automatic: bool | None = None
    reconnect: bool | None = None
    grace_s: Seconds | None = None
    notice_lead_s: Seconds | None = None
    again_lead_s: Seconds | None = None
    notice_repeat_s: Seconds | None = None
    remind1_days: Annotated[int, Field(ge=0, le=366)] | None = None
    remind2_days: Annotated[int, Field(ge=0, le=366)] | None = None
    friendly: tuple[FriendlyTable, ...] | None = None
    holidays: str | None = None
    closed: tuple[date, ...] | None = None
