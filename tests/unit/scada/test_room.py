"""What a room does around its own work."""

import asyncio
import ctypes
from typing import Any

import pytest

from scada import room


class Loop(asyncio.AbstractEventLoop):
    """Keeps what is to be called, and when."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Any]] = []

    def call_later(self, delay: float, callback: Any, *_: Any, **__: Any) -> Any:
        self.later.append((delay, callback))


class Libc:
    def __init__(self) -> None:
        self.trimmed: list[int] = []

    def malloc_trim(self, pad: int) -> int:
        self.trimmed.append(pad)
        return 1


def test_memory_is_given_back_after_the_start_and_then_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, libc = Loop(), Libc()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    room.give_memory_back(loop)
    for count in range(3):
        assert len(loop.later) == count + 1
        loop.later[count][1]()
    assert [delay for delay, _ in loop.later] == [room.GIVE_BACK_FIRST_S, *3 * [room.GIVE_BACK_EVERY_S]]
    assert libc.trimmed == [0, 0, 0]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    room.give_memory_back(loop)
    assert loop.later == []
