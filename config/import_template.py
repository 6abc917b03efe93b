"""Make an empty workbook for `import`: headings in both languages, an explanation of each, and lists to choose from.

Rule: whatever it makes, `config.import_sheets` reads back; a test does so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from config.import_words import COLUMNS, KINDS
from config.loader import Sources, read_sources
from scada.errors import WattkeeperError

TITLES: Final[Mapping[str, str]] = {"meter": "meters 仪表", "point": "supply_points 计费点", "tenant": "tenants 租户"}
CHOICES: Final[Mapping[str, str]] = {  # column -> kind of the ids to choose from
    "profile": "profile", "gateway": "gateway", "building": "building", "rate_table": "rate_table", "tariff": "tariff",
    "account_class": "account_class", "account": "tenant",
}  # fmt: skip
YES_NO: Final = ("protected", "rate_registers")
CATCH_UP: Final = ("time", "rate-registers")
TEXT_COLUMNS: Final = ("id", "address", "serial", "room", "floor")  # long numbers and leading zeros must stay
ROWS: Final = 10_000  # rows that the lists and the text format reach
COLUMN_WIDTH: Final = 18


def make_template(folder: Path, path: Path) -> None:
    """Write an empty workbook for a configuration folder. WattkeeperError when the file exists or cannot be written."""
    import openpyxl

    if path.suffix.lower() != ".xlsx":
        raise WattkeeperError(f"{path}: a template is a workbook, name it *.xlsx")
    if path.exists():
        raise WattkeeperError(f"{path} is there already; name another file")
    sources = read_sources(folder)  # its faults do not matter here: whatever can be chosen is
    book = openpyxl.Workbook()
    help_sheet = book.active
    help_sheet.title = "help 说明"
    lists = book.create_sheet("lists")
    ranges = _fill_lists(lists, sources)
    for number, kind in enumerate(KINDS):
        _fill_sheet(book.create_sheet(TITLES[kind], number), kind, ranges)
    _fill_help(help_sheet)
    lists.sheet_state = "hidden"
    book.active = 0
    try:
        book.save(path)
    except OSError as error:
        raise WattkeeperError(f"{path}: {error.strerror}") from error


def _fill_lists(sheet: Any, sources: Sources) -> dict[str, str]:
    """Put what can be chosen into columns of a sheet; return column of an import -> range of its list."""
    choices: dict[str, Sequence[str]] = {name: sorted(sources.by_id(kind)) for name, kind in CHOICES.items()}
    choices |= dict.fromkeys(YES_NO, ("是", "否")) | {"catch_up": CATCH_UP}
    ranges = {}
    for number, (name, values) in enumerate(choices.items(), start=1):
        sheet.cell(1, number, name)
        for row, value in enumerate(values, start=2):
            sheet.cell(row, number, value)
        letter = sheet.cell(1, number).column_letter
        if values:
            ranges[name] = f"lists!${letter}$2:${letter}${len(values) + 1}"
    return ranges


def _fill_sheet(sheet: Any, kind: str, ranges: Mapping[str, str]) -> None:
    from openpyxl.comments import Comment
    from openpyxl.styles import Alignment, Font
    from openpyxl.worksheet.datavalidation import DataValidation

    for number, (column, words) in enumerate(COLUMNS[kind].items(), start=1):
        cell = sheet.cell(1, number, f"{words.zh}\n{column}")
        cell.font = Font(bold=True)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        cell.comment = Comment(f"{words.what_zh}\n{words.what_en}", "Wattkeeper")
        letter = cell.column_letter
        sheet.column_dimensions[letter].width = COLUMN_WIDTH
        if column in TEXT_COLUMNS:
            sheet.column_dimensions[letter].number_format = "@"
        if column in ranges:
            choice = DataValidation(type="list", formula1=ranges[column], allow_blank=True)
            choice.error, choice.errorTitle = words.what_zh, words.zh
            sheet.add_data_validation(choice)
            choice.add(f"{letter}2:{letter}{ROWS}")
    sheet.freeze_panes = "B2"


def _fill_help(sheet: Any) -> None:
    """Say what each column means, in both languages."""
    sheet.append(["表 / sheet", "列 / column", "名称", "填写说明", "what to write"])
    for kind, columns in COLUMNS.items():
        for column, words in columns.items():
            sheet.append([KINDS[kind], column, words.zh, words.what_zh, words.what_en])
    for letter, width in zip("ABCDE", (20, 18, 16, 60, 50), strict=True):
        sheet.column_dimensions[letter].width = width
