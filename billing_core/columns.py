"""The integer tables the billing kernel works on: which column of which table holds what.

Every table is a C-ordered int64 array with one row per supply point, calendar entry or charge. Rule: a column is added
here and nowhere else; kernel, reference, engine and store use these names, never a number.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64]
NEVER: Final = -1  # last_s of a point that has never had a good reading
NO_PRICE: Final = -1  # price of a minute that the tariff does not cover

# Why a point is not billed. Doubts stay until the register proves them wrong (see registers.py) or a person decides.
HELD: Final = ("none", "reverse", "jump", "no_price", "range", "limit", "meter")
HELD_NONE: Final = 0
HELD_REVERSE: Final = 1  # register went back and it is no rollover
HELD_JUMP: Final = 2  # register went forward faster than the connection can carry
HELD_NO_PRICE: Final = 3  # part of the interval lies in a minute without price
HELD_RANGE: Final = 4  # reading outside [0, modulus)
HELD_LIMIT: Final = 5  # charge or balance would leave the int64 scale (bounds.py)
HELD_METER: Final = 6  # configuration names another meter than the books

# Terms of supply, constant while the engine runs.
T_MILLI_PER_COUNT: Final = 0
T_MODULUS: Final = 1
T_MAX_MILLI_PER_S: Final = 2
T_READING_MAX_MILLI: Final = 3  # the largest quantity one reading may bring (bounds.py)
T_ACCOUNT: Final = 4
T_TARIFF: Final = 5
TERMS_WIDTH: Final = 6

# State of a point. The first block is kept in the books, the second is derived.
S_LAST_RAW: Final = 0  # last billed register
S_LAST_S: Final = 1  # its source time, whole UTC seconds; NEVER before the first
S_MOVED_S: Final = 2  # when the register was last seen to move
S_HELD: Final = 3  # index into HELD
S_HELD_RAW: Final = 4  # last doubtful register while held
S_HELD_S: Final = 5
S_FIRST_RAW: Final = 6  # register at which billing of this point began
S_FIRST_S: Final = 7
S_BILLED_MILLI: Final = 8  # quantity charged since then
S_CHARGED_NANO: Final = 9  # money charged since then
STATE_KEPT: Final = 10
S_OPEN_RAW: Final = 10  # the open charge: from (OPEN_RAW, OPEN_S) to (LAST_RAW, LAST_S) ...
S_OPEN_S: Final = 11
S_OPEN_END_S: Final = 12  # ... inside one calendar entry that ends here
S_OPEN_PRICE: Final = 13
S_OPEN_RATE: Final = 14
S_CHANGED_SCAN: Final = 15  # scan in which quantity, money, price or hold last changed
STATE_WIDTH: Final = 16

# Schedule (schedule.py): entry k holds from START to the next entry's START.
E_START_S: Final = 0
E_RATE: Final = 1  # index into plan.RATES, -1 where none
E_PRICES: Final = 2  # row of `prices`, -1 where there is no price
E_BOUNDS: Final = 3  # row of `bounds` and `volume`
E_PERIOD: Final = 4  # UTC second in which the accumulation period begins; when it changes the tier position is 0
ENTRY_WIDTH: Final = 5
UNBOUNDED_MILLI: Final = 2**62  # upper bound of the last tier and of unused ones: beyond every quantity (bounds.py)

# Calendar: entries of all tariffs one after the other; entry k holds from START to the next entry's START.
C_START_S: Final = 0
C_PRICE: Final = 1  # micro per unit, NO_PRICE where none
C_RATE: Final = 2
CALENDAR_WIDTH: Final = 3

# A charge row: everything needed to compute it again, given the terms of its point.
R_POINT: Final = 0
R_RAW_FROM: Final = 1  # the two readings ...
R_FROM_S: Final = 2
R_RAW_TO: Final = 3
R_TO_S: Final = 4
R_SEGMENT_FROM_S: Final = 5  # ... and the part of the interval between them that this row prices
R_SEGMENT_TO_S: Final = 6
R_RATE: Final = 7
R_PRICE_MICRO: Final = 8
R_MILLI: Final = 9
R_NANO: Final = 10
ROW_WIDTH: Final = 11
