"""What the tests against foreign peers share: nothing that was begun is left when a test ends."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_thread_is_left_behind(reactor_loop: Any) -> Iterator[None]:
    """Fail a test that leaves a thread. The reactor's own, and its pool for blocking work, live as long as the run."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("asyncio_")]
    for thread in left:
        thread.join(5.0)
    assert not [thread for thread in left if thread.is_alive()]


async def _checked(work: Coroutine[Any, Any, None]) -> None:
    await work
    await asyncio.sleep(0.02)  # what was closed may finish
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"


@pytest.fixture
def run_to_end() -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a coroutine on a fresh loop; a task it leaves behind fails the test."""
    return lambda work: asyncio.run(_checked(work))
