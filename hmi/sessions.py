"""Sessions: who is behind a cookie, on the server, checked at every request and every event.

Rule: the token lives in the browser's cookie only; here and in SQL there is its SHA-256. The memory of the room is a
copy of app_session, renewed every few seconds, so that a session ended elsewhere (another room, the command line)
ends here too, and an open page survives a short absence of the data base. Times are those of people, not of the plant.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import HTTPConnection

from scada.clock import NS_PER_S, Clock
from scada.database import Database
from scada.errors import Refused
from scada.roles import Permission, require

COOKIE: Final = "wattkeeper_session"
TOKEN_BYTES: Final = 32  # 256 random bits; ASVS 7.2.3 asks for 128
IDLE_S: Final = 2 * 3600  # at a control desk people look for long and click seldom
ABSOLUTE_S: Final = 12 * 3600  # one shift
SEEN_GRAIN_S: Final = 30  # last_seen is written back this coarsely

_SELECT: Final = """
    SELECT s.token_hash, s.login, u.role, u.must_change, s.created, s.last_seen, s.expires, s.address
    FROM app_session s JOIN app_user u USING (login) WHERE NOT u.disabled
"""


@dataclass(frozen=True, slots=True)
class Session:
    """One open session, as the server knows it."""

    token_hash: bytes
    login: str
    role: str
    must_change: bool
    created: datetime
    last_seen: datetime
    expires: datetime
    address: str

    @property
    def key(self) -> str:
        """Name of the session for logs and for matching sockets to it; useless as a cookie."""
        return self.token_hash.hex()[:12]


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Sessions:
    """Every open session. `clock` is the clock of people (the machine's), also in an accelerated demonstration."""

    def __init__(self, database: Database, clock: Clock, idle_s: int = IDLE_S, absolute_s: int = ABSOLUTE_S) -> None:
        self._database = database
        self._clock = clock
        self._idle = timedelta(seconds=idle_s)
        self._absolute = timedelta(seconds=absolute_s)
        self._open: dict[bytes, Session] = {}
        self._young: set[bytes] = set()  # opened since the last renewal began
        self._ended: set[bytes] = set()  # ended here, perhaps not yet in SQL

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.utc_ns() / NS_PER_S, UTC)

    async def open(self, login: str, address: str) -> tuple[str, Session]:
        """Open a session with a new token (never one that the browser brought along) and return both."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = self.now()
        async with self._database.transaction() as cursor:
            await cursor.execute(
                "INSERT INTO app_session (token_hash, login, created, last_seen, expires, address)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (hashed(token), login, now, now, now + self._absolute, address),
            )
            await cursor.execute(f"{_SELECT} AND token_hash = %s", (hashed(token),))
            row = await cursor.fetchone()
            if row is None:  # disabled between the check of the password and now
                raise Refused("session", f"{login} may not log in")
            session = Session(bytes(row[0]), *row[1:])
        self._open[session.token_hash] = session
        self._young.add(session.token_hash)
        return token, session

    def by_token(self, token: str | None) -> Session | None:
        """Return the live session of a cookie's token, and note that it was used."""
        return self._used(hashed(token)) if token else None

    def alive(self, token_hash: bytes) -> Session | None:
        """Return a session again if it still lives, without counting as use (live values must not keep it open)."""
        session = self._open.get(token_hash)
        now = self.now()
        if session is None or now >= session.expires or now - session.last_seen >= self._idle:
            return None
        return session

    def _used(self, token_hash: bytes) -> Session | None:
        session = self.alive(token_hash)
        if session is not None:
            session = self._open[token_hash] = replace(session, last_seen=self.now())
        return session

    def touch(self, token_hash: bytes) -> Session | None:
        """Return a session if it lives, and count this as use: for what a person does on an open page."""
        return self._used(token_hash)

    async def close(self, token_hash: bytes) -> None:
        """End a session now; when the data base is away it is ended here and deleted at the next `renew`."""
        self._open.pop(token_hash, None)
        self._ended.add(token_hash)
        await self.renew()

    async def renew(self) -> None:
        """Write back what was used, delete what is over, and read every session again. Raises DatabaseAway."""
        now = self.now()
        seen = [(s.last_seen, s.token_hash) for s in self._open.values()]
        ended = list(self._ended)
        self._young.clear()
        async with self._database.transaction() as cursor:
            if seen:
                await cursor.executemany(
                    "UPDATE app_session SET last_seen = %s WHERE token_hash = %s AND last_seen < %s - interval '30 s'",
                    [(at, token_hash, at) for at, token_hash in seen],
                )
            await cursor.execute(
                "DELETE FROM app_session WHERE token_hash = ANY(%s) OR expires <= %s OR last_seen <= %s",
                (ended, now, now - self._idle - timedelta(seconds=SEEN_GRAIN_S)),
            )
            await cursor.execute(_SELECT)
            fresh = {bytes(row[0]): Session(bytes(row[0]), *row[1:]) for row in await cursor.fetchall()}
        self._ended.difference_update(ended)
        for token_hash, session in fresh.items():
            known = self._open.get(token_hash)
            if known is not None and known.last_seen > session.last_seen:
                fresh[token_hash] = replace(session, last_seen=known.last_seen)
        for token_hash in self._young & self._open.keys():  # opened while this was waiting for the data base
            fresh.setdefault(token_hash, self._open[token_hash])
        self._open = {token_hash: session for token_hash, session in fresh.items() if token_hash not in self._ended}


async def end_all(cursor: Any, login: str) -> None:
    """Delete every session of a login."""
    await cursor.execute("DELETE FROM app_session WHERE login = %s", (login,))


async def still_open(cursor: Any, token_hash: bytes) -> bool:
    """Tell whether a session's row is there, and keep it there until the transaction ends."""
    await cursor.execute("SELECT FROM app_session WHERE token_hash = %s FOR UPDATE", (token_hash,))
    return bool(cursor.rowcount)


def current(request: HTTPConnection) -> Session:
    """Return the session that the gate found for this request; Refused("session") when there is none."""
    session = request.scope.get("state", {}).get("session")
    if not isinstance(session, Session):
        raise Refused("session", "no session")
    return session


def allow(session: Session | None, permission: Permission) -> Session:
    """Return the session when it lives and may do this; else Refused with "session" or "role"."""
    if session is None or session.must_change:
        raise Refused("session", "the session has ended")
    require(session.role, permission)
    return session
