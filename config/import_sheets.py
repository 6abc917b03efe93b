"""Read tables of meters, supply points and tenants from CSV and XLSX files, as people make them, into rows of text.

Rule: this file knows cells, encodings and headings. What a cell may hold is judged by the checks of the configuration.
"""

import csv
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from config.import_words import COLUMNS, KINDS, column_of, kind_of_headings, kind_of_name
from config.loader import listed
from scada.errors import Fault

FILE_BYTES_MAX: Final = 32 * 1024 * 1024  # 100,000 meters need 10 MB as CSV and less as XLSX
UNPACKED_BYTES_MAX: Final = 512 * 1024 * 1024  # of an XLSX, which is a ZIP archive: nothing sane unpacks to more
ROWS_MAX: Final = 200_000
# Known headings that make a table one of ours. A workbook has sheets of other matters, with an id and two names as well
FILE_COLUMNS: Final = 2
SHEET_COLUMNS: Final = 4
RATIOS: Final = ("ct", "pt")
FORMULA_ERRORS: Final = ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!")
# What openpyxl raises for files that are no workbook, or a damaged one
NO_WORKBOOK: Final = (
    zipfile.BadZipFile, zlib.error, ParseError, struct.error, LookupError, ValueError, TypeError, AttributeError,
    EOFError, OSError, NotImplementedError, RuntimeError,
)  # fmt: skip

Progress = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a sheet: its number as the spreadsheet shows it, and the text under each known column."""

    number: int
    cells: dict[str, str]


@dataclass(slots=True)
class Sheet:
    """Rows of one kind."""

    kind: str
    name: str  # as faults name it: the file, and the sheet of a workbook
    headings: dict[str, str]  # column -> how the sheet calls it
    rows: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Workbook:
    """Everything a file brings."""

    sheets: list[Sheet] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_file(path: Path, progress: Progress) -> Workbook:
    """Read a CSV or XLSX file; faults are collected, never raised. progress: wraps the rows of a sheet, by its name."""
    book = Workbook()
    if not path.is_file():
        book.faults.append(Fault(path.name, "file", "missing", "a CSV or XLSX file"))
    elif path.stat().st_size > FILE_BYTES_MAX:
        book.faults.append(Fault(path.name, "file", "too large", f"at most {FILE_BYTES_MAX} bytes"))
    elif path.suffix.lower() == ".xlsx":
        _read_workbook(path, book, progress)
    elif path.suffix.lower() in (".csv", ".txt"):
        _read_csv(path, book, progress)
    else:
        allowed = ".xlsx or .csv; save an old .xls, .et or .ods as .xlsx"
        book.faults.append(Fault(path.name, "file", f"'{path.suffix}'", allowed))
    kinds = [sheet.kind for sheet in book.sheets]
    for sheet in book.sheets:
        if kinds.count(sheet.kind) > 1:
            wrong = f"two sheets hold rows of {KINDS[sheet.kind]}"
            book.faults.append(Fault(sheet.name, "sheet", wrong, "one sheet of a kind"))
    if not book.sheets and not book.faults:
        allowed = "a sheet named meters, supply_points or tenants (仪表, 计费点, 租户), or with their headings"
        book.faults.append(Fault(path.name, "file", "no sheet with rows that are known", allowed))
    return book


def _read_csv(path: Path, book: Workbook, progress: Progress) -> None:
    text = decode(path.read_bytes())
    if text is None:
        book.faults.append(Fault(path.name, "file", "neither UTF-8 nor GB 18030", "CSV text in UTF-8 or GB 18030"))
        return
    separator = max(",;\t", key=text.partition("\n")[0].count)  # a spreadsheet writes what its country uses
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        _add_sheet(path.name, path.stem, enumerate(reader, start=1), book, progress, FILE_COLUMNS)
    except csv.Error as error:
        book.faults.append(Fault(path.name, f"row {reader.line_num}", f"no CSV: {error}", "CSV text"))


def decode(raw: bytes) -> str | None:
    """Decode UTF-8 (with or without mark) or GB 18030; None when it is neither."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _read_workbook(path: Path, book: Workbook, progress: Progress) -> None:
    import openpyxl  # half a second to import: only for a workbook

    raw = io.BytesIO(path.read_bytes())  # a damaged workbook would leave the file itself open
    try:
        with zipfile.ZipFile(raw) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > UNPACKED_BYTES_MAX:
            book.faults.append(Fault(path.name, "file", "unpacks to too much", f"at most {UNPACKED_BYTES_MAX} bytes"))
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about styles and the like, which nobody asks for here
            workbook = openpyxl.load_workbook(raw, read_only=True, data_only=True)
        try:
            for sheet in workbook.worksheets:
                if sheet.sheet_state != "visible":
                    continue
                rows = enumerate(sheet.iter_rows(values_only=True), start=1)
                texts = ((number, [text_of(cell) for cell in cells]) for number, cells in rows)
                _add_sheet(f"{path.name} [{sheet.title}]", sheet.title, texts, book, progress, SHEET_COLUMNS)
        finally:
            workbook.close()
    except NO_WORKBOOK as error:
        wrong = f"no workbook, or a damaged one: {type(error).__name__}"
        book.faults.append(Fault(path.name, "file", wrong, "a file that a spreadsheet saved as .xlsx"))


