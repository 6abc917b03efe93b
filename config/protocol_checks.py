"""Checks of what only some protocols have: their keys, data identifiers, identity, clock and the write whitelist.

Rule: as in `config.profile_checks`, a profile is judged by itself. A key that a protocol does not know is a fault: it
would be ignored, and whoever wrote it relies on it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.loader import Placed, Sources, listed, nearest
from config.profile_schema import ProfileTable, RegisterTable, SwitchTable
from drivers.cjt188_words import UNITS
from drivers.profile import CLOCK_MILLIS, SWITCH_WORDS, WORDS, Protocol
from drivers.write_guard import COUNTER_UNITS
from scada.errors import Fault

PACKED_TYPES: Final = ("bcd", "sbcd", "clock")
BINARY_TYPES: Final = ("u16", "s16", "u32", "s32", "u64", "s64")
COUNTED_TYPES: Final = ("bcd", *BINARY_TYPES)  # exact numbers
CLOCK_LETTERS: Final = frozenset("mhDMY")  # without one of them a clock cannot be compared with ours


@dataclass(frozen=True, slots=True)
class _Tongue:
    """What one protocol has of a profile."""

    types: tuple[str, ...]
    place: tuple[str, ...]  # keys of a register that say where it lives
    foreign: frozenset[str]  # keys of a register that mean nothing here
    profile_foreign: frozenset[str]
    di_digits: int = 0
    switch_wanted: tuple[str, ...] = ()
    switch_foreign: frozenset[str] = frozenset()


_MODBUS_ONLY: Final = frozenset({"max_registers", "merge_gap", "writable"})
_CJT_ONLY: Final = frozenset({"di_low_first", "meter_type", "any_type"})
_MODBUS_SWITCH: Final = frozenset({"function", "address", "open_value", "close_value"})
TONGUES: Final[Mapping[Protocol, _Tongue]] = {
    "modbus": _Tongue(
        types=("bit", *BINARY_TYPES, "f32", "clock"),
        place=("function", "address"),
        foreign=frozenset({"di", "at", "unit_at"}),
        profile_foreign=_CJT_ONLY | {"wake_bytes", "level", "data"},
        switch_wanted=("function", "address", "open_value", "close_value"),
        switch_foreign=frozenset({"open", "close", "n2", "expiry_s"}),
    ),
    "dlt645-2007": _Tongue(
        types=PACKED_TYPES + BINARY_TYPES,
        place=("di",),
        foreign=frozenset({"function", "address", "unit_at"}),
        profile_foreign=_MODBUS_ONLY | _CJT_ONLY,
        di_digits=8,
        switch_wanted=("open", "close"),
        switch_foreign=_MODBUS_SWITCH,
    ),
    "dlt645-1997": _Tongue(
        types=PACKED_TYPES + BINARY_TYPES,
        place=("di",),
        foreign=frozenset({"function", "address", "unit_at"}),
        profile_foreign=_MODBUS_ONLY | _CJT_ONLY | {"level"},
        di_digits=4,
    ),
    "cjt188": _Tongue(
        types=PACKED_TYPES + BINARY_TYPES,
        place=("di",),
        foreign=frozenset({"function", "address"}),
        profile_foreign=_MODBUS_ONLY | {"level"},
        di_digits=4,
        switch_wanted=("open", "close"),
        switch_foreign=_MODBUS_SWITCH | {"n2", "expiry_s"},
    ),
}


def keys_of_protocol(sources: Sources) -> Iterator[Fault]:
    """Every register and every profile has the keys of its protocol, and no other's."""
    for placed in sources.many("profile"):
        table: ProfileTable = placed.item
        tongue = TONGUES[table.protocol]
        for key in sorted(table.model_fields_set & tongue.profile_foreign):
            yield placed.fault(key, f"means nothing with protocol {table.protocol}", "leave it out")
        for register in table.registers:
            yield from _keys_of_register(placed, register, tongue)


def _keys_of_register(placed: Placed[Any], register: RegisterTable, tongue: _Tongue) -> Iterator[Fault]:
    place, protocol = f"registers.{register.measure}", placed.item.protocol
    for key in tongue.place:
        if getattr(register, key) in (None, ""):
            yield placed.fault(f"{place}.{key}", f"missing, and protocol {protocol} needs it", _PLACES[key])
    for key in sorted(register.model_fields_set & tongue.foreign):
        yield placed.fault(f"{place}.{key}", f"means nothing with protocol {protocol}", "leave it out")
    if register.type not in tongue.types:
        yield placed.fault(f"{place}.type", f"'{register.type}' with protocol {protocol}", ", ".join(tongue.types))
    if register.di and tongue.di_digits and len(register.di) != tongue.di_digits:
        wrong = f"'{register.di}' with protocol {protocol}"
        yield placed.fault(f"{place}.di", wrong, f"{tongue.di_digits} hexadecimal digits in capitals")


_PLACES: Final = {"function": "1 to 4", "address": "0 to 65535", "di": "a data identifier, for example 00010000"}


