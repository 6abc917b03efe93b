"""Settlement documents: what a transfer besides the charges carries, and the entries that follow from it alone.

Four forms: "assessments" (fixed charges, capacity, live demand), "share" (a common cost over its participants),
"settlement" (the month of an account: true-ups, rounding to coins, tax). `recompute` derives the entries of each again.
Rule: pure; a document is plain JSON data and holds every input.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from billing_core import amounts, sharing
from billing_core.assessment import Assessment, from_data

Entry = tuple[str, int]  # ledger account, nano; positive credits
Document = Mapping[str, Any]
ROUNDING: Final = "rounding"
VAT: Final = "tax:vat"


def recompute(document: Document) -> tuple[Entry, ...]:
    """Return the entries of a document of this trade, sorted by account, without zeros. KeyError: unknown form."""
    moved = FORMS[document["form"]](document)
    return tuple((account, nano) for account, nano in sorted(moved.items()) if nano)


def assessment_entries(document: Document) -> Counter[str]:
    """Debit each wallet, credit the revenue of each medium."""
    return _assessed(from_data(document["assessments"]))


def share_entries(document: Document) -> Counter[str]:
    """Debit each participant by its share, credit the account that paid the common cost."""
    weights = {name: int(weight) for name, weight in document["weights"].items()}
    shares = sharing.allocate(document["total_minor"], weights)
    moved: Counter[str] = Counter()
    for name, minor in shares.items():
        nano = minor * document["minor_nano"]
        moved[f"wallet:{document['participants'][name]['account']}"] -= nano
        moved[f"wallet:{document['payer']}"] += nano
    return moved


def settlement_entries(document: Document) -> Counter[str]:
    """Post true-ups, the rounding of every line to coins, and the tax out of the revenue."""
    moved = _assessed(from_data(document["assessments"]))
    wallet, minor_nano = f"wallet:{document['account']}", document["minor_nano"]
    for line in document["lines"]:
        rounded = coins(line, minor_nano) * minor_nano - line["nano"]
        moved[wallet] -= rounded
        moved[ROUNDING] += rounded
    for (medium, ppm), gross in gross_by_tax(document["lines"], minor_nano).items():
        tax_nano = amounts.tax_inside(gross, ppm).tax * minor_nano
        moved[f"revenue:{medium}"] -= tax_nano
        moved[VAT] += tax_nano
    return moved


def coins(line: Mapping[str, Any], minor_nano: int) -> int:
    """Return what a line posts, in coins: what it accumulated, with the remainder that earlier statements left it."""
    return amounts.round_half_up(line["carried_nano"] + line["nano"], minor_nano)


def gross_by_tax(lines: Sequence[Mapping[str, Any]], minor_nano: int) -> dict[tuple[str, int], int]:
    """Return (medium, tax ppm) -> coins of the lines that are sold with that tax, tax inside."""
    gross: Counter[tuple[str, int]] = Counter()
    for line in lines:
        if line["tax_ppm"]:
            gross[line["medium"], line["tax_ppm"]] += coins(line, minor_nano)
    return dict(sorted(gross.items()))


def _assessed(assessments: Sequence[Assessment]) -> Counter[str]:
    moved: Counter[str] = Counter()
    for item in assessments:
        moved[f"wallet:{item.account}"] -= item.nano
        moved[f"revenue:{item.medium}"] += item.nano
    return moved


FORMS: Final[Mapping[str, Callable[[Document], Counter[str]]]] = {
    "assessments": assessment_entries,
    "share": share_entries,
    "settlement": settlement_entries,
}
