"""How long alarm evaluation takes a scan, and how long a flood of transitions takes until it is on the disk.

Run: .venv/bin/python tests/bench/bench_alarms.py
Goal: 100,000 tags with four limits each at most 3 ms a scan; 10,000 transitions journalled within 1 s.
Every figure comes with a check in the same run: the kernel's answer is compared with its slow twin's.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from alarms.definition import AlarmDefinition, Comparison
from alarms.engine import AlarmEngine
from alarms.evaluate import IDLE, Conditions, evaluate, one
from alarms.lifecycle import STATES
from scada.clock import NS_PER_S
from scada.image import Columns, Layout
from scada.journal import Journal
from scada.quality import BAD_TIMEOUT, GOOD
from scada.scan import Instant

TAGS = 100_000
LIMITS: tuple[tuple[Comparison, float], ...] = (("above", 3.0), ("above", 4.0), ("below", -3.0), ("below", -4.0))
SCANS = 60
FLOOD = 10_000
SEED = 20_261_123


def definitions(tags: int, limits: tuple[tuple[Comparison, float], ...]) -> list[AlarmDefinition]:
    return [
        AlarmDefinition(
            f"{tag}/{comparison}/{limit}", "", tag, comparison, limit, 0.5, 2.0, 2.0, 3, "A", "越限报警", "Limit"
        )
        for tag in range(tags)
        for comparison, limit in limits
    ]


def evaluation(limits: tuple[tuple[Comparison, float], ...]) -> None:
    """Time the kernel on normally distributed values, one in a hundred bad, and check it against its twin."""
    random = np.random.default_rng(SEED)
    table = definitions(TAGS, limits)
    conditions = Conditions.of(table)
    checked = random.choice(len(table), 500, replace=False).tolist()
    twin = dict.fromkeys(checked, (False, IDLE))
    times_ms, transitions = [], 0
    for scan in range(SCANS):
        value = random.normal(0.0, 1.5, TAGS)
        quality = np.where(random.random(TAGS) < 0.01, BAD_TIMEOUT, GOOD).astype(np.uint32)
        utc_ns = (scan + 1) * NS_PER_S
        begun = time.perf_counter_ns()
        changed = evaluate(conditions, utc_ns, value, quality)
        times_ms.append((time.perf_counter_ns() - begun) / 1e6)
        transitions += len(changed)
        for row in checked:
            item = table[row]
            twin[row] = one(item, *twin[row], utc_ns, value[item.tag_row], int(quality[item.tag_row]))
            assert twin[row] == (bool(conditions.active[row]), conditions.pending_ns[row])
    times_ms.sort()
    print(
        f"evaluate {len(table):>7} definitions: median {statistics.median(times_ms):.2f} ms,"
        f" worst {times_ms[-1]:.2f} ms, {transitions} transitions"
    )


def flood() -> None:
    """Time one scan in which FLOOD alarms are raised, until their records are on the disk."""
    table = definitions(FLOOD, (("above", 3.0),))
    table = [replace(item, on_delay_s=0.0) for item in table]
    work = Columns.private(Layout({"tags": FLOOD, "points": 0, "accounts": 0, "alarms": FLOOD}, bytes(32)))
    work.tags.value[:] = 5
    work.tags.quality[:] = GOOD
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        engine = AlarmEngine(table, journal)
        begun = time.perf_counter_ns()
        engine.evaluate(Instant(1, NS_PER_S, NS_PER_S), work)
        lasted_ms = (time.perf_counter_ns() - begun) / 1e6
        lines = sum(path.read_bytes().count(b"\n") for path in Path(folder).glob("*.jsonl"))
        journal.close()
    assert lines == FLOOD
    assert np.all(work.alarms.state == STATES.index("unacknowledged"))
    print(f"flood of {FLOOD} transitions: {lasted_ms:.0f} ms until all are on the disk")


if __name__ == "__main__":
    evaluation((("above", 3.0),))
    evaluation(LIMITS)
    flood()
