"""The month of an account: from what the books hold to the document of its settlement, every line in coins.

    store.read --> Facts --settle--> document --settlement.recompute--> entries; statement.py prints it

A statement takes what lies in its period and was in the books when it was made; what comes in later for that time is a
line of the next one, marked late. Opening balance + movements - lines = closing balance, exactly.
Rule: pure; the document holds every input of every figure.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from billing_core import amounts, month_components, settlement
from billing_core.assessment import Assessment, as_data
from billing_core.grounds import words as grounds_of
from billing_core.month_facts import Facts, Usage, parts_of

VERSION: Final = 1  # of the form of the document


def settle(facts: Facts) -> dict[str, Any]:
    """Return the document of the account's settlement; its entries are settlement.recompute(document)."""
    settled, notes = month_components.true_ups(facts)
    items = [item for item in settled if item.nano]
    lines = _energy_lines(facts) + _component_lines(facts, items, settled)
    left = _carry(lines, facts)
    window = sum(movement.nano for movement in facts.movements)
    window -= sum(usage.nano for usage in facts.usages) + sum(posted.nano for posted in facts.posted)
    opening = facts.balance_nano - facts.after_nano - window
    if facts.previous_closing_nano is not None and facts.previous_closing_nano != opening:
        difference = opening - facts.previous_closing_nano
        raise ArithmeticError(f"{facts.account}: {difference} nano lie between its statements; run the audit")
    document: dict[str, Any] = {
        "form": "settlement",
        "version": VERSION,
        "account": facts.account,
        "name_zh": facts.name_zh,
        "name_en": facts.name_en,
        "currency": facts.currency,
        "label": facts.label,
        "month": facts.month.label,
        "timezone": facts.zone.key,
        "from_s": facts.from_s,
        "to_s": facts.to_s,
        "cut_seq": facts.cut_seq,
        "minor_nano": facts.minor_nano,
        "assessments": as_data(items),
        "lines": lines,
        "movements": [
            {"seq": m.seq, "kind": m.kind, "at_s": m.at_s, "memo": m.memo, "nano": m.nano} for m in facts.movements
        ],
        "registers": [dict(register) for register in facts.registers],
        "opening_nano": opening,
        "left_nano": left,  # line key -> what its rounding leaves to the next statement
        "notes": [*facts.notes, *notes],
    }
    document["tax"] = [
        {"medium": medium, "ppm": ppm, "gross_minor": gross, **amounts.tax_inside(gross, ppm)._asdict()}
        for (medium, ppm), gross in settlement.gross_by_tax(lines, facts.minor_nano).items()
    ]
    charged = sum(line["minor"] for line in lines) * facts.minor_nano
    document["closing_nano"] = opening + sum(m.nano for m in facts.movements) - charged
    return document


def _carry(lines: list[dict[str, Any]], facts: Facts) -> dict[str, int]:
    """Round every line to coins, each with the remainder that the last one under its key left; return what is left."""
    carried = dict(facts.carried)
    for line in lines:
        line["carried_nano"] = carried.get(line["carry_key"], 0)
        line["minor"] = settlement.coins(line, facts.minor_nano)
        carried[line["carry_key"]] = line["carried_nano"] + line["nano"] - line["minor"] * facts.minor_nano
    return {key: nano for key, nano in sorted(carried.items()) if nano}


def _energy_lines(facts: Facts) -> list[dict[str, Any]]:
    lines = []
    for usage in sorted(
        _together(facts), key=lambda u: (u.point, u.late, u.at_s, u.kind, u.rate, u.tier, u.price_micro)
    ):
        plan = facts.plans.get(usage.plan)
        version = plan.version_at(usage.at_s) if plan else None
        lines.append(
            {
                "point": usage.point,
                "kind": "energy",
                "component": f"energy-{usage.kind}",
                "medium": usage.medium,
                "unit": usage.unit,
                "name_zh": plan.name_zh if plan else "",
                "name_en": plan.name_en if plan else "",
                "plan": plan.id if plan else "",
                "charge_kind": usage.kind,
                "rate": usage.rate,
                "tier": usage.tier,
                "tiers": version.tier_count if version else 1,
                "price_micro": usage.price_micro,
                "milli": usage.milli,
                "estimated_milli": usage.estimated_milli,
                "parts": parts_of(usage, version),
                "late": usage.late,
                "tax_ppm": version.tax.ppm if version else 0,
                "carry_key": f"{usage.point}|energy|{usage.rate}|{usage.tier}",
                "nano": usage.nano,
            }
        )
    return lines


def _together(facts: Facts) -> list[Usage]:
    """Return the usages with the parts of charges over a border added to their like: one line per price."""
    found: dict[tuple[Any, ...], Usage] = {}
    for u in facts.usages:
        plan = facts.plans.get(u.plan)
        version = plan.version_at(u.at_s) if plan else None
        since_s = version.from_s if version else 0
        key = (u.point, u.medium, u.unit, u.plan, since_s, u.rate, u.tier, u.kind, u.price_micro, u.late)
        other = found.get(key)
        found[key] = (
            u
            if other is None
            else replace(
                other,
                at_s=min(u.at_s, other.at_s),
                milli=u.milli + other.milli,
                estimated_milli=u.estimated_milli + other.estimated_milli,
                nano=u.nano + other.nano,
            )
        )
    return list(found.values())


def _component_lines(facts: Facts, items: Sequence[Assessment], settled: Sequence[Assessment]) -> list[dict[str, Any]]:
    """One line per component of a point: what was posted within the period and what the settlement adds.

    settled: every component that the settlement looked at; says what a line was computed from.
    """
    grounds = {(item.point, item.component): grounds_of(item.kind, item.inputs) for item in settled}
    found: dict[tuple[str, str, bool, int], dict[str, Any]] = {}
    every: list[Any] = [*facts.posted, *items]
    for item in sorted(every, key=lambda i: (i.point, i.component, getattr(i, "late", False), i.tax_ppm)):
        late = getattr(item, "late", False)
        line = found.setdefault(
            (item.point, item.component, late, item.tax_ppm),
            {
                "point": item.point,
                "kind": item.kind.removesuffix("-reserve"),
                "component": item.component,
                "medium": item.medium,
                "name_zh": item.name_zh,
                "name_en": item.name_en,
                "late": late,
                "compliance": getattr(item, "compliance", ""),
                "tax_ppm": item.tax_ppm,
                "carry_key": f"{item.point}|{item.component}",
                "ground": list(("", "") if late else grounds.get((item.point, item.component), ("", ""))),
                "nano": 0,
            },
        )
        line["nano"] += item.nano
    return list(found.values())
