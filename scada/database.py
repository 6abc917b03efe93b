"""Connections to the data base by role, transactions on them, and the version of the schema.

Rule: nobody else opens a connection, and every loss of one becomes `DatabaseAway`, which means: keep your work and
repeat it. Whether a transaction whose COMMIT got no answer took place is unknown, so everything written through here
carries a key that makes a repetition harmless.

    scan, ledger, historian, pages --cursor--> Database(role) --psycopg--> PostgreSQL, embedded or the site's own
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
from loguru import logger
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scada.errors import DatabaseAway, DatabaseBusy, WattkeeperError

SCHEMA: Final = "wattkeeper"
MIGRATIONS: Final = Path(__file__).parent / "migrations"

RoleName = Literal["ledger", "history", "users", "read"]


@dataclass(frozen=True, slots=True)
class Role:
    """What a kind of user of the data base may cost and how sure its commits are."""

    connections: int
    """At most so many at a time; who comes later waits in line. Writers have one, so commits keep their order."""
    synchronous_commit: str
    """"on": a commit is on the disk when it returns. "off": the last half second may be lost in a crash, never torn."""
    statement_timeout_ms: int
    lock_timeout_ms: int
    idle_timeout_ms: int
    """idle_in_transaction_session_timeout"""
    transaction_s: float
    """The client's own limit on a whole transaction: a server that is stopped keeps no time limit of its own."""
    read_only: bool
    acts_as: str = ""
    """Role of the data base whose rights the connection takes on (scada/migrations/rights.py); where the site's own
    server has none, the login's own rights and the triggers remain."""


# Limits: a checkpoint of the largest park takes milliseconds, so ten seconds mean that something is
# wrong; a person does not wait longer for a page. The historian's batches may meet compression work of TimescaleDB.
ROLES: Final[Mapping[RoleName, Role]] = {
    "ledger": Role(1, "on", 10_000, 3_000, 10_000, 15.0, False, "wattkeeper_ledger"),
    "history": Role(1, "off", 30_000, 5_000, 10_000, 40.0, False, "wattkeeper_history"),
    "users": Role(1, "on", 10_000, 3_000, 10_000, 15.0, False, "wattkeeper_users"),
    "read": Role(4, "off", 15_000, 3_000, 10_000, 20.0, True, "wattkeeper_read"),
}

# How a dead peer is noticed; what the site's own connection string says goes before.
LINK: Final[Mapping[str, str]] = {
    "connect_timeout": "3",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# The server answered and gave this transaction up; the connection is still good.
BUSY: Final = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
)
# An idle session that the server ended reports it in a class of its own.
AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
)

# The login must be a member of the role, and this data base must have opened its schema to it. The historian's role is
# of use only where it owns the history; on TimescaleDB that stays with the login, for the server's policies.
TAKE_ROLE: Final = """
    SELECT set_config('role', rolname, false) FROM pg_roles
    WHERE rolname = %s AND pg_has_role(current_user, oid, 'MEMBER')
      AND has_schema_privilege(oid, to_regnamespace('wattkeeper'), 'USAGE')
      AND (rolname <> 'wattkeeper_history'
           OR oid = (SELECT relowner FROM pg_class WHERE pg_class.oid = to_regclass('wattkeeper.history')))
"""

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Cursor = psycopg.AsyncCursor[tuple[Any, ...]]


