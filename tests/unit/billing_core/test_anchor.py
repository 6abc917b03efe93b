"""The anchor: what a truncated, exchanged or restored data base cannot hide, and the way out with a reason."""

import contextlib
import io
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing_core import anchor
from billing_core.anchor import Anchor, Mark
from billing_core.commands import run_audit, run_reanchor
from billing_core.ledger import Head
from billing_core.posting import Draft
from billing_core.store import LedgerStore
from scada.database import Database
from scada.errors import Refused, WattkeeperError
from scada.operations import Who
from tests.unit.billing_core.park import ACCOUNTS, POINTS, TARIFFS, Park
from tests.unit.billing_core.test_store import committed, paid, prepared, query, run


@contextlib.asynccontextmanager
async def anchored(dsn: str, folder: Path) -> AsyncIterator[LedgerStore]:
    """A store whose every commit is anchored, however soon after the last."""
    heads = Anchor(folder)
    note = heads.note

    def at_once(head: Head) -> None:
        heads._last_mono_s = -10.0
        note(head)

    heads.note = at_once  # type: ignore[method-assign]
    store = LedgerStore(Database(dsn, "ledger"), "demo", "here", anchor=heads)
    try:
        yield store
    finally:
        await store.close()


def some_books(dsn: str, folder: Path, rounds: int = 4) -> None:
    async def test() -> None:
        park = Park.new()
        async with anchored(dsn, folder) as store:
            await prepared(store, park)
            park.step()
            for _ in range(rounds):
                park.step(3, 1, 20, gap_s=400)
                await committed(store, park)
            await paid(store, "t2", 10, "a")
            park.step(3, 1, 20)
            await committed(store, park)

    run(test)


def audited(dsn: str, folder: Path) -> tuple[int, str]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = run_audit(dsn, folder)
    return code, printed.getvalue()


def tamper(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


def test_heads_are_appended_and_read_back(tmp_path: Path) -> None:
    heads = Anchor(tmp_path / "anchor")
    heads.note(Head(0, b"\0" * 32))  # an empty chain has no head worth keeping
    assert heads.marks() == []
    heads.note(Head(1, b"\1" * 32))
    heads.note(Head(2, b"\2" * 32))  # within a second of the first
    assert [(mark.seq, mark.hash) for mark in Anchor(tmp_path / "anchor").marks()] == [(1, b"\1" * 32)]


def test_a_line_torn_by_a_crash_is_left_out_and_mended(tmp_path: Path) -> None:
    heads = Anchor(tmp_path)
    heads.note(Head(1, b"\1" * 32))
    with heads.path.open("a") as file:
        file.write('{"hash": "ab')
    again = Anchor(tmp_path)
    assert [mark.seq for mark in again.marks()] == [1]
    again.note(Head(2, b"\2" * 32))
    assert [mark.seq for mark in Anchor(tmp_path).marks()] == [1, 2]


@pytest.mark.parametrize("line", ["nonsense", '{"seq": 1}', "[]", '{"hash": "zz", "seq": 1, "utc": ""}'])
def test_a_line_in_the_middle_that_somebody_wrote_is_named(tmp_path: Path, line: str) -> None:
    heads = Anchor(tmp_path)
    heads.path.write_text(f"{Mark(1, b'a' * 32, 't').line()}{line}\n{Mark(2, b'b' * 32, 't').line()}")
    with pytest.raises(WattkeeperError, match="line 2"):
        heads.marks()


def test_its_size_is_bounded_and_reasons_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchor, "LINES_MOST", 100)
    monkeypatch.setattr(anchor, "LINES_RECENT", 30)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    heads = Anchor(tmp_path)
    heads.begin_anew(Head(1, b"\1" * 32), "restored", "ann")
    for seq in range(2, 1000):
        heads._append(Mark(seq, b"\1" * 32, "t"))
    marks = heads.marks()
    assert len(marks) <= 100
    assert [mark.seq for mark in marks if mark.reason] == [1]
    assert [mark.seq for mark in marks[-30:]] == list(range(970, 1000))


