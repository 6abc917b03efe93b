"""A park for each test or module that asks for one; a process that outlives its park fails the test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plant.park import Park


@pytest.fixture
def make_park(tmp_path: Path) -> Iterator[Callable[..., Park]]:
    """Return a maker of parks; every park is stopped at the end and must leave no process behind."""
    yield from _maker(tmp_path)


@pytest.fixture(scope="module")
def make_shared_park(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Park]]:
    """Return a maker of parks that serve all tests of a module."""
    yield from _maker(tmp_path_factory.mktemp("shared"))


def _maker(folder: Path) -> Iterator[Callable[..., Park]]:
    made: list[Park] = []

    def make(name: str = "park", **options: Any) -> Park:
        made.append(Park(folder / name, **options))
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that judge a whole module to its end, whatever order the others have."""
    ends: dict[str, list[pytest.Item]] = {}
    rest = []
    for item in items:
        if item.get_closest_marker("at_the_end"):
            ends.setdefault(str(item.path), []).append(item)
        else:
            rest.append(item)
    if not ends:
        return
    last = {str(item.path): place for place, item in enumerate(rest)}
    ordered: list[pytest.Item] = []
    for place, item in enumerate(rest):
        ordered.append(item)
        if last[str(item.path)] == place:
            ordered += ends.pop(str(item.path), [])
    items[:] = ordered + [item for left in ends.values() for item in left]
