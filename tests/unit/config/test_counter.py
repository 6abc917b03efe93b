"""What the start says where the books and the configuration differ about meters."""

from dataclasses import replace
from pathlib import Path

from billing_core.plan import NO_OPTIONS
from billing_core.state import Terms
from config.counter import overridden
from config.plant import load


def test_a_ratio_and_a_meter_of_the_books_are_named(demo_folder: Path) -> None:
    plant = load(demo_folder)
    row = next(row for row, point in enumerate(plant.points) if point.id == "p-e-a102")
    point = plant.points[row]
    same = Terms(
        point.id, point.meter, "t-s02", point.medium, point.unit, point.milli_per_count, point.modulus_counts,
        plant.plans[point.tariff], NO_OPTIONS,
    )  # fmt: skip
    assert list(overridden(plant, {row: same})) == []
    told = list(overridden(plant, {row: replace(same, milli_per_count=300, meter="e-old")}))
    assert len(told) == 2
    assert "p-e-a102: meter is e-old in the books" in told[0]
    assert "is 300 in the books, by a swap or change of ratio, and 200 in the configuration" in told[1]
