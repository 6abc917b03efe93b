"""Shares: allocate a common cost over participants so that the cents add up exactly, and find the loss of a network.

Rule: integers only; the same input gives the same shares, whatever the order of the participants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Key = Literal["area", "heads", "usage", "weight", "capacity", "equal"]
KEYS: Final = ("area", "heads", "usage", "weight", "capacity", "equal")
PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Loss:
    """What a main meter counted and its sub-meters did not."""

    lost_milli: int  # main less subs, as counted; negative when clocks or ratios are wrong
    shared_milli: int  # what may be shared: never negative, never above the cap
    notes: tuple[str, ...]  # "negative", "above-cap": somebody must look at the meters


def allocate(total_minor: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share coins in proportion to weights: floors first, then one coin each to the largest remainders.

    total_minor >= 0; weights >= 0, not all zero unless the total is zero. Ties go to the lowest id. Sums exactly.
    """
    assert total_minor >= 0, "a cost is shared, not an income"
    whole = sum(weights.values())
    if whole == 0:
        assert total_minor == 0, "a cost without a participant"
        return dict.fromkeys(weights, 0)
    shares = {name: total_minor * weight // whole for name, weight in weights.items()}
    left = total_minor - sum(shares.values())
    ranked = sorted(weights, key=lambda name: (-(total_minor * weights[name] % whole), name))
    for name in ranked[:left]:
        shares[name] += 1
    return shares


def loss(main_milli: int, subs_milli: Sequence[int], cap_percent: int) -> Loss:
    """Return the loss between a main meter and its sub-meters over the same instants.

    A negative loss is shared as nothing; of a loss above cap_percent of the main quantity only the cap is shared, the
    rest stays with the owner of the network. Both are noted.
    """
    lost = main_milli - sum(subs_milli)
    cap = main_milli * cap_percent // PERCENT
    notes = (("negative",) if lost < 0 else ()) + (("above-cap",) if lost > cap else ())
    return Loss(lost, max(0, min(lost, cap)), notes)
