"""Random acts on accounts over real books against a model in plain Python: every purse equal, the sum is zero."""

import random
from collections import defaultdict
from typing import Any

import psycopg
import pytest

from billing_core.account_rules import Grant, Use, unused
from scada.errors import Refused
from tests.unit.billing_core.counter import BOB, FEN, LIMITS, Till, till
from tests.unit.billing_core.park import YUAN
from tests.unit.billing_core.test_store import assert_clean, run

ACTS = 120


class Model:
    """What the accounts must hold, worked out again from the rules as they are written."""

    def __init__(self) -> None:
        self.nano: dict[str, int] = defaultdict(int, {"wallet:t1": 100 * YUAN, "opening": -100 * YUAN})
        self.grants: list[tuple[str, int]] = []  # running subsidies: key, what is left of them
        self.receipts: dict[str, dict[str, int]] = {}
        self.reversed: set[str] = set()

    def move(self, **nano: int) -> dict[str, int]:
        for name, amount in nano.items():
            self.nano[name.replace("__", ":")] += amount
        return {name.replace("__", ":"): amount for name, amount in nano.items()}

    def own(self) -> int:
        left = sum(rest for _, rest in self.grants)
        return self.nano["wallet:t1"] - left + self.nano["debt:t1"] + self.nano["emergency:t1"]

    def paid_in(self, number: str, amount: int) -> None:
        share = amount * LIMITS.recovery_percent // 100 // FEN * FEN
        debt = min(-self.nano["debt:t1"], share)
        lent = min(-self.nano["emergency:t1"], amount - debt)
        wallet = amount - debt - lent
        self.receipts[number] = self.move(cash=-amount, debt__t1=debt, emergency__t1=lent, wallet__t1=wallet)


async def topup(core: Till, model: Model, dice: random.Random, key: str) -> None:
    minor = dice.randint(100, 5000)
    answer = await core.ask("account.topup", account="t1", amount_minor=minor, channel="cash", key=key)
    model.paid_in(answer["number"], minor * FEN)
    assert (await core.ask("account.topup", account="t1", amount_minor=minor, channel="cash", key=key))["repeated"]


async def reverse(core: Till, model: Model, dice: random.Random, key: str) -> None:
    if not model.receipts:
        return
    number = dice.choice(sorted(model.receipts))
    given = {"receipt": number, "reason": "x", "key": key}
    if number in model.reversed:
        with pytest.raises(Refused, match=r"receipt\.reversed"):
            await core.ask("account.reverse", **given)
        return
    if "pending" in await core.ask("account.reverse", **given):
        assert model.nano["wallet:t1"] < model.receipts[number]["wallet:t1"]
        await core.ask("account.approve", BOB, key=key)
    for name, nano in model.receipts[number].items():
        model.nano[name] -= nano
    model.reversed.add(number)


async def refund(core: Till, model: Model, dice: random.Random, key: str) -> None:
    nano = dice.randint(1, 4000) * FEN
    given = {"account": "t1", "amount_nano": nano, "channel": "cash", "reason": "x", "key": key}
    if nano > model.own():
        with pytest.raises(Refused, match=r"refund\.balance"):
            await core.ask("account.refund", **given)
        return
    await core.ask("account.refund", **given)
    model.move(wallet__t1=-nano, cash=nano)


async def correct(core: Till, model: Model, dice: random.Random, key: str) -> None:
    nano = dice.choice([-1, 1]) * dice.randint(1, 5000) * FEN
    given = {"account": "t1", "amount_nano": nano, "against": "writeoff", "reason": "x", "key": key}
    if "pending" in await core.ask("account.correct", **given):
        assert abs(nano) > LIMITS.correction_limit_nano
        if dice.random() < 0.5:
            await core.ask("account.reject", BOB, key=key, reason="no")
            return
        await core.ask("account.approve", BOB, key=key)
    model.move(wallet__t1=nano, writeoff=-nano)


async def debt(core: Till, model: Model, dice: random.Random, key: str) -> None:
    nano = dice.randint(1, 3000) * FEN
    against = dice.choice(["wallet", "opening"])
    await core.ask("account.debt", account="t1", amount_nano=nano, against=against, reason="x", key=key)
    model.move(**{"debt__t1": -nano, "wallet__t1" if against == "wallet" else "opening": nano})