def forms(sources: Sources) -> Iterator[Fault]:
    """Sizes, clock layouts and unit codes; Modbus registers have a size and a layout only when they are a clock."""
    for placed in sources.many("profile"):
        form = _modbus_form if placed.item.protocol == "modbus" else _form
        for register in placed.item.registers:
            place = f"registers.{register.measure}"
            for key, wrong, allowed in form(register):
                yield placed.fault(f"{place}.{key}", wrong, allowed)


def _modbus_form(register: RegisterTable) -> Iterator[tuple[str, str, str]]:
    """Yield (key, what is wrong, what would be right)."""
    if register.type != "clock":
        for key in sorted(register.model_fields_set & {"size", "layout"}):
            yield key, f"means nothing with type {register.type} of protocol modbus", "leave it out"
        return
    if not register.size or register.size % 2:
        yield "size", f"{register.size} bytes of a clock in registers", "2, 4, 6 or 8"
    if "order" in register.model_fields_set:
        yield "order", "means nothing with type clock, whose layout names each byte", "leave it out"
    yield from _layout(register, register.layout.replace(CLOCK_MILLIS, "s-", "s" not in register.layout))


def _form(register: RegisterTable) -> Iterator[tuple[str, str, str]]:
    """Yield (key, what is wrong, what would be right)."""
    if register.type in PACKED_TYPES:
        if not register.size:
            yield "size", f"missing, and type {register.type} needs it", "bytes of the value, 1 to 8"
        if "order" in register.model_fields_set:
            yield "order", f"means nothing with type {register.type}, whose lowest byte comes first", "leave it out"
    elif register.size not in (0, 2 * WORDS[register.type]):
        wrong = f"{register.size} bytes of type {register.type}"
        yield "size", wrong, f"{2 * WORDS[register.type]}, or leave it out"
    if register.type == "clock":
        yield from _layout(register, register.layout)
    elif register.layout:
        yield "layout", f"means nothing with type {register.type}", "leave it out, or type clock"
    if register.unit_at is not None and register.unit not in UNITS:
        yield "unit", f"'{register.unit}' has no unit code in CJ/T 188", listed(UNITS) + ", or no unit_at"


def _layout(register: RegisterTable, layout: str) -> Iterator[tuple[str, str, str]]:
    """layout: as written, with milliseconds of the minute (Modbus) taken for a second."""
    letters = layout.replace("-", "")
    if len(register.layout) != register.size:
        yield "layout", f"'{register.layout}' for {register.size} bytes", "one letter a byte, in the order of the wire"
    if len(set(letters)) != len(letters):
        yield "layout", f"'{register.layout}' names a byte twice", "each letter once"
    if CLOCK_MILLIS[0] in letters:
        yield "layout", f"'{register.layout}' has milliseconds", "in Modbus alone, as tt and without s"
    if lacking := CLOCK_LETTERS - set(letters):
        wrong = f"'{register.layout}' lacks {', '.join(sorted(lacking))}"
        yield "layout", wrong, "minute, hour, day, month and year at least: m h D M Y"
    if register.unit != "s":
        yield "unit", f"'{register.unit}', and the value of a clock is its deviation", "s"


def places(sources: Sources) -> Iterator[Fault]:
    """Registers of one identifier share no byte (but for masks that share no bit), and all are read in one class."""
    for placed in sources.many("profile"):
        if placed.item.protocol == "modbus":
            continue
        polls: dict[str, RegisterTable] = {}
        taken: dict[tuple[str, int], list[RegisterTable]] = {}
        for register in placed.item.registers:
            place = f"registers.{register.measure}"
            first = polls.setdefault(register.di, register)
            if first.poll != register.poll:
                wrong = f"'{register.poll}', and '{first.measure}' of the same identifier is read each '{first.poll}'"
                yield placed.fault(f"{place}.poll", wrong, "one class for all registers of an identifier")
            span = range(register.at, register.at + bytes_of(register))
            other = next((o for at in span for o in taken.get((register.di, at), ()) if clash(register, o)), None)
            if other is not None:
                wrong = f"bytes {span.start} to {span.stop - 1} of {register.di} overlap '{other.measure}'"
                yield placed.fault(f"{place}.at", wrong, "bytes that no other register covers")
            if register.unit_at is not None and register.unit_at in span:
                yield placed.fault(f"{place}.unit_at", f"{register.unit_at} is within its digits", "another byte")
            for at in span:
                taken.setdefault((register.di, at), []).append(register)


def bytes_of(register: RegisterTable) -> int:
    """Return how many bytes of its identifier's data a register covers."""
    return register.size or 2 * WORDS[register.type]


