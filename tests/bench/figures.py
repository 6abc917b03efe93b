"""Figures beside their bars: how every bench that has bars prints what it found and says whether one was missed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. at_most / at_least: the bar, None where there is none."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def missed(self) -> bool:
        return (self.at_most is not None and not self.value <= self.at_most) or (
            self.at_least is not None and not self.value >= self.at_least
        )

    @property
    def bar(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    @property
    def verdict(self) -> str:
        return "MISSED" if self.missed else "ok" if self.bar else ""


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that `part` (0..1) of the values do not exceed (nearest rank); NaN of nothing."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else math.nan


def report(figures: Sequence[Figure]) -> int:
    """Print the figures as a table; return an exit code: 1 when a bar was missed."""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        print(
            f"{figure.name:<{width}}  {figure.value:>10.4g} {figure.unit:<5} {figure.bar:<9} {figure.verdict}".rstrip()
        )
    return int(any(figure.missed for figure in figures))
