"""Merge imported rows into a CSV file of a configuration: what changes, and the new text.

Rule: pure. Lines that do not change stay as they are, byte by byte: comments, order, quotes, line ends. A changed row
keeps its place, an added one stands at the end, and a column that the import does not bring keeps what it holds.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

from config.import_sheets import Row, Sheet

YES: Final = frozenset({"yes", "true", "1", "y", "on", "t", "是"})
NO: Final = frozenset({"no", "false", "0", "n", "off", "f", "否", ""})
YES_NO: Final = frozenset({"protected", "rate_registers"})
NUMBERS: Final = frozenset({
    "unit", "ct", "pt", "rated_current_a", "max_per_h", "household", "contract_kw", "capacity_kva", "area_m2", "heads",
    "weight", "opening", "alarm1", "alarm2", "overdraft", "reconnect",
})  # fmt: skip
COMMENT: Final = "#"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a CSV file; `raw` is its text with the line end."""

    raw: str
    cells: tuple[str, ...]  # () of comments, empty lines and the heading


@dataclass(frozen=True, slots=True)
class CsvText:
    """A CSV file as it lies in the folder."""

    heading: tuple[str, ...]
    records: tuple[Record, ...]  # the heading among them
    encoding: str = "utf-8"
    newline: str = "\n"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one row. fields: (column, old, new)."""

    id: str
    fields: tuple[tuple[str, str, str], ...] = ()


@dataclass(slots=True)
class Merged:
    """The new text of a file and how it differs."""

    text: str = ""
    added: list[Change] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    removed: list[Change] = field(default_factory=list)
    same: int = 0
    left: int = 0  # rows of the file that the import does not name, and which stay
    origin: dict[int, Row] = field(default_factory=dict)  # line of the new text -> row of the import
    doubled: list[Row] = field(default_factory=list)  # rows whose id stood in the import before

    @property
    def differs(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def parse(raw: bytes, columns: Sequence[str]) -> CsvText:
    """Take a CSV file apart. b"": a file that is not there yet, which gets `columns` as its heading.

    UnicodeDecodeError when it is neither UTF-8 nor GB 18030.
    """
    if not raw.strip():
        heading = tuple(columns)
        return CsvText(heading, (Record(",".join(heading) + "\n", ()),))
    encoding = "utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else "utf-8"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        encoding = "gb18030"
        text = raw.decode(encoding)
    lines = io.StringIO(text, newline="").readlines()
    newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
    if not lines[-1].endswith("\n"):
        lines[-1] += newline
    reader = csv.reader(lines)
    records: list[Record] = []
    heading, begin = (), 0
    for cells in reader:
        whole, begin = "".join(lines[begin : reader.line_num]), reader.line_num
        if not records:
            heading = tuple(cell.strip() for cell in cells)
            records.append(Record(whole, ()))
        else:
            is_row = any(map(str.strip, cells)) and not cells[0].startswith(COMMENT)
            records.append(Record(whole, tuple(cell.strip() for cell in cells) if is_row else ()))
    return CsvText(heading, tuple(records), encoding, newline)


def merge(old: CsvText, sheet: Sheet, remove: bool) -> Merged:
    """Return the file with the rows of a sheet in it. remove: rows that the sheet does not name go."""
    found = Merged()
    rows: dict[str, Row] = {}
    for row in sheet.rows:
        name = row.cells.get("id") or f"row {row.number}"  # one without an id is added, and refused by the checks
        if name in rows:
            found.doubled.append(row)
        else:
            rows[name] = row
    heading = (*old.heading, *(column for column in sheet.headings if column not in old.heading))
    lines = _Lines(old.newline)
    for number, record in enumerate(old.records):
        if number == 0:
            lines.add(record.raw if heading == old.heading else lines.row(heading))
        elif not record.cells:
            lines.add(record.raw)
        else:
            _merge_record(record, heading, old.heading, rows, remove, lines, found)
    for row in rows.values():
        lines.add(lines.row([row.cells.get(column, "") for column in heading]))
        found.origin[lines.count] = row
        told = tuple((column, "", text) for column, text in row.cells.items() if text and column != "id")
        found.added.append(Change(row.cells.get("id", ""), told))
    found.text = lines.text()
    return found


def _merge_record(
    record: Record, heading: Sequence[str], old: Sequence[str], rows: dict[str, Row], remove: bool, lines: "_Lines",
    found: Merged,
) -> None:  # fmt: skip
    """Put one row of the old file into the new one, changed by its row of the import, which is taken out of `rows`."""
    held = dict(zip(old, record.cells, strict=False))
    name = held.get("id", "")
    row = rows.pop(name, None)
    if row is None and remove:
        found.removed.append(Change(name))
        return
    fields = () if row is None else differences(held, row.cells)
    if fields:
        assert row is not None
        lines.add(lines.row([{**held, **row.cells}.get(column, "") for column in heading]))
        found.changed.append(Change(name, fields))
    else:
        lines.add(record.raw)
        found.same += row is not None
        found.left += row is None
    if row is not None:
        found.origin[lines.count] = row


def differences(old: dict[str, str], new: dict[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Return (column, old, new) of every cell whose meaning changes."""
    return tuple(
        (column, old.get(column, ""), text)
        for column, text in new.items()
        if _meaning(column, old.get(column, "")) != _meaning(column, text)
    )


def _meaning(column: str, text: str) -> object:
    if column in YES_NO and text.lower() in YES | NO:
        return text.lower() in YES
    if column == "address":
        return text.lstrip("0")
    if column in NUMBERS and text:
        try:
            return Decimal(text)
        except InvalidOperation:
            return text
    return text


class _Lines:
    """The new text, counted line by line as the loader counts."""

    def __init__(self, newline: str) -> None:
        self._newline = newline
        self._parts: list[str] = []
        self.count = 0

    def row(self, cells: Sequence[str]) -> str:
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator=self._newline).writerow(cells)
        return out.getvalue()

    def add(self, raw: str) -> None:
        self._parts.append(raw)
        self.count += raw.count("\n")

    def text(self) -> str:
        return "".join(self._parts)