async def emergency(core: Till, model: Model, dice: random.Random, key: str) -> None:
    nano = dice.randint(1, 2500) * FEN
    given = {"account": "t1", "amount_nano": nano, "key": key}
    if model.nano["emergency:t1"] or nano > LIMITS.emergency_nano:
        with pytest.raises(Refused, match=r"emergency\."):
            await core.ask("account.emergency", **given)
        return
    await core.ask("account.emergency", **given)
    model.move(emergency__t1=-nano, wallet__t1=nano)


async def property_fee(core: Till, model: Model, dice: random.Random, key: str) -> None:
    nano = dice.randint(1, 9000) * FEN
    await core.ask("account.property-fee", account="t1", amount_nano=nano, reason="x", key=key)
    model.nano["property:t1"] -= nano
    model.nano["revenue:fees"] += nano


async def subsidise(core: Till, model: Model, dice: random.Random, key: str) -> None:
    nano, until_s = dice.randint(1, 2000) * FEN, core.clock.now_s + dice.randint(60, 4000)
    await core.commit()
    await core.ask("account.subsidy", account="t1", amount_nano=nano, until_s=until_s, reason="x", key=key)
    model.move(subsidies=-nano, wallet__t1=nano)
    model.grants.append((key, nano))
    await consume(core, model, dice, key)
    core.clock.now_s = core.park.now_s = max(core.park.now_s, until_s)  # the end of the term, nothing used after it
    cleared = await core.ask("account.expire")
    (_, left), *_ = model.grants
    assert [entry["entries"] for entry in cleared["cleared"]] == [
        [["wallet:t1", -left], ["subsidies", left]] if left else []
    ]
    model.move(subsidies=left, wallet__t1=-left)
    model.grants.clear()


async def consume(core: Till, model: Model, dice: random.Random, key: str) -> None:
    core.park.step()
    core.park.step(dice.randint(0, 300), 0, 0, gap_s=50)
    core.clock.now_s = core.park.now_s
    before = model.nano["wallet:t1"]
    spent = before - core.live("t1")
    await core.commit()
    model.move(wallet__t1=-spent, revenue__electricity=spent)
    model.grants = [(name, max(0, rest - spent)) for name, rest in model.grants]


VERBS: tuple[Any, ...] = (
    topup, topup, reverse, refund, correct, debt, emergency, property_fee, subsidise, consume
)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_random_acts_equal_the_model(postgres_dsn: str, seed: int) -> None:
    dice, model = random.Random(seed), Model()

    async def test() -> None:
        async with till(postgres_dsn) as core:
            core.park.step()
            for number in range(ACTS):
                await dice.choice(VERBS)(core, model, dice, f"k{number}")
                assert core.live("t1") == model.nano["wallet:t1"], number

    run(test)
    with psycopg.connect(postgres_dsn) as connection:
        rows = connection.execute("SELECT account, nano FROM wattkeeper.balance").fetchall()
    held = {account: nano for account, nano in rows if nano}
    assert held == {account: nano for account, nano in model.nano.items() if nano}
    assert sum(held.values()) == 0
    assert_clean(postgres_dsn)


@pytest.mark.parametrize("seed", range(20))
def test_what_a_subsidy_leaves_is_grant_less_charges(seed: int) -> None:
    """One grant: max(0, grant - charges since, within the term); several: nothing is used twice, nothing is lost."""
    dice = random.Random(seed)
    uses = [Use(dice.randint(0, 100), seq, dice.randint(0, 30)) for seq in range(1, 40)]
    alone = Grant("a", dice.randint(0, 600), 60, 10)
    spent = sum(use.nano for use in uses if use.seq > 10 and use.at_s < 60)
    assert unused([alone], uses) == {"a": max(0, alone.nano - spent)}
    both = [alone, Grant("b", dice.randint(0, 600), 90, 5)]
    left = unused(both, uses)
    within = sum(use.nano for use in uses if use.seq > 5 and use.at_s < 90)
    assert sum(grant.nano for grant in both) - sum(left.values()) <= within
    assert all(0 <= left[grant.key] <= grant.nano for grant in both)
