"""One payload to values, for tools and tests: the bulk decoder's kernel on a table of one slot.

Rule: pure, and no second meaning: whatever a payload says here, it says in the scan.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers import bulk_kernel
from drivers.bulk_kernel import Slots
from drivers.bulk_program import H_BILL, H_POSITION, NOWHERE, Program, make_program
from drivers.pollplan import Block
from drivers.profile import Profile
from drivers.replies import FRESH_SLOT
from scada.image import Columns, Layout
from scada.quality import GOOD, is_bad
from scada.stage import staged_columns

UNSIGNED_64: Final = "u64"


class Decoded(NamedTuple):
    """What one block says. Row i of the arrays is `block.registers[i]`."""

    values: npt.NDArray[np.float64]  # (k,) engineering units; meaningless where the quality is bad
    quality: npt.NDArray[np.uint32]  # (k,)
    good: bool  # every row is good
    billing_raw: int | None  # counts of the billing register; None when it is not in this block
    billing_quality: int
    rates_raw: tuple[int, ...]  # counts of the rate registers read with it, NO_RATE where none; () when not in here
    position: int | None  # Dbpos of the switch; None when it is not in this block or cannot be believed


class Decoder:
    """The decoder of one device: a profile with the device's transformer ratios and its poll plan."""

    def __init__(self, profile: Profile, ct: int, pt: int, plan: Sequence[Block]) -> None:
        """ValueError for a profile that cannot be decoded."""
        self._profile = profile
        self._plan = tuple(plan)
        self._programs = tuple(make_program(profile, block, [(ct, pt)]) for block in plan)

    def decode(self, block: int, payload: bytes, utc_ns: int = 0, offset_s: int = 0) -> Decoded:
        """Decode the checked payload of block number `block` of the plan. ValueError for another length than its own.

        utc_ns, offset_s: receipt, and local time of the site less UTC; for clocks
        """
        size = self._plan[block].payload_bytes
        if len(payload) != size:
            raise ValueError(f"block {block} holds {size} bytes, not {len(payload)}")
        program = self._programs[block]
        layout = Layout({"tags": len(program.registers), "points": 1, "accounts": 0, "alarms": 0}, b"")
        staged = staged_columns(Columns.private(layout))
        bulk_kernel.decode(program, _one_slot(program, payload, utc_ns), staged, 0, 1, offset_s)
        values, quality = program.scratch_values.copy(), program.scratch_quality.copy()
        bill, position = int(program.head[H_BILL]), int(program.head[H_POSITION])
        known = position != NOWHERE and not is_bad(int(quality[position]))
        return Decoded(
            values,
            quality,
            not quality.any(),
            None if bill == NOWHERE else self._counts(block, program, bill),
            GOOD if bill == NOWHERE else int(quality[bill]),
            () if bill == NOWHERE else self._rates(program),
            int(values[position]) if known else None,
        )

    def _counts(self, block: int, program: Program, at: int) -> int:
        counts = int(program.scratch_counts[at])
        register = self._profile.registers[self._plan[block].registers[at]]
        return counts + (1 << 64) if counts < 0 and register.type == UNSIGNED_64 else counts

    def _rates(self, program: Program) -> tuple[int, ...]:
        billing = self._profile.billing
        assert billing is not None  # the caller has looked
        return tuple(int(bulk_kernel.rate(program, n)) for n in range(len(billing.rates)))


def _one_slot(program: Program, payload: bytes, utc_ns: int) -> Slots:
    k = len(program.registers)
    return Slots(
        np.frombuffer(payload, dtype=np.uint8).reshape(1, -1).copy(),
        np.array([utc_ns], dtype=np.int64),
        np.array([FRESH_SLOT], dtype=np.uint8),
        np.arange(k, dtype=np.int64).reshape(1, k),
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.array([NOWHERE], dtype=np.int64),
    )
