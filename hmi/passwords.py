"""Passwords: what is refused as a new one, and argon2id in a thread of its own.

Rule: this file sees passwords and hashes; it knows no user, no table and no request.
Source: OWASP ASVS 5.0 items 6.2.1-6.2.12 (length decides, no composition rules, common ones refused) and 11.4.2.
"""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN: Final = 8  # ASVS 6.2.1
LENGTH_MAX: Final = 128  # ASVS 6.2.9 asks for 64 at least; the bound keeps hashing cheap
ONE_TIME_BYTES: Final = 12  # 96 random bits, typed once
HASH_THREADS: Final = 1  # one hash costs 64 MiB and 0.1 s on four lanes; logins queue rather than starve the scan

# The most common passwords of published lists that pass the length rule, and what people type for this product.
COMMON: Final = frozenset((Path(__file__).parent / "common_passwords.txt").read_text(encoding="utf-8").split())


def fault(password: str, login: str) -> str:
    """Return the code of what is wrong with a new password, or "" when it may be used."""
    if len(password) < LENGTH_MIN:
        return "password.short"
    if len(password) > LENGTH_MAX:
        return "password.long"
    plain = password.casefold()
    if plain in COMMON or len(set(plain)) == 1:
        return "password.common"
    if plain in (login, login * 2) or (len(login) >= LENGTH_MIN and login in plain):
        return "password.login"
    return ""


def one_time() -> str:
    """Return a random password that somebody else will read and then replace."""
    return secrets.token_urlsafe(ONE_TIME_BYTES)


class PasswordHashes:
    """argon2id in a bounded pool of threads, so that the loop of the room never waits for it."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(max_workers=HASH_THREADS, thread_name_prefix="argon2")
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether a password fits. stored None: an unknown user, who costs the same time as a known one."""
        fits = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._fits, stored or self._nobody, password
        )
        return fits and stored is not None

    def hash_blocking(self, password: str) -> str:
        """Hash in the caller's thread: for the command line."""
        return self._hasher.hash(password)

    def _fits(self, stored: str, password: str) -> bool:
        if len(password) > LENGTH_MAX:
            return False
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
