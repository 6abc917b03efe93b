"""Daily shapes of loads, and the smooth noise that makes them look alive.

Rule: pure functions of a seed and a plant time; the same seed and time give the same number on every machine.
"""

from datetime import datetime, tzinfo
from typing import Final, Literal, get_args

Shape = Literal["office", "workshop", "residential", "flat", "night"]
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)

NS_PER_S: Final = 1_000_000_000
HOURS: Final = 24
SATURDAY: Final = 5  # datetime.weekday()

# Fraction of the nominal load at each full hour, (working day, weekend); between hours the value runs straight.
# Drawn after typical load curves of Chinese commercial parks: two working peaks with a lunch dip, an evening
# peak at home, lights from dusk to dawn.
_DAYS: Final[dict[Shape, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "office": (
        (.10, .10, .09, .09, .09, .10, .14, .28, .62, .86, .95, .97, .78, .82, .96, 1., .97, .88, .62, .44, .32, .22,
         .15, .12),
        (.10, .09, .09, .09, .09, .09, .10, .12, .16, .20, .22, .22, .20, .20, .22, .22, .20, .18, .16, .14, .13, .12,
         .11, .10),
    ),
    "workshop": (
        (.34, .32, .31, .31, .32, .36, .48, .76, .94, .99, 1., .97, .70, .92, .99, 1., .98, .90, .78, .72, .66, .58,
         .46, .38),
        (.26, .25, .25, .25, .25, .26, .30, .38, .46, .48, .48, .46, .40, .44, .46, .46, .44, .40, .36, .34, .32, .30,
         .28, .27),
    ),
    "residential": (
        (.24, .20, .18, .17, .17, .22, .40, .52, .40, .32, .30, .36, .46, .38, .32, .32, .38, .56, .82, .97, 1., .90,
         .62, .38),
        (.28, .23, .20, .18, .18, .20, .30, .44, .54, .56, .54, .60, .68, .58, .52, .52, .56, .68, .88, 1., .99, .90,
         .68, .44),
    ),
    "flat": ((1.0,) * HOURS, (1.0,) * HOURS),
    "night": (
        (1., 1., 1., 1., 1., .96, .50, .10, .04, .04, .04, .04, .04, .04, .04, .04, .06, .34, .88, 1., 1., 1., 1., 1.),
        (1., 1., 1., 1., 1., .96, .50, .10, .04, .04, .04, .04, .04, .04, .04, .04, .06, .34, .88, 1., 1., 1., 1., 1.),
    ),
}  # fmt: skip

# Two octaves: what people do over ten minutes, and what compressors and lifts do over fifteen seconds.
OCTAVES: Final = ((600 * NS_PER_S, 0.10), (15 * NS_PER_S, 0.03))

_MASK: Final = (1 << 64) - 1


def levels(utc_ns: int, zone: tzinfo) -> dict[Shape, float]:
    """Return the fraction of nominal load of every shape at a plant time, in the site's zone; 0..1."""
    local = datetime.fromtimestamp(utc_ns / NS_PER_S, zone)
    today = int(local.weekday() >= SATURDAY)
    tomorrow = int((local.weekday() + 1) % 7 >= SATURDAY)
    past_hour = (local.minute * 60 + local.second + local.microsecond / 1e6) / 3600.0
    following = local.hour + 1
    return {
        shape: days[today][local.hour] * (1.0 - past_hour)
        + (days[today][following] if following < HOURS else days[tomorrow][0]) * past_hour
        for shape, days in _DAYS.items()
    }


def mix(seed: int, index: int) -> int:
    """Return 64 well-mixed bits of two integers (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    z = (seed * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def unit_random(seed: int, index: int) -> float:
    """Return a number in [-1, 1) that depends on nothing but the seed and the index."""
    return mix(seed, index) / (1 << 63) - 1.0


class Noise:
    """Smooth noise of one seed over plant time: grid values joined by a curve without corners.

    It only remembers the grid cell it is in, so that a step inside the cell costs no hash.
    """

    __slots__ = ("_cells", "_seed")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._cells: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * len(OCTAVES)

    def at(self, utc_ns: int) -> float:
        """Return the noise at a plant time, within +- the sum of the octaves' amplitudes."""
        total = 0.0
        for octave, (period_ns, amplitude) in enumerate(OCTAVES):
            index, rest = divmod(utc_ns, period_ns)
            cell, left, right = self._cells[octave]
            if cell != index:
                left = unit_random(self._seed + octave, index)
                right = unit_random(self._seed + octave, index + 1)
                self._cells[octave] = (index, left, right)
            x = rest / period_ns
            total += amplitude * (left + (right - left) * x * x * (3.0 - 2.0 * x))
        return total
