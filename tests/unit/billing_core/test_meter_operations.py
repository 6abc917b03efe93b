"""What people decide about registers, on real books: released, rejected, swapped, corrected, and the audit agrees."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import pytest

from billing_core.audit import audit
from billing_core.plan import Slot, Tiers
from billing_core.reader import open_books
from billing_core.replay_all import Summary, replay_all
from billing_core.replay_reader import open_replay
from scada.errors import Refused
from scada.operations import Who
from tests.plans import plan
from tests.unit.billing_core import counter, park
from tests.unit.billing_core.counter import Till, till
from tests.unit.billing_core.park import BEGIN_S, YUAN
from tests.unit.billing_core.test_store import run


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def wrapped(**given: Any) -> None:
        async def called() -> None:
            await test(**given)

        run(called)

    return wrapped


EVE = Who("eve", "engineer", "desk-3")
PEAK_NANO = 1_200_000  # per thousandth of a kWh
VALLEY_NANO = 300_001


async def tell(opened: Till, name: str, **arguments: Any) -> Mapping[str, Any]:
    opened.clock.now_s = opened.park.now_s
    return await opened.ask(name, EVE, reason="on site", key=arguments.pop("key", name), **arguments)


def put(opened: Till, raw: int, row: int = 1, gap_s: int = 1) -> None:
    """Let a register show something, whatever it showed before."""
    opened.park.work.points.raw[row] = raw
    opened.park.step(0, 0, 0, gap_s=gap_s)


def sound(dsn: str) -> None:
    with open_books(dsn) as books:
        assert [str(difference) for difference in audit(books)] == []
    with open_replay(dsn) as again:
        assert [str(fault) for fault in replay_all(again, Summary())] == []


def stored(opened: Till, row: int = 1) -> tuple[int, int, int]:
    standing = opened.park.engine.standing(row)
    return standing.last_raw, standing.billed_milli, standing.charged_nano


@in_loop
async def test_a_meter_swap_bills_both_lives(postgres_dsn: str) -> None:
    """(12400.00 - 12345.67) x 40 + (3.60 - 0.35) x 30 = 2173.20 + 97.50 = 2270.70 kWh."""
    async with till(postgres_dsn) as opened:
        put(opened, 1_234_567)
        put(opened, 35, gap_s=3600)  # the new meter is in its place: doubtful
        held = await opened.ask("meter.held", EVE)
        assert [(one["point"], one["held"], one["last_register"]) for one in held["held"]] == [
            ("p2", "reverse", "12345.67")
        ]
        wish = {"point": "p2", "old_final": "12400.00", "new_first": "0.35", "ratio": "30"}
        shown = await tell(opened, "meter.swap", **wish, preview=True)
        assert (shown["old_milli"], shown["preview"]) == (2_173_200, True)
        with pytest.raises(Refused, match=r"meter\.final-implausible"):  # a preview refuses what the act would
            await tell(opened, "meter.swap", **(wish | {"old_final": "1.00"}), preview=True)
        done = await tell(opened, "meter.swap", **wish, serial="SN-2")
        assert (done["final_raw"], done["first_raw"], done["repeated"]) == (1_240_000, 35, False)
        assert (await tell(opened, "meter.swap", **wish, serial="SN-2"))["repeated"]
        put(opened, 360, gap_s=3600)
        assert stored(opened) == (360, 2_270_700, opened.park.engine.standing(1).charged_nano)
        await opened.commit()
        sound(postgres_dsn)


@in_loop
async def test_what_the_new_meter_counted_before_the_swap_was_entered_is_billed(postgres_dsn: str) -> None:
    """Swapped at 07:50, entered at 08:40: the new meter's 3.25 x 30 kWh since then are no jump."""
    async with till(postgres_dsn) as opened:
        put(opened, 1_234_567)
        put(opened, 1_234_600, gap_s=60)
        put(opened, 360, gap_s=3600)
        at_s = BEGIN_S + 600
        wish = {"point": "p2", "old_final": "12400.00", "new_first": "0.35", "ratio": "30", "at_s": at_s}
        done = await tell(opened, "meter.swap", **wish)
        assert (done["final_s"], done["first_s"]) == (at_s, at_s)
        put(opened, 361, gap_s=1)
        assert stored(opened)[:2] == (361, 2_270_700 + 300)
        await opened.commit()
        sound(postgres_dsn)


@in_loop
async def test_the_gap_of_a_swap_is_estimated_and_marked(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_100, gap_s=60)
        done = await tell(opened, "meter.swap", point="p2", old_final="11.00", new_first="0.00", gap="2.5")
        assert (done["gap_milli"], done["gap_nano"]) == (2_500, 2_500 * VALLEY_NANO)
        assert stored(opened) == (0, 42_500, 42_500 * VALLEY_NANO)
        await opened.commit()
        sound(postgres_dsn)


