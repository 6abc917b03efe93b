"""Which rows of a plant carry what the core computes: system figures, money, loads of breakers.

Rule: looks rows up by tag id, once, at the start of the core.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from config.plant import Plant
from scada.derived import NANO, SYSTEM_MEASURES, DerivedRows, DerivedTags
from scada.image import Columns
from scada.quality import is_good

# a total, or import and export of it; never both in one profile
REACTIVE_MEASURES: Final = ("ReactiveEnergyTotal", "ReactiveEnergyImportTotal", "ReactiveEnergyExportTotal")


def load_kw_of(plant: Plant) -> Callable[[str, Columns], float]:
    """Return the function that tells credit control what load a breaker carries, kW; 0 for one that does not say."""
    units = {"W": 1e-3, "kW": 1.0}
    rows = {}
    for breaker in plant.breakers:
        row = plant.tags.index.get(f"{plant.site.id}/M/{breaker.id}/ActivePowerTotal")
        if row is not None:
            rows[breaker.id] = (row, units[plant.tags.tags[row].unit])

    def load_kw(breaker: str, work: Columns) -> float:
        if breaker not in rows:
            return 0.0
        row, factor = rows[breaker]
        return float(work.tags.value[row]) * factor

    return load_kw


def reactive_milli_of(plant: Plant, work: Columns) -> Callable[[str], int | None]:
    """Return the function that reads a meter's reactive registers, kvarh in thousandths; None: none, or not good now.

    Import and export add up. A register of at most 2**53 counts is exact in the image; it is rounded to a thousandth.
    """
    to_milli = {"varh": 1, "kvarh": 1_000}
    rows: dict[str, list[tuple[int, int]]] = {}
    for device in plant.devices:
        for measure in REACTIVE_MEASURES:
            row = plant.tags.index.get(f"{plant.site.id}/M/{device.id}/{measure}")
            if row is not None:
                rows.setdefault(device.id, []).append((row, to_milli[plant.tags.tags[row].unit]))

    def reactive_milli(meter: str) -> int | None:
        own = rows.get(meter, [])
        if not own or not all(is_good(int(work.tags.quality[row])) for row, _ in own):
            return None
        return sum(abs(round(float(work.tags.value[row]) * factor)) for row, factor in own)

    return reactive_milli


def derived_tags(plant: Plant, work: Columns) -> DerivedTags:
    """Return the writer of computed tags over this plant's rows."""
    edges = [edge for network in plant.networks for edge in network.edges if edge.kind == "breaker"]
    nodes = [node for network in plant.networks for node in network.nodes]
    return DerivedTags(
        work,
        derived_rows(plant),
        plant.networks,
        {edge.id: plant.row("M", edge.device, "Position") for edge in edges},
        {node.id: plant.row("D", node.id, "Energised") for node in nodes},
    )


def derived_rows(plant: Plant) -> DerivedRows:
    """Return the rows of every tag that the core computes."""

    def rows(letter: str, owners: Sequence[Any], measure: str) -> Any:
        return np.array([plant.row(letter, owner.id, measure) for owner in owners], dtype=np.int64)

    return DerivedRows(
        system=np.array([plant.row("X", "core", measure) for measure in SYSTEM_MEASURES], dtype=np.int64),
        balance=rows("T", plant.accounts, "Balance"),
        balance_minor=rows("T", plant.accounts, "BalanceMinor"),
        credit_state=rows("T", plant.accounts, "CreditState"),
        billed=rows("P", plant.points, "Billed"),
        charged=rows("P", plant.points, "Charged"),
        price=rows("P", plant.points, "Price"),
        rate=rows("P", plant.points, "RatePeriod"),
        held=rows("P", plant.points, "Held"),
        rate_check=rows("P", plant.points, "RateRegisters"),
        days_left=rows("T", plant.accounts, "DaysLeft"),
        empty_s=rows("T", plant.accounts, "ForecastEmpty"),
        minor_nano=NANO // 10**plant.site.currency_exponent,
    )
