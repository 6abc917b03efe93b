"""Bank and gateway reconciliation: lines of a statement file against the postings of a channel. 对账

Every line of the file and every posting ends in exactly one finding. An order number is found in the books as the key
of its top-up; what has no order number in common is left alone, never guessed together.
Rule: pure. Nothing here changes books; `--post-missing` is the command's business.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from billing_core.ledger import NANO_PER_UNIT
from scada.errors import Refused

MATCHED: Final = "matched"
MISSING_IN_BOOKS: Final = "missing-in-books"
MISSING_IN_FILE: Final = "missing-in-file"
DOUBLED: Final = "doubled"
AMOUNT_DIFFERS: Final = "amount-differs"
KINDS: Final = (MATCHED, MISSING_IN_BOOKS, MISSING_IN_FILE, DOUBLED, AMOUNT_DIFFERS)
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    MATCHED: ("相符", "matched"),
    MISSING_IN_BOOKS: ("账簿缺记", "missing in books"),
    MISSING_IN_FILE: ("对账单缺记", "missing in file"),
    DOUBLED: ("重复", "doubled"),
    AMOUNT_DIFFERS: ("金额不符", "amount differs"),
}

# What banks and gateways call their columns; --order, --amount, --account name others.
HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "order": ("order", "order_no", "out_trade_no", "商户订单号", "订单号", "流水号", "交易流水号", "凭证号"),
    "amount": ("amount", "total_amount", "金额", "交易金额", "订单金额", "收入金额", "贷方发生额"),
    "account": ("account", "账户", "户号", "备注", "商品名称"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the statement file."""

    number: int  # of the line in the file
    order: str
    nano: int
    account: str = ""  # "" when the file does not say


@dataclass(frozen=True, slots=True)
class Booking:
    """One posting of the channel."""

    seq: int
    order: str
    nano: int
    account: str
    at_s: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one order number."""

    kind: str
    order: str
    file_nano: int | None
    books_nano: int | None
    account: str
    lines: tuple[int, ...]  # of the file
    transfers: tuple[int, ...]


def read_lines(text: str, columns: Mapping[str, str]) -> list[Line]:
    """Return the lines of a CSV statement; columns: "order", "amount", "account" -> heading, where not the usual one.

    Lines before the heading and below the last order (totals) are passed over. Refused "statement.*" names the line.
    """
    rows = list(csv.reader(io.StringIO(text.replace("\t", ""), newline="")))
    top, places = _heading(rows, columns)
    found = []
    for number, row in enumerate(rows[top + 1 :], start=top + 2):
        cells = [cell.strip().strip("`'") for cell in row]
        if (
            len(cells) <= max(place for name, place in places.items() if name != "account")
            or not cells[places["order"]]
        ):
            continue
        account = cells[places["account"]] if "account" in places and len(cells) > places["account"] else ""
        found.append(Line(number, cells[places["order"]], _nano(cells[places["amount"]], number), account))
    return found


def _heading(rows: Sequence[Sequence[str]], columns: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """Return the row of the heading and the place of each column."""
    wanted = {name: (columns[name],) if columns.get(name) else HEADINGS[name] for name in HEADINGS}
    for top, row in enumerate(rows):
        cells = [cell.strip().strip("`'\ufeff") for cell in row]
        places = {
            name: cells.index(heading) for name, names in wanted.items() for heading in names[:1] if heading in cells
        }
        for name, names in wanted.items():
            places.setdefault(name, next((cells.index(heading) for heading in names if heading in cells), -1))
        places = {name: place for name, place in places.items() if place >= 0}
        if "order" in places and "amount" in places:
            return top, places
    raise Refused(
        "statement.columns",
        f"no heading with an order number ({', '.join(wanted['order'])}) and an amount "
        f"({', '.join(wanted['amount'])}); name them with --order and --amount",
    )


def _nano(text: str, number: int) -> int:
    try:
        nano = Decimal(text.replace(",", "").replace("¥", "").replace("￥", "")) * NANO_PER_UNIT
    except InvalidOperation:
        raise Refused("statement.amount", f"line {number}: {text!r} is no amount") from None
    if not nano.is_finite() or nano % 1:
        raise Refused("statement.amount", f"line {number}: {text!r} has more decimals than money has")
    return int(nano)


def reconcile(lines: Iterable[Line], bookings: Iterable[Booking]) -> list[Finding]:
    """Compare a statement with the books, order number by order number, sorted by kind and number.

    Doubled: more lines of an order in the file than in the books, or the other way round, at least one on both sides
    or two on one. A booking and its reversal under one order cancel out before.
    """
    in_file: dict[str, list[Line]] = defaultdict(list)
    in_books: dict[str, list[Booking]] = defaultdict(list)
    for line in lines:
        in_file[line.order].append(line)
    for booking in bookings:
        in_books[booking.order].append(booking)
    found = [_finding(order, in_file[order], in_books[order]) for order in in_file.keys() | in_books.keys()]
    return sorted((f for f in found if f is not None), key=lambda f: (KINDS.index(f.kind), f.order))


def _finding(order: str, lines: Sequence[Line], bookings: Sequence[Booking]) -> Finding | None:
    file_nano = sum(line.nano for line in lines) if lines else None
    books_nano = sum(booking.nano for booking in bookings) if bookings else None
    if not lines and books_nano == 0:
        return None  # paid in and reversed: the bank never saw it
    counted = len([booking for booking in bookings if booking.nano > 0]) if bookings else 0
    if not bookings:
        kind = DOUBLED if len(lines) > 1 else MISSING_IN_BOOKS
    elif not lines:
        kind = DOUBLED if counted > 1 else MISSING_IN_FILE
    elif file_nano == books_nano:
        kind = MATCHED
    else:
        kind = DOUBLED if len(lines) > 1 or counted > 1 else AMOUNT_DIFFERS
    account = next((b.account for b in bookings if b.account), next((line.account for line in lines), ""))
    numbers = tuple(line.number for line in lines)
    return Finding(kind, order, file_nano, books_nano, account, numbers, tuple(b.seq for b in bookings))


def totals(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """Return kind -> count and sums of file and books."""
    sums = {kind: {"count": 0, "file_nano": 0, "books_nano": 0} for kind in KINDS}
    for finding in findings:
        of_kind = sums[finding.kind]
        of_kind["count"] += 1
        of_kind["file_nano"] += finding.file_nano or 0
        of_kind["books_nano"] += finding.books_nano or 0
    return sums


def postable(finding: Finding) -> str:
    """Return why a missing payment cannot be posted from the file, "" when it can."""
    rules: tuple[tuple[bool, Any], ...] = (
        (finding.kind == MISSING_IN_BOOKS, f"it is {WORDS[finding.kind][1]}"),
        (bool(finding.account), "the file does not say whose account; name the column with --account"),
        ((finding.file_nano or 0) > 0, "it is no payment in"),
    )
    return next((str(why) for holds, why in rules if not holds), "")
