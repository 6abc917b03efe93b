"""The historian: what is worth recording, and that every recorded row arrives once, whatever goes away meanwhile."""

import asyncio
import itertools
import math
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop

from scada import database, embedded_postgres, historian
from scada.clock import NS_PER_S
from scada.database import Database
from scada.errors import DatabaseAway
from scada.historian import LATENESS_NS, Historian
from scada.image import SECTIONS, Columns, Layout
from scada.quality import BAD_TIMEOUT, GOOD
from scada.scan import Instant
from scada.tags import Tag, TagTable

START_NS = 1_795_000_000 * NS_PER_S
HEARTBEAT_S = 100.0


def table(*deadbands: float, history: bool = True) -> TagTable:
    return TagTable(
        tuple(
            Tag(f"park/M/e-{n}/V", "V", ("e",), "V", "double", "电压", "voltage", deadband=deadband, history=history)
            for n, deadband in enumerate(deadbands)
        )
    )


class Plant:
    """Columns that a test sets by hand, and scans of one second."""

    def __init__(self, folder: Path, tags: TagTable) -> None:
        layout = Layout({name: len(tags) if name == "tags" else 0 for name in SECTIONS}, bytes(32))
        self.work = Columns.private(layout)
        self.work.tags.quality[:] = GOOD
        self.historian = Historian(tags, layout, folder, HEARTBEAT_S)
        self.numbers = itertools.count(1)
        self.utc_ns = START_NS

    def scan(self, values: Sequence[float], quality: int = GOOD, read: bool = True) -> int:
        """Run one scan a second later; return how many rows it recorded."""
        before = self.historian.queue_rows
        self.utc_ns += NS_PER_S
        self.work.tags.value[:] = values
        self.work.tags.quality[:] = quality
        if read:
            self.work.tags.source_time[:] = self.utc_ns - NS_PER_S // 4
        self.historian.record(Instant(next(self.numbers), self.utc_ns, 0), self.work)
        return self.historian.queue_rows - before


@pytest.fixture
def make_plant(tmp_path: Path) -> Iterator[Callable[[TagTable], Plant]]:
    made: list[Plant] = []

    def make(tags: TagTable) -> Plant:
        made.append(Plant(tmp_path / "spool", tags))
        return made[-1]

    yield make
    for plant in made:
        plant.historian.close()


