"""What people ask of the settlement: preview and freeze months, draft and confirm shares, the resale report.

Rule: a table of operations; answers stay below the link's 64 kB, so whole statements are read from the books.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from billing_core import resale
from billing_core.resale import Purchase
from billing_core.settle_desk import SettlementDesk
from scada.errors import Refused
from scada.operations import Operation, Who

LINES_MOST: Final = 150  # lines of a preview in one answer; the count is always complete
SHOWN: Final = ("point", "kind", "component", "name_zh", "name_en", "rate", "tier", "price_micro", "milli", "unit",
                "estimated_milli", "late", "nano", "minor")  # fmt: skip


@dataclass(frozen=True, slots=True)
class MonthArguments:
    """A settlement month, such as 2026-11."""

    month: str


@dataclass(frozen=True, slots=True)
class AccountMonthArguments:
    """An account and a settlement month."""

    account: str
    month: str


@dataclass(frozen=True, slots=True)
class GroupMonthArguments:
    """A share group and a settlement month."""

    group: str
    month: str


@dataclass(frozen=True, slots=True)
class ResaleArguments:
    """A medium and a month whose effective prices are compared with the purchase price."""

    month: str
    medium: str = "electricity"


def summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer can hold of a statement."""
    lines = [{name: line[name] for name in SHOWN if name in line} for line in document["lines"]]
    names = ("account", "name_zh", "name_en", "currency", "label", "from_s", "to_s", "minor_nano", "opening_nano",
             "closing_nano", "tax", "notes")  # fmt: skip
    return {name: document[name] for name in names} | {
        "lines": lines[:LINES_MOST],
        "line_count": len(lines),
        "charged_minor": sum(line["minor"] for line in document["lines"]),
        "movements_nano": sum(movement["nano"] for movement in document["movements"]),
    }


class SettleOperations:
    """Handlers of the table below."""

    def __init__(self, desk: SettlementDesk, purchases: tuple[Purchase, ...]) -> None:
        self._desk = desk
        self._purchases = purchases

    async def accounts(self, _: Who, wanted: MonthArguments) -> Mapping[str, Any]:
        month = self._desk.month(wanted.month)
        settled = {account: label for account, label, *_ in await self._desk.store.statements(month.label)}
        wallets = await self._desk.store.wallets()
        return {"month": month.label, "accounts": wallets, "settled": [name for name in wallets if name in settled]}

    async def preview(self, _: Who, wanted: AccountMonthArguments) -> Mapping[str, Any]:
        return summary(await self._desk.preview(wanted.account, wanted.month))

    async def run(self, who: Who, wanted: AccountMonthArguments) -> Mapping[str, Any]:
        return summary(await self._desk.run(wanted.account, wanted.month, who)) | {"lines": []}

    async def shares(self, who: Who, wanted: MonthArguments) -> Mapping[str, Any]:
        return {"bills": [_bill(bill) for bill in await self._desk.draft_shares(wanted.month, who)]}

    async def confirm(self, who: Who, wanted: GroupMonthArguments) -> Mapping[str, Any]:
        return _bill(await self._desk.confirm_shares(wanted.group, wanted.month, who))

    async def resale(self, _: Who, wanted: ResaleArguments) -> Mapping[str, Any]:
        month = self._desk.month(wanted.month)
        purchase = resale.purchase_of(self._purchases, wanted.medium, month.label)
        if purchase is None:
            text = f"no purchase price of {wanted.medium} for {month.label}; add a [[purchase]] to settlement.toml"
            raise Refused("settle.no-purchase", text)
        found = []
        for account in await self._desk.store.wallets():
            for document in await self._documents(account, month.label):
                effective = resale.effective(document, purchase)
                if effective is not None:
                    found.append(asdict(effective))
        above = [item for item in found if item["above"]]
        return {
            "month": month.label,
            "medium": wanted.medium,
            "purchase_micro": purchase.price_micro,
            "cap_percent": purchase.cap_percent,
            "accounts": len(found),
            "above": len(above),
            "prices": (above + [item for item in found if not item["above"]])[: 2 * LINES_MOST],
        }

    async def _documents(self, account: str, label: str) -> list[dict[str, Any]]:
        """Return the statements of a month, or its preview as long as there is none."""
        return await self._desk.store.documents(account, label) or [await self._desk.preview(account, label)]


def _bill(document: Mapping[str, Any]) -> dict[str, Any]:
    shares = [
        {**document["participants"][name], "minor": minor}
        for name, minor in list(document["shares"].items())[: 2 * LINES_MOST]
    ]
    names = ("state", "group", "name_zh", "name_en", "medium", "by", "month", "payer", "minor_nano", "quantity",
             "total_nano", "total_minor", "compliance", "notes")  # fmt: skip
    return {name: document[name] for name in names} | {"shares": shares}


def operations(desk: SettlementDesk, purchases: tuple[Purchase, ...]) -> list[Operation]:
    """Return the table of the settlement's operations."""
    acts = SettleOperations(desk, purchases)
    return [
        Operation("settle.accounts", "account.view", MonthArguments, acts.accounts),
        Operation("settle.preview", "account.view", AccountMonthArguments, acts.preview),
        Operation("settle.run", "account.manage", AccountMonthArguments, acts.run),
        Operation("settle.shares", "account.manage", MonthArguments, acts.shares),
        Operation("settle.confirm", "account.manage", GroupMonthArguments, acts.confirm),
        Operation("settle.resale", "account.view", ResaleArguments, acts.resale),
    ]
