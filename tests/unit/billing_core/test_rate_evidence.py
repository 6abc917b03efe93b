"""The rate registers that split an interval stand in real books: audit and replay compute the split again from them."""

from dataclasses import replace

import psycopg
import pytest

from billing_core import replay_reader
from billing_core.plan import Slot, Tiers
from billing_core.rate_evidence import Evidence, Missing, RateReading
from scada.image import NO_RATE, RATE_COLUMNS
from tests.plans import plan
from tests.unit.billing_core import counter, park
from tests.unit.billing_core.counter import Till, till
from tests.unit.billing_core.replaying import replayed
from tests.unit.billing_core.test_meter_operations import tell
from tests.unit.billing_core.test_store import assert_clean, audited, run

PEAK, VALLEY = 1, 3
ROW = 1  # p2: 400 thousandths a count
WEEK = (((0, 480, VALLEY), (480, 1440, PEAK)),) * 7
TOU = plan(
    "tou", {1: (1_200_000, 1_500_000), 3: (300_001, 600_001)}, (Slot(0, 480, VALLEY), Slot(480, 1440, PEAK)),
    tiers=Tiers("graduated", "year", (20_000,)),
)  # fmt: skip
RATED = replace(
    park.POINTS[ROW], rate_registers=True, rate_week=WEEK, rates_used=(False, True, False, True, False),
    catch_up="rate-registers",
)  # fmt: skip
EVIDENCE = """
    SELECT extract(epoch FROM time_from)::bigint, extract(epoch FROM time_to)::bigint, from_1, from_2, from_4,
           to_2, to_4
    FROM rate_reading ORDER BY seq, terms, time_from
"""


