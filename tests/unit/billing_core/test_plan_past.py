"""The past of a plan: what may change without touching a bill, and what may not."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from billing_core.components import Minimum
from billing_core.plan import HOLIDAY, Days, DayTable, Plan, Slot, Tax, Tiers
from billing_core.plan_past import past_changed, past_difference
from tests.plans import plan, version

NOW_S = int(datetime(2026, 11, 23, 4, tzinfo=UTC).timestamp())  # noon in Shanghai
TIERS = Tiers("graduated", "year", (100, 200))
TABLES = (
    DayTable((), frozenset({HOLIDAY}), (Slot(0, 1440, 4),)),
    DayTable((), frozenset({"working", "weekend"}), (Slot(0, 480, 3), Slot(480, 1440, 1))),
)
OCTOBER = frozenset(date(2026, 10, day).toordinal() for day in range(1, 8))
OLD = plan("p", {1: (3, 4, 5), 3: (1, 2, 3), 4: (0, 1, 2)}, tables=TABLES, tiers=TIERS)
OLD = replace(OLD, versions=(replace(OLD.versions[0], days=Days(OCTOBER)),))


def changed(**fields: object) -> Plan:
    return replace(OLD, versions=(replace(OLD.versions[0], **fields),))  # type: ignore[arg-type]


def split_at(at_s: int, later: object = None) -> Plan:
    """Return the plan with another version from a second on; None: the same prices again."""
    first, second = replace(OLD.versions[0], to_s=at_s), replace(OLD.versions[0], from_s=at_s)
    return replace(OLD, versions=(first, second if later is None else replace(second, parts=later)))  # type: ignore[arg-type]


DEARER = version({1: (9, 9, 9), 3: (9, 9, 9), 4: (9, 9, 9)}, tiers=TIERS).parts
NEW_YEAR = frozenset({date(2027, 1, 1).toordinal()})


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        replace(OLD, name_zh="新名", name_en="New name"),
        changed(parts=(replace(OLD.versions[0].parts[0], name_zh="新"),)),
        changed(days=Days(OCTOBER | NEW_YEAR)),  # the State Council has spoken
        changed(tables=(TABLES[1], TABLES[0])),
        changed(tables=(TABLES[0], replace(TABLES[1], slots=(Slot(0, 480, 3), Slot(480, 700, 1), Slot(700, 1440, 1))))),
        split_at(NOW_S, DEARER),
        split_at(NOW_S + 1, DEARER),
        split_at(NOW_S - 86_400),  # two versions that say the same
    ],
    ids=["same", "name", "part name", "holiday to come", "order", "slots", "now", "later", "split"],
)
def test_what_leaves_the_past_alone(new: Plan) -> None:
    assert past_difference(OLD, new, NOW_S) == ""
    assert not past_changed(OLD, new, NOW_S)


@pytest.mark.parametrize(
    ("new", "where"),
    [
        (split_at(NOW_S - 1, DEARER), "from 2026-11-23 11:59 on"),
        (changed(parts=DEARER), "from the beginning on"),
        (changed(days=Days(OCTOBER - {date(2026, 10, 7).toordinal()})), "from 2026-10-07 00:00 on"),
        (changed(tiers=replace(TIERS, bounds_milli=(100, 201))), "from the beginning on"),
        (changed(tax=Tax(130_000)), "from the beginning on"),
        (changed(components=(Minimum("m", "底", "M", 5),)), "from the beginning on"),
        (replace(OLD, unit="MWh"), "its unit was kWh, now MWh"),
        (replace(OLD, timezone="Asia/Tokyo"), "its timezone was Asia/Shanghai, now Asia/Tokyo"),
        (replace(OLD, versions=(replace(OLD.versions[0], from_s=10**9),)), "from the beginning on"),
        (replace(OLD, versions=(replace(OLD.versions[0], to_s=NOW_S - 60),)), "from 2026-11-23 11:59 on"),
    ],
)
def test_what_changes_the_past(new: Plan, where: str) -> None:
    assert past_difference(OLD, new, NOW_S) == where
    assert past_changed(OLD, new, NOW_S)


def test_before_anything_was_billed_there_is_no_past() -> None:
    assert not past_changed(OLD, changed(parts=DEARER), 0)


def test_a_body_of_the_first_releases_knew_no_tax() -> None:
    new = changed(tax=Tax(130_000), components=(Minimum("m", "底", "M", 5),))
    assert past_difference(OLD, new, NOW_S, prices_only=True) == ""
    assert past_difference(OLD, changed(parts=DEARER), NOW_S, prices_only=True) != ""
