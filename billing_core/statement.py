"""Statements as people and machines read them: the document of a settlement as a table, in Chinese and English.

Rule: pure; nothing is computed here that the document does not say. Amounts are printed with the currency's decimals.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core.chart import TRANSFERS
from billing_core.plan import RATES

Document = Mapping[str, Any]
NANO: Final = 1_000_000_000
MILLI: Final = 1_000
MICRO: Final = 1_000_000
PPM_PER_PERCENT: Final = 10_000
FORMULA: Final = ("=", "@", "\t", "\r")  # a spreadsheet would compute a cell that begins so

RATE_NAMES: Final = (("尖", "sharp"), ("峰", "peak"), ("平", "flat"), ("谷", "valley"), ("深谷", "deep valley"))
KIND_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "energy": ("用量", "Usage"),
    "fixed-day": ("固定费用（日）", "Standing charge, daily"),
    "fixed-month": ("固定费用（月）", "Standing charge, monthly"),
    "capacity": ("容量电费", "Capacity"),
    "demand": ("需量电费", "Maximum demand"),
    "power-factor": ("力调电费", "Power-factor adjustment"),
    "minimum": ("保底费", "Minimum charge"),
    "base-quantity": ("基础用量返还", "Base quantity given back"),
    "share": ("公摊", "Share of common costs"),
}
CHARGE_KINDS: Final = (
    ("", ""), ("整量补差", "whole quantity re-priced"), ("冲正", "reversed"), ("重计", "charged again"),
                       ("估算", "estimated"))  # fmt: skip
COMPLIANCE: Final[Mapping[str, tuple[str, str]]] = {
    "shared-cost": (
        "合规提示：公共设施费用不得向终端用户加收，请核对当地规定",
        "check local rules: costs of common facilities may not be added to passed-on energy",
    ),
    "resale-surcharge": (
        "合规提示：转供电不得加价收费，请核对当地规定",
        "check local rules: passed-on energy may not bear a surcharge",
    ),
}
QUANTITY_KINDS: Final = (0, 2, 3, 4)  # an uplift prices again what another line counts
NOTES: Final[Mapping[str, tuple[str, str]]] = {
    "not-read-to-the-end": (
        "抄表未到期末或读数待核，其余用量计入下期",
        "not read to the end of the period, or held; the rest is on a later statement",
    ),
    "power-factor-without-reactive-reading": (
        "缺少期初或期末无功读数，未作力调",
        "no power-factor adjustment: reactive readings at both ends are missing",
    ),
    "loss-negative": ("损耗为负，按零分摊，请核查表计", "negative loss, shared as nothing; look at the meters"),
    "loss-above-cap": ("损耗超过上限，按上限分摊，请核查", "loss above its cap, shared up to it; look at the meters"),
}
COLUMNS: Final = (
    "section", "point", "item_zh", "item_en", "rate", "tier", "from", "to", "register_from", "register_to", "quantity",
    "unit", "price", "amount", "tax_percent", "estimated_quantity", "late", "note",
)  # fmt: skip


def rows(document: Document) -> Iterator[dict[str, str]]:
    """Yield the rows of a statement; COLUMNS names the keys. Their amounts, the tax rows apart, add up:

    opening + movements - lines = closing.
    """
    at = _clock(document)
    span = {"from": at(document["from_s"]), "to": at(document["to_s"])}
    yield _row(
        "opening", item_zh="期初余额", item_en="Opening balance", amount=amount(document["opening_nano"]), **span
    )
    for register in document["registers"]:
        yield _register(register, at)
    yield from _quantities(document)
    for line in document["lines"]:
        yield _line(line, document["minor_nano"])
        yield from _parts(line)
    for movement in document["movements"]:
        kind_zh, kind_en = TRANSFERS.get(movement["kind"], (movement["kind"], movement["kind"]))
        yield _row(
            "movement", item_zh=kind_zh, item_en=kind_en, note=movement["memo"],
            amount=amount(movement["nano"]), **{"from": at(movement["at_s"])},
        )  # fmt: skip
    for tax in document["tax"]:
        yield _row(
            "tax", item_zh="其中增值税", item_en="VAT contained", tax_percent=_percent(tax["ppm"]), unit=tax["medium"],
            amount=amount(tax["tax"] * document["minor_nano"]),
            note=f"不含税 net {amount(tax['net'] * document['minor_nano'])}",
        )  # fmt: skip
    for note in document["notes"]:
        yield _row("note", note=note_words(note))
    yield _row(
        "closing", item_zh="期末余额", item_en="Closing balance", amount=amount(document["closing_nano"]), **span
    )


def as_csv(document: Document) -> str:
    """Return the statement as CSV with a header line, for a spreadsheet (no cell that it would take for a formula)."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in rows(document):
        writer.writerow({name: f"'{text}" if text.startswith(FORMULA) else text for name, text in row.items()})
    return out.getvalue()


def as_text(document: Document) -> str:
    """Return the statement as people read it on a terminal."""
    at = _clock(document)
    head = (
        f"结算单 Statement {document['label']}  {document['name_zh']} / {document['name_en']} ({document['account']})\n"
        f"{at(document['from_s'])} -> {at(document['to_s'])}   {document['currency']}\n"
    )
    lines = []
    for row in rows(document):
        tier = f"T{row['tier']}" if row["tier"] else ""
        what = " ".join(filter(None, (row["point"], row["item_zh"], row["item_en"], row["rate"], tier)))
        facts = " ".join(filter(None, (_registers(row), _quantity(row), _taxed(row), row["late"], row["note"])))
        lines.append(f"{row['section']:<9} {row['amount']:>16}  {what}  {facts}".rstrip())
    return head + "\n".join(lines)


