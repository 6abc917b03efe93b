"""Passwords: what is refused, and that hashing and checking fit together."""

import asyncio

import pytest

from hmi.passwords import LENGTH_MAX, PasswordHashes, fault, one_time


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password.short"),
        ("1234567", "password.short"),
        ("12345678", "password.common"),
        ("Password123", "password.common"),
        ("aaaaaaaaaaaa", "password.common"),
        ("operator1", "password.common"),
        ("zhaoliu-zhao", "password.login"),
        ("x" * (LENGTH_MAX + 1), "password.long"),
        ("", "password.short"),
        ("八个汉字也可以的", ""),
        ("correct horse battery", ""),
    ],
)
def test_rules(password: str, code: str) -> None:
    assert fault(password, "zhaoliu-zhao") == code


def test_one_time_passwords_are_accepted_by_the_rules_and_differ() -> None:
    made = {one_time() for _ in range(100)}
    assert len(made) == 100
    assert all(fault(password, "admin") == "" for password in made)


def test_hash_and_verify() -> None:
    async def scene() -> None:
        hashes = PasswordHashes()
        stored = await hashes.hash("correct horse battery")
        assert stored.startswith("$argon2id$")
        assert await hashes.verify(stored, "correct horse battery")
        assert not await hashes.verify(stored, "correct horse batterz")
        assert not await hashes.verify(None, "correct horse battery")
        assert not await hashes.verify("not a hash", "correct horse battery")
        hashes.close()

    asyncio.run(scene())
