"""Checks of meter profiles: register maps that can be read, charged and switched without doubt.

Rule: a profile is judged by itself; which devices use it does not matter.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final

from config.loader import Placed, Sources, listed, nearest
from config.profile_schema import RegisterTable
from config.protocol_checks import BINARY_TYPES, COUNTED_TYPES, bytes_of, clash, words_of
from config.tagging import RESERVED
from scada.errors import Fault

BIT_FUNCTIONS: Final = (1, 2)  # coils and discrete inputs; 3 and 4 read 16-bit registers
ADDRESSES: Final = 65536
MILLI: Final = 1000
FLOAT_PARTS: Final = 1 << 29  # 24 bits of a single and 29 fit into a double: its count is exact (drivers.bulk_program)


def registers(sources: Sources) -> Iterator[Fault]:
    """Each register alone: function, size, plausibility, the patterns that count and that mean absence."""
    for placed in sources.many("profile"):
        for register in placed.item.registers:
            if register.function is not None and register.address is not None:
                yield from _modbus(placed, register, register.address)
            yield from _register(placed, register)


def _modbus(placed: Placed[Any], register: RegisterTable, address: int) -> Iterator[Fault]:
    place = f"registers.{register.measure}"
    words = words_of(register)
    if (register.type == "bit") != (register.function in BIT_FUNCTIONS):
        allowed = "function 1 or 2 for type bit, 3 or 4 for every other"
        yield placed.fault(f"{place}.function", f"function {register.function} with type {register.type}", allowed)
    if address + words > ADDRESSES:
        yield placed.fault(f"{place}.address", f"ends behind register {ADDRESSES - 1}", f"at most {ADDRESSES - words}")
    if words > placed.item.max_registers:
        wrong = f"{register.type} needs {words} registers in one read"
        yield placed.fault(f"{place}.type", wrong, f"at most max_registers = {placed.item.max_registers}")


def _register(placed: Placed[Any], register: RegisterTable) -> Iterator[Fault]:
    place = f"registers.{register.measure}"
    bits = 8 * bytes_of(register)
    if register.absent is not None and register.absent >> bits:
        yield placed.fault(f"{place}.absent", f"{register.absent:#x} does not fit", f"{bits} bits")
    if register.mask and register.type not in BINARY_TYPES:
        yield placed.fault(f"{place}.mask", f"means nothing with type {register.type}", ", ".join(BINARY_TYPES))
    elif register.mask >> bits:
        yield placed.fault(f"{place}.mask", f"{register.mask:#x} does not fit", f"{bits} bits")
    if register.low is not None and register.high is not None and register.low >= register.high:
        yield placed.fault(f"{place}.low", f"{register.low:g} is not below high {register.high:g}", "low below high")


def overlaps(sources: Sources) -> Iterator[Fault]:
    """Two registers of one function share no address (but for masks that share no bit), two measures no name."""
    for placed in sources.many("profile"):
        named: set[str] = set()
        taken: dict[tuple[int, int], list[RegisterTable]] = {}
        for register in placed.item.registers:
            place = f"registers.{register.measure}"
            if register.measure in named:
                yield placed.fault(f"{place}.measure", f"'{register.measure}' stands twice", "each measure once")
            named.add(register.measure)
            function, start = register.function, register.address
            if function is None or start is None:
                continue
            span = range(start, start + words_of(register))
            other = next((o for at in span for o in taken.get((function, at), ()) if clash(register, o)), None)
            if other is not None:
                wrong = f"{span.start:#06x}-{span.stop - 1:#06x} overlaps '{other.measure}'"
                yield placed.fault(f"{place}.address", wrong, "addresses that no other register covers")
            for at in span:
                taken.setdefault((function, at), []).append(register)


def tag_collisions(sources: Sources) -> Iterator[Fault]:
    """A register may not take the name of a tag that the core computes for the device."""
    for placed in sources.many("profile"):
        for register in placed.item.registers:
            if register.measure in RESERVED:
                wrong = f"tag '{register.measure}' of every device with this profile would exist twice"
                yield placed.fault(f"registers.{register.measure}.measure", wrong, f"not one of {listed(RESERVED)}")


def billing(sources: Sources) -> Iterator[Fault]:
    """The charged register is an integer of the same profile, and its weight agrees with its scale."""
    for placed in sources.many("profile"):
        bill = placed.item.billing
        if bill is None:
            continue
        measures = {register.measure: register for register in placed.item.registers}
        register = measures.get(bill.measure)
        if register is None:
            wrong = f"unknown measure '{bill.measure}'{nearest(bill.measure, measures)}"
            yield placed.fault("billing.measure", wrong, listed(measures))
            continue
        yield from _billing_register(placed, register)
        if placed.item.medium == "electricity" and not (placed.item.phases and placed.item.voltage_v):
            wrong = "missing, and this electricity meter is charged"
            yield placed.fault("phases", wrong, "phases 1 or 3 and voltage_v, from which the possible load follows")


def _billing_register(placed: Placed[Any], register: RegisterTable) -> Iterator[Fault]:
    bill = placed.item.billing
    if register.type == "f32":
        yield from _billing_float(placed, register)
        return
    if register.type not in COUNTED_TYPES or register.mask:
        allowed = f"an integer type without a mask: {', '.join(COUNTED_TYPES)}"
        yield placed.fault("billing.measure", f"'{register.measure}' is of type {register.type}", allowed)
        return
    if register.scale * MILLI != bill.milli_per_count:
        wrong = f"{bill.milli_per_count}, but '{register.measure}' has the scale {register.scale}"
        yield placed.fault("billing.milli_per_count", wrong, f"scale x 1000 = {register.scale * MILLI:f}")
    most = 100**register.size if register.type == "bcd" else 1 << 8 * bytes_of(register) - register.type.startswith("s")
    if bill.modulus_counts > most:
        wrong = f"{bill.modulus_counts} does not fit into {register.type}"
        yield placed.fault("billing.modulus_counts", wrong, f"at most {most}")


def _billing_float(placed: Placed[Any], register: RegisterTable) -> Iterator[Fault]:
    """A charged float is counted in whole parts of its unit: scale x 1000 / milli_per_count is the number of parts."""
    bill = placed.item.billing
    parts = Fraction(register.scale) * MILLI / bill.milli_per_count
    if max(parts.numerator, parts.denominator) >= FLOAT_PARTS:
        wrong = f"{bill.milli_per_count}, so that one count is {1 / parts} of what '{register.measure}' shows"
        yield placed.fault("billing.milli_per_count", wrong, f"a resolution coarser than 1/{FLOAT_PARTS}")


def switches(sources: Sources) -> Iterator[Fault]:
    """A switch reads position and current from registers of its profile, and every raw value means one thing."""
    for placed in sources.many("profile"):
        switch = placed.item.switch
        if switch is None:
            continue
        measures = {register.measure for register in placed.item.registers}
        for key in ("position", "current"):
            name = getattr(switch, key)
            if name and name not in measures:
                wrong = f"unknown measure '{name}'{nearest(name, measures)}"
                yield placed.fault(f"switch.{key}", wrong, listed(measures))
        raw = switch.open_raw + switch.closed_raw + switch.intermediate_raw
        for value in sorted({value for value in raw if raw.count(value) > 1}):
            yield placed.fault("switch", f"raw value {value:#06x} stands for two positions", "each raw value once")
        if switch.open_value is not None and switch.open_value == switch.close_value:
            wrong = f"{switch.close_value:#06x} for both directions"
            yield placed.fault("switch.close_value", wrong, "a value other than open_value")


PROFILE_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (
    registers,
    overlaps,
    tag_collisions,
    billing,
    switches,
)