def _registers(row: Mapping[str, str]) -> str:
    return f"{row['register_from']} -> {row['register_to']}" if row["register_from"] else ""


def _quantity(row: Mapping[str, str]) -> str:
    if not row["quantity"]:
        return ""
    estimated = f" ({row['estimated_quantity']} estimated)" if row["estimated_quantity"] else ""
    price = f" x {row['price']}" if row["price"] else ""
    return f"{row['quantity']} {row['unit']}{price}{estimated}"


def _taxed(row: Mapping[str, str]) -> str:
    return f"{row['unit']} {row['tax_percent']}%" if row["section"] == "tax" else ""


def _line(line: Mapping[str, Any], minor_nano: int) -> dict[str, str]:
    kind_zh, kind_en = KIND_NAMES.get(line["kind"], (line["kind"], line["kind"]))
    found = {
        "section": "line",
        "point": line["point"],
        "item_zh": _named(kind_zh, line["name_zh"]),
        "item_en": _named(kind_en, line["name_en"]),
        "amount": amount(line["minor"] * minor_nano),
        "tax_percent": _percent(line["tax_ppm"]),
        "late": "late" if line["late"] else "",
    }
    if line["kind"] == "energy":
        zh, en = RATE_NAMES[line["rate"]]
        kind = CHARGE_KINDS[line["charge_kind"]]
        found |= {
            "rate": f"{zh} {en}",
            "tier": str(line["tier"] + 1) if line["tiers"] > 1 else "",
            "quantity": _plain(line["milli"], MILLI),
            "unit": line["unit"],
            "price": _plain(line["price_micro"], MICRO),
            "estimated_quantity": _plain(line["estimated_milli"], MILLI) if line["estimated_milli"] else "",
            "note": " ".join(filter(None, kind)),
        }
    if any(line.get("ground", ())):
        found["note"] = " / ".join(line["ground"])
    if line.get("compliance"):
        found["note"] = " / ".join(COMPLIANCE[line["compliance"]])
    return _row(**found)


def _parts(line: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield what a line's price consists of, when it is more than one part; their amounts are inside the line's."""
    parts: Sequence[Mapping[str, Any]] = line.get("parts", ())
    for part in parts if len(parts) > 1 else ():
        warning = COMPLIANCE.get(part["compliance"], (part["compliance"],))
        yield _row(
            "part", point=line["point"], item_zh=part["name_zh"], item_en=part["name_en"], unit=line["unit"],
            quantity=_plain(line["milli"], MILLI), price=_plain(part["price_micro"], MICRO),
            note=" / ".join(filter(None, (f"其中 contains {amount(part['nano'])}", *warning))),
        )  # fmt: skip


def note_words(note: str) -> str:
    """Return a note of a document in words, with the supply point that it is about."""
    word, _, about = note.partition(":")
    return " ".join(filter(None, (about, " / ".join(NOTES.get(word, (word,))))))


def _named(kind: str, name: str) -> str:
    return kind if name == kind else f"{kind} {name}".rstrip()


def _quantities(document: Document) -> Iterator[dict[str, str]]:
    """Yield each point's quantity of the period: the part of its registers' difference that the lines charge.

    Readings rarely come at the very border; what lies beyond it, by time, is on the statement of the other month.
    """
    counted: Counter[tuple[str, str]] = Counter()
    charged: Counter[tuple[str, str]] = Counter()
    for register in document["registers"]:
        counts = register["raw_to"] - register["raw_from"]
        counted[register["point"], register["unit"]] += counts * register["milli_per_count"]
    for line in document["lines"]:
        if line["kind"] == "energy" and line["charge_kind"] in QUANTITY_KINDS and not line["late"]:
            charged[line["point"], line["unit"]] += line["milli"]
    for (point, unit), milli in sorted(charged.items()):
        other = counted[point, unit] - milli
        note = f"{_plain(other, MILLI)} {unit} 不在本期 / outside the period" if other > 0 else ""
        yield _row(
            "quantity", point=point, item_zh="本期用量", item_en="Quantity of the period",
            quantity=_plain(milli, MILLI), unit=unit, note=note,
        )  # fmt: skip


def _register(register: Mapping[str, Any], at: Any) -> dict[str, str]:
    counts = register["raw_to"] - register["raw_from"]
    return _row(
        "register", point=register["point"], item_zh=f"表 {register['meter']}", item_en=f"meter {register['meter']}",
        register_from=str(register["raw_from"]), register_to=str(register["raw_to"]),
        note=f"{counts} counts x {_plain(register['milli_per_count'], MILLI)} {register['unit']}",
        **{"from": at(register["from_s"]), "to": at(register["to_s"])},
    )  # fmt: skip


def _row(section: str, **given: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {"section": section} | given


def _clock(document: Document) -> Any:
    zone = ZoneInfo(document["timezone"])
    return lambda at_s: datetime.fromtimestamp(at_s, zone).strftime("%Y-%m-%d %H:%M:%S")


def amount(nano: int) -> str:
    """Return nano as a decimal amount: two decimals, or as many as it takes."""
    amount = Decimal(nano) / NANO
    return f"{amount:.2f}" if nano % (NANO // 100) == 0 else f"{amount:f}"


def _plain(value: int, scale: int) -> str:
    return f"{Decimal(value) / scale:f}"


def _percent(ppm: int) -> str:
    return f"{Decimal(ppm) / PPM_PER_PERCENT:f}" if ppm else ""


assert len(RATE_NAMES) == len(RATES), "every rate period has a name"