@pytest.fixture(autouse=True)
def rated_park(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the second point of the park rate registers, and its plan tiers."""
    for module in (counter, park):
        monkeypatch.setattr(module, "TARIFFS", (TOU, park.TARIFFS[1]))
        monkeypatch.setattr(module, "POINTS", (park.POINTS[0], RATED, park.POINTS[2]))


def show(opened: Till, total: int, peak: int, valley: int, gap_s: int = 1) -> None:
    """Let the meter of p2 show these registers, and scan."""
    points = opened.park.work.points
    points.raw[ROW] = total
    for name, value in zip(RATE_COLUMNS, (NO_RATE, peak, NO_RATE, valley, NO_RATE), strict=True):
        getattr(points, name)[ROW] = value
    opened.park.step(0, 0, 0, gap_s=gap_s)


def rows(dsn: str, statement: str) -> list[tuple[int, ...]]:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        return connection.execute(statement.encode()).fetchall()


def tamper(dsn: str, *statements: str) -> None:
    """Change what is protected, as a superuser who switched the triggers off."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount >= 1


def split_twice(dsn: str) -> None:
    """07:40 to 08:20: 40 counts, 32 of them peak, 7 valley, 1 cut off. Then, after a restart, a day to 08:30."""

    async def test() -> None:
        async with till(dsn) as opened:
            show(opened, 1_000, 400, 600)
            show(opened, 1_040, 432, 607, gap_s=2_400)
            await opened.commit()
            show(opened, 1_050, 442, 607, gap_s=60)
            await opened.commit()
            show(opened, 1_149, 501, 647, gap_s=87_000)  # never committed: the core is killed here
            now_s = opened.park.now_s
        async with till(dsn) as opened:
            opened.park.now_s = now_s
            show(opened, 1_150, 502, 647, gap_s=60)
            await opened.commit()

    run(test)


def test_registers_that_split_an_interval_are_kept_and_audited(postgres_dsn: str) -> None:
    split_twice(postgres_dsn)
    first_s = park.BEGIN_S + 1
    assert rows(postgres_dsn, EVIDENCE) == [
        (first_s, first_s + 2_400, -1, 400, 600, 432, 607),
        (first_s + 2_460, first_s + 2_460 + 87_060, -1, 442, 607, 502, 647),
    ]
    quantities = "SELECT rate, sum(milli)::bigint FROM charge WHERE method = 2 GROUP BY seq, rate ORDER BY seq, rate"
    assert rows(postgres_dsn, quantities) == [(1, 33 * 400), (3, 7 * 400), (1, 60 * 400), (3, 40 * 400)]
    assert_clean(postgres_dsn)
    for account in ("t1", "t2"):
        code, printed = replayed(postgres_dsn, account=account)
        assert code == 0, printed


SPLIT_ROW = "seq = (SELECT max(seq) FROM rate_reading)"
FORGED = {
    "a register": (f"UPDATE rate_reading SET to_4 = to_4 + 1 WHERE {SPLIT_ROW}",),
    "a register that is not charged": (f"UPDATE rate_reading SET from_1 = 0 WHERE {SPLIT_ROW}",),
    "a time": (f"UPDATE rate_reading SET time_from = time_from + interval '1 second' WHERE {SPLIT_ROW}",),
    "registers that do not fit": (f"UPDATE rate_reading SET to_2 = to_2 + 10 WHERE {SPLIT_ROW}",),
    "evidence that is gone": (f"DELETE FROM rate_reading WHERE {SPLIT_ROW}",),
    "evidence too much": (
        "INSERT INTO rate_reading SELECT (SELECT min(seq) FROM charge), terms, time_from, time_to,"
        f" 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM rate_reading WHERE {SPLIT_ROW}",
    ),
    "another method": (f"UPDATE charge SET method = 1 WHERE method = 2 AND {SPLIT_ROW}",),
    "quantities between rates": (
        f"UPDATE charge SET milli = milli - 400, nano = nano - 400 * price_micro WHERE {SPLIT_ROW} AND rate = 1"
        " AND segment_to = time_to",
        f"UPDATE charge SET milli = milli + 400, nano = nano + 400 * price_micro WHERE {SPLIT_ROW} AND rate = 3",
        f"UPDATE charge SET position_milli = position_milli + 400 WHERE {SPLIT_ROW} AND segment_to = time_to",
    ),
}
BY_THE_REFERENCE = ("the reference says", "do not fit", "do not hold what they said", "split nothing")
ONLY_THE_HASH = frozenset({"a register that is not charged"})


@pytest.mark.parametrize("what", FORGED)
def test_what_was_forged_is_found(postgres_dsn: str, what: str) -> None:
    """By the hash and by the arithmetic, so that who can compute hashes must still forge registers that fit."""
    split_twice(postgres_dsn)
    tamper(postgres_dsn, *FORGED[what])
    code, printed = audited(postgres_dsn)
    assert code == 1
    assert "its charges are not the ones that were posted" in printed
    computed = what not in ONLY_THE_HASH
    assert any(text in printed for text in BY_THE_REFERENCE) == computed, printed
    code, printed = replayed(postgres_dsn, all=True)
    assert (code == 1) == computed, printed
    code, printed = replayed(postgres_dsn, account="t2")
    assert (code == 1) == computed, printed


def test_a_recharge_goes_back_to_the_same_registers(postgres_dsn: str) -> None:
    """The final register of a swap is corrected: the split interval behind it moves down in the tiers of the year."""

    async def test() -> None:
        async with till(postgres_dsn) as opened:
            show(opened, 20_000, 8_000, 12_000)
            show(opened, 35, 15, 20, gap_s=300)
            wish = {"point": "p2", "old_final": "200.50", "new_first": "0.35", "ratio": "30"}
            done = await tell(opened, "meter.swap", **wish)
            show(opened, 75, 35, 40, gap_s=60)
            show(opened, 175, 115, 60, gap_s=3_600)
            await opened.commit()
            await tell(opened, "meter.late", point="p2", readings=[[done["final_s"], "200.40"]])
            show(opened, 180, 120, 60, gap_s=60)
            await opened.commit()

    run(test)
    again = "SELECT rate, sum(milli)::bigint FROM charge WHERE kind = 3 AND method = 2 GROUP BY rate ORDER BY rate"
    assert rows(postgres_dsn, again) == [(1, 80 * 300), (3, 20 * 300)]
    assert len(rows(postgres_dsn, EVIDENCE)) == 1
    assert_clean(postgres_dsn)
    tamper(postgres_dsn, "UPDATE charge SET milli = milli + 300 WHERE kind = 3 AND method = 2 AND rate = 3")
    assert "the reference says" in audited(postgres_dsn)[1]
    assert replayed(postgres_dsn, all=True)[0] == 1


def test_single_rows_are_looked_up_while_all_charges_stream(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two rows: the stream is still open when the registers of a split are asked for."""
    split_twice(postgres_dsn)
    monkeypatch.setattr(replay_reader, "BLOCK_ROWS", 2)
    code, printed = replayed(postgres_dsn, all=True)
    assert code == 0, printed


def test_splits_from_before_the_books_kept_registers_are_believed(postgres_dsn: str) -> None:
    """The replay knows no hashes, so books without evidence can be made by taking it away."""
    split_twice(postgres_dsn)
    tamper(postgres_dsn, "DELETE FROM rate_reading")
    code, printed = replayed(postgres_dsn, all=True)
    assert code == 1
    assert "do not hold what they said" in printed
    tamper(postgres_dsn, "UPDATE book SET proven_after = seq")
    code, printed = replayed(postgres_dsn, all=True)
    assert code == 0, printed


def test_the_registers_of_an_interval_belong_to_its_transfer() -> None:
    kept = RateReading(7, 1, 100, 200, (-1,) * 5, (-1,) * 5)
    evidence = Evidence(lambda *interval: kept if interval == kept.interval else None, believed_upto=5)
    assert evidence.of(7, (1, 100, 200), metered=True) is kept
    assert evidence.of(9, (1, 100, 200), metered=False) is kept
    assert evidence.of(5, (1, 0, 100), metered=True) is None
    assert evidence.of(9, (1, 0, 100), metered=False) is None  # charged again what was believed
    for seq, interval in ((8, kept.interval), (9, (1, 200, 300))):
        with pytest.raises(Missing):
            evidence.of(seq, interval, metered=True)


def test_the_data_base_refuses_to_change_them(postgres_dsn: str) -> None:
    split_twice(postgres_dsn)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        with pytest.raises(psycopg.errors.Error, match="rate_reading"):
            connection.execute("UPDATE rate_reading SET to_4 = 0")
