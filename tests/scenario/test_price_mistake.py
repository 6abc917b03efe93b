"""A plan is published with a price a hundred times too high: the mass-trip guard holds before the park is dark."""

from dataclasses import replace

import numpy as np
import pytest

from billing_core.credit import STATES, CreditControl
from billing_core.engine import BillingEngine
from billing_core.plan import Plan
from billing_core.points import PointSpec
from billing_core.state import Act
from scada.image import Columns, Layout
from scada.position import CLOSED, OPEN
from scada.quality import GOOD
from scada.scan import Instant
from tests.plans import part, plan
from tests.scenario.credit_bench import DAY, HOUR, MINUTE, NOON_S, TENANTS, YUAN, account, breaker, settings

RIGHT = plan("flat", {2: 800_000})
RULES = settings(
    hold_interval_s=float(DAY), grace_s=600.0, notice_lead_s=float(HOUR), again_lead_s=600.0, stops_max=20,
    stops_interval_s=600.0,
)  # fmt: skip


class Town:
    """Sixty tenants that use one kWh an hour, from purses of 30 to 325 yuan; time goes in minutes."""

    def __init__(self) -> None:
        points = [PointSpec(f"p{r}", f"b{r}", r, 0, "electricity", "kWh", 1, 10**9, 30_000) for r in range(TENANTS)]
        accounts = [account(row) for row in range(TENANTS)]
        self.work = Columns.private(Layout({"tags": TENANTS, "points": TENANTS, "accounts": TENANTS, "alarms": 0}, b""))
        self.work.points.quality[:] = self.work.tags.quality[:] = GOOD
        self.work.tags.value[:] = CLOSED
        self.engine = BillingEngine(points, accounts, (RIGHT,))
        self.credit = CreditControl(accounts, points, [breaker(row) for row in range(TENANTS)], RULES, "Asia/Shanghai")
        self.now_s = NOON_S
        self.scans = 0
        for row in range(TENANTS):
            self.engine.credit(row, (30 + 5 * row) * YUAN)

    def minutes(self, count: int) -> None:
        for _ in range(count):
            self.scans += 1
            self.now_s += MINUTE
            instant = Instant(self.scans, self.now_s * 10**9, self.now_s * 10**9)
            self.work.points.raw[self.work.tags.value == CLOSED] += 17
            self.work.points.source_time[:] = instant.utc_ns
            self.engine.bill(instant, self.work)
            self.commit()
            for wish in self.credit.decide(instant, self.work):
                self.credit.sent(wish, "c", instant)
                self.work.tags.value[int(wish.breaker[1:])] = wish.target
            self.credit.delivered(len(self.credit.notices()), self.now_s)

    def commit(self) -> None:
        checkpoint = self.engine.cut()
        if checkpoint is not None:
            self.engine.applied(checkpoint)
            self.credit.charged(checkpoint)

    def publish(self, body: Plan, price_micro: int) -> Plan:
        """Publish the plan with another price from now on; return it."""
        self.commit()
        from_s = self.now_s + 1
        *before, last = body.versions
        now = replace(last, from_s=from_s, parts=(part({2: price_micro}),))
        body = replace(body, versions=(*before, replace(last, to_s=from_s), now))
        self.engine.publish([body], Act(f"publish-{from_s}", "li", "desk", "new prices"))
        self.commit()
        return body

    def dark(self) -> int:
        return int(np.count_nonzero(self.work.tags.value == OPEN))


@pytest.mark.timeout(120)
def test_a_price_a_hundred_times_too_high_darkens_three_of_sixty_at_most() -> None:
    town = Town()
    town.minutes(120)
    assert (town.dark(), town.credit.held) == (0, False)
    wrong = town.publish(RIGHT, 80_000_000)
    town.minutes(5 * 60)
    assert town.credit.held
    assert town.dark() <= 3  # 5 % of 60
    due = [STATES[state] for state in town.work.accounts.credit_state].count("pending_stop")
    assert due > 30  # the whole town would be dark without the guard
    assert town.credit.held_count == due

    town.publish(wrong, 800_000)
    for row in range(TENANTS):
        town.engine.credit(row, 1_000 * YUAN)  # what was charged wrongly is given back
    town.minutes(5)
    assert (town.credit.held, town.dark()) == (False, 0)
