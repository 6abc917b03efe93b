"""Who may do what in the data base: as the rooms' roles, and where a site's own login may make no role."""

import asyncio
from typing import Any, get_args

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from scada import database
from scada.database import ROLES, Database, RoleName

APPEND_ONLY = (
    "transfer", "posted_entry", "charge", "document", "receipt", "tariff_version", "terms", "tenancy",
    "receipt_reversal", "notice", "credit_event",
)  # fmt: skip
STATE = ("book", "account", "balance_page", "point_page", "point_slot", "credit_stop")


def as_role(dsn: str, role: RoleName, statement: str) -> Any:
    async def whole() -> Any:
        base = Database(dsn, role)
        try:
            async with base.transaction() as cursor:
                await cursor.execute(statement.encode())
                return await cursor.fetchone() if cursor.description else None
        finally:
            await base.close()

    return asyncio.run(whole())


@pytest.mark.parametrize("role", get_args(RoleName))
def test_a_connection_takes_on_the_rights_of_its_role(postgres_dsn: str, role: RoleName) -> None:
    assert as_role(postgres_dsn, role, "SELECT current_user") == (ROLES[role].acts_as,)


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_the_writer_of_the_books_lacks_the_right_to_change_them(postgres_dsn: str, table: str) -> None:
    """Not the trigger stops it, the privilege does: that is checked first."""
    columns = f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0"
    column = as_role(postgres_dsn, "ledger", f"{columns} AND NOT attisdropped AND attidentity = ''")
    assert column is not None
    for statement in (
        f"UPDATE {table} SET {column[0]} = {column[0]}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"DROP TABLE {table}",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(postgres_dsn, "ledger", statement)
    as_role(postgres_dsn, "ledger", f"SELECT * FROM {table}")


def test_nobody_in_the_ledgers_role_switches_triggers_off(postgres_dsn: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(postgres_dsn, "ledger", "SET session_replication_role = replica")


@pytest.mark.parametrize("table", STATE)
def test_the_writer_keeps_projections(postgres_dsn: str, table: str) -> None:
    as_role(postgres_dsn, "ledger", f"DELETE FROM {table} WHERE false")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(postgres_dsn, "ledger", f"TRUNCATE {table}")


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("history", "INSERT INTO posted_entry VALUES (1, 0, 'cash', 1)"),
        ("history", "UPDATE book SET seq = 0"),
        ("history", "DELETE FROM command_journal"),
        ("history", "UPDATE app_user SET role = 'admin'"),
        ("users", "UPDATE book SET seq = 0"),
        ("users", "DELETE FROM alarm_journal"),
        ("users", "INSERT INTO receipt_reversal SELECT * FROM receipt_reversal"),
        ("ledger", "UPDATE app_user SET role = 'admin'"),
        ("ledger", "CREATE TABLE mine (a int)"),
    ],
)
def test_each_role_stays_at_its_own_tables(postgres_dsn: str, role: RoleName, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(postgres_dsn, role, statement)


def test_the_reading_role_could_not_write_even_if_it_dropped_its_setting(postgres_dsn: str) -> None:
    writes = "SET TRANSACTION READ WRITE; UPDATE book SET seq = 0"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(postgres_dsn, "read", writes)


def test_every_table_is_given_to_somebody(postgres_dsn: str) -> None:
    """A migration that forgets its table would stop the core at the first write; nobody writes unguarded ones."""
    with psycopg.connect(postgres_dsn) as connection:
        forgotten = connection.execute("""
            SELECT relname FROM pg_class WHERE relnamespace = 'wattkeeper'::regnamespace AND relkind IN ('r', 'v', 'p')
              AND NOT has_table_privilege('wattkeeper_read', oid, 'SELECT')
        """).fetchall()
        guarded = connection.execute("""
            SELECT c.relname FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname LIKE '%append_only'
            WHERE has_table_privilege('wattkeeper_ledger', c.oid, 'UPDATE, DELETE, TRUNCATE')
               OR has_table_privilege('wattkeeper_history', c.oid, 'UPDATE, DELETE, TRUNCATE')
        """).fetchall()
    assert (forgotten, guarded) == ([], [])


@pytest.fixture
def plain_login(empty_postgres_dsn: str) -> Any:
    """A login that owns a data base and may do nothing else, as a site's administrator would hand it out."""
    with psycopg.connect(empty_postgres_dsn, autocommit=True) as connection:
        name = connection.info.dbname
        login = f"login_{name}"
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(login)))
        statement = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(login)))
    yield make_conninfo(empty_postgres_dsn, user=login)
    with psycopg.connect(empty_postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(login)))
        owner = sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(login))
        connection.execute(owner)
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


def test_without_the_right_to_make_roles_triggers_guard_the_books(plain_login: str) -> None:
    database.migrate(plain_login)
    assert as_role(plain_login, "ledger", "SELECT current_user <> 'wattkeeper_ledger'") == (True,)
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        as_role(plain_login, "ledger", "DELETE FROM posted_entry")
    as_role(plain_login, "ledger", "INSERT INTO book (site, hash) VALUES ('s', decode(repeat('00', 32), 'hex'))")


def test_roles_that_an_administrator_granted_are_used(plain_login: str, empty_postgres_dsn: str) -> None:
    with psycopg.connect(empty_postgres_dsn, autocommit=True) as connection:
        for role in {role.acts_as for role in ROLES.values()}:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
            login = sql.Identifier(psycopg.conninfo.conninfo_to_dict(plain_login)["user"])
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), login))
    database.migrate(plain_login)
    for name in get_args(RoleName):
        assert as_role(plain_login, name, "SELECT current_user") == (ROLES[name].acts_as,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(plain_login, "ledger", "DELETE FROM posted_entry")
