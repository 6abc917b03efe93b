"""The gate alone: guesses sent at once, and one address that keeps it busy."""

import asyncio

from argon2 import PasswordHasher

from opcua_server.security import FAILURES_MAX, Gate, UserRecord

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
READER = UserRecord("reader", CHEAP.hash(PASSWORD), "engineer", disabled=False, must_change=False)


class OneUser:
    """Knows one user and counts how often a password of theirs was looked at."""

    def __init__(self) -> None:
        self.asked = 0

    async def find(self, login: str) -> UserRecord | None:
        self.asked += login == READER.login
        return READER if login == READER.login else None


def test_guesses_sent_at_once_are_counted_like_those_one_after_another() -> None:
    async def run() -> None:
        users = OneUser()
        gate = Gate(users, False, lambda: 0)
        for _ in range(3):
            await asyncio.gather(*(gate.admit("10.9.9.9", "reader", f"guess {k}") for k in range(12)))
        assert users.asked == FAILURES_MAX

    asyncio.run(run())


def test_one_address_cannot_keep_everybody_else_waiting() -> None:
    async def run() -> None:
        gate = Gate(OneUser(), False, lambda: 0)
        flood = asyncio.gather(*(gate.admit("10.9.9.9", f"name-{k}", "guess") for k in range(40)))
        await asyncio.sleep(0)
        assert await gate.admit("10.0.0.1", "reader", PASSWORD) is not None
        assert not any(await flood)

    asyncio.run(run())
