"""The journal: what was acknowledged is on the disk, whatever happens to process, disk and data base."""

import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop

from scada import embedded_postgres, journal
from scada.database import Cursor, Database
from scada.errors import DatabaseAway
from scada.journal import Journal, JournalStopped

TABLE = """
    CREATE TABLE wattkeeper.note (id uuid PRIMARY KEY, n int NOT NULL CHECK (n >= 0), place serial);
    GRANT ALL ON wattkeeper.note TO wattkeeper_history;
    GRANT ALL ON SEQUENCE wattkeeper.note_place_seq TO wattkeeper_history;
"""


@pytest.fixture
def notes_dsn(postgres_dsn: str) -> str:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(TABLE)
    return postgres_dsn


async def insert_notes(cursor: Cursor, records: list[dict[str, Any]]) -> None:
    await cursor.executemany("INSERT INTO note (id, n) VALUES (%(id)s, %(n)s) ON CONFLICT (id) DO NOTHING", records)


def drain(dsn: str, *journals: Journal) -> int:
    async def run() -> int:
        database = Database(dsn, "history")
        try:
            return sum([await each.drain(database, {"note": insert_notes}) for each in journals])
        finally:
            await database.close()

    return uvloop.run(run())


def notes(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM wattkeeper.note ORDER BY place")]


def test_records_arrive_once_and_in_order(tmp_path: Path, notes_dsn: str) -> None:
    book = Journal(tmp_path, segment_bytes=2000)
    for n in range(100):
        book.write("note", {"n": n})
    book.write_many("note", [{"n": n} for n in range(100, 1200)])
    book.write_many("note", [])
    assert len(list(tmp_path.glob("*.jsonl"))) > 2
    assert drain(notes_dsn, book) == 1200
    assert drain(notes_dsn, book) == 0
    assert notes(notes_dsn) == list(range(1200))
    assert book.waiting_bytes == 0
    book.write("note", {"n": 1200})
    assert drain(notes_dsn, book) == 1
    book.close()


def test_a_restart_may_drain_again_and_nothing_is_doubled(tmp_path: Path, notes_dsn: str) -> None:
    first = Journal(tmp_path)
    first.write_many("note", [{"n": n} for n in range(10)])
    drain(notes_dsn, first)
    first.close()
    second = Journal(tmp_path)
    second.write("note", {"n": 10})
    drain(notes_dsn, second)
    second.close()
    assert notes(notes_dsn) == list(range(11))


def test_two_drains_at_a_time_move_every_record_once(tmp_path: Path, notes_dsn: str) -> None:
    """The core drains while it opens the books, and its records task drains too."""
    left = Journal(tmp_path)
    left.write_many("note", [{"n": n} for n in range(700)])
    left.close()
    book = Journal(tmp_path)
    book.write_many("note", [{"n": n} for n in range(700, 1300)])

    async def run() -> None:
        database = Database(notes_dsn, "history")
        sinks = {"note": insert_notes}
        await asyncio.gather(book.drain(database, sinks), book.drain(database, sinks))
        await database.close()

    uvloop.run(run())
    assert notes(notes_dsn) == list(range(1300))
    assert book.waiting_bytes == 0
    book.close()


def test_without_a_data_base_everything_waits(tmp_path: Path, notes_dsn: str) -> None:
    book = Journal(tmp_path)
    book.write_many("note", [{"n": n} for n in range(5)])
    with pytest.raises(DatabaseAway):
        drain(embedded_postgres.dsn(tmp_path), book)
    assert drain(notes_dsn, book) == 5
    assert notes(notes_dsn) == [0, 1, 2, 3, 4]
    book.close()


def test_a_poisonous_record_stays_behind_alone(tmp_path: Path, notes_dsn: str) -> None:
    book = Journal(tmp_path)
    book.write_many("note", [{"n": n} for n in (1, 2, -3, 4, 5)])
    drain(notes_dsn, book)
    book.close()
    assert notes(notes_dsn) == [1, 2, 4, 5]
    assert book.refused == 1
    aside = journal._decode((tmp_path / "refused.jsonl").read_bytes())
    assert aside is not None
    assert aside["record"]["n"] == -3
    assert "note_n_check" in aside["reason"]


@pytest.mark.parametrize("tail", [b"0", b"deadbeef {\n", b"\0" * 4096, b"00000000 \n", b"\n\n"])
def test_a_torn_tail_is_cut(tmp_path: Path, notes_dsn: str, tail: bytes) -> None:
    book = Journal(tmp_path)
    book.write_many("note", [{"n": n} for n in range(3)])
    book.close()
    with (tmp_path / "000000000001.jsonl").open("ab") as file:
        file.write(tail)
    again = Journal(tmp_path)
    again.write("note", {"n": 3})
    drain(notes_dsn, again)
    again.close()
    assert notes(notes_dsn) == [0, 1, 2, 3]
    assert again.damaged == 0


def test_every_bit_of_a_middle_line_is_guarded(tmp_path: Path, notes_dsn: str) -> None:
    book = Journal(tmp_path)
    book.write_many("note", [{"n": n} for n in range(3)])
    book.close()
    path = tmp_path / "000000000001.jsonl"
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    start, end = len(lines[0]), len(lines[0]) + len(lines[1])
    chance = random.Random(39)
    for bit in chance.sample(range(start * 8, (end - 1) * 8), 60):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        read = Journal(tmp_path)
        batch, _ = read._read_batch()
        assert [record["n"] for _, record in batch] == [0, 2]
        assert read.damaged >= 1
        read.close()
    drain(notes_dsn, last := Journal(tmp_path))
    last.close()
    assert notes(notes_dsn) == [0, 2]
    assert (tmp_path / "damaged.jsonl").exists()


def test_values_that_json_has_no_words_for(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.write("note", {"low": -math.inf, "none": math.nan, "text": "停电\n「A座」\u2028"})
    batch, _ = book._read_batch()
    book.close()
    (_, record) = batch[0]
    assert record["low"] == -math.inf
    assert math.isnan(record["none"])
    assert record["text"] == "停电\n「A座」\u2028"


def test_its_bound_refuses_and_keeps_what_was_acknowledged(tmp_path: Path, notes_dsn: str) -> None:
    book = Journal(tmp_path, segment_bytes=500, bytes_max=2000)
    kept = 0
    with pytest.raises(JournalStopped, match="bound"):
        while True:
            book.write("note", {"n": kept})
            kept += 1
    assert kept > 5
    drain(notes_dsn, book)
    assert notes(notes_dsn) == list(range(kept))
    book.close()


def test_a_full_disk_refuses_leaves_no_half_line_and_recovers(
    tmp_path: Path, notes_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Journal(tmp_path)
    book.write("note", {"n": 0})
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails, in its middle
    size = (tmp_path / "000000000001.jsonl").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(JournalStopped):
            book.write("note", {"n": -99})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (tmp_path / "000000000001.jsonl").stat().st_size == size
    book.write("note", {"n": 1})
    drain(notes_dsn, book)
    book.close()
    assert notes(notes_dsn) == [0, 1]
    assert book.damaged == 0


def test_a_disk_that_stays_full_does_not_fill_the_folder(tmp_path: Path, notes_dsn: str) -> None:
    import resource

    book = Journal(tmp_path)
    book.write("note", {"n": 0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        for _ in range(10):
            with pytest.raises(JournalStopped):
                book.write("note", {"n": -99})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    book.write("note", {"n": 1})
    drain(notes_dsn, book)
    book.close()
    assert notes(notes_dsn) == [0, 1]


WRITER = """
import sys
from pathlib import Path
from scada.journal import Journal
book = Journal(Path(sys.argv[1]), segment_bytes=3000)
n = int(sys.argv[2])
while True:
    book.write_many("note", [{"n": n}, {"n": n + 1}])
    n += 2
    print(n, flush=True)  # acknowledged
"""


def test_kill_in_the_middle_loses_nothing_acknowledged(tmp_path: Path, notes_dsn: str) -> None:
    chance = random.Random(18)
    acknowledged: list[int] = []
    for round_number in range(4):
        first = round_number * 1_000_000
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        stop_at = chance.randrange(5, 150)
        for count, _ in enumerate(writer.stdout):
            if count == stop_at:
                os.kill(writer.pid, signal.SIGKILL)
                break
        rest = writer.stdout.read()
        writer.stdout.close()
        writer.wait()
        last = int(rest.split()[-1]) if rest.split() else first + 2 * (stop_at + 1)
        acknowledged += range(first, last)
    drain(notes_dsn, book := Journal(tmp_path))
    book.close()
    found = notes(notes_dsn)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert found == sorted(found)
    assert book.damaged == 0


def test_a_program_error_in_a_sink_is_not_taken_for_a_bad_record(tmp_path: Path, notes_dsn: str) -> None:
    async def broken(cursor: Cursor, records: list[dict[str, Any]]) -> None:
        await cursor.execute("INSERT INTO no_such_table VALUES (1)")

    async def run(book: Journal) -> None:
        database = Database(notes_dsn, "history")
        try:
            await book.drain(database, {"note": broken})
        finally:
            await database.close()

    book = Journal(tmp_path)
    book.write("note", {"n": 1})
    with pytest.raises(psycopg.errors.UndefinedTable):
        uvloop.run(run(book))
    assert drain(notes_dsn, book) == 1
    book.close()


def test_lines_are_readable_by_a_person(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    name = book.write("note", {"n": 1})
    book.close()
    line = (tmp_path / "000000000001.jsonl").read_text(encoding="utf-8")
    assert json.loads(line[9:]) == {"stream": "note", "record": {"n": 1, "id": name}}


def test_a_drained_record_is_on_the_servers_disk_whatever_the_role(tmp_path: Path, postgres_dsn: str) -> None:
    found: list[Any] = []

    async def look(cursor: Cursor, records: list[dict[str, Any]]) -> None:
        await cursor.execute("SHOW synchronous_commit")
        found.append(await cursor.fetchone())

    async def run(book: Journal) -> None:
        database = Database(postgres_dsn, "history")
        await book.drain(database, {"note": look})
        await database.close()

    book = Journal(tmp_path)
    book.write("note", {"n": 1})
    uvloop.run(run(book))
    book.close()
    assert found == [("on",)]
