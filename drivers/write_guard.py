"""What may be written to a Modbus device: its switch and what the profile lists, and never a counter of the meter.

Many meters take a write to a counter as an order to set it: writing 0 to the totals of a DDS238 erases them.
Rule: every write to a device goes through `guarded_write`, from a command and from a tool alike; a counter that the
profile reads stays out of reach even when the profile lists it by mistake.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from drivers.modbus import BIT_READS, BIT_WRITES, READ_WRITE, Request, read_write_request, write_request
from drivers.profile import Profile, Register, Switch

# Writes that reach the same table of the device: function of a write -> functions that a profile may have listed it by
SAME_TABLE: Final[dict[int, frozenset[int]]] = {
    5: frozenset({5, 15}), 15: frozenset({5, 15}),
    6: frozenset({6, 16, 23}), 16: frozenset({6, 16, 23}), 23: frozenset({6, 16, 23}),
}  # fmt: skip
# A cumulative register of a profile is known by its unit; it is protected whether it is charged or not.
COUNTER_UNITS: Final = frozenset({"Wh", "kWh", "MWh", "varh", "kvarh", "VAh", "kVAh", "MJ", "GJ", "m3", "L", "t"})


class WriteRefusedError(ValueError):
    """A write that the profile of the device does not allow."""


def guarded_write(profile: Profile, unit: int, function: int, address: int, values: Sequence[int]) -> Request:
    """Make a write of function 5, 6, 15 or 16. WriteRefusedError when the profile does not allow it."""
    check_write(profile, function, address, len(values))
    return write_request(unit, function, address, values)


def guarded_read_write(
    profile: Profile, unit: int, address: int, count: int, write_address: int, values: Sequence[int]
) -> Request:
    """Make a write and read of function 23. WriteRefusedError when the profile does not allow the write."""
    check_write(profile, READ_WRITE, write_address, len(values))
    return read_write_request(unit, address, count, write_address, values)


def check_write(profile: Profile, function: int, address: int, count: int) -> None:
    """Raise WriteRefusedError unless the profile allows to write `count` registers (or coils) from `address`."""
    last = address + count - 1
    where = f"function {function}, address {address:04X}" + (f" to {last:04X}" if count > 1 else "")
    for register in protected(profile, function):
        if address < register.address + register.words and register.address <= last:
            raise WriteRefusedError(f"{profile.id}: {where} would change the counter {register.measure}")
    if not _is_allowed(profile, function, address, last):
        raise WriteRefusedError(
            f"{profile.id}: {where} is neither its switch nor listed under `writable`; nothing else is ever written"
        )


def protected(profile: Profile, function: int) -> Iterator[Register]:
    """Yield the counters that a write of this function could change.

    Input registers (function 4) cannot be written, but many meters show one memory under both functions.
    """
    if function in BIT_WRITES:
        return
    charged = {profile.billing.measure, *profile.billing.rates} if profile.billing is not None else set()
    for register in profile.registers:
        if register.function not in BIT_READS and (register.measure in charged or register.unit in COUNTER_UNITS):
            yield register


def _is_allowed(profile: Profile, function: int, address: int, last: int) -> bool:
    if profile.switch is not None and _is_switch(profile.switch, function, address, last):
        return True
    tables = SAME_TABLE.get(function, frozenset())
    return any(w.function in tables and w.first <= address and last <= w.last for w in profile.writable)


def _is_switch(switch: Switch, function: int, address: int, last: int) -> bool:
    return (function, address, last) == (switch.function, switch.address, switch.address)
