"""Tariffs of a configuration: slips are named, and what loads is what the file says, exactly."""

import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from billing_core.components import BaseQuantity, Capacity, Demand, FixedCharge, Minimum, PowerFactor
from billing_core.plan import FOREVER_S, RATES, Plan, Version
from billing_core.plan_body import plan_body, plan_of
from billing_core.power_factor import standard_steps
from billing_core.schedule import kinds_of, tables_at
from config.holiday_calendar import FIRST_YEAR, LAST_YEAR, holiday_calendar
from config.loader import read_sources
from config.plant import load
from config.tariff_checks import TARIFF_CHECKS

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy

FLAT = RATES.index("flat")
HEAD = '[[tariff]]\nid = "x"\nname_zh = "试"\nname_en = "X"\nmedium = "electricity"\nunit = "kWh"\n'


class Slip(NamedTuple):
    name: str
    text: str  # of one tariff
    faults: list[str]  # "place: wrong"


SLIPS = (
    Slip("no price", "", ["price: missing"]),
    Slip(
        "versions out of order",
        'price = 1\n[[tariff.version]]\n[[tariff.version]]\nfrom = "2027-01-01"\n[[tariff.version]]\nfrom = 2026-12-01',
        ["version.3.from: 2026-12-01 is not after 2027-01-01"],
    ),
    Slip(
        "a gap between versions",
        'price = 1\n[[tariff.version]]\nto = "2026-12-01"\n[[tariff.version]]\nfrom = "2026-12-02"',
        ["version.2.from: gap: the version before ends 2026-12-01, this one begins 2026-12-02"],
    ),
    Slip(
        "overlapping versions",
        'price = 1\n[[tariff.version]]\nto = "2026-12-03"\n[[tariff.version]]\nfrom = "2026-12-02"',
        ["version.2.from: overlap: the version before ends 2026-12-03, this one begins 2026-12-02"],
    ),
    Slip(
        "a version without beginning",
        "price = 1\n[[tariff.version]]\n[[tariff.version]]",
        ["version.2.from: missing"],
    ),
    Slip("no such calendar", 'price = 1\nholidays = "CX-9"', ["holidays: no calendar 'CX-9'"]),
    Slip(
        "holidays without a calendar",
        'price = { flat = 1 }\nslot = [{ days = ["holiday"], start = "00:00", end = "24:00", rate = "flat" }]',
        [
            "slot.1.days: no kind of day 'holiday'",
            "slot: gap: mon, tue, wed, thu, fri, sat, sun 00:00-24:00 not covered",
        ],
    ),
    Slip(
        "a holiday without slots",
        'holidays = "CN"\nprice = { flat = 1 }\n'
        'slot = [{ days = ["working", "weekend"], start = "00:00", end = "24:00", rate = "flat" }]',
        ["slot: gap: holiday 00:00-24:00 not covered"],
    ),
    Slip(
        "seasons that leave days out",
        'price = 1\nseason = [{ id = "a", ranges = [{ first = "01-01", last = "02-28" }] }]',
        ["season: 02-29 lies in no season"],
    ),
    Slip(
        "seasons that overlap",
        'price = 1\nseason = [{ id = "a", ranges = [{ first = "11-01", last = "02-01" }] },'
        ' { id = "b", ranges = [{ first = "02-01", last = "10-31" }] }]',
        ["season: 02-01 lies in 2 seasons"],
    ),
    Slip(
        "an unknown season",
        'price = { flat = 1 }\nseason = [{ id = "summer" }]\n'
        'slot = [{ seasons = ["sumer"], start = "00:00", end = "24:00", rate = "flat" }]',
        [
            "slot.1.seasons: no season 'sumer' (did you mean 'summer'?)",
            "slot: gap: mon, tue, wed, thu, fri, sat, sun 00:00-24:00 not covered",
        ],
    ),
    Slip(
        "an unknown holiday",
        'price = 1\nholidays = "CN"\nspecial = [{ id = "s", holiday = "spring-fest" }]',
        ["special.s.holiday: no holiday 'spring-fest' (did you mean 'spring-festival'?)"],
    ),
    Slip(
        "a date of two kinds",
        'price = 1\nspecial = [{ id = "s", dates = ["2026-02-15/2026-02-23"] }, { id = "t", dates = ["2026-02-20"] }]',
        ["special.t: 2026-02-20 is 's' too"],
    ),
    Slip(
        "a gap in one season",
        'price = { flat = 1 }\n'
        'season = [{ id = "wet", ranges = [{ first = "05-01", last = "10-31" }] }, { id = "dry" }]\n'
        'slot = [{ start = "00:00", end = "23:59", rate = "flat" },'
        ' { seasons = ["wet"], start = "23:59", end = "24:00", rate = "flat" }]',
        ["slot: gap: dry mon, tue, wed, thu, fri, sat, sun 23:59-24:00 not covered"],
    ),
    Slip(
        "a part without a price for a rate in use",
        'price = 1\npart = [{ id = "p", name_zh = "价", name_en = "P", price = { flat = 1 } }]\n'
        'slot = [{ start = "00:00", end = "24:00", rate = "peak" }]',
        ["part.1.price: no price for the rate 'peak' that a slot uses"],
    ),
    Slip(
        "a price for too few tiers",
        'price = [1, 2]\ntiers = { period = "month", bounds = [100, 200] }',
        [f"price.{rate}: 2 prices for 3 tiers" for rate in RATES],
    ),
    Slip(
        "bounds that do not rise",
        'price = [1, 2, 3]\ntiers = { period = "month", bounds = [200, 200] }',
        ["tiers.bounds: 200, 200"],
    ),
    Slip(
        "more tiers than can be held",
        'price = 1\ntiers = { period = "month", bounds = [1, 2, 3, 4, 5, 6, 7, 8] }',
        ["tiers.bounds: 8 bounds"],
    ),
    Slip(
        "part of a household rule",
        'price = 1\ntiers = { period = "month", bounds = [1], household_from = 5 }',
        ["tiers.household_add: one without the other"],
    ),
    Slip(
        "a factor that leaves no whole millionth",
        'part = [{ id = "sewage", name_zh = "污水", name_en = "Sewage", price = 1.333333, factor = 0.9 }]',
        ["price: 'sewage' flat: 1.199999700 after factor, fee and tax"],
    ),
    Slip(
        "a tax that leaves no whole millionth",
        "price = 0.333333\ntax = { percent = 13, inclusive = false }",
        ["price: 'price' flat: 0.376666290 after factor, fee and tax"],
    ),
    Slip(
        "a tax that leaves no whole billionth of an amount",
        "price = 1\nminimum = { amount = 0.000000001 }\ntax = { percent = 13, inclusive = false }",
        ["minimum.amount: with its tax no whole billionth"],
    ),
    Slip("parts beyond a million", "price = 999999\nservice_fee = { per_unit = 2 }", [
        "price: flat: the parts add up to 1000001",
    ]),
    Slip(
        "an unknown table of power factors",
        'price = 1\npower_factor = { standard = "pf-9", parts = ["prize"] }',
        [
            "power_factor.standard: no table 'pf-9' (did you mean 'pf-90'?)",
            "power_factor.parts: no part 'prize' (did you mean 'price'?)",
        ],
    ),
    Slip(
        "one id twice",
        'price = 1\nfixed = [{ id = "price", name_zh = "固", name_en = "F", per = "day", amount = 1 }]',
        ["'price' names two parts or components"],
    ),
    Slip("a window that does not slide", "price = 1\ndemand = { price = 40, slide_s = 70 }", [
        "demand.window_s: 900 s is no multiple of 70 s",
    ]),
    Slip("a date that does not exist", 'price = 1\n[[tariff.version]]\nfrom = "2026-02-30"', [
        "version.1.from: '2026-02-30'",
    ]),
)  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS, ids=[slip.name for slip in SLIPS])
def test_a_slip_is_named(copy: "Copy", slip: Slip) -> None:
    copy.append("tariffs.toml", f"\n{HEAD}{slip.text}\n")
    faults = copy.faults()
    told = [str(fault).removeprefix("tariffs.toml: ").partition("; allowed: ")[0] for fault in faults]
    assert [text.removeprefix("tariff.x.").removeprefix("tariff.x: ") for text in told] == slip.faults
    assert all(fault.allowed for fault in faults)


