"""The integer tables the billing kernel works on: which column of which table holds what.

Every table is a C-ordered int64 array with one row per supply point, entry of a schedule or charge. Rule: a column is
added here and nowhere else; kernel, reference, engine and store use these names, never a number.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64]
NEVER: Final = -1  # last_s of a point that has never had a good reading
NO_PRICE: Final = -1  # price of a minute that the tariff does not cover
NO_REGISTER: Final = -1  # rate register that the meter does not have, or that was not read
RATES_MOST: Final = 5  # sharp, peak, flat, valley, deep valley: meters keep a register for each

# Why a point is not billed. Doubts stay until the register proves them wrong (see registers.py) or a person decides.
HELD: Final = ("none", "reverse", "jump", "no_price", "range", "limit", "meter")
HELD_NONE: Final = 0
HELD_REVERSE: Final = 1  # register went back and it is no rollover
HELD_JUMP: Final = 2  # register went forward faster than the connection can carry
HELD_NO_PRICE: Final = 3  # part of the interval lies in a minute without price
HELD_RANGE: Final = 4  # reading outside [0, modulus)
HELD_LIMIT: Final = 5  # charge or balance would leave the int64 scale (bounds.py)
HELD_METER: Final = 6  # configuration names another meter than the books

# Terms of supply. A person's change gives a point other ones (engine.retarget).
T_MILLI_PER_COUNT: Final = 0
T_MODULUS: Final = 1
T_MAX_MILLI_PER_S: Final = 2
T_READING_MAX_MILLI: Final = 3  # the largest quantity one reading may bring (bounds.py)
T_ACCOUNT: Final = 4
T_SCHEDULE: Final = 5  # index into the schedules: plan and tier options
T_TERMS: Final = 6  # local number of the Terms in force, index into Checkpoint.terms
TERMS_WIDTH: Final = 7

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
S_POSITION_MILLI: Final = 10  # tier position: quantity charged in the accumulation period ...
S_PERIOD: Final = 11  # ... of this number, which is the one in force at LAST_S
S_RATE_RAW: Final = 12  # RATES_MOST columns: rate registers read with LAST_RAW; NO_REGISTER where none
STATE_KEPT: Final = S_RATE_RAW + RATES_MOST
S_OPEN_RAW: Final = STATE_KEPT  # the open charge: from (OPEN_RAW, OPEN_S) to (LAST_RAW, LAST_S) ...
S_OPEN_S: Final = STATE_KEPT + 1
S_OPEN_END_S: Final = STATE_KEPT + 2  # ... inside one entry of the schedule that ends here
S_OPEN_PRICE: Final = STATE_KEPT + 3
S_OPEN_RATE: Final = STATE_KEPT + 4
S_OPEN_TIER: Final = STATE_KEPT + 5
S_OPEN_POSITION: Final = STATE_KEPT + 6  # tier position at OPEN_RAW
S_OPEN_BOUND: Final = STATE_KEPT + 7  # tier position up to which the open price holds
S_CHANGED_SCAN: Final = STATE_KEPT + 8  # scan in which quantity, money, price or hold last changed
STATE_WIDTH: Final = STATE_KEPT + 9

# Schedule: entries of all schedules one after the other; entry k holds from E_START_S to the next entry's.
E_START_S: Final = 0
E_RATE: Final = 1
E_PRICES: Final = 2  # row of the prices by tier, micro; -1: no price
E_BOUNDS: Final = 3  # row of the upper bounds of the tiers, milli
E_PERIOD: Final = 4  # number of the accumulation period: changes exactly where the tier position returns to zero
ENTRY_WIDTH: Final = 5
UNBOUNDED_MILLI: Final = 2**62  # upper bound of the last tier and of the unused ones

# A charge row: everything needed to compute it again, given its terms.
R_POINT: Final = 0
R_TERMS: Final = 1  # local number, index into Checkpoint.terms
R_RAW_FROM: Final = 2  # the two readings ...
R_FROM_S: Final = 3
R_RAW_TO: Final = 4
R_TO_S: Final = 5
R_SEGMENT_FROM_S: Final = 6  # ... and the part of the interval between them that this row prices
R_SEGMENT_TO_S: Final = 7
R_RATE: Final = 8
R_TIER: Final = 9
R_POSITION_MILLI: Final = 10  # tier position before the row
R_PRICE_MICRO: Final = 11
R_MILLI: Final = 12
R_NANO: Final = 13
R_KIND: Final = 14
R_METHOD: Final = 15
ROW_WIDTH: Final = 16

# What the rate registers of a meter said at both ends of an interval that they split (METHOD_REGISTERS).
V_POINT: Final = 0
V_TERMS: Final = 1  # local number, index into Checkpoint.terms
V_FROM_S: Final = 2
V_TO_S: Final = 3
V_BEFORE: Final = 4  # RATES_MOST columns, read at V_FROM_S; NO_REGISTER where none
V_AFTER: Final = V_BEFORE + RATES_MOST  # RATES_MOST columns, read at V_TO_S
EVIDENCE_WIDTH: Final = V_AFTER + RATES_MOST

# What a row is.
KINDS: Final = ("metered", "uplift", "reversal", "recharge", "estimate")
KIND_METERED: Final = 0
KIND_UPLIFT: Final = 1  # volume tiers: earlier units of the period at the difference of price; no quantity of its own
KIND_REVERSAL: Final = 2  # takes back a row
KIND_RECHARGE: Final = 3  # charges again what was taken back
KIND_ESTIMATE: Final = 4  # given by a person for the gap of a meter swap

# How the quantity of a row was found.
METHODS: Final = ("read", "time", "registers", "person")
METHOD_READ: Final = 0  # the interval lies in one entry
METHOD_TIME: Final = 1  # the interval was split in proportion to time: an estimate
METHOD_REGISTERS: Final = 2  # the interval was split by the meter's own rate registers
METHOD_PERSON: Final = 3
