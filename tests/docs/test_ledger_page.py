"""Every figure of docs/billing-ledger.md, computed again."""

import json
from collections import Counter
from decimal import Decimal

from billing_core import chart, ledger
from billing_core.ledger import GENESIS, NANO_PER_UNIT, Entry, Transfer
from scada.database import ROLES
from tests.docs.pages import table

PAGE = "billing-ledger.md"
PLANT_TIME_S, POSTED_US = 1_793_000_000, 1_793_000_000_000_000


def nano_of(text: str) -> int:
    return int(Decimal(text) * NANO_PER_UNIT)


def entry_of(text: str) -> Entry:
    account, amount = text.strip().split(" ")
    return account, nano_of(amount)


def test_transfers_of_the_page_are_chained_as_it_says() -> None:
    head, balances = GENESIS, Counter[str]()
    for seq, (key, kind, entries, document, after, begins) in enumerate(table(PAGE, "key"), 1):
        sides = tuple(map(entry_of, entries.split(",")))
        said = json.loads(document) if document else None
        transfer = Transfer(
            key, kind, "demo", PLANT_TIME_S + seq, "ann", "desk-1", "", sides,
            document_hash=ledger.document_hash(said),
        )  # fmt: skip
        head = ledger.chain(head, ledger.canonical(transfer, seq, POSTED_US + seq))
        for account, nano in sides:
            assert chart.kind_of(account) in chart.ACCOUNTS
            balances[account] += nano
        assert (balances["wallet:t1"], head.hex()[: len(begins)]) == (nano_of(after), begins)
    assert sum(balances.values()) == 0


def test_entries_of_charges_are_the_sums_of_the_page() -> None:
    sums = Counter[str]()
    for _, wallet, medium, milli, price_micro, nano in table(PAGE, "row"):
        assert int(milli) * int(price_micro) == int(nano)
        sums[wallet] -= int(nano)
        sums[ledger.revenue(medium)] += int(nano)
    assert {account: nano_of(total) for account, total in table(PAGE, "account")} == sums
    assert sum(sums.values()) == 0


def test_roles_of_the_page_are_those_of_the_program() -> None:
    assert [role for role, _ in table(PAGE, "role")] == [role.acts_as for role in ROLES.values()]
