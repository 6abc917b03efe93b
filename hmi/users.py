"""Users: the rows of app_user. Rule: SQL of this one table; no request, no password rule."""

import re
from dataclasses import dataclass
from typing import Any, Final

LOGIN_FORM: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
ROLES: Final = ("viewer", "operator", "engineer", "finance", "admin")  # "system" is the core itself and never logs in
FIRST_LOGIN: Final = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """One person's account on the HMI."""

    login: str
    password_hash: str
    role: str
    disabled: bool
    must_change: bool


_COLUMNS: Final = "login, password_hash, role, disabled, must_change"


async def find(cursor: Any, login: str) -> User | None:
    await cursor.execute(f"SELECT {_COLUMNS} FROM app_user WHERE login = %s", (login,))
    row = await cursor.fetchone()
    return User(*row) if row else None


async def everybody(cursor: Any) -> list[User]:
    await cursor.execute(f"SELECT {_COLUMNS} FROM app_user ORDER BY login")
    return [User(*row) for row in await cursor.fetchall()]


async def add(cursor: Any, login: str, password_hash: str, role: str) -> bool:
    """Add a user who must choose a password at first login; False when the login is taken."""
    await cursor.execute(
        "INSERT INTO app_user (login, password_hash, role) VALUES (%s, %s, %s) ON CONFLICT (login) DO NOTHING",
        (login, password_hash, role),
    )
    return bool(cursor.rowcount)


async def set_password(cursor: Any, login: str, password_hash: str, must_change: bool) -> bool:
    """Replace a password and end every session of the user; False when there is no such user."""
    await cursor.execute(
        "UPDATE app_user SET password_hash = %s, must_change = %s, changed = now() WHERE login = %s",
        (password_hash, must_change, login),
    )
    found = bool(cursor.rowcount)
    await cursor.execute("DELETE FROM app_session WHERE login = %s", (login,))
    return found


async def set_disabled(cursor: Any, login: str, disabled: bool) -> bool:
    """Disable or enable a user and end every session; False when there is no such user."""
    await cursor.execute("UPDATE app_user SET disabled = %s, changed = now() WHERE login = %s", (disabled, login))
    found = bool(cursor.rowcount)
    await cursor.execute("DELETE FROM app_session WHERE login = %s", (login,))
    return found


async def add_first(cursor: Any, password_hash: str) -> bool:
    """Add the first administrator when the table is empty; False when somebody is there already."""
    await cursor.execute(
        "INSERT INTO app_user (login, password_hash, role)"
        " SELECT %s, %s, 'admin' WHERE NOT EXISTS (SELECT FROM app_user)",
        (FIRST_LOGIN, password_hash),
    )
    return bool(cursor.rowcount)
