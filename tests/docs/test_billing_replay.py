"""The figures on docs/billing-replay.md, computed again."""

from billing_core.explain import RATE_WORDS, micro, milli, nano
from billing_core.plan import Slot, TierOptions, Tiers
from billing_core.replay import Position, Prices, price
from billing_core.shadow import Piece, percent_text, shadow
from tests.docs.pages import table
from tests.plans import plan

MIDNIGHT_S = 1_767_196_800  # 2026-01-01 00:00 in Shanghai
HASH, NOBODY = b"", TierOptions()
SLOTS = (Slot(0, 480, 3), Slot(480, 1440, 1))


def clock(at_s: int) -> str:
    second = at_s - MIDNIGHT_S
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def test_the_worked_example() -> None:
    prices = {3: (300_000, 350_000, 600_000), 1: (1_200_000, 1_250_000, 1_500_000)}
    home = plan("home", prices, SLOTS, tiers=Tiers("graduated", "month", (180_000, 260_000)))
    at_s = MIDNIGHT_S + (7 * 60 + 58) * 60
    schedule = Prices({HASH: home})
    entries = schedule.entries(HASH, NOBODY, at_s, at_s + 300)
    lines = price(at_s, at_s + 300, 100 * 10, entries, Position(179_900, entries[0].period))
    found = [
        [
            f"{clock(line.segment_from_s)}-{clock(line.segment_to_s)}", str(line.segment_to_s - line.segment_from_s),
            RATE_WORDS[line.rate]["en"], str(line.tier + 1), milli(line.position_milli), milli(line.milli),
            micro(line.price_micro), nano(line.nano),
        ]
        for line in lines
    ]  # fmt: skip
    assert found == table("billing-replay.md", "stretch")


def test_the_shadow() -> None:
    new = plan("tou", {1: 1_000_000, 3: 300_000}, SLOTS)
    pieces, expected = [], table("billing-replay.md", "tenant")
    for who, used, *_ in expected:
        name, _, hours = who.partition(": ")
        from_s, to_s = (MIDNIGHT_S + int(hour[:2]) * 3600 for hour in hours.split("-"))
        quantity = int(used.replace(".", ""))
        pieces.append(Piece(name, name, NOBODY, from_s, to_s, 0, quantity, quantity * 600_000))
    outcome = shadow(new, pieces, MIDNIGHT_S, MIDNIGHT_S + 86_400)
    found = [
        [t.account, milli(t.milli), nano(t.old_nano), nano(t.new_nano), nano(t.more_nano), percent_text(t.more_percent)]
        for t in outcome.tenants
    ]
    assert found == [[row[0].partition(":")[0], *row[1:]] for row in expected]
