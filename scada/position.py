"""The position of a switch as two contacts report it: Dbpos of IEC 61850-7-3.

Positions are meant in the sense of a circuit, for valves too: CLOSED supplies, OPEN interrupts. A shut valve is
OPEN; the pages word it for people.

Rule: numbers and their words only; how a device reports them is a driver's matter.
"""

from typing import Final

INTERMEDIATE: Final = 0
OPEN: Final = 1
CLOSED: Final = 2
BAD_STATE: Final = 3
POSITIONS: Final = ("intermediate", "open", "closed", "bad")
TARGETS: Final = (OPEN, CLOSED)  # what a command may ask for
