"""Explaining a charge: every figure of the derivation, the words in both languages, days and slots."""

from datetime import date

import pytest

from billing_core.explain import Facts, day_word, derive, words
from billing_core.plan import Days, DayTable, Plan, PricePart, Slot, Tiers, Version
from tests.plans import plan, version

SHANGHAI = "Asia/Shanghai"
AT_0758_S = 1_767_225_480  # Thursday 2026-01-01 07:58 in Shanghai
NEW_YEAR = 739_617  # ordinal of 2026-01-01
SLOTS = (Slot(0, 480, 3), Slot(480, 1440, 1))
NONE = (-1, -1, -1)


def part(name: str, valley: tuple[int, ...], peak: tuple[int, ...]) -> PricePart:
    return PricePart(name, f"{name}-zh", f"{name}-en", (NONE, peak, NONE, valley, NONE))


PARTS = (
    part("energy", (250_000, 300_000, 550_000), (900_000, 950_000, 1_200_000)),
    part("fund", (50_000,) * 3, (50_000,) * 3),
)
TIERS = Tiers("graduated", "month", (180_000, 260_000))
PLAN = Plan(
    "home", "居民", "Home", "electricity", "kWh", "CNY", SHANGHAI,
    (Version(0, 2**40, (DayTable((), frozenset(), SLOTS),), Days(holidays=frozenset((NEW_YEAR,))), PARTS, TIERS),),
)  # fmt: skip


def facts(**changed: object) -> Facts:
    row = Facts(
        charge="12:3", point="p1", meter="m1", account="t1", raw_from=100, from_s=AT_0758_S, raw_to=200,
        to_s=AT_0758_S + 300, segment_from_s=AT_0758_S, segment_to_s=AT_0758_S + 120, rate=3, tier=1,
        position_milli=180_000, price_micro=350_000, milli=400, nano=140_000_000, kind=0, method=1, reverses="",
        milli_per_count=10, modulus_counts=1000, plan_hash="0123456789abcdef",
    )  # fmt: skip
    return row._replace(**changed)


def test_a_derivation_has_every_figure() -> None:
    found = derive(facts(), PLAN).as_json()
    expected = {
        "charge": "12:3", "counts": 100, "rolled_over": False, "interval_milli": 1000, "estimated": True,
        "day_kind": "holiday", "slot": (0, 480), "tier_count": 3, "tier_upto_milli": 260_000, "plan": "home",
        "unit": "kWh", "currency": "CNY",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert [(part["id"], part["price_micro"]) for part in found["parts"]] == [("energy", 300_000), ("fund", 50_000)]


def test_words_in_english() -> None:
    assert words(derive(facts(), PLAN), "en") == [
        "charge 12:3  metered  supply point p1, meter m1, account t1",
        "    registers   100 (2026-01-01 07:58:00+0800) -> 200 (2026-01-01 08:03:00+0800): "
        "100 counts x 0.010 kWh = 1.000 kWh",
        "    part        2026-01-01 07:58:00+0800 -> 2026-01-01 08:00:00+0800, 120 s of 300 s: 0.400 kWh, "
        "split by time (estimated)",
        "    rate        valley (00:00-08:00, holiday)",
        "    tier        2 of 3: 180.000 -> 180.400 kWh, up to 260.000 kWh",
        "    price       0.350000 CNY/kWh = energy-en 0.300000 + fund-en 0.050000",
        "    money       0.400 kWh x 0.350000 = 0.140000000 CNY",
        "    plan        home Home, hash 0123456789ab",
    ]


def test_words_in_chinese() -> None:
    found = words(derive(facts(), PLAN), "zh")
    assert found[0] == "计费行 12:3  抄表  计量点 p1, 表计 m1, 账户 t1"
    assert found[3] == "    费率        谷 (00:00-08:00, 节假日)"
    assert found[4] == "    阶梯        2 档，共 3: 180.000 -> 180.400 kWh，本档上限 260.000 kWh"
    assert found[5].endswith("= energy-zh 0.300000 + fund-zh 0.050000")


def test_a_rollover_is_shown_with_its_counts() -> None:
    found = derive(facts(raw_from=990, raw_to=10), PLAN)
    assert (found.counts, found.rolled_over, found.interval_milli) == (20, True, 200)
    assert "20 counts (rolled over)" in words(found, "en")[1]


def test_an_uplift_shows_what_each_part_rises_by() -> None:
    found = derive(facts(kind=1, tier=2, milli=260_000, position_milli=260_000, price_micro=250_000), PLAN)
    assert [(part.id, part.price_micro) for part in found.parts] == [("energy", 250_000), ("fund", 0)]
    assert sum(part.price_micro for part in found.parts) == found.facts.price_micro


def test_a_reversal_names_its_row() -> None:
    found = words(derive(facts(kind=2, milli=-400, nano=-140_000_000, reverses="9:1"), PLAN), "en")
    assert found[1] == "    reverses    9:1"
    assert "-0.400 kWh x 0.350000 = -0.140000000 CNY" in found[-2]


def test_a_plan_without_tiers_has_no_line_about_them() -> None:
    flat = plan("flat", {3: 350_000}, (Slot(0, 1440, 3),))
    assert not any("tier" in line for line in words(derive(facts(tier=0), flat), "en"))


@pytest.mark.parametrize(
    ("day", "days", "expected"),
    [
        ((2026, 1, 1), Days(holidays=frozenset((NEW_YEAR,))), "holiday"),
        ((2026, 1, 1), Days(special=(("spring", frozenset((NEW_YEAR,))),)), "spring"),
        ((2026, 1, 3), Days(make_up=frozenset((NEW_YEAR + 2,))), "make_up"),
        ((2026, 1, 3), Days(), "weekend"),
        ((2026, 1, 1), Days(), "working"),
    ],
)
def test_the_kind_of_a_day(day: tuple[int, int, int], days: Days, expected: str) -> None:
    assert day_word(version({3: 1}, days=days), date(*day).toordinal()) == expected


def test_no_version_no_charge() -> None:
    ended = Plan("x", "", "", "electricity", "kWh", "CNY", SHANGHAI, (version({3: 1}, to_s=1000),))
    with pytest.raises(ValueError, match=r"plan x has no version"):
        derive(facts(), ended)