def test_books_that_were_only_written_by_the_core_agree(postgres_dsn: str, tmp_path: Path) -> None:
    some_books(postgres_dsn, tmp_path)
    code, printed = audited(postgres_dsn, tmp_path)
    assert (code, "5 anchored heads compared" in printed) == (0, True), printed


REWRITE_HEAD = "UPDATE book SET (seq, hash) = (SELECT seq, hash FROM transfer ORDER BY seq DESC LIMIT 1)"


def test_a_tail_that_was_cut_off_without_a_trace_in_the_data_base_is_found(postgres_dsn: str, tmp_path: Path) -> None:
    """The last charges vanish; head, balances and registers are rewritten so that the data base alone looks right."""
    some_books(postgres_dsn, tmp_path)
    last = query(postgres_dsn, "SELECT max(seq) FROM transfer")
    charged = query(postgres_dsn, f"SELECT sum(nano)::bigint FROM charge WHERE seq = {last}")
    assert charged > 0
    tamper(
        postgres_dsn,
        f"DELETE FROM charge WHERE seq >= {last}",
        f"DELETE FROM transfer WHERE seq >= {last}",
        REWRITE_HEAD,
    )
    code, printed = audited(postgres_dsn, tmp_path)
    assert (code, f"transfer {last} was anchored" in printed) == (1, True), printed


def test_a_chain_that_was_computed_anew_is_found(postgres_dsn: str, tmp_path: Path) -> None:
    some_books(postgres_dsn, tmp_path)
    tamper(postgres_dsn, "UPDATE transfer SET hash = sha256(hash) WHERE seq = (SELECT max(seq) FROM transfer)")
    tamper(postgres_dsn, REWRITE_HEAD)
    assert "is not the one that was anchored" in audited(postgres_dsn, tmp_path)[1]


def test_books_older_than_the_anchor_are_not_opened_until_somebody_says_why(
    postgres_dsn: str, postgres_server: Any, tmp_path: Path
) -> None:
    some_books(postgres_dsn, tmp_path, rounds=1)
    copy = postgres_server.make("older_copy", psycopg.conninfo.conninfo_to_dict(postgres_dsn)["dbname"])
    some_more(postgres_dsn, tmp_path)

    async def refused() -> None:
        async with anchored(copy, tmp_path) as store:
            with pytest.raises(Refused, match=r"ledger\.behind-anchor.*run\.py ledger reanchor"):
                await store.prepare(POINTS, ACCOUNTS, TARIFFS)

    run(refused)
    with pytest.raises(Refused, match=r"ledger\.reason"):
        run_reanchor(copy, tmp_path, " ", "ann")
    assert run_reanchor(copy, tmp_path, "disk broke, copy of last night", "ann") == 0
    assert run_reanchor(copy, tmp_path, "again", "ann") == 1

    async def opened() -> None:
        for _ in range(2):  # journalled once
            async with anchored(copy, tmp_path) as store:
                await store.prepare(POINTS, ACCOUNTS, TARIFFS)

    run(opened)
    assert query(copy, "SELECT memo || who FROM transfer WHERE kind = 'anchor'") == "disk broke, copy of last nightann"
    some_more(copy, tmp_path)
    code, printed = audited(copy, tmp_path)
    assert code == 0, printed
    assert audited(postgres_dsn, tmp_path)[0] == 1  # the other one is now the wrong one
    postgres_server.drop("older_copy")


def some_more(dsn: str, folder: Path) -> None:
    async def test() -> None:
        park = Park.new()
        async with anchored(dsn, folder) as store:
            await prepared(store, park)
            for _ in range(2):
                park.step(9, 9, 40, gap_s=4000)
                await committed(store, park)

    run(test)


def test_an_empty_data_base_beside_an_old_anchor_is_not_taken_for_new(
    postgres_dsn: str, postgres_server: Any, tmp_path: Path
) -> None:
    some_books(postgres_dsn, tmp_path)
    empty = postgres_server.make("emptied", "template_wattkeeper")

    async def test() -> None:
        async with anchored(empty, tmp_path) as store:
            with pytest.raises(Refused, match="end with transfer 0"):
                await store.prepare(POINTS, ACCOUNTS, TARIFFS)

    run(test)
    postgres_server.drop("emptied")