def text_of(cell: Any) -> str:
    """Return what a cell shows: whole numbers without a point, dates as YYYY-MM-DD, yes and no for truth."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime | date):
        return f"{cell:%Y-%m-%d}"
    return str(cell).strip()


def _add_sheet(
    name: str, title: str, rows: Iterator[tuple[int, Sequence[str]]], book: Workbook, progress: Progress, least: int
) -> None:
    """Take a sheet's heading, the first line that is not empty and no comment, and the rows below it."""
    heading = next(((number, cells) for number, cells in rows if _is_row(cells)), None)
    if heading is None:
        book.ignored.append(name)
        return
    number, cells = heading
    kind = kind_of_name(title) or kind_of_headings(cells, least)
    if not kind:
        book.ignored.append(name)
        return
    faults = len(book.faults)
    columns = _columns(kind, name, number, cells, book)
    if len(book.faults) > faults:  # below a wrong heading every row would be wrong
        return
    sheet = Sheet(kind, name, {column: _line(cells[at]) for at, column in columns.items()})
    for number, cells in progress(rows, name):
        if not _is_row(cells):
            continue
        if len(sheet.rows) >= ROWS_MAX:
            book.faults.append(Fault(name, f"row {number}", "too many rows", f"at most {ROWS_MAX}"))
            break
        sheet.rows.append(_row(number, columns, cells, sheet, book))
    if sheet.rows:
        book.sheets.append(sheet)
    else:
        book.ignored.append(name)


def _line(text: str) -> str:
    return " ".join(text.split())


def _is_row(cells: Sequence[str]) -> bool:
    """Tell whether there is anything in a row, and it is no comment; as the loader has it, and a failed formula is."""
    return any(map(str.strip, cells)) and (not cells[0].startswith("#") or cells[0] in FORMULA_ERRORS)


def _columns(kind: str, name: str, number: int, cells: Sequence[str], book: Workbook) -> dict[int, str]:
    """Return place -> column, after noting every heading that is unknown, stands twice or is missing."""
    found: dict[int, str] = {}
    known = COLUMNS[kind]
    for at, heading in enumerate(cells):
        column = column_of(kind, heading) if heading.strip() else ""
        if column and column in found.values():
            wrong = f"a second column of '{column}'"
            book.faults.append(Fault(name, f"row {number}, column '{_line(heading)}'", wrong, "each column once"))
        elif column:
            found[at] = column
        elif heading.strip():
            allowed = ", ".join(f"{column} ({words.zh})" for column, words in known.items())
            book.faults.append(Fault(name, f"row {number}, column '{_line(heading)}'", "unknown column", allowed))
    if "id" not in found.values():
        allowed = f"a heading line with id ({known['id'].zh}); known: {listed(known)}"
        book.faults.append(Fault(name, f"row {number}, column 'id'", "missing column", allowed))
    return found


def _row(number: int, columns: dict[int, str], cells: Sequence[str], sheet: Sheet, book: Workbook) -> Row:
    found = {column: _line(cells[at]) if at < len(cells) else "" for at, column in columns.items()}
    for column, text in found.items():
        if text in FORMULA_ERRORS:
            book.faults.append(place(sheet, number, column, f"'{text}': a formula failed", "a value"))
        elif column in RATIOS and "/" in text:
            found[column] = ratio(text)
    return Row(number, found)


def place(sheet: Sheet, number: int, column: str, wrong: str, allowed: str) -> Fault:
    """Return a fault at a cell, named as the sheet shows it."""
    heading = sheet.headings.get(column, column)
    shown = f"'{heading}'" if heading == column else f"'{heading}' ({column})"
    return Fault(sheet.name, f"row {number}, column {shown}", wrong, allowed)


def ratio(text: str) -> str:
    """Return "20" for "100/5"; a text that is no whole ratio stays as it is and is refused later."""
    try:
        value = Fraction(text.replace(" ", "").replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return text
    return str(value) if value.denominator == 1 else text
