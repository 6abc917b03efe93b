"""What commands print for people: aligned tables, money, local times. `--json` is for machines and exact.

Rule: pure but for `site_zone`, which reads the time zone that the plans of the books carry.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core.ledger import NANO_PER_UNIT

COIN_NANO: Final = NANO_PER_UNIT // 100
GAP: Final = "  "
LABEL: Final = 20  # columns of the name of a fact
NUMBERS: Final = ("nano", "milli", "_raw")
PLAIN: Final = {"nano": "money", "milli": "quantity"}  # keys that are nothing but their unit
ROUNDED_DOWN: Final = ("balance_nano",)  # shown in coins; everything else to the last digit
TIMEZONE: Final = (
    "SELECT body->>'timezone' FROM tariff_version WHERE body ? 'timezone' ORDER BY first_used DESC LIMIT 1"
)


def width(text: str) -> int:
    """Return the columns a text takes on a terminal: wide characters (中文) take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def padded(text: str, columns: int, right: bool = False) -> str:
    """Return a text filled with blanks to so many columns, on its right, or on its left with right=True."""
    blanks = " " * max(0, columns - width(text))
    return blanks + text if right else text + blanks


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table. right: headings of the columns with numbers, which end in one line."""
    lines = [tuple(heading), *map(tuple, rows)]
    widths = [max(width(line[at]) for line in lines) for at in range(len(heading))]
    sides = [name in right for name in heading]
    return [GAP.join(map(padded, line, widths, sides)).rstrip() for line in lines]


def money(nano: int) -> str:
    """Return a balance in coins, rounded down: never more than there is."""
    return exact(nano // COIN_NANO, 2, 2)


def exact(value: int, decimals: int, least: int = 0) -> str:
    """Return a fixed-point number to its last digit, with `least` decimals at least."""
    sign, digits = "-" if value < 0 else "", f"{abs(value):0{decimals + 1}}"
    whole, part = digits[:-decimals], digits[-decimals:].rstrip("0").ljust(least, "0")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"


def local_time(second: int, zone: ZoneInfo) -> str:
    """Return a UTC second as local time with its offset, as commands take it, too; "never" before all time."""
    return datetime.fromtimestamp(second, UTC).astimezone(zone).isoformat(" ") if second > 0 else "never"


def local_text(text: str, zone: ZoneInfo) -> str:
    """Return an ISO time in UTC as `local_time` has it; nothing stays nothing."""
    return local_time(int(datetime.fromisoformat(text).timestamp()), zone) if text else ""


def site_zone(dsn: str) -> ZoneInfo:
    """Return the time zone of the site as the books know it; UTC before the first start or without a data base:
    what was done is told all the same, and every time says its offset."""
    import psycopg

    from scada.database import SCHEMA

    try:
        with psycopg.connect(dsn) as connection:
            connection.execute("SELECT set_config('search_path', %s, true)", [f"{SCHEMA}, public"])
            found = connection.execute(TIMEZONE).fetchone()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return ZoneInfo("UTC")
    return ZoneInfo(found[0] if found else "UTC")


# ---- answers of the core, whatever they hold


def has_times(value: Any) -> bool:
    """Say whether an answer holds a time anywhere, so that its zone is worth asking for."""
    if isinstance(value, Mapping):
        return any(str(name).endswith("_s") or has_times(held) for name, held in value.items())
    return isinstance(value, list) and any(map(has_times, value))


def told(answer: Mapping[str, Any], zone: ZoneInfo) -> list[str]:
    """Return the lines of an answer: facts one below the other, lists as tables."""
    lines: list[str] = []
    for name, value in _changed(answer).items():
        if isinstance(value, list):
            lines += [f"{_word(name)}:", *(f"  {line}" for line in _listed(value, zone))]
        elif isinstance(value, Mapping) and not any(isinstance(held, Mapping) for held in value.values()):
            lines += [f"{_word(name)}:", *(f"  {line}" for line in told(value, zone))]
        else:
            text = padded(_cell(name, value, zone), LABEL, right=name.endswith(NUMBERS))
            lines.append(f"{padded(_word(name), LABEL)} {text}".rstrip())
    return lines


def _listed(entries: Sequence[Any], zone: ZoneInfo) -> list[str]:
    if not entries:
        return ["none"]
    if all(isinstance(entry, Mapping) for entry in entries):
        return _facts(entries, zone)
    if all(isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries):  # a name and an amount
        rows = [(str(name), _cell("_nano", amount, zone)) for name, amount in entries]
        return table(("", "amount"), rows, ("amount",))[1:]
    return [str(entry) for entry in entries]


def _facts(entries: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> list[str]:
    """Return a table with a column for every key, in the order of the first entry."""
    rows = [_changed(entry) for entry in entries]
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(name, row.get(name, ""), zone) for name in names] for row in rows]
    heading = [_word(name) for name in names]
    return table(heading, cells, [_word(name) for name in names if name.endswith(NUMBERS)])


def _changed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with `changed` in the place of terms `before` and `after`."""
    row = {name: value for name, value in entry.items() if name not in ("before", "after")}
    if "before" in entry and "after" in entry:
        row["changed"] = _change(entry)
    return row


def _change(entry: Mapping[str, Any]) -> str:
    before, after = entry["before"] or {}, entry["after"] or {}
    differing = [name for name in after if before.get(name) != after[name]]
    return ", ".join(f"{_word(name)} {_plain(before.get(name))} -> {_plain(after[name])}" for name in differing) or "-"


def _word(name: str) -> str:
    """Return a key as people read it."""
    name = PLAIN.get(name, name)
    for ending in ("_nano", "_milli", "_s"):
        name = name.removesuffix(ending)
    return name.replace("raw", "counts").replace("_", " ")


def _cell(name: str, value: Any, zone: ZoneInfo) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("nano"):
            return money(value) if name in ROUNDED_DOWN else exact(value, 9, 2)
        if name.endswith("milli"):
            return exact(value, 3)
        if name.endswith("_s"):
            return local_time(value, zone)
    return _plain(value)


def _plain(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{_word(name)} {_plain(held)}" for name, held in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "-"
    return str(value)