def test_every_check_has_a_slip(copy: "Copy") -> None:
    silent = set(TARIFF_CHECKS)
    sound = (copy.folder / "tariffs.toml").read_text(encoding="utf-8")
    for slip in SLIPS:
        (copy.folder / "tariffs.toml").write_text(f"{sound}\n{HEAD}{slip.text}\n", encoding="utf-8")
        sources = read_sources(copy.folder)
        silent -= {check for check in silent if list(check(sources))}
    assert {check.__name__ for check in silent} == {"power_factors", "openings"}  # of other files, see below


def test_a_table_of_power_factors_has_every_hundredth(copy: "Copy") -> None:
    ours = Path(__file__).parents[3] / "config/power_factor.toml"
    own = copy.folder / "power_factor.toml"
    own.write_text(ours.read_text(encoding="utf-8").replace("last = 0.70", "last = 0.71", 1), encoding="utf-8")
    assert [str(fault) for fault in copy.faults()] == [
        "power_factor.toml: power_factor.pf-90.step: 0.70 missing; allowed: every hundredth from 0.00 to 1.00 once"
    ]
    own.write_text(ours.read_text(encoding="utf-8").replace("percent = -1.10", "percent = -1.00"), encoding="utf-8")
    disputed = load(copy.folder)
    factor = next(c for c in version(disputed.plans, "e-capacity").components if isinstance(c, PowerFactor))
    assert dict(factor.steps)[94] == -10_000


