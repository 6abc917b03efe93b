"""The figures of docs/billing-accounts.md, computed again."""

from dataclasses import replace
from decimal import Decimal

from billing_core import closing
from billing_core.account_commands import VERBS
from billing_core.account_rules import STANDARD, Grant, Purse, Use, split, unused
from billing_core.reconciliation import WORDS, Booking, Line, reconcile
from tests.docs.pages import table

PAGE = "billing-accounts.md"
EMPTY = Purse("a", "open", 0, 0, 0, 0, 0, STANDARD, 100, 10_000_000)


def nano(text: str) -> int:
    return int(Decimal(text) * 10**9)


def test_every_split_of_a_payment() -> None:
    for row in table(PAGE, "paid"):
        paid, owed, lent, percent, *parts = row
        purse = replace(EMPTY, owed_nano=nano(owed), emergency_nano=nano(lent), recovery_percent=int(percent))
        assert list(split(purse, nano(paid))) == list(map(nano, parts)), row


def test_every_rest_of_a_subsidy() -> None:
    for grant, within, after, rest in table(PAGE, "grant"):
        uses = [Use(50, 2, nano(within)), Use(150, 3, nano(after)), Use(50, 1, nano("99"))]
        assert unused([Grant("g", nano(grant), 100, 1)], uses) == {"g": nano(rest)}


def test_every_closing() -> None:
    for row in table(PAGE, "wallet"):
        wallet, subsidy, owed, lent, net, paid, rounding = map(nano, row)
        purse = replace(EMPTY, wallet_nano=wallet, unused_subsidy_nano=subsidy, owed_nano=owed, emergency_nano=lent)
        found = closing.reckoning(purse)
        assert (found.net_nano, found.paid_nano, found.net_nano - found.paid_nano) == (net, paid, rounding), row
        entries = closing.closing(purse, "cash", "x", "pay").entries
        assert sum(amount for _, amount in entries) == 0
        assert dict(entries)["wallet:a"] == -wallet


def test_every_finding() -> None:
    for order, in_file, in_books, finding in table(PAGE, "order"):
        lines = [Line(2, order, nano(text)) for text in in_file.split()]
        bookings = [Booking(1, order, nano(text), "t") for text in in_books.split()]
        found = [WORDS[entry.kind][1] for entry in reconcile(lines, bookings)]
        assert found == ([] if finding.startswith("none") else [finding])


def test_every_command_of_the_page_exists() -> None:
    others = {"topup", "reverse", "subsidy", "expire"}
    assert {row[1].removeprefix("account ") for row in table(PAGE, "act")} == VERBS.keys() | others
