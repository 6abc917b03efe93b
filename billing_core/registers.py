"""What one new register reading means, seen from the last one: the same, forward, rolled over, or doubtful.

The rules, which kernel and reference share as a text and not as code:

* forward    reading >= last; the step is believed when it is at most one count more than the connection can carry in
             the time since the register was last seen to move. Stillness counts for REFRESH_S_MAX at most, because
             gateways refresh heat and water registers up to a quarter of an hour late; a gap of hours without
             readings counts in full, so that a restart is no jump.
* rollover   reading < last, last in the top tenth of the range and reading in the lowest tenth, and the step over the
             end is believed as above. A wrap that is not believed is a *reverse*: reset, replaced or tampered.
* doubt      a reverse or a jump stays held until a person decides, with one exception: a reading that follows from the
             last *billed* one and does not follow from the last *doubtful* one shows that the doubt was a glitch, and
             billing goes on. Passing time alone never makes a jump good.
* conditions no_price, range and limit are judged anew with each reading; nothing is billed meanwhile and nothing lost,
             because the last billed register stands.
"""

from typing import Final

from billing_core.columns import HELD_JUMP, HELD_NONE, HELD_REVERSE
from scada.compiled import inlined

REFRESH_S_MAX: Final = 900  # slowest refresh of M-Bus gateways in the field: a quarter of an hour
ROLLOVER_SHARE: Final = 10  # last above 0.9 M, reading below 0.1 M


@inlined
def follow(
    last_raw: int,
    last_s: int,
    moved_s: int,
    raw: int,
    now_s: int,
    milli_per_count: int,
    modulus: int,
    max_milli_per_s: int,
    reading_max_milli: int,
) -> tuple[int, int]:
    """Return (HELD_NONE | HELD_REVERSE | HELD_JUMP, counts used since last). Plain integers; compiled into the kernel.

    moved_s <= last_s < now_s, whole UTC seconds. One second is added as both instants were cut to whole seconds.
    """
    doubt = HELD_JUMP
    counts = raw - last_raw
    if counts < 0:
        doubt = HELD_REVERSE
        tenth = modulus // ROLLOVER_SHARE
        if last_raw <= modulus - tenth or raw >= tenth:
            return doubt, 0
        counts += modulus
    still_s = last_s - moved_s
    if still_s > REFRESH_S_MAX:
        still_s = REFRESH_S_MAX
    believed_milli = max_milli_per_s * (now_s - last_s + still_s + 1)
    if (counts - 1) * milli_per_count > believed_milli or counts * milli_per_count > reading_max_milli:
        return doubt, 0
    return HELD_NONE, counts