class Database:
    """The data base as one role sees it. Connects when first needed and again after every loss."""

    def __init__(self, dsn: str, role: RoleName) -> None:
        self._dsn = dsn
        self._name = role
        self._role = ROLES[role]
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(self._role.connections)
        self._connected = False
        self._told_away = False
        self._told_rights = False
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether the last transaction found the data base."""
        return self._connected

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Cursor]:
        """Yield the cursor of a new transaction; commit at the end, roll back on any exception.

        Raises DatabaseAway when the connection is lost, DatabaseBusy when the server gave the transaction up. Other
        errors of psycopg (a constraint, a wrong statement) pass as they are.
        """
        async with self._slots:
            try:
                async with self._begun() as connection, connection.cursor() as cursor:
                    yield cursor
            except BUSY as error:
                raise DatabaseBusy(str(error)) from error
            except psycopg.errors.ReadOnlySqlTransaction as error:
                if self._role.read_only:
                    raise  # a programmer's error
                while self._idle:  # to a server that a failover made a standby: the next connection finds the primary
                    await self._idle.pop().close()
                self._lost(error)
                raise DatabaseAway(str(error).strip()) from error
            except AWAY as error:
                self._lost(error)
                raise DatabaseAway(str(error).strip() or type(error).__name__) from error
            self._found()

    async def close(self) -> None:
        """Close every connection; a transaction under way ends by its own."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    @contextlib.asynccontextmanager
    async def _begun(self) -> AsyncIterator[Connection]:
        """Yield a connection on which a transaction has begun; end the transaction, keep or drop the connection."""
        connection = await self._take()
        watchdog = asyncio.get_running_loop().call_later(self._role.transaction_s, _cut, connection)
        try:
            async with connection.transaction():
                yield connection
        finally:
            watchdog.cancel()
            healthy = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            if healthy and not connection.closed and not self._closed:
                self._idle.append(connection)
            else:
                await connection.close()

    async def _take(self) -> Connection:
        """Return an idle connection that still answers, or a new one."""
        if self._closed:
            raise psycopg.InterfaceError("this room has closed its data base")
        while self._idle:
            connection = self._idle.pop()
            if _silent(connection):
                return connection
            await connection.close()
        return await self._connect()

    async def _connect(self) -> Connection:
        conninfo = make_conninfo(
            "", **{**LINK, "application_name": f"wattkeeper {self._name}", **conninfo_to_dict(self._dsn)}
        )
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        watchdog = asyncio.get_running_loop().call_later(self._role.transaction_s, _cut, connection)
        try:
            # By statement, not by the `options` of the connection string: that would replace the site's own.
            wanted = settings(self._role)
            calls = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, false)")] * len(wanted))
            await connection.execute(
                sql.SQL("SELECT {}").format(calls), [word for pair in wanted.items() for word in pair]
            )
            taken = await connection.execute(TAKE_ROLE, [self._role.acts_as])
            if await taken.fetchone() is None and not self._told_rights:
                self._told_rights = True
                logger.warning(
                    "data base ({}) works with its login's own rights, not as {}", self._name, self._role.acts_as
                )
        except BaseException:
            await connection.close()
            raise
        finally:
            watchdog.cancel()
        return connection

    def _found(self) -> None:
        self._connected = True
        if self._told_away:
            self._told_away = False
            logger.info("data base ({}) answers again", self._name)

    def _lost(self, error: Exception) -> None:
        self._connected = False
        if not self._told_away and not self._closed:
            self._told_away = True
            logger.warning("data base ({}) is away: {}", self._name, str(error).strip())


def settings(role: Role) -> dict[str, str]:
    """Return the session settings of a role."""
    return {
        "search_path": f"{SCHEMA}, public",
        "timezone": "UTC",
        "synchronous_commit": role.synchronous_commit,
        "statement_timeout": f"{role.statement_timeout_ms}ms",
        "lock_timeout": f"{role.lock_timeout_ms}ms",
        "idle_in_transaction_session_timeout": f"{role.idle_timeout_ms}ms",
        "default_transaction_read_only": "on" if role.read_only else "off",
    }


def migrate(dsn: str) -> None:
    """Bring the schema to the newest revision, all of it in one transaction; blocking.

    Safe to call from two processes at a time, and again after a kill. Raises DatabaseAway when it is not reachable.
    """
    import sqlalchemy.exc  # here: most rooms never migrate, and these two are 0.3 s of start
    from alembic import command

    try:
        _make_extension(dsn)
        command.upgrade(_alembic(dsn), "head")
    except (psycopg.OperationalError, sqlalchemy.exc.OperationalError) as error:
        raise DatabaseAway(str(error).strip()) from error


def schema_version(dsn: str) -> str | None:
    """Return the revision the data base is at, None when it has no schema yet; blocking. Raises DatabaseAway."""
    try:
        with psycopg.connect(make_conninfo("", **{**LINK, **conninfo_to_dict(dsn)})) as connection:
            found = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.alembic_version"]).fetchone()
            if found is None or found[0] is None:
                return None
            row = connection.execute(f"SELECT version_num FROM {SCHEMA}.alembic_version").fetchone()
    except psycopg.OperationalError as error:
        raise DatabaseAway(str(error).strip()) from error
    return None if row is None else str(row[0])


def newest_revision() -> str:
    """Return the newest revision this program knows: they are numbered and named as their files.

    Alembic would say the same, for twenty megabytes in every room.
    """
    return max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def require_current_schema(dsn: str) -> None:
    """Raise WattkeeperError unless the data base is at the newest revision this program knows; blocking."""
    newest = newest_revision()
    present = schema_version(dsn)
    if present != newest:
        raise WattkeeperError(f"the data base is at revision {present}, this program needs {newest}; start run.py once")


def _alembic(dsn: str) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["dsn"] = dsn
    return config


def _make_extension(dsn: str) -> None:
    """Make TimescaleDB's extension where the server carries it and lets us; history works without it."""
    with psycopg.connect(make_conninfo("", **{**LINK, **conninfo_to_dict(dsn)}), autocommit=True) as connection:
        row = connection.execute(
            "SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'"
        ).fetchone()
        if row is None or row[0] is not None:
            return
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState) as error:
            logger.warning("TimescaleDB is installed and may not be used here, history is partitioned: {}", error)


def _silent(connection: Connection) -> bool:
    """Tell whether an idle connection is still open: a server that ended it has left words or an end of file."""
    if connection.closed:
        return False
    with socket.socket(fileno=os.dup(connection.fileno())) as twin:
        try:
            twin.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _cut(connection: Connection) -> None:
    """Cut the line of a connection that used up its time, so that whoever waits on it gets an error at once.

    A cancellation would not do: psycopg asks the server to cancel and waits for its answer.
    """
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as twin, contextlib.suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)
