"""Random walks of credit control against a plain model: state and wishes are the model's in every scan."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from billing_core.credit_holds import ALL, DISPUTE, ENDS, PAUSE, PROTECT
from billing_core.friendly import is_friendly
from scada.position import CLOSED, OPEN
from scada.quality import BAD_NO_COMMUNICATION, GOOD
from tests.scenario.credit_bench import HOUR, SHANGHAI, YUAN, Bench, account, breaker, hours
from tests.scenario.credit_bench import settings as credit_settings

PEOPLE = 3
RULES = {"grace_s": 100.0, "notice_lead_s": 300.0, "notice_repeat_s": 0.0, "hold_percent": 100.0, "stops_max": 99}
NIGHT = (hours(set(range(7)), 0, 780),)  # until 13:00, an hour into the walk
ENDING = {kind: verb for verb, kind in ENDS.items()}

step = st.tuples(
    st.sampled_from([1, 30, 100, 299, 301, HOUR]),  # seconds
    st.integers(0, PEOPLE - 1),
    st.sampled_from(["pay", "pay", "pay", "quality", PROTECT, PAUSE, DISPUTE, "all"]),
    st.sampled_from([-100, -20, -10, -5, 0, 4, 5, 19, 22, 49, 54, 56, 1000]),
    st.booleans(),  # are the notices of this scan delivered
)


@dataclass
class Model:
    """One tenant, told in plain words: alarms 50 and 20, overdraft 10, supply returns at 5."""

    balance: int = 1000
    good: bool = True
    state: str = "normal"
    due_s: int = 0
    final_waiting: bool = False
    final_s: int = 0
    stop: bool = False  # credit switched it off and has not seen it closed again
    closed: bool = True

    def scan(self, now_s: int, protected: bool, paused: bool, disputed: bool, friendly: bool) -> tuple[str, int | None]:
        """Return (state, wish)."""
        exhausted = self.balance <= -10
        returns = protected or (self.balance >= 5 and not exhausted)
        cut = self.stop and not self.closed
        self.state = self._state(exhausted, cut, returns, protected)
        if not exhausted or self.state == "protected":
            self.due_s = self.final_s = 0
            self.final_waiting = False
        elif self.state == "pending_stop" and not self.due_s:
            self.due_s = now_s
        if self.state == "pending_stop" and not paused and not self.final_s:
            self.final_waiting = True
        wish = None
        if self.state == "pending_stop":
            told = self.final_s and now_s - self.final_s >= 300
            if not paused and not disputed and now_s - self.due_s >= 100 and told and not friendly and self.closed:
                wish, self.stop, self.closed = OPEN, True, False
        elif returns and self.stop:
            if self.closed:
                self.stop = False
            else:
                wish, self.closed = CLOSED, True
        return self.state, wish

    def _state(self, exhausted: bool, cut: bool, returns: bool, protected: bool) -> str:
        if cut:
            return "reconnect_permitted" if returns else "stopped"
        if exhausted:
            return "protected" if protected else "pending_stop" if self.good else "frozen"
        if self.balance <= 0:
            return "overdrawn"
        below = {"normal": 0, "remind1": 1}.get(self.state, 2)
        if self.balance < (22 if below >= 2 else 20):
            return "remind2"
        return "remind1" if self.balance < (55 if below >= 1 else 50) else "normal"

    def delivered(self, now_s: int) -> None:
        if self.final_waiting and not self.final_s:
            self.final_s = now_s


@given(st.lists(step, min_size=1, max_size=60))
@settings(deadline=None, max_examples=300)
def test_every_scan_is_the_models(steps: list[tuple[int, int, str, int, bool]]) -> None:
    accounts = [account(row) for row in range(PEOPLE)]
    bench = Bench(
        credit_settings(**RULES, friendly=NIGHT, reconnect_spacing_s=0.0), accounts, [breaker(r) for r in range(PEOPLE)]
    )
    models = [Model() for _ in accounts]
    held: set[tuple[str, str]] = set()
    for after_s, row, what, yuan, deliver in steps:
        name = f"t{row}"
        if what == "pay":
            bench.pay(row, yuan)
            models[row].balance = yuan
        elif what == "quality":
            models[row].good = not models[row].good
            bench.work.points.quality[row] = GOOD if models[row].good else BAD_NO_COMMUNICATION
        else:
            kind, name = (PROTECT, ALL) if what == "all" else (what, name)
            bench.event(ENDING[kind] if (kind, name) in held else kind, name)
            held ^= {(kind, name)}
        wished = {wish.account: wish.target for wish in bench.scan(after_s, deliver=deliver)}
        friendly = is_friendly(NIGHT, (), SHANGHAI, bench.at_s)
        for number, model in enumerate(models):
            name = f"t{number}"
            has = {kind: bool({(kind, name), (kind, ALL)} & held) for kind in (PROTECT, PAUSE, DISPUTE)}
            state, wish = model.scan(bench.at_s, has[PROTECT], has[PAUSE], has[DISPUTE], friendly)
            assert (bench.state(number), wished.get(name)) == (state, wish), (number, model)
            if deliver:
                model.delivered(bench.at_s)
    stopped = {record.breaker for record in bench.control.records() if record.stopped}
    assert stopped <= {f"b{row}" for row in range(PEOPLE)}
    assert bench.work.accounts.committed_nano[0] == models[0].balance * YUAN  # credit control moves no money
