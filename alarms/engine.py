"""The alarm engine: conditions over columns in, states of the life cycle and journal records out.

Rule: Python objects exist for transitions only, and their records reach the journal on disk in one call a scan. People
see an alarm even while the journal stands still (disk full): its records then wait in memory, in order, and go first.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from loguru import logger

from alarms.definition import AlarmDefinition
from alarms.evaluate import Conditions, evaluate
from alarms.lifecycle import CONDITION_ON, STATES, TRANSITIONS, Event, LiveAlarm, Step
from scada.errors import Refused
from scada.image import Columns
from scada.journal import JournalStopped
from scada.ports import JournalPort
from scada.scan import Instant

STREAM: Final = "alarm"  # of the journal
WAITING_MAX: Final = 100_000  # records kept while the journal stands still: ten floods, some 100 MB
TRY_RECORDS: Final = 1000  # a journal that stands still is tried with so many: 12 ms, which each scan pays
COMMENT_CHARS_MAX: Final = 500  # a comment is a sentence; longer text belongs into a log book


class AlarmEngine:
    """All alarms of a site. One thread; `evaluate` is the scan's phase "alarm"."""

    def __init__(self, definitions: Sequence[AlarmDefinition], journal: JournalPort) -> None:
        count = len(definitions)
        self._definitions = tuple(definitions)
        self._rows = {definition.id: row for row, definition in enumerate(definitions)}
        self._journal = journal
        self._conditions = Conditions.of(definitions)
        self._priority = np.array([definition.priority for definition in definitions], dtype=np.uint8)
        self._state = np.zeros(count, dtype=np.uint8)
        self._value = np.zeros(count, dtype=np.float64)
        self._quality = np.zeros(count, dtype=np.uint32)
        self._since_ns = np.zeros(count, dtype=np.int64)
        self._waiting: list[dict[str, Any]] = []  # records that the journal has not taken yet
        self._stopped = ""  # why it does not take them
        self._untold: npt.NDArray[np.int64] = np.arange(count)  # rows that the image does not show yet

    def evaluate(self, instant: Instant, work: Columns) -> None:
        """Phase "alarm": evaluate every definition, journal what changed, and write the alarms section of the image."""
        tags = work.tags
        rows = evaluate(self._conditions, instant.utc_ns, tags.value, tags.quality)
        if len(rows):
            tag_rows = self._conditions.tag_row[rows]
            self._change(rows.copy(), instant.utc_ns, tags.value[tag_rows], tags.quality[tag_rows])
        if self._waiting:
            self._write()
        if len(self._untold):
            self._show(work.alarms, instant.scan)

    def acknowledge(self, alarm_id: str, user: str, station: str, comment: str, utc_ns: int) -> None:
        """Acknowledge one alarm.

        Refused: alarm.unknown, alarm.not-active, alarm.already-acknowledged, alarm.comment-long, and alarm.journal:
        a person is told that it was noted only when it was.
        """
        row = self._rows.get(alarm_id)
        if row is None:
            raise Refused("alarm.unknown", f"no alarm {alarm_id!r}")
        if len(comment) > COMMENT_CHARS_MAX:
            raise Refused("alarm.comment-long", f"a comment has at most {COMMENT_CHARS_MAX} characters")
        step = self._step(row, "acknowledge")
        if step.refusal:
            raise Refused(step.refusal, f"alarm {alarm_id} is {STATES[self._state[row]]}")
        value, quality = float(self._value[row]), int(self._quality[row])
        record = self._record(row, step, utc_ns, value, quality, user, station, comment)
        self._write()
        if self._waiting:
            raise Refused("alarm.journal", f"the journal cannot be written: {self._stopped}")
        try:
            self._journal.write_many(STREAM, [record])
        except JournalStopped as error:
            raise Refused("alarm.journal", f"the journal cannot be written: {error}") from error
        self._enter(row, step, utc_ns, value, quality)
        self._untold = np.append(self._untold, row)

    def restore(self, rows: Iterable[LiveAlarm]) -> list[str]:
        """Take over live states after a restart, before the first scan: nothing is raised a second time.

        Returns the ids of alarms that this configuration does not have any more; their states are left to the journal.
        """
        unknown = []
        for live in rows:
            row = self._rows.get(live.alarm)
            if row is None:
                unknown.append(live.alarm)
                continue
            self._state[row] = STATES.index(live.state)
            self._conditions.active[row] = live.state in CONDITION_ON
            self._value[row] = live.value
            self._quality[row] = live.quality
            self._since_ns[row] = live.since_utc_ns
        self._untold = np.arange(len(self._state))  # the image may show the states of before: scans do not wait for SQL
        if unknown:
            logger.info("{} live alarms are not configured any more, first {}", len(unknown), unknown[0])
        return unknown

    def _change(self, rows: npt.NDArray[np.int64], utc_ns: int, values: Any, qualities: Any) -> None:
        """Carry conditions that went on or off through the life cycle."""
        changes = [
            (row, self._step(row, "raise" if active else "clear"), value, quality)
            for row, active, value, quality in zip(
                rows.tolist(), self._conditions.active[rows].tolist(), values.tolist(), qualities.tolist(), strict=True
            )
        ]
        self._waiting += [
            self._record(row, step, utc_ns, value, quality) for row, step, value, quality in changes if step.entry
        ]
        for row, step, value, quality in changes:
            self._enter(row, step, utc_ns, value, quality)
        self._untold = np.concatenate([self._untold, rows])

    def _write(self) -> None:
        """Give the journal what waits; what it does not take waits for the next scan, the oldest dropped at last."""
        waited = len(self._waiting)
        try:
            if self._stopped:
                self._journal.write_many(STREAM, self._waiting[:TRY_RECORDS])
                del self._waiting[:TRY_RECORDS]
            if self._waiting:
                self._journal.write_many(STREAM, self._waiting)
                self._waiting.clear()
        except JournalStopped as error:
            if not self._stopped:
                logger.error("the alarm journal stands still, its records wait in memory: {}", error)
            self._stopped = str(error)
            excess = len(self._waiting) - WAITING_MAX
            if excess > 0:
                del self._waiting[:excess]
                logger.error("{} records of the alarm journal are lost: {}", excess, error)
            return
        if self._stopped:
            logger.info("the alarm journal goes on; {} records were waiting", waited)
            self._stopped = ""

    def _step(self, row: int, event: Event) -> Step:
        return TRANSITIONS[STATES[self._state[row]], event]

    def _enter(self, row: int, step: Step, utc_ns: int, value: float, quality: int) -> None:
        self._state[row] = STATES.index(step.state)
        self._since_ns[row] = utc_ns
        if step.entry == "raised":
            self._value[row] = value
            self._quality[row] = quality

    def _record(
        self,
        row: int,
        step: Step,
        utc_ns: int,
        value: float,
        quality: int,
        user: str = "",
        station: str = "",
        comment: str = "",
    ) -> dict[str, Any]:
        definition = self._definitions[row]
        return {
            "alarm": definition.id,
            "source": definition.source,
            "priority": definition.priority,
            "event": step.entry,
            "state_from": STATES[self._state[row]],
            "state_to": step.state,
            "value": value,
            "raised_value": value if step.entry == "raised" else float(self._value[row]),
            "limit": definition.limit,
            "unit": definition.unit,
            "quality": quality,
            "plant_time_ns": utc_ns,
            "user": user,
            "station": station,
            "comment": comment,
            "text_zh": definition.text_zh,
            "text_en": definition.text_en,
        }

    def _show(self, alarms: Any, scan: int) -> None:
        """Write the rows that changed since the last scan into the image."""
        rows = self._untold
        alarms.state[rows] = self._state[rows]
        alarms.priority[rows] = self._priority[rows]
        alarms.value[rows] = self._value[rows]
        alarms.since[rows] = self._since_ns[rows]
        alarms.changed_scan[rows] = scan
        self._untold = rows[:0]
