"""Shared costs 公摊: groups of participants that pay for public points or for a network's loss, month by month.

    costs and quantities of the month --bill--> document (draft) --confirm--> settlement.share_entries

A participant is a supply point; who had it pays, by the seconds of the month. A vacant room's share is its owner's.
Compliance: where site rules forbid extra charges on passed-on energy (CN, since 2021-03-01) a bill carries a warning.
Rule: pure; shares are exact to the coin and do not depend on any order.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from billing_core import amounts, sharing
from billing_core.assessment import Assessment, due_nano
from billing_core.periods import Month
from billing_core.supply import History
from scada.errors import Refused

COMPLIANCE: Final = "shared-cost"  # word of the warning on bills
PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Place:
    """What a supply point weighs in shares."""

    area_milli: int = 0  # thousandths of a m2
    heads: int = 0
    weight_milli: int = 0  # fixed weight, thousandths
    capacity_va: int = 0


@dataclass(frozen=True, slots=True)
class ShareGroup:
    """Who shares what by which key. Either public points, or a main point less its sub points at a price."""

    id: str
    name_zh: str
    name_en: str
    medium: str
    by: sharing.Key
    payer: str  # account that paid the cost and gets the shares
    participants: tuple[str, ...]  # supply points
    points: tuple[str, ...] = ()  # public points, whose cost is shared
    main: str = ""
    subs: tuple[str, ...] = ()
    price_micro: int = 0  # of the loss
    cap_percent: int = PERCENT  # most of the main quantity that may be shared as loss
    tax_ppm: int = 0
    compliance: bool = False  # the site's rules ask for a warning


Costs = Mapping[tuple[str, str], tuple[int, int]]  # (point, account) -> (milli, nano, components included)


def points_needed(group: ShareGroup) -> list[str]:
    """Return the points whose costs and quantities a bill needs."""
    return sorted({*group.points, *filter(None, (group.main,)), *group.subs, *group.participants})


def bill(
    group: ShareGroup,
    month: Month,
    costs: Costs,
    histories: Mapping[str, History],
    places: Mapping[str, Place],
    minor_nano: int,
) -> dict[str, Any]:
    """Return the document of a group's bill. Refused "settle.no-participant" when nobody has any weight."""
    milli_of: Counter[str] = Counter()
    nano_of: Counter[str] = Counter()
    for (point, _), (milli, nano) in costs.items():
        milli_of[point] += milli
        nano_of[point] += nano
    notes: list[str] = []
    if group.main:
        found = sharing.loss(milli_of[group.main], [milli_of[sub] for sub in group.subs], group.cap_percent)
        notes += [f"loss-{note}" for note in found.notes]
        total_nano = found.shared_milli * group.price_micro
        quantity = {"main_milli": milli_of[group.main], "lost_milli": found.lost_milli, "milli": found.shared_milli}
    else:
        total_nano = sum(nano_of[point] for point in group.points)
        quantity = {"milli": sum(milli_of[point] for point in group.points)}
    participants = weights_of(group, month, costs, histories, places)
    total_minor = max(0, amounts.round_half_up(total_nano, minor_nano))
    if total_minor and not any(p["weight"] for p in participants.values()):
        raise Refused("settle.no-participant", f"group {group.id}: no participant has any {group.by} in {month.label}")
    weights = {name: p["weight"] for name, p in participants.items()}
    return {
        "form": "share",
        "version": 1,
        "group": group.id,
        "name_zh": group.name_zh,
        "name_en": group.name_en,
        "medium": group.medium,
        "by": group.by,
        "month": month.label,
        "from_s": month.from_s,
        "to_s": month.to_s,
        "payer": group.payer,
        "tax_ppm": group.tax_ppm,
        "minor_nano": minor_nano,
        "quantity": quantity,
        "price_micro": group.price_micro,
        "total_nano": total_nano,
        "total_minor": total_minor,
        "participants": participants,
        "weights": weights,
        "shares": sharing.allocate(total_minor, weights),
        "compliance": COMPLIANCE if group.compliance else "",
        "notes": notes,
    }


def weights_of(
    group: ShareGroup, month: Month, costs: Costs, histories: Mapping[str, History], places: Mapping[str, Place]
) -> dict[str, dict[str, Any]]:
    """Return "<point>/<account>" -> point, account, key and weight of everybody who had a participating point.

    By usage the weight is what was used; by any other key it is the key times the seconds of the month.
    """
    found: dict[str, dict[str, Any]] = {}
    for point in sorted(set(group.participants)):
        history = histories.get(point)
        seconds: Counter[str] = Counter()
        for span in history.spans if history else ():
            within_s = min(span.to_s, month.to_s) - max(span.from_s, month.from_s)
            if within_s > 0:
                seconds[span.account] += within_s
        for account, had_s in sorted(seconds.items()):
            key = _key(group.by, places.get(point, Place()))
            weight = costs.get((point, account), (0, 0))[0] if group.by == "usage" else key * had_s
            found[f"{point}/{account}"] = {
                "point": point, "account": account, "key": key, "seconds": had_s, "weight": max(0, weight),
            }  # fmt: skip
    return found


def _key(by: sharing.Key, place: Place) -> int:
    keys = {
        "area": place.area_milli,
        "heads": place.heads,
        "weight": place.weight_milli,
        "capacity": place.capacity_va,
        "equal": 1,
        "usage": 0,
    }
    return keys[by]


def assessments(document: Mapping[str, Any]) -> list[Assessment]:
    """Return the assessments of a bill: each participant's share, and the payer's return of the whole."""
    items = []
    for name, minor in document["shares"].items():
        who = document["participants"][name]
        items.append(_item(document, name, who["account"], who["point"], minor))
    items.append(_item(document, "payer", document["payer"], f"group:{document['group']}", -document["total_minor"]))
    return [item for item in items if item.nano]


def _item(document: Mapping[str, Any], name: str, account: str, point: str, minor: int) -> Assessment:
    inputs = {"minor": minor, "minor_nano": document["minor_nano"], "compliance": document["compliance"]}
    return Assessment(
        key=f"share:{document['group']}:{document['month']}:{name}",
        kind="share",
        account=account,
        point=point,
        medium=document["medium"],
        component=document["group"],
        name_zh=document["name_zh"],
        name_en=document["name_en"],
        from_s=document["from_s"],
        to_s=document["to_s"],
        tax_ppm=document["tax_ppm"],
        inputs=inputs,
        nano=due_nano("share", inputs),
    )
