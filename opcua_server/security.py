"""Who may open a session: the application's own users, over an encrypted channel; anonymous in a demonstration only.

Every refusal looks the same to the client. Rule: nothing is granted when the data base cannot be asked.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from asyncua.crypto.permission_rules import User, UserRole
from loguru import logger

from scada.clock import NS_PER_S
from scada.database import Database
from scada.errors import DatabaseAway
from scada.roles import allowed

FAILURES_MAX: Final = 5  # wrong passwords of one login from one address within FAILURE_WINDOW_NS
FAILURE_WINDOW_NS: Final = 60 * NS_PER_S
FAILURE_KEYS_MAX: Final = 1000  # (address, login) pairs remembered; the oldest is forgotten first
ADDRESS_WAITING_MAX: Final = 4  # of them from one address, so that one cannot keep everybody else out
CHECKS_WAITING_MAX: Final = 16  # one check of a password costs 0.1 s of a core and 64 MiB, so they queue, not flock
PASSWORD_CHARACTERS_MAX: Final = 256
LOGIN_CHARACTERS_MAX: Final = 128
# Checked when a login is unknown, so that an answer takes as long as for a known one. Hash of a random secret.
ABSENT_HASH: Final = PasswordHasher().hash("a login that does not exist")

GRANTED: Final[ContextVar[User | None]] = ContextVar("granted", default=None)
"""What the session that is being activated in this task was granted; set by transport.Processor."""

ANONYMOUS: Final = User(role=UserRole.User, name="")


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One row of wattkeeper.app_user."""

    login: str
    password_hash: str  # argon2id, encoded form
    role: str
    disabled: bool
    must_change: bool  # a one-time password opens the HMI's page for a new one and nothing else

    @property
    def admissible(self) -> bool:
        may = allowed(self.role, "view") and allowed(self.role, "account.view")  # a session sees balances, too
        return may and not self.disabled and not self.must_change


class Users(Protocol):
    """Where users are looked up."""

    async def find(self, login: str) -> UserRecord | None:
        """Return the user of a login, None when there is none; DatabaseAway when nobody can tell."""


class SqlUsers:
    """Users in the project's data base."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, login: str) -> UserRecord | None:
        async with self._database.transaction() as cursor:
            await cursor.execute(
                "SELECT login, password_hash, role, disabled, must_change FROM app_user WHERE login = %s", (login,)
            )
            row = await cursor.fetchone()
        return None if row is None else UserRecord(*row)


class GrantedUserManager:
    """The library's port for users: hands out what the gate decided for this task, and nothing by default."""

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        return GRANTED.get()


class Gate:
    """Decides on logins.

    anonymous  whether a session without a user may read (demonstration)
    mono_ns    monotonic clock
    """

    def __init__(self, users: Users, anonymous: bool, mono_ns: Callable[[], int]) -> None:
        self._users = users
        self.anonymous = anonymous
        self._mono_ns = mono_ns
        self._hasher = PasswordHasher()
        self._one_at_a_time = asyncio.Semaphore(1)
        self._waiting: Counter[str] = Counter()  # address -> checks under way or queued
        self._failures: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()
        self._database_away = False

    def admit_anonymous(self) -> User | None:
        """Return the anonymous user when this server is a demonstration, else None."""
        return ANONYMOUS if self.anonymous else None

    async def admit(self, address: str, login: str, password: str) -> User | None:
        """Return the session's user, or None when the login is refused for whatever reason."""
        if not 0 < len(login) <= LOGIN_CHARACTERS_MAX or len(password) > PASSWORD_CHARACTERS_MAX or "\0" in login:
            return None
        if self._blocked((address, login)) or self._is_busy(address):
            return None
        self._waiting[address] += 1
        try:
            async with self._one_at_a_time:
                if self._blocked((address, login)):  # by those that were queued before
                    return None
                granted = await self._check(login, password)
                if granted is False:
                    self._failed(address, login)
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
        return User(role=UserRole.User, name=login) if granted else None

    def _is_busy(self, address: str) -> bool:
        return self._waiting[address] >= ADDRESS_WAITING_MAX or self._waiting.total() >= CHECKS_WAITING_MAX

    async def still_admitted(self, login: str) -> bool:
        """Tell whether an open session may go on. True while the data base is away: it was granted before."""
        try:
            record = await self._find(login)
        except DatabaseAway:
            return True
        return record is not None and record.admissible

    async def _check(self, login: str, password: str) -> bool | None:
        """Return True or False for a password, None when the data base cannot be asked."""
        try:
            record = await self._find(login)
        except DatabaseAway:
            return None
        encoded = ABSENT_HASH if record is None else record.password_hash
        right = await asyncio.to_thread(self._verify, encoded, password)
        return right and record is not None and record.admissible

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _find(self, login: str) -> UserRecord | None:
        """Look a login up; DatabaseAway passes, after its first occurrence was logged."""
        try:
            record = await self._users.find(login)
        except DatabaseAway as error:
            if not self._database_away:
                logger.warning("opcua: users cannot be checked, logins are refused: {}", error)
            self._database_away = True
            raise
        if self._database_away:
            logger.info("opcua: users can be checked again")
        self._database_away = False
        return record

    def _blocked(self, key: tuple[str, str]) -> bool:
        times = self._failures.get(key)
        if times is None:
            return False
        while times and self._mono_ns() - times[0] > FAILURE_WINDOW_NS:
            times.popleft()
        return len(times) >= FAILURES_MAX

    def _failed(self, address: str, login: str) -> None:
        times = self._failures.setdefault((address, login), deque(maxlen=FAILURES_MAX))
        times.append(self._mono_ns())
        self._failures.move_to_end((address, login))
        while len(self._failures) > FAILURE_KEYS_MAX:
            self._failures.popitem(last=False)
        if len(times) == 1:
            logger.warning("opcua: login {!r} from {} refused", login, address)
        elif len(times) == FAILURES_MAX:
            logger.warning("opcua: login {!r} from {} blocked for a minute", login, address)
