"""docs/simulated-field.md names every order and every hostile class, and nothing else."""

import re
from pathlib import Path

from drivers.field.catalogue import ORDERS
from drivers.field.hostile import CLASSES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "simulated-field.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[str]:
    """Return the first cells of the table under a heading."""
    section = PAGE.split(f"## {heading}")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.M)


def test_every_order_is_there() -> None:
    assert rows("Orders") == [order.name for order in ORDERS]


def test_every_hostile_class_is_there_in_both_languages() -> None:
    assert rows("Hostile replies") == [wrong.name for wrong in CLASSES]
    for wrong in CLASSES:
        assert f"| {wrong.en} | {wrong.zh} |" in PAGE
