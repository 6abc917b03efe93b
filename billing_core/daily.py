"""What a local midnight charges: standing charges of the day and month begun, and the day's part of the capacity.

A day's posting is "due for the days so far (a monthly fee: for the whole month as it is known) less what was posted",
so a plan, a capacity or a tenant that changed within the month is put right at the next midnight.
Rule: pure.
"""

from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo

from billing_core import periods, supply
from billing_core.assessment import Assessment, assessed
from billing_core.components import Capacity, FixedCharge
from billing_core.periods import Month
from billing_core.supply import History, Span, Stopped


def day_items(
    history: History,
    day: int,
    month: Month,
    zone: ZoneInfo,
    stopped: Stopped,
    posted: Mapping[str, int],
) -> list[Assessment]:
    """Return what the midnight of a day charges one supply point, without zeros.

    day: ordinal within month; posted: component -> nano posted to the day's account for this month so far
    """
    at_s = periods.midnight_s(zone, day)
    span = history.at(at_s)
    version = supply.version_of(span, at_s)
    if span is None or version is None:
        return []
    items = []
    for component in version.components:
        key = f"fixed:{history.point}:{component.id}:{date.fromordinal(day).isoformat()}"
        until_s = periods.midnight_s(zone, day + 1)
        kind, inputs = "", {}
        if isinstance(component, FixedCharge) and component.per == "day":
            kind = "fixed-day"
            inputs = {
                "amount_nano": component.amount_nano,
                "while_stopped": component.while_stopped,
                "stopped": stopped(at_s),
            }
        elif isinstance(component, FixedCharge | Capacity):
            already = posted.get(component.id, 0)
            kind, made = supply.by_days(
                component, month, _runs(history, component, span, day, month, zone, stopped), already
            )
            inputs = dict(made)
        if kind:
            items.append(
                assessed(
                    key,
                    kind,
                    span.account,
                    history.point,
                    history.medium,
                    component,
                    at_s,
                    until_s,
                    version.tax.ppm,
                    inputs,
                )
            )
    return [item for item in items if item.nano]


def _runs(
    history: History,
    component: FixedCharge | Capacity,
    span: Span,
    day: int,
    month: Month,
    zone: ZoneInfo,
    stopped: Stopped,
) -> list[list[int]]:
    """Return runs of [month's fee, days]: a capacity up to the day begun, a standing charge up to the month's end."""
    last = day if isinstance(component, Capacity) else month.first + month.days - 1
    return supply.segments(history, component, span.account, range(month.first, last + 1), zone, stopped)