@in_loop
async def test_a_doubtful_register_is_released_or_rejected(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 900_000)  # 359.6 MWh in a second
        held = (await opened.ask("meter.held", EVE))["held"][0]
        assert (held["held"], held["stake_milli"]) == ("jump", 899_000 * 400)
        assert held["stake_nano"] == 899_000 * 400 * VALLEY_NANO
        released = await tell(opened, "meter.release", point="p2")
        assert released["nano"] == held["stake_nano"]
        put(opened, 5, gap_s=60)
        with pytest.raises(Refused, match=r"hold.reverse"):
            await tell(opened, "meter.release", point="p2", key="again")
        rejected = await tell(opened, "meter.reject", point="p2")
        assert (rejected["raw_from"], rejected["raw_to"]) == (900_000, 5)
        put(opened, 15, gap_s=60)
        assert stored(opened)[:2] == (15, 899_010 * 400)
        assert (await opened.ask("meter.held", EVE))["held"] == []
        await opened.commit()
        sound(postgres_dsn)


@in_loop
async def test_a_ratio_is_cut_at_one_register(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_100, gap_s=60)
        await tell(opened, "meter.ratio", point="p2", ratio="60/1")
        put(opened, 1_110, gap_s=60)
        assert stored(opened)[1] == 100 * 400 + 10 * 600
        with pytest.raises(Refused, match=r"meter.ratio"):
            await tell(opened, "meter.ratio", point="p2", ratio="60", key="same")
        await opened.commit()
        sound(postgres_dsn)


@in_loop
async def test_a_late_reading_moves_what_was_split_by_time(postgres_dsn: str) -> None:
    """07:40 to 08:20 at 40 counts: half before 08:00 by time; the reading of 08:00 says 30 of 40 were before it."""
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_040, gap_s=2400)  # 07:40:01 to 08:20:01
        await opened.commit()
        before = stored(opened)
        late = {"point": "p2", "readings": [[BEGIN_S + 1200, "10.30"]]}
        shown = await tell(opened, "meter.late", **late, preview=True)
        done = await tell(opened, "meter.late", **late)
        assert {name: done[name] for name in ("reversed", "recharged", "nano")} == {
            name: shown[name] for name in ("reversed", "recharged", "nano")
        }
        assert done["milli"] == 0
        new = 30 * 400 * VALLEY_NANO + 10 * 400 * PEAK_NANO
        assert stored(opened) == (1_040, before[1], new)
        assert done["nano"] == new - before[2]
        assert opened.live("t2") == -new
        assert (await tell(opened, "meter.late", **late))["repeated"]
        put(opened, 1_050, gap_s=60)
        await opened.commit()
        assert stored(opened)[2] == new + 10 * 400 * PEAK_NANO
        sound(postgres_dsn)


@pytest.mark.parametrize(
    ("at_s", "register", "code"),
    [
        (BEGIN_S - 10, "10.00", "late.before"),
        (BEGIN_S + 5000, "10.40", "late.after"),
        (BEGIN_S + 1200, "10.50", "late.between"),
        (BEGIN_S + 1200, "ten", "meter.register"),
        (BEGIN_S + 1200, "10.301", "meter.register"),
    ],
)
@in_loop
async def test_what_a_late_reading_cannot_be(postgres_dsn: str, at_s: int, register: str, code: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_040, gap_s=2400)
        await opened.commit()
        before = stored(opened)
        with pytest.raises(Refused, match=code):
            await tell(opened, "meter.late", point="p2", readings=[[at_s, register]])
        assert stored(opened) == before
        assert opened.live("t2") == -before[2]
        sound(postgres_dsn)