def test_a_disk_that_refuses_the_anchor_stops_no_billing(postgres_dsn: str, tmp_path: Path) -> None:
    async def test() -> None:
        park = Park.new()
        async with anchored(postgres_dsn, tmp_path / "anchor") as store:
            await prepared(store, park)
            (tmp_path / "anchor").write_text("a file where a folder should be")
            park.step()
            park.step(3, 1, 20)
            await committed(store, park)

    run(test)
    assert query(postgres_dsn, "SELECT count(*) FROM charge") == 3


SECURED: dict[str, tuple[str, ...]] = {
    # table: columns that neither hash nor rule reaches, because they say nothing about money
    "transfer": (),
    "posted_entry": ("line",),
    "charge": (),
    "document": (),
    "receipt": (),
    "tariff_version": ("first_used", "tariff"),
    "terms": ("first_used",),
}
FLIPPED = {
    "bigint": "{0} # 4096",  # a bit that makes no number of another row of it
    "integer": "{0} # 4096",
    "smallint": "{0} # 1::smallint",
    "text": "overlay({0} PLACING chr(ascii({0} || ' ') # 1) FROM 1 FOR 1)",
    "bytea": "set_byte({0}, 31, get_byte({0}, 31) # 1)",
    "timestamp with time zone": "{0} + interval '1 second'",
    "jsonb": "jsonb_set({0}, '{{unit}}', '\"mWh\"')",
}


@pytest.mark.parametrize("table", SECURED)
def test_one_changed_bit_in_any_column_is_found(postgres_dsn: str, tmp_path: Path, table: str) -> None:
    some_books(postgres_dsn, tmp_path, rounds=1)
    grant_with_document(postgres_dsn, tmp_path)
    assert audited(postgres_dsn, tmp_path)[0] == 0
    missed = [
        column
        for column, kind in columns_of(postgres_dsn, table)
        if flipped(
            postgres_dsn, table, column, FLIPPED[kind].format(column), lambda: audited(postgres_dsn, tmp_path)[0]
        )
        == 0
    ]
    assert missed == []
    assert audited(postgres_dsn, tmp_path)[0] == 0


def columns_of(dsn: str, table: str) -> list[tuple[str, str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'wattkeeper'"
            " AND table_name = %s AND NOT column_name = ANY(%s) AND is_identity = 'NO'",
            [table, list(SECURED[table])],
        ).fetchall()


def flipped(dsn: str, table: str, column: str, changed: str, ask: Callable[[], int]) -> int:
    """Change one value of the last row that has one, ask, put it back; return the answer, -1 without such a row."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET search_path TO wattkeeper")
        connection.execute("SET session_replication_role = replica")
        last = f"(SELECT max(ctid) FROM {table} WHERE {column} IS NOT NULL)"
        connection.execute(f"CREATE TEMP TABLE kept AS SELECT {column} FROM {table} WHERE ctid = {last}".encode())
        change = f"UPDATE {table} SET {column} = {changed} WHERE ctid = {last} RETURNING ctid"
        try:
            row = connection.execute(change.encode()).fetchone()
        except psycopg.errors.CheckViolation:  # the data base itself knows better
            return 1
        if row is None:
            return -1
        answer = ask()
        back = f"UPDATE {table} SET {column} = (SELECT {column} FROM kept) WHERE ctid = '{row[0]}'"
        connection.execute(back.encode())
    return answer


def grant_with_document(dsn: str, folder: Path) -> None:
    async def test() -> None:
        async with anchored(dsn, folder) as store:
            await store.prepare(POINTS, ACCOUNTS, TARIFFS)
            draft = Draft((("subsidies", -5), ("wallet:t2", 5)), "help", {"unit": "kWh"})
            await store.post("k", "grant", Who("ann", "cashier", "desk-1"), lambda _: draft)

    run(test)