def test_an_opening_is_a_date(copy: "Copy") -> None:
    copy.edit("supply_points.csv", "2026-07-15", "2026-06-31")
    assert [fault.wrong for fault in copy.faults()] == ["'2026-06-31' is no date"]


@pytest.fixture(scope="module")
def plans(demo_folder: Path) -> tuple[Plan, ...]:
    return load(demo_folder).plans


def version(plans: tuple[Plan, ...], name: str, number: int = 0) -> Version:
    return next(plan for plan in plans if plan.id == name).versions[number]


def test_the_demonstration_uses_every_component(plans: tuple[Plan, ...]) -> None:
    versions = [found for plan in plans for found in plan.versions]
    kinds = {type(component) for found in versions for component in found.components}
    assert kinds == {FixedCharge, Demand, Capacity, PowerFactor, Minimum, BaseQuantity}
    assert {(found.tiers.mode, found.tiers.period) for found in versions if found.tiers} == {
        ("graduated", "year"), ("graduated", "anniversary"), ("volume", "month"),
    }  # fmt: skip
    assert {slot.rate for found in versions for table in found.tables for slot in table.slots} == set(range(5))
    assert {found.tax.inclusive for found in versions} == {True, False}
    assert any(part.compliance for found in versions for part in found.parts)
    assert any(table.seasons for found in versions for table in found.tables)
    assert len({plan.medium for plan in plans}) == 6
    assert max(len(plan.versions) for plan in plans) == 2


def test_every_date_fits_exactly_one_table(plans: tuple[Plan, ...]) -> None:
    days = range(date(FIRST_YEAR, 1, 1).toordinal(), date(LAST_YEAR + 2, 1, 1).toordinal())
    for plan in plans:
        for found in plan.versions:
            assert Counter(len(tables_at(found, day)) for day in days) == {1: len(days)}, plan.id