def words_of(register: RegisterTable) -> int:
    """Return how many registers (or coils) of a Modbus device a register covers."""
    return WORDS[register.type] or -(-register.size // 2)


def clash(one: RegisterTable, other: RegisterTable) -> bool:
    """Tell whether two registers of one place share bits: masks of one whole register may part it."""
    same = (one.at, one.address, one.type, one.order) == (other.at, other.address, other.type, other.order)
    return not (same and one.mask and other.mask and not one.mask & other.mask)


def data_lengths(sources: Sources) -> Iterator[Fault]:
    """[[data]] names identifiers that are read, each once, and holds what is read of them."""
    for placed in sources.many("profile"):
        table: ProfileTable = placed.item
        seen: set[str] = set()
        known = {register.di for register in table.registers}
        for item in table.data if table.protocol != "modbus" else ():
            ends = [max(r.at + bytes_of(r), 1 + (r.unit_at or 0)) for r in table.registers if r.di == item.di]
            if item.di in seen:
                yield placed.fault(f"data.{item.di}", "stands twice", "each identifier once")
            elif not ends:
                wrong = f"no register reads it{nearest(item.di, known)}"
                yield placed.fault(f"data.{item.di}", wrong, listed(known))
            elif max(ends) > item.bytes:
                wrong = f"{item.bytes} bytes, and its registers reach to byte {max(ends)}"
                yield placed.fault(f"data.{item.di}", wrong, f"at least {max(ends)}")
            seen.add(item.di)


def identity_and_clock(sources: Sources) -> Iterator[Fault]:
    """Identity and clock name registers that can be a number of digits and a date."""
    for placed in sources.many("profile"):
        measures = {register.measure: register for register in placed.item.registers}
        for key, types in (("identity", COUNTED_TYPES), ("clock", ("clock",))):
            name = getattr(placed.item, key)
            register = measures.get(name)
            if not name:
                continue
            if register is None:
                wrong = f"unknown measure '{name}'{nearest(name, measures)}"
                yield placed.fault(key, wrong, listed(measures))
            elif register.type not in types or register.mask or (key == "identity" and register.scale != 1):
                wrong = f"'{name}' is of type {register.type}, scale {register.scale}"
                yield placed.fault(key, wrong, f"a register of {', '.join(types)}, scale 1, no mask")
            elif key == "identity" and register.poll != "connect":
                wrong = f"'{name}' is read each '{register.poll}'"
                yield placed.fault(key, wrong, 'poll = "connect": whoever is connected anew is asked who he is')


def switch_keys(sources: Sources) -> Iterator[Fault]:
    """A switch is commanded in the words of its protocol; nothing ever opens a gas valve from afar."""
    for placed in sources.many("profile"):
        table: ProfileTable = placed.item
        switch, tongue = table.switch, TONGUES[table.protocol]
        if switch is None:
            continue
        if not tongue.switch_wanted:
            wrong = f"protocol {table.protocol} has no command for a relay"
            yield placed.fault("switch", wrong, "no [switch]")
            continue
        for key, wrong, allowed in _switch(table, switch, tongue):
            yield placed.fault(f"switch.{key}", wrong, allowed)


def _switch(table: ProfileTable, switch: SwitchTable, tongue: _Tongue) -> Iterator[tuple[str, str, str]]:
    """Yield (key, what is wrong, what would be right)."""
    given, protocol = switch.model_fields_set, table.protocol
    never = {"close", "close_value"} if table.medium == "gas" else set()
    for key in sorted(given & tongue.switch_foreign):
        yield key, f"means nothing with protocol {protocol}", "leave it out"
    for key in tongue.switch_wanted:
        if key not in never and getattr(switch, key) in (None, ""):
            yield key, f"missing, and protocol {protocol} needs it", _words(table, key)
    for key in sorted(given & never):
        yield key, "opens a gas valve from afar", "leave it out: a person opens it on site"
    for key in ("open", "close") if protocol in SWITCH_WORDS else ():
        word = getattr(switch, key)
        if word and word not in _allowed(protocol, key):
            yield key, f"'{word}'{nearest(word, _allowed(protocol, key))}", _words(table, key)


def _allowed(protocol: Protocol, key: str) -> Mapping[str, int]:
    words = SWITCH_WORDS[protocol]
    return words.opening if key == "open" else words.closing


def _words(table: ProfileTable, key: str) -> str:
    if table.protocol in SWITCH_WORDS and key in ("open", "close"):
        return ", ".join(_allowed(table.protocol, key))
    return "the command as the maker's manual has it"


def whitelist(sources: Sources) -> Iterator[Fault]:
    """What may be written never is a register that counts: some models take a 0 and forget all they measured."""
    for placed in sources.many("profile"):
        table: ProfileTable = placed.item
        if table.protocol != "modbus":
            continue
        counting = [r for r in table.registers if r.function == 3 and r.unit in COUNTER_UNITS and r.address is not None]
        for number, item in enumerate(table.writable, start=1):
            if item.first > item.last:
                yield placed.fault(
                    f"writable.{number}", f"{item.first:#06x} is behind {item.last:#06x}", "first <= last"
                )
            for register in counting if item.function in (6, 16) else ():
                start = register.address or 0
                if item.first < start + words_of(register) and start <= item.last:
                    wrong = f"{item.first:#06x}-{item.last:#06x} covers '{register.measure}', which counts"
                    yield placed.fault(f"writable.{number}", wrong, "registers that hold settings")


PROTOCOL_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (
    keys_of_protocol,
    forms,
    places,
    data_lengths,
    identity_and_clock,
    switch_keys,
    whitelist,
)
