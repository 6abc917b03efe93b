"""Statement files against postings: every heading a bank uses, every finding, and what may be posted."""

import pytest

from billing_core.reconciliation import (
    AMOUNT_DIFFERS,
    DOUBLED,
    KINDS,
    MATCHED,
    MISSING_IN_BOOKS,
    MISSING_IN_FILE,
    WORDS,
    Booking,
    Line,
    postable,
    read_lines,
    reconcile,
    totals,
)
from scada.errors import Refused

YUAN = 1_000_000_000


def line(number: int, order: str, yuan: int, account: str = "t1") -> Line:
    return Line(number, order, yuan * YUAN, account)


def booked(seq: int, order: str, yuan: int, account: str = "t1") -> Booking:
    return Booking(seq, order, yuan * YUAN, account)


def test_every_order_ends_in_exactly_one_finding() -> None:
    lines = [line(2, "a", 10), line(3, "b", 20), line(4, "c", 30), line(5, "c", 30), line(6, "d", 41), line(7, "z", 1)]
    books = [
        booked(1, "a", 10), booked(2, "c", 30), booked(3, "d", 40), booked(4, "e", 50), booked(5, "f", 60),
        booked(6, "f", -60), booked(7, "g", 70), booked(8, "g", 70),
    ]  # fmt: skip
    found = {finding.order: finding for finding in reconcile(lines, books)}
    assert {order: finding.kind for order, finding in found.items()} == {
        "a": MATCHED, "b": MISSING_IN_BOOKS, "c": DOUBLED, "d": AMOUNT_DIFFERS, "e": MISSING_IN_FILE, "g": DOUBLED,
        "z": MISSING_IN_BOOKS,
    }  # fmt: skip
    assert (found["c"].lines, found["c"].transfers) == ((4, 5), (2,))
    assert (found["d"].file_nano, found["d"].books_nano) == (41 * YUAN, 40 * YUAN)
    sums = totals(found.values())
    assert {kind: sums[kind]["count"] for kind in KINDS} == {
        MATCHED: 1, MISSING_IN_BOOKS: 2, MISSING_IN_FILE: 1, DOUBLED: 2, AMOUNT_DIFFERS: 1,
    }  # fmt: skip
    assert WORDS.keys() == set(KINDS)


def test_a_payment_and_its_reversal_match_a_payment_and_its_return() -> None:
    (found,) = reconcile([line(2, "a", 10), line(3, "a", -10)], [booked(1, "a", 10), booked(2, "a", -10)])
    assert found.kind == MATCHED


@pytest.mark.parametrize(
    "heading", ["商户订单号,金额,户号", "out_trade_no,total_amount,account", "\ufeff`订单号`,`订单金额`,`账户`"]
)
def test_usual_headings_are_found_below_a_title_and_above_totals(heading: str) -> None:
    text = f'微信支付对账单\n起始,2026-10-01\n{heading}\n`w-1`,"1,234.50",t1\nw-2,¥0.01,t2\n,合计,2\n'
    assert read_lines(text, {}) == [Line(4, "w-1", 1_234_500_000_000, "t1"), Line(5, "w-2", 10_000_000, "t2")]


def test_columns_may_be_named() -> None:
    found = read_lines("id,sum,金额\nx,2,3\n", {"order": "id", "amount": "sum"})
    assert found == [Line(2, "x", 2 * YUAN, "")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a,b\n1,2\n", "statement.columns"),
        ("订单号,金额\nx,ten\n", "statement.amount"),
        ("订单号,金额\nx,1.0000000001\n", "statement.amount"),
        ("", "statement.columns"),
    ],
)
def test_a_file_that_is_no_statement_is_refused_by_its_place(text: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        read_lines(text, {})
    assert caught.value.code == code


def test_only_a_missing_payment_in_with_an_account_can_be_posted() -> None:
    missing, nobody, returned = reconcile([line(2, "a", 10), line(3, "b", 10, ""), line(4, "c", -10)], [])
    assert postable(missing) == ""
    assert "--account" in postable(nobody)
    assert postable(returned)