def test_prices_are_what_the_file_says(plans: tuple[Plan, ...]) -> None:
    residential = version(plans, "e-residential")
    assert [residential.price_micro(1, tier) for tier in range(3)] == [558_300, 608_300, 858_300]
    assert [residential.price_micro(3, tier) for tier in range(3)] == [358_300, 408_300, 658_300]
    assert [version(plans, "w-residential").price_micro(FLAT, tier) for tier in range(3)] == [
        5_000_000, 7_000_000, 9_000_000,
    ]  # fmt: skip
    now, later = (version(plans, "w-commercial", number) for number in range(2))
    assert [part.price_micro[FLAT] for part in now.parts] == [(3_190_000,), (500_000,), (1_260_000,)]
    assert (now.price_micro(FLAT, 0), later.price_micro(FLAT, 0)) == (4_950_000, 5_290_000)
    begin_s = int(datetime(2027, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp())
    assert (now.from_s, now.to_s, later.from_s, later.to_s) == (0, begin_s, begin_s, FOREVER_S)
    steam = version(plans, "s-commercial")
    assert (steam.price_micro(FLAT, 0), steam.tax.ppm, steam.tax.inclusive) == (268_140_000, 90_000, False)
    charging = version(plans, "e-charging")
    assert [part.price_micro[1] for part in charging.parts] == [(1_150_000,), (230_000,)]
    assert [part.compliance for part in charging.parts] == ["", "resale-surcharge"]


def test_exclusive_tax_is_added_to_amounts_too(copy: "Copy") -> None:
    copy.append(
        "tariffs.toml", f"\n{HEAD}price = 1\nminimum = {{ amount = 50 }}\ntax = {{ percent = 13, inclusive = false }}\n"
    )
    found = version(load(copy.folder).plans, "x")
    assert found.components == (Minimum("minimum", "最低收费", "Minimum charge", 56_500_000_000),)


def test_power_factor_tables_are_those_of_the_rule(copy: "Copy") -> None:
    for standard in (90, 85, 80):
        copy.append(
            "tariffs.toml", f"\n{HEAD.replace(chr(34) + 'x' + chr(34), f'{chr(34)}pf{standard}{chr(34)}')}price = 1\n"
        )
        copy.append("tariffs.toml", f'power_factor = {{ standard = "pf-{standard}" }}\n')
    for standard in (90, 85, 80):
        (factor,) = version(load(copy.folder).plans, f"pf{standard}").components
        assert isinstance(factor, PowerFactor)
        assert (factor.standard_hundredths, factor.steps) == (standard, standard_steps(standard))


def test_a_plan_of_the_configuration_survives_the_books(plans: tuple[Plan, ...]) -> None:
    for plan in plans:
        assert plan_of(plan_body(plan)) == plan


def test_the_state_council_moves_working_days(plans: tuple[Plan, ...]) -> None:
    """2026: 9 days of Spring Festival from 15 February, for which 14 and 28 February are worked."""
    days = version(plans, "e-commercial").days

    def kinds(*when: int) -> set[str]:
        return set(kinds_of(days, date(*when).toordinal()))

    assert kinds(2026, 2, 14) == kinds(2026, 2, 28) == {"make_up", "working"}
    assert kinds(2026, 2, 15) == kinds(2026, 2, 23) == {"festival"}
    assert kinds(2026, 10, 1) == kinds(2026, 10, 7) == {"holiday"}
    assert kinds(2026, 9, 20) == {"make_up", "working"}
    assert kinds(2026, 11, 23) == {"mon", "working"}
    assert kinds(2026, 11, 22) == {"sun", "weekend"}
    assert kinds(2030, 5, 1) == {"holiday"}  # by law, years before the State Council has said anything
    assert holiday_calendar("CN").set_until >= 2026


def test_a_slot_over_midnight_wraps_within_kinds_of_day_and_goes_on_to_the_next_weekday(copy: "Copy") -> None:
    copy.append(
        "tariffs.toml",
        f'\n{HEAD}price = {{ peak = 2, valley = 1 }}\nslot = [{{ days = ["working"], start = "22:00", end = "06:00",'
        ' rate = "valley" }, { days = ["working"], start = "06:00", end = "22:00", rate = "peak" },'
        ' { days = ["sat", "sun"], start = "00:00", end = "24:00", rate = "valley" }]\n',
    )
    tables = version(load(copy.folder).plans, "x").tables
    spoken = {
        table.kinds: [(slot.start_minute, slot.end_minute, slot.rate) for slot in table.slots] for table in tables
    }
    assert spoken == {
        frozenset({"working"}): [(0, 360, 3), (360, 1320, 1), (1320, 1440, 3)],
        frozenset({"weekend"}): [(0, 1440, 3)],
    }


SUMMER = 'season = [{ id = "summer", ranges = [{ first = "07-01", last = "09-30" }] }, { id = "other" }]\n'
# Sample tables of about 2021: hours of (days, seasons) in the order of the file, as (from, to, rate).
CITIES = {
    "shanghai": (
        SUMMER,
        [(8, 11, "peak", ""), (13, 15, "peak", "summer"), (18, 21, "peak", ""), (6, 8, "flat", ""),
         (11, 13, "flat", ""), (13, 15, "flat", "other"), (15, 18, "flat", ""), (21, 22, "flat", ""),
         (22, 6, "valley", "")],
        "valley 0, flat 6, peak 8, flat 11, peak 13, flat 15, peak 18, flat 21, valley 22",
    ),
    "shanghai-home": ("", [(6, 22, "peak", ""), (22, 6, "valley", "")], "valley 0, peak 6, valley 22"),
    "hainan": (
        "",
        [(10, 12, "peak", ""), (16, 22, "peak", ""), (23, 7, "valley", ""), (7, 10, "flat", ""), (12, 16, "flat", ""),
         (22, 23, "flat", "")],
        "valley 0, flat 7, peak 10, flat 12, peak 16, flat 22, valley 23",
    ),
    "hunan": (
        "",
        [(19, 22, "sharp", ""), (8, 11, "peak", ""), (15, 19, "peak", ""), (7, 8, "flat", ""), (11, 15, "flat", ""),
         (22, 23, "flat", ""), (23, 7, "valley", "")],
        "valley 0, flat 7, peak 8, flat 11, peak 15, sharp 19, flat 22, valley 23",
    ),
}  # fmt: skip


@pytest.mark.parametrize("city", CITIES)
def test_sample_tables_of_cities(copy: "Copy", city: str) -> None:
    head, hours, expected = CITIES[city]
    lines = [
        f'{{ start = "{a:02}:00", end = "{b:02}:00", rate = "{rate}", seasons = {json.dumps([s] if s else [])} }},'
        for a, b, rate, s in hours
    ]
    prices = "price = { sharp = 4, peak = 3, flat = 2, valley = 1 }\n"
    copy.append("tariffs.toml", f"\n{HEAD}{head}{prices}slot = [{''.join(lines)}]\n")
    found = version(load(copy.folder).plans, "x")
    (july,) = tables_at(found, date(2026, 7, 1).toordinal())
    told = ", ".join(f"{RATES[slot.rate]} {slot.start_minute // 60}" for slot in found.tables[july].slots)
    assert told == expected
    (october,) = tables_at(found, date(2026, 10, 1).toordinal())
    assert (july == october) == (not head)
