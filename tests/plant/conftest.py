"""A park for each test that asks for one; a process that outlives its test fails it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plant.park import Park


@pytest.fixture
def make_park(tmp_path: Path) -> Iterator[Callable[..., Park]]:
    """Return a maker of parks; every park is stopped at the end and must leave no process behind."""
    made: list[Park] = []

    def make(name: str = "park", **options: Any) -> Park:
        made.append(Park(tmp_path / name, **options))
        return made[-1]

    yield make
    left: dict[str, int] = {}
    for park in made:
        try:
            park.stop()
            left |= park.pids()
        finally:
            park.destroy()
    assert not left, f"processes left behind: {left}"
