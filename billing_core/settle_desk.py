"""The settlement desk: previews and freezes the months of accounts, drafts and confirms the bills of shared costs.

    facts --account_month.settle--> document --settlement.recompute--> entries --LedgerStore.post--> chain

Rule: whatever is posted is the entries that `recompute` makes of the document that goes with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing_core import periods, settle_store, settlement, shares
from billing_core.account_month import settle
from billing_core.assessment import Assessment, as_data, from_data
from billing_core.periods import Month
from billing_core.posting import Draft, Posted
from billing_core.settle_store import SettleStore
from billing_core.shares import ShareGroup
from billing_core.store import LedgerStore
from scada.database import Cursor
from scada.errors import Refused
from scada.operations import Who

SYSTEM: Final = Who("system", "admin", "core")


@dataclass(frozen=True, slots=True)
class Site:
    """What a settlement needs to know of its site."""

    zone: ZoneInfo
    settlement_day: int  # of the month, on which it begins
    minor_nano: int  # nano of the smallest coin
    groups: Mapping[str, ShareGroup]
    place: Mapping[str, shares.Place]  # point -> its keys for shares


def assessments_document(items: Sequence[Assessment], note: str) -> dict[str, Any]:
    """Return the document of postings besides the unit."""
    return {"form": "assessments", "version": 1, "note": note, "assessments": as_data(items)}


class SettlementDesk:
    """Settles one site. Its methods raise Refused and DatabaseAway; repeating any of them is harmless."""

    def __init__(
        self,
        site: Site,
        store: SettleStore,
        books: LedgerStore,
        credit_now: Callable[[str, int], None],
        now_s: Callable[[], int],
    ) -> None:
        self.site = site
        self.store = store
        self._books = books
        self._credit_now = credit_now
        self._now_s = now_s

    def month(self, label: str) -> Month:
        return periods.month_named(self.site.zone, label, self.site.settlement_day)

    # ---- accounts

    async def preview(self, account: str, label: str) -> dict[str, Any]:
        """Return the document that settling a month of an account would freeze now."""
        month = self.month(label)
        return settle(await self.store.facts(account, month, self.site.zone, self.site.minor_nano))

    async def run(self, account: str, label: str, who: Who) -> dict[str, Any]:
        """Freeze a month of an account; return its document. A month that is frozen is returned as it is.

        Refused "settle.not-over" while the month lasts, "settle.shares" while a draft of shares waits, "settle.order".
        """
        month = self.month(label)
        if frozen := await self._frozen(account, month.label):
            return frozen
        if self._now_s() < month.to_s:
            raise Refused("settle.not-over", f"month {month.label} is not over; use the preview until then")
        await self._require_shares(month)
        document = settle(await self.store.facts(account, month, self.site.zone, self.site.minor_nano))
        return await self._freeze(document, who)

    async def close_lines(self, account: str, at_s: int) -> dict[str, Any]:
        """Return everything due from an account until an instant, as the last statement would say it, without posting.

        The document's "lines" are the lines, "closing_nano" is the balance when all of them are posted.
        """
        month = periods.month_at(self.site.zone, at_s - 1, self.site.settlement_day)
        return settle(await self.store.facts(account, month, self.site.zone, self.site.minor_nano, close_s=at_s))

    async def close(self, account: str, at_s: int, who: Who) -> dict[str, Any]:
        """Freeze the last statement of a tenancy that ends at an instant; return its document."""
        month = periods.month_at(self.site.zone, at_s - 1, self.site.settlement_day)
        if frozen := await self._frozen(account, month.label + "/close"):
            return frozen
        return await self._freeze(await self.close_lines(account, at_s), who)

    async def _frozen(self, account: str, label: str) -> dict[str, Any] | None:
        found = await self.store.documents(account, label)
        return next((document for document in found if document["label"] == label), None)

    async def _freeze(self, document: dict[str, Any], who: Who) -> dict[str, Any]:
        items = from_data(document["assessments"])

        async def also(cursor: Cursor, seq: int) -> None:
            await settle_store.write_assessments(cursor, seq, items)
            await settle_store.write_statement(cursor, seq, document)

        draft = Draft(settlement.recompute(document), f"statement {document['label']}", document, also=also)
        key = f"settle:{document['account']}:{document['label']}"
        posted = await self.post(key, "settlement", who, draft)
        return dict(posted.document or document)

    # ---- shares

    async def draft_shares(self, label: str, who: Who) -> list[dict[str, Any]]:
        """Compute the bills of every group that has none yet for a month, and keep them as drafts; return all bills."""
        month = self.month(label)
        bills = await self.store.share_bills(month.label)
        for group in self.site.groups.values():
            if bills.get(group.id, ("",))[0] == "confirmed":
                continue
            costs = await self.store.point_costs(shares.points_needed(group), month)
            histories = await self.store.histories({})
            document = shares.bill(group, month, costs, histories, self.site.place, self.site.minor_nano)
            await self.store.add_draft(document, who.user, self._now_s())
        bills = await self.store.share_bills(month.label)
        return [{"state": state, **document} for _, (state, document, _) in sorted(bills.items())]

    async def confirm_shares(self, group: str, label: str, who: Who) -> dict[str, Any]:
        """Post the latest draft of a group's bill; one bill per group and month.

        Refused "settle.group", "settle.no-draft", "settle.not-over".
        """
        month = self.month(label)
        if group not in self.site.groups:
            raise Refused("settle.group", f"there is no share group {group!r}; there are {', '.join(self.site.groups)}")
        if self._now_s() < month.to_s:
            raise Refused("settle.not-over", f"month {month.label} is not over")
        state, document, _ = (await self.store.share_bills(month.label)).get(group, ("", {}, None))
        if state == "confirmed":
            return {"state": state, **document}
        if not state:
            raise Refused(
                "settle.no-draft", f"group {group} has no draft for {month.label}; make one and read it first"
            )
        await self._post_bill(document, who)
        return {"state": "confirmed", **document}

    async def _post_bill(self, document: dict[str, Any], who: Who) -> None:
        items = shares.assessments(document)
        made_s = self._now_s()

        async def also(cursor: Cursor, seq: int) -> None:
            await settle_store.write_assessments(cursor, seq, items)
            await settle_store.write_share_bill(cursor, seq, document, who.user, made_s)

        memo = f"share {document['group']} {document['month']}"
        draft = Draft(settlement.recompute(document), memo, document, also=also)
        await self.post(f"share:{document['group']}:{document['month']}", "share", who, draft)

    async def _require_shares(self, month: Month) -> None:
        bills = await self.store.share_bills(month.label)
        waiting = [group for group in self.site.groups if bills.get(group, ("",))[0] != "confirmed"]
        if waiting:
            text = f"shares of {', '.join(waiting)} are not confirmed for {month.label}"
            raise Refused("settle.shares", f"{text}; draft, read and confirm them first")

    # ---- posting

    async def post(self, key: str, kind: str, who: Who, draft: Draft) -> Posted:
        """Post a draft once per key and let it count; what stands under the key already is taken as it is."""
        posted = await self._books.post(key, kind, who, lambda _: draft, same=lambda _: None)
        for account, nano in posted.credit_now.items():
            self._credit_now(account, nano)
        return posted
