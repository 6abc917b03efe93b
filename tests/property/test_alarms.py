"""Random walks: the kernel against its slow twin, and the engine against the plainest model of the life cycle."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alarms.definition import AlarmDefinition
from alarms.engine import AlarmEngine
from alarms.evaluate import IDLE, Conditions, evaluate, one
from alarms.lifecycle import STATES, LiveAlarm
from scada.clock import NS_PER_S
from scada.errors import Refused
from scada.image import Columns, Layout
from scada.quality import BAD_TIMEOUT, GOOD, GOOD_LOCAL_OVERRIDE, UNCERTAIN_UNITS_EXCEEDED
from scada.scan import Instant

TAGS = 3
VALUES = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("nan"), float("inf")])
QUALITIES = st.sampled_from([GOOD, GOOD, GOOD, GOOD_LOCAL_OVERRIDE, UNCERTAIN_UNITS_EXCEEDED, BAD_TIMEOUT])
DEFINITIONS = st.builds(
    AlarmDefinition,
    id=st.just("a"),
    source=st.just("s"),
    tag_row=st.integers(0, TAGS - 1),
    comparison=st.sampled_from(["above", "below", "equal"]),
    limit=st.sampled_from([0.0, 1.0, 2.0]),
    deadband=st.sampled_from([0.0, 0.5]),
    on_delay_s=st.sampled_from([0.0, 1.0, 2.5]),
    off_delay_s=st.sampled_from([0.0, 1.0, 2.5]),
    priority=st.integers(1, 4),
    unit=st.just(""),
    wording_zh=st.just("报警"),
    wording_en=st.just("Alarm"),
)
SCANS = st.lists(
    st.tuples(
        st.integers(0, 3),  # seconds since the last scan
        st.lists(VALUES, min_size=TAGS, max_size=TAGS),
        st.lists(QUALITIES, min_size=TAGS, max_size=TAGS),
    ),
    max_size=30,
)


@given(st.lists(DEFINITIONS, min_size=1, max_size=6), SCANS)
def test_kernel_is_its_twin(definitions: list[AlarmDefinition], scans: list[Any]) -> None:
    conditions = Conditions.of(definitions)
    twin = [(False, IDLE)] * len(definitions)
    utc_ns = NS_PER_S
    for seconds, values, qualities in scans:
        utc_ns += seconds * NS_PER_S
        changed = evaluate(conditions, utc_ns, np.array(values), np.array(qualities, dtype=np.uint32)).tolist()
        after = [
            one(item, *state, utc_ns, values[item.tag_row], qualities[item.tag_row])
            for item, state in zip(definitions, twin, strict=True)
        ]
        assert changed == [row for row, (old, new) in enumerate(zip(twin, after, strict=True)) if old[0] != new[0]]
        assert list(zip(conditions.active.astype(bool).tolist(), conditions.pending_ns.tolist(), strict=True)) == after
        twin = after


class Model:
    """An alarm as two words: is the condition on, and does somebody still have to look."""

    def __init__(self) -> None:
        self.on = False
        self.unseen = False

    def state(self) -> str:
        words = {(False, False): "normal", (True, True): "unacknowledged"}
        return (words | {(True, False): "acknowledged", (False, True): "returned"})[self.on, self.unseen]


class Papers:
    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []

    def write(self, stream: str, record: Mapping[str, Any]) -> str:
        raise AssertionError

    def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None:
        self.records += records


DEEDS = st.lists(st.sampled_from(["high", "low", "bad", "acknowledge", "restart"]), max_size=60)


@settings(max_examples=200)
@given(DEEDS)
def test_the_engine_walks_as_the_model(deeds: list[str]) -> None:
    definition = AlarmDefinition("a", "s", 0, "above", 1.0, 0.0, 0.0, 0.0, 1, "", "报警", "Alarm")
    work = Columns.private(Layout({"tags": 1, "points": 0, "accounts": 0, "alarms": 1}, bytes(32)))
    papers, model = Papers(), Model()
    engine = AlarmEngine([definition], papers)
    for number, deed in enumerate(deeds, 1):
        before, written = model.state(), len(papers.records)
        if deed == "acknowledge":
            _acknowledge(engine, model, number)
        elif deed == "restart":
            engine = AlarmEngine([definition], papers)
            engine.restore(_live(papers))
        else:
            work.tags.quality[0] = BAD_TIMEOUT if deed == "bad" else GOOD
            work.tags.value[0] = {"high": 2.0, "low": 0.0, "bad": 0.0}[deed]
            if deed != "bad":
                model.unseen |= deed == "high" and not model.on
                model.on = deed == "high"
        engine.evaluate(Instant(number, number * NS_PER_S, number), work)
        assert STATES[work.alarms.state[0]] == model.state()
        moved = [(record["state_from"], record["state_to"]) for record in papers.records[written:]]
        assert moved == ([(before, model.state())] if before != model.state() else [])


def _acknowledge(engine: AlarmEngine, model: Model, number: int) -> None:
    try:
        engine.acknowledge("a", "li", "desk", "", number)
    except Refused:
        assert not model.unseen
    else:
        assert model.unseen
        model.unseen = False


def _live(papers: Papers) -> list[Any]:
    """What alarm_state would hold: the last record, unless it is normal again."""
    last = papers.records[-1:] if papers.records and papers.records[-1]["state_to"] != "normal" else []
    return [LiveAlarm("a", row["state_to"], row["plant_time_ns"], row["raised_value"], row["quality"]) for row in last]
