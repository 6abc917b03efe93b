"""The data identifiers that a real DL/T 645 meter answers beside those of its profile, as registers of their own.

Rule: tables. DL/T 645-2007 annex A and DL/T 645-1997 annex A; a row lists identifiers that stand beside each other and
together make the block with FF (2007) or F (1997) in their place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from drivers.profile import Ratio, Register, RegisterType

RATES: Final = ("Sharp", "Peak", "Flat", "Valley")  # tariffs 1 to 4 of Chinese meters
PHASES: Final = ("L1", "L2", "L3")
ENERGIES: Final = ("Total", *(f"Rate{number}" for number in range(1, 5)))


@dataclass(frozen=True, slots=True)
class Item:
    """One identifier. `register` is laid at the start of its data."""

    register: Register
    rate: int = -1  # number of the rate register it shows, counted from 0; -1: none


@dataclass(frozen=True, slots=True)
class _Row:
    first: int  # identifier of the first member
    names: tuple[str, ...]
    type: RegisterType
    size: int
    scale: str
    unit: str
    ratio: Ratio = ""


def _three(name: str) -> tuple[str, ...]:
    return tuple(name + phase for phase in PHASES)


def _four(name: str) -> tuple[str, ...]:
    return (name + "Total", *_three(name))


_ROWS_2007: Final = (
    _Row(0x00000000, tuple("ActiveEnergyImport" + e for e in ENERGIES), "sbcd", 4, "1/100", "kWh", "ctpt"),
    _Row(0x00010000, tuple("ActiveEnergyImport" + e for e in ENERGIES), "bcd", 4, "1/100", "kWh", "ctpt"),
    _Row(0x00020000, tuple("ActiveEnergyExport" + e for e in ENERGIES), "bcd", 4, "1/100", "kWh", "ctpt"),
    _Row(0x00030000, ("ReactiveEnergyTotal",), "sbcd", 4, "1/100", "kvarh", "ctpt"),
    _Row(0x00040000, ("ReactiveEnergyExport",), "sbcd", 4, "1/100", "kvarh", "ctpt"),
    _Row(0x02010100, _three("Voltage"), "bcd", 2, "1/10", "V", "pt"),
    _Row(0x02020100, _three("Current"), "sbcd", 3, "1/1000", "A", "ct"),
    _Row(0x02030000, _four("ActivePower"), "sbcd", 3, "1/10000", "kW", "ctpt"),
    _Row(0x02040000, _four("ReactivePower"), "sbcd", 3, "1/10000", "kvar", "ctpt"),
    _Row(0x02050000, _four("ApparentPower"), "sbcd", 3, "1/10000", "kVA", "ctpt"),
    _Row(0x02060000, _four("PowerFactor"), "sbcd", 2, "1/1000", ""),
)
_ROWS_1997: Final = (
    _Row(0x9010, tuple("ActiveEnergyImport" + e for e in ENERGIES), "bcd", 4, "1/100", "kWh", "ctpt"),
    _Row(0x9020, tuple("ActiveEnergyExport" + e for e in ENERGIES), "bcd", 4, "1/100", "kWh", "ctpt"),
    _Row(0x9110, ("ReactiveEnergyTotal",), "bcd", 4, "1/100", "kvarh", "ctpt"),
    _Row(0xB611, _three("Voltage"), "bcd", 2, "1", "V", "pt"),
    _Row(0xB621, _three("Current"), "bcd", 2, "1/100", "A", "ct"),
    _Row(0xB630, _four("ActivePower"), "bcd", 3, "1/10000", "kW", "ctpt"),
    _Row(0xB640, _four("ReactivePower"), "bcd", 2, "1/100", "kvar", "ctpt"),
    _Row(0xB650, _four("PowerFactor"), "bcd", 2, "1/1000", ""),
)
_SINGLE_2007: Final = ((0x02800002, "Frequency", "bcd", 2, "1/100", "Hz"),)

# Parameters with what they hold as delivered; all of them may be written with the password.
PARAMETERS_2007: Final[dict[int, bytes]] = {
    0x02800001: bytes(3),  # neutral current
    0x02800007: bytes.fromhex("5002"),  # temperature 25.0 °C
    0x02800008: bytes.fromhex("6003"),  # clock battery 3.60 V
    0x02800009: bytes.fromhex("6003"),
    0x0280000A: bytes(4),  # battery work time
    0x00900100: bytes(4), 0x00900101: bytes(4),  # remaining and overdraft energy
    0x00900200: bytes(4), 0x00900201: bytes(4),  # remaining and overdraft money
    0x03330201: bytes(2),  # purchases
    0x04000103: b"\x15", 0x04000104: b"\x01",  # demand period and slide time, min
    0x04000306: bytes.fromhex("010000"), 0x04000307: bytes.fromhex("010000"),  # CT and PT
    0x04000B01: bytes.fromhex("0001"), 0x04000B02: bytes.fromhex("9999"), 0x04000B03: bytes.fromhex("9999"),
    0x04000F01: bytes(4), 0x04000F02: bytes(4),  # alarm energies
    0x04001001: bytes(4), 0x04001002: bytes(4), 0x04001003: bytes(4), 0x04001004: bytes(4), 0x04001005: bytes(4),
    0x04001401: bytes(2), 0x04001402: bytes(3),  # trip delay, relay opening current
}  # fmt: skip
PARAMETERS_1997: Final[dict[int, bytes]] = {
    0xC020: b"\x00", 0xC033: bytes(6), 0xC111: b"\x15", 0xC112: b"\x01", 0xC117: bytes.fromhex("0001"),
}  # fmt: skip

# Identifiers of the clock: the layout of its bytes, lowest first
CLOCKS: Final[dict[int, str]] = {
    0x04000101: "wDMY", 0x04000102: "smh", 0x0400010C: "smhwDMY", 0xC010: "wDMY", 0xC011: "smh",
}  # fmt: skip
NUMBERS: Final = {0x04000401: "address", 0x04000402: "number", 0xC032: "number"}
STATUS_FIRST: Final = 0x04000501  # status words 1 to 7, two bytes each
STATUS_WORDS: Final = 7
STATUS_BLOCK: Final = 0x040005FF
RELAY_WORD: Final = 3
SNAPSHOTS: Final = (0x0501FF01, 0x0504FF01, 0x0506FF01, 0x0507FF01)  # freezes on time, hour, day and settlement


def _members(row: _Row, step: int) -> Iterator[tuple[int, Item]]:
    for number, name in enumerate(row.names):
        di = row.first + number * step
        register = Register(
            name, 0, 0, row.type, Fraction(row.scale), row.unit, name, name, ratio=row.ratio, di=di, size=row.size
        )
        rate = number - 1 if name.endswith(ENERGIES[1:]) and "Import" in name else -1
        yield di, Item(register, rate)


def _block_of(row: _Row, step: int) -> int:
    """Return the identifier of the block: every digit of its members' place is F."""
    return row.first | (0xFF00 if step == 0x100 else 0x0F)


def _table(rows: tuple[_Row, ...], step: int) -> tuple[dict[int, Item], dict[int, tuple[int, ...]]]:
    items: dict[int, Item] = {}
    blocks: dict[int, tuple[int, ...]] = {}
    for row in rows:
        members = dict(_members(row, step))
        items |= members
        if len(members) > 1:
            blocks[_block_of(row, step)] = tuple(members)
    return items, blocks


ITEMS_2007, BLOCKS_2007 = _table(_ROWS_2007, 0x100)
ITEMS_1997, BLOCKS_1997 = _table(_ROWS_1997, 1)
ITEMS_2007.update(
    (di, Item(Register(name, 0, 0, "bcd", Fraction(scale), unit, name, name, di=di, size=size)))
    for di, name, _type, size, scale, unit in _SINGLE_2007
)