@in_loop
async def test_who_may_not_and_what_is_not_there(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        with pytest.raises(Refused, match=r"role"):
            await opened.ask("meter.held", Who("ann", "finance", "desk-1"))
        with pytest.raises(Refused, match=r"point.unknown"):
            await tell(opened, "meter.reject", point="p9")
        with pytest.raises(Refused, match=r"hold.none"):
            await tell(opened, "meter.reject", point="p2")
        with pytest.raises(Refused, match=r"meter.not-configured"):
            await tell(opened, "meter.swap", point="p2", old_final="10.00", new_first="0", new_meter="m9")
        assert opened.live("t1") == 100 * YUAN


@in_loop
async def test_the_final_register_of_a_swapped_meter_is_corrected_afterwards(postgres_dsn: str) -> None:
    """12400.00 was misread for 12390.00: 10.00 x 40 = 400 kWh go back, and what is billed now goes on."""
    async with till(postgres_dsn) as opened:
        put(opened, 1_234_567)
        put(opened, 35, gap_s=3600)
        done = await tell(opened, "meter.swap", point="p2", old_final="12400.00", new_first="0.35", ratio="30")
        put(opened, 360, gap_s=3600)
        await opened.commit()
        _, milli, nano = stored(opened)
        back = await tell(opened, "meter.late", point="p2", readings=[[done["final_s"], "12390.00"]])
        assert back["milli"] == -400_000
        put(opened, 370, gap_s=60)
        assert stored(opened)[:2] == (370, milli - 400_000 + 3_000)
        assert stored(opened)[2] == nano + back["nano"] + 3_000 * PEAK_NANO
        again = await tell(opened, "meter.late", point="p2", readings=[[done["final_s"], "12395.00"]], key="twice")
        assert again["milli"] == 200_000
        await opened.commit()
        assert opened.live("t2") == -stored(opened)[2]
        sound(postgres_dsn)


@in_loop
async def test_what_stands_after_a_restart_is_what_was_restated(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_040, gap_s=2400)
        await tell(opened, "meter.late", point="p2", readings=[[BEGIN_S + 1200, "10.30"]])
        before = stored(opened)
    async with till(postgres_dsn) as opened:
        assert stored(opened) == before
        sound(postgres_dsn)


@in_loop
async def test_a_ratio_set_by_a_person_beats_the_configuration_after_a_restart(postgres_dsn: str) -> None:
    async with till(postgres_dsn) as opened:
        put(opened, 1_000)
        put(opened, 1_100, gap_s=60)
        await tell(opened, "meter.ratio", point="p2", ratio="60/1")
        now_s = opened.park.now_s
    async with till(postgres_dsn) as opened:
        assert opened.park.engine.point(1).milli_per_count == 600
        opened.park.now_s = now_s
        put(opened, 1_110, gap_s=60)
        assert stored(opened)[1] == 100 * 400 + 10 * 600
        await opened.commit()
        sound(postgres_dsn)


@in_loop
async def test_rollover_with_a_ratio_of_40(postgres_dsn: str) -> None:
    """999999.50 to 000003.25, CT 40: 3.75 x 40 = 150.00 kWh. 1234.00 to 12.00 is no rollover."""
    async with till(postgres_dsn) as opened:
        put(opened, 99_999_950)
        put(opened, 325, gap_s=60)
        assert stored(opened)[:2] == (325, 150_000)
        put(opened, 123_400, gap_s=3600)
        put(opened, 1_200, gap_s=60)
        held = (await opened.ask("meter.held", EVE))["held"]
        assert [(one["held"], one["last_register"], one["doubtful_register"]) for one in held] == [
            ("reverse", "1234.00", "12.00")
        ]
        await opened.commit()
        sound(postgres_dsn)


@pytest.mark.parametrize("mode", ["graduated", "volume"])
def test_a_restatement_shifts_the_tiers_until_now(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, mode: Literal["graduated", "volume"]
) -> None:
    """The final register of a swap was 100.00 kWh too high: everything behind it moves down in the year's tiers."""
    prices = {1: (1_000_000, 1_500_000, 2_000_000)}
    tiered = plan("tou", prices, (Slot(0, 1440, 1),), tiers=Tiers(mode, "year", (100_000, 300_000)))
    for module in (counter, park):
        monkeypatch.setattr(module, "TARIFFS", (tiered, park.TARIFFS[1]))

    def priced(milli: int) -> int:
        slices = min(milli, 100_000), max(0, min(milli, 300_000) - 100_000), max(0, milli - 300_000)
        if mode == "volume":
            return milli * (1_000_000 + 500_000 * sum(part > 0 for part in slices[1:]))
        return sum(part * price for part, price in zip(slices, (1_000_000, 1_500_000, 2_000_000), strict=True))

    async def test() -> None:
        async with till(postgres_dsn) as opened:
            put(opened, 1_000)
            put(opened, 1_100, gap_s=60)  # 40 kWh
            put(opened, 1_100, gap_s=60)
            wish = {"point": "p2", "old_final": "15.00", "new_first": "0.00"}  # 160 more: 200 kWh
            done = await tell(opened, "meter.swap", **wish)
            put(opened, 300, gap_s=600)  # 120 more: 320 kWh
            await opened.commit()
            assert stored(opened) == (300, 320_000, priced(320_000))
            back = await tell(opened, "meter.late", point="p2", readings=[[done["final_s"], "12.50"]])
            assert (back["milli"], back["nano"]) == (-100_000, priced(220_000) - priced(320_000))
            put(opened, 550, gap_s=600)  # 100 more: 320 kWh again
            assert stored(opened) == (550, 320_000, priced(320_000))
            assert opened.park.engine.standing(1).position_milli == 320_000
            await opened.commit()
            assert opened.live("t2") == -priced(320_000)
            sound(postgres_dsn)
        async with till(postgres_dsn) as opened:
            assert opened.park.engine.standing(1).position_milli == 320_000

    run(test)