def stored(dsn: str) -> list[tuple[float, int]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT value, quality FROM wattkeeper.history ORDER BY time, tag_id").fetchall()


# One row per scan: value, quality, rows recorded. The deadband is 1.
SCANS = [
    (230.0, GOOD, 1),  # the first of a start always
    (230.9, GOOD, 0),
    (231.0, GOOD, 0),  # not beyond
    (231.1, GOOD, 1),  # against the last *recorded* value
    (230.2, GOOD, 0),
    (230.2, BAD_TIMEOUT, 1),  # quality always
    (230.2, BAD_TIMEOUT, 0),
    (230.2, GOOD, 1),
    (math.nan, GOOD, 1),
    (math.nan, GOOD, 0),  # still not a number is no change
    (math.inf, GOOD, 1),
    (math.inf, GOOD, 0),
    (-math.inf, GOOD, 1),
    (0.0, GOOD, 1),
    (-0.0, GOOD, 0),
]


def test_deadband_and_quality(make_plant: Callable[[TagTable], Plant]) -> None:
    plant = make_plant(table(1.0))
    assert [plant.scan([value], quality) for value, quality, _ in SCANS] == [rows for _, _, rows in SCANS]


def test_without_deadband_every_change_counts(make_plant: Callable[[TagTable], Plant]) -> None:
    plant = make_plant(table(0.0))
    assert [plant.scan([value]) for value in (1.0, 1.0, 1.0000001, 1.0, 1.0)] == [1, 0, 1, 1, 0]


def test_heartbeat_of_silent_tags_is_spread_and_regular(make_plant: Callable[[TagTable], Plant]) -> None:
    plant = make_plant(table(*[1.0] * 40))
    beats = [plant.scan([230.0] * 40) for _ in range(310)]
    assert beats[0] == 40
    assert max(beats[1:]) < 10
    assert 40 * 3 <= sum(beats[1:]) <= 40 * 4.2


def test_tags_without_history_are_left_out(make_plant: Callable[[TagTable], Plant]) -> None:
    plant = make_plant(table(0.0, 0.0, history=False))
    assert [plant.scan([n, n]) for n in range(3)] == [0, 0, 0]


def test_time_of_a_row(make_plant: Callable[[TagTable], Plant]) -> None:
    plant = make_plant(table(0.0))
    plant.scan([1.0])
    plant.scan([1.0], BAD_TIMEOUT, read=False)  # bad since this scan, not since the last good value
    plant.work.tags.source_time[:] = plant.utc_ns - LATENESS_NS
    plant.scan([2.0], read=False)  # too old for the roll-up
    plant.historian._take()
    times = [int(time) - START_NS for time in plant.historian._pending[0].rows["time_ns"]]
    assert times == [NS_PER_S * 3 // 4, 2 * NS_PER_S, 3 * NS_PER_S]


def test_a_full_buffer_waits_as_a_batch(make_plant: Callable[[TagTable], Plant]) -> None:
    """A flush that waits for a hanging server takes nothing meanwhile, for longer than the buffer lasts."""
    plant = make_plant(table(0.0))
    assert [plant.scan([n]) for n in range(50)] == [1] * 50
    assert plant.historian.lost_rows == 0


def test_memory_is_bounded_and_what_still_differs_is_not_lost(
    make_plant: Callable[[TagTable], Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(historian, "PENDING_ROWS_MAX", 20)
    plant = make_plant(table(0.0))
    assert sum(plant.scan([n]) for n in range(45)) == 40
    assert plant.historian.lost_rows == 5
    plant.historian._take()
    assert plant.historian.lost_rows == 25
    assert plant.scan([44.0]) == 1


def run_with(dsn: str, work: Callable[[Database], Any]) -> Any:
    async def run() -> Any:
        connection = Database(dsn, "history")
        try:
            return await work(connection)
        finally:
            await connection.close()

    return uvloop.run(run())


def test_flush_stores_and_rolls_up(make_plant: Callable[[TagTable], Plant], postgres_dsn: str) -> None:
    plant = make_plant(table(0.0, 0.0))

    async def work(connection: Database) -> None:
        for n in range(10):
            plant.scan([n, n + 0.5])
            await plant.historian.flush(connection)

    run_with(postgres_dsn, work)
    assert stored(postgres_dsn) == [(value, GOOD) for n in range(10) for value in (n, n + 0.5)]
    assert plant.historian.queue_rows == 0
    assert plant.historian.spool_bytes == 0


def test_the_roll_up_waits_for_what_was_recorded_during_a_flush(
    make_plant: Callable[[TagTable], Plant], postgres_dsn: str
) -> None:
    plant = make_plant(table(0.0))
    marks = []

    async def work(connection: Database) -> None:
        store, maintain = plant.historian._store.store, plant.historian._store.maintain

        async def slow(*given: Any, **more: Any) -> None:
            await store(*given, **more)
            plant.utc_ns += LATENESS_NS  # at demonstration speed a second is ten minutes
            plant.scan([1])

        async def noted(connection: Database, complete_to_ns: int) -> None:
            marks.append(complete_to_ns)
            await maintain(connection, complete_to_ns)

        plant.historian._store.store, plant.historian._store.maintain = slow, noted  # type: ignore[method-assign]
        plant.scan([0])
        await plant.historian.flush(connection)

    run_with(postgres_dsn, work)
    assert marks == [START_NS + NS_PER_S - LATENESS_NS]


def test_away_and_back_in_order(make_plant: Callable[[TagTable], Plant], postgres_dsn: str, tmp_path: Path) -> None:
    plant = make_plant(table(0.0))
    nowhere = embedded_postgres.dsn(tmp_path)

    async def away(connection: Database) -> None:
        for n in range(10):
            plant.scan([n])
            with pytest.raises(DatabaseAway):
                await plant.historian.flush(connection)

    async def back(connection: Database) -> None:
        plant.scan([10])
        await plant.historian.flush(connection)
        await plant.historian.flush(connection)

    run_with(nowhere, away)
    assert plant.historian.queue_rows == 10
    assert plant.historian.spool_bytes > 0
    run_with(postgres_dsn, back)
    assert stored(postgres_dsn) == [(n, GOOD) for n in range(11)]
    assert (plant.historian.queue_rows, plant.historian.spool_bytes, plant.historian.lost_rows) == (0, 0, 0)


def test_a_new_start_catches_up_what_the_last_left(tmp_path: Path, postgres_dsn: str) -> None:
    first = Plant(tmp_path, table(0.0))
    for n in range(5):
        first.scan([n])
    first.historian.close()
    second = Plant(tmp_path, table(0.0, 0.0))  # the configuration has grown meanwhile
    second.utc_ns = first.utc_ns
    assert second.historian.queue_rows == 5
    second.scan([5, 6])

    async def work(connection: Database) -> None:
        await second.historian.flush(connection)
        await second.historian.flush(connection)

    run_with(postgres_dsn, work)
    second.historian.close()
    assert stored(postgres_dsn) == [(n, GOOD) for n in range(7)]


def test_a_damaged_spool_file_costs_only_itself(
    make_plant: Callable[[TagTable], Plant], postgres_dsn: str, tmp_path: Path
) -> None:
    plant = make_plant(table(0.0))

    async def away(connection: Database) -> None:
        for n in range(3):
            plant.scan([n])
            with pytest.raises(DatabaseAway):
                await plant.historian.flush(connection)

    run_with(embedded_postgres.dsn(tmp_path), away)
    victim = sorted((tmp_path / "spool").glob("*.batch"))[1]
    data = bytearray(victim.read_bytes())
    data[30] ^= 4
    victim.write_bytes(data)
    run_with(postgres_dsn, plant.historian.flush)
    assert stored(postgres_dsn) == [(0, GOOD), (2, GOOD)]
    assert [path.name for path in (tmp_path / "spool" / "damaged").iterdir()] == [victim.name]


def test_a_poisonous_batch_is_set_aside_alone(
    make_plant: Callable[[TagTable], Plant], postgres_dsn: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("ALTER TABLE wattkeeper.history ADD CHECK (value <> 13)")
    plant = make_plant(table(0.0))

    async def away(connection: Database) -> None:
        for n in (12, 13, 14):
            plant.scan([n])
            with pytest.raises(DatabaseAway):
                await plant.historian.flush(connection)

    async def back(connection: Database) -> None:
        await plant.historian.flush(connection)
        for n in (13, 15):
            plant.scan([n])
            await plant.historian.flush(connection)

    run_with(embedded_postgres.dsn(tmp_path), away)
    run_with(postgres_dsn, back)
    assert [value for value, _ in stored(postgres_dsn)] == [12, 14, 15]
    assert len(list((tmp_path / "spool" / "damaged").iterdir())) == 2
    assert plant.historian.queue_rows == 0


def test_without_data_base_and_disk_rows_wait_in_memory(
    make_plant: Callable[[TagTable], Plant], postgres_dsn: str, tmp_path: Path
) -> None:
    plant = make_plant(table(0.0))

    async def away(connection: Database) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            for n in range(4):
                plant.scan([n])
                with pytest.raises(DatabaseAway):
                    await plant.historian.flush(connection)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)

    run_with(embedded_postgres.dsn(tmp_path), away)
    assert (plant.historian.queue_rows, plant.historian.spool_bytes, plant.historian.lost_rows) == (4, 0, 0)
    run_with(postgres_dsn, plant.historian.flush)
    assert stored(postgres_dsn) == [(n, GOOD) for n in range(4)]


def test_a_cancelled_flush_keeps_its_rows(make_plant: Callable[[TagTable], Plant], postgres_dsn: str) -> None:
    plant = make_plant(table(0.0))

    async def work(connection: Database) -> None:
        plant.scan([1])
        with psycopg.connect(postgres_dsn) as holder:
            holder.execute("LOCK TABLE wattkeeper.history")
            flush = asyncio.create_task(plant.historian.flush(connection))
            await asyncio.sleep(0.2)
            flush.cancel()
            with pytest.raises(asyncio.CancelledError):
                await flush
        await plant.historian.flush(connection)
        await plant.historian.flush(connection)

    run_with(postgres_dsn, work)
    assert stored(postgres_dsn) == [(1, GOOD)]


def test_server_killed_between_flushes_loses_no_row(
    make_plant: Callable[[TagTable], Plant], make_postgres_server: Callable[[], Any]
) -> None:
    """Commits of this role do not wait for the disk, so a killed server forgets some; the batch numbers tell which."""
    server = make_postgres_server()
    dsn = server.make("killed")
    database.migrate(dsn)
    plant = make_plant(table(0.0))

    async def work(connection: Database) -> None:
        numbers = itertools.count()
        for _ in range(4):
            for _ in range(6):
                plant.scan([next(numbers)])
                await plant.historian.flush(connection)
            server.stop(signal.SIGKILL)
            plant.scan([next(numbers)])
            with pytest.raises(DatabaseAway):
                await plant.historian.flush(connection)
            server.start()  # by this thread: the server ends with the thread that started it
        await plant.historian.flush(connection)
        plant.scan([next(numbers)])
        await plant.historian.flush(connection)

    run_with(dsn, work)
    assert stored(dsn) == [(n, GOOD) for n in range(29)]
    server.stop()
