"""Closing accounts: move-out and transfer of ownership, carried out as they were previewed. 退租结算 过户

    preview -> (its token) -> engine: cut reading, payer = house or successor -> supply off -> last statement -> books:
    refund, everything to zero, account closed

Rule: as in `tenancy_desk`; what is paid is judged again where it is posted, so money that moved after the preview makes
a refusal and no mistake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from loguru import logger

from billing_core import account_store as store
from billing_core import closing, ledger, posting
from billing_core.account_rules import CLOSED, OPEN, Purse, shown
from billing_core.account_store import Facts
from billing_core.posting import Balances, Draft, Posted
from billing_core.state import Target
from billing_core.tenancy_desk import Lives, TenantWish, check_key
from scada.database import Cursor
from scada.errors import Refused
from scada.operations import Who


class Statements(Protocol):
    """What settlement brings to a closing."""

    async def due(self, account: str, at_s: int) -> int:
        """Return what the last statement would still post to the wallet, nano, charges below zero."""

    async def close(self, account: str, at_s: int, who: Who) -> None:
        """Post the last statement; repeatable."""


class NoStatements:
    """A site without settlement: nothing is charged besides consumption."""

    async def due(self, account: str, at_s: int) -> int:
        return 0

    async def close(self, account: str, at_s: int, who: Who) -> None:
        return


@dataclass(frozen=True, slots=True)
class Leaving:
    """How an account is closed."""

    account: str
    token: str
    channel: str
    reason: str
    key: str
    unpaid: str = "refuse"
    within_nano: int = 0
    accept_stale: bool = False
    approved_by: str = ""


class Leavings:
    """Closes accounts. One per core."""

    def __init__(self, lives: Lives, statements: Statements | None = None) -> None:
        self._lives = lives
        self.counter = lives.counter
        self.office = lives.office
        self.residents = lives.residents
        self.statements = statements or NoStatements()

    async def show(self, who: Who, account: str) -> dict[str, Any]:
        """Preview, and keep what was shown under its token, so that carrying out can be held to it."""
        found = await self.preview(account)

        def build(balances: Balances) -> Draft:
            return Draft((), f"preview {account}", {"asked": {"token": found["token"]}, "preview": found})

        key = f"preview:{account}:{found['token']}"
        await self.office.books.post(key, "moveout", who, build, same=posting.asked({"token": found["token"]}))
        return found

    async def preview(self, account: str, accept_stale: bool = True) -> dict[str, Any]:
        """Return every line of closing an account now, and the token that stands for it. Changes nothing."""
        spec = self.residents.spec(account)
        rows = self.residents.points_of(account)
        if not accept_stale:
            self._lives.require_fresh(rows)
        facts, balances = Facts(), dict[str, int]()

        async def read(cursor: Cursor) -> None:
            nonlocal facts
            facts = await store.read_facts(cursor, account)
            balances.update(await store.read_balances(cursor, account))

        await self.office.books.look(read)
        limits = self.residents.limits(account, facts.account_class)
        coin_nano = self.office.minor_nano
        purse = store.purse_of(account, facts, lambda name: balances.get(name, 0), limits, coin_nano)
        if purse.state == CLOSED:
            raise Refused("account.closed", f"{account} is closed and settled")
        due_nano = await self.statements.due(account, self.counter.now_s())
        uncommitted_nano = self.office.engine.uncommitted_nano(self.residents.rows[account])
        found = closing.reckoning(purse, uncommitted_nano, due_nano)
        return closing.preview(account, self._lives.registers(rows), found, spec.breakers)

    async def move_out(self, who: Who, leaving: Leaving) -> dict[str, Any]:
        """Close an account as it was previewed: final reading, supply off, statement, refund, room to the house."""
        check_key(leaving.key)
        async with self._lives.lock:
            if done := await self._closed_before(leaving, ""):
                return done
            house = self.residents.require_house()
            if leaving.account == house:
                raise Refused("tenancy.house", f"{house} is the house itself; it does not move out")
            cut = await self._leave(who, leaving, house)
            supply = await self._switch_off(cut)
            await self.statements.close(leaving.account, self.counter.now_s(), who)
            return await self._settle(who, leaving, "moveout", "", cut, supply)

    async def hand_over(self, who: Who, leaving: Leaving, wish: TenantWish, carry: bool) -> dict[str, Any]:
        """Close an account and open its successor in one cut; the supply stays on. 过户

        carry: the net goes to the first account of the successor instead of being paid out.
        """
        check_key(leaving.key)
        to = wish.accounts[0].id if carry and wish.accounts else ""
        async with self._lives.lock:
            if done := await self._closed_before(leaving, to):
                return done
            key = f"{leaving.key}:open"
            if await self.office.books.find(key) is None:
                self._lives.check_new(wish)
                await self._judge_money(leaving, await self._check_leaving(leaving), to)
                self._check_heirs(leaving.account, wish)
            await self._lives.enter(who, wish, key)
            registers = await self._lives.take_over(who, wish, key, leaving.account)
            await self.statements.close(leaving.account, self.counter.now_s(), who)
            cut = {"registers": registers, "breakers": []}
            answer = await self._settle(who, leaving, "handover", to, cut, [])
            receipts = [await self._lives.opening(who, purse, key) for purse in wish.accounts if purse.opening_minor]
        return {**answer, "successor": [purse.id for purse in wish.accounts], "receipts": receipts}

    def _check_heirs(self, account: str, wish: TenantWish) -> None:
        """Refuse a transfer of ownership that does not name exactly the points of the old account."""
        wanted = {self.residents.row_of_point(point) for purse in wish.accounts for point in purse.points}
        if wanted != set(self.residents.points_of(account)):
            own = ", ".join(self.residents.points[row].id for row in self.residents.points_of(account))
            raise Refused("handover.points", f"a transfer of ownership takes all points of {account}: {own}")

    async def _check_leaving(self, leaving: Leaving) -> dict[str, Any]:
        """Return the preview as it is now. Refused when it is not the one the token stands for."""
        if not leaving.reason.strip():
            raise Refused("account.reason", "say why with --reason; it goes into the books")
        now = await self.preview(leaving.account, leaving.accept_stale)
        before = await self._shown(leaving.token)
        if before is None or before["account"] != leaving.account:
            raise Refused("closing.token", "preview the closing first and give its token; it says what is carried out")
        closing.require_same(before, now, leaving.within_nano)
        return now

    async def _leave(self, who: Who, leaving: Leaving, house: str) -> Mapping[str, Any]:
        """Cut the points and give them to the house; passed by when that was done. Return registers and breakers."""
        key = f"{leaving.key}:cut"
        begun = await self.office.books.find(key)
        if begun is not None and begun.document is not None:
            return begun.document
        now = await self._check_leaving(leaving)
        await self._judge_money(leaving, now)
        rows = self.residents.points_of(leaving.account)
        targets = [Target(row, account=self.residents.rows[house]) for row in rows]
        if rows:
            note = {"leaving": leaving.account, "breakers": now["breakers"], "registers": now["registers"]}
            before = None if leaving.within_nano else now["registers"]
            await self._lives.cut(who, key, targets, leaving.account, leaving.reason, note, before)
            await self._lives.note_tenancy(who, f"{leaving.key}:tenancy:{house}", house, rows)
            self.residents.moved(rows, house)
        return {"registers": now["registers"], "breakers": now["breakers"]}

    async def _judge_money(self, leaving: Leaving, now: Mapping[str, Any], to: str = "") -> None:
        """Refuse, or ask for a second person, before any supply is touched."""
        lines = {line["code"]: line["nano"] for line in now["lines"]}
        limits = self.residents.limits(leaving.account)
        purse = Purse(
            leaving.account, OPEN, lines["net"], 0, 0, 0, 0, limits, 0, self.office.minor_nano
        )  # fmt: skip
        closing.closing(purse, leaving.channel, leaving.reason, leaving.unpaid, to, leaving.approved_by)

    async def _settle(
        self, who: Who, leaving: Leaving, kind: str, to: str, cut: Mapping[str, Any], supply: Sequence[Any]
    ) -> dict[str, Any]:
        """Post the closing, judged by the balances of that moment; enter the account as closed."""
        before = await self._shown(leaving.token)
        spec = self.residents.spec(leaving.account)

        def build(purse: Purse) -> Draft:
            draft = closing.closing(purse, leaving.channel, leaving.reason, leaving.unpaid, to, leaving.approved_by)
            document = dict(draft.document or {})
            if before is not None:
                self._require_amount(before, document["paid_nano"], to, leaving.within_nano)
            document |= {"registers": list(cut.get("registers", [])), "supply": list(supply), "token": leaving.token}
            return replace(draft, document=document)

        async def also(cursor: Cursor, seq: int) -> None:
            await store.keep_purse(cursor, spec, CLOSED, closed_seq=seq)
            await cursor.execute(store.CLEAR_SUBSIDIES, {"account": leaving.account, "seq": seq})

        posted = await self.counter.post(who, leaving.key, kind, leaving.account, build, _asked(leaving, to), also=also)
        self.residents.closed(leaving.account)
        return _answer(posted)

    def _require_amount(self, before: Mapping[str, Any], paid_nano: int, to: str, within_nano: int) -> None:
        """Refuse when what is paid is not what was shown; money may have moved since the cut."""
        shown_nano = (
            next(line["nano"] for line in before["lines"] if line["code"] == "net") if to else before["paid_nano"]
        )
        if abs(paid_nano - shown_nano) > within_nano + (self.office.minor_nano if to else 0) * bool(within_nano):
            wrong = f"{shown(shown_nano)} was shown, it is {shown(paid_nano)} now"
            raise Refused("closing.changed", f"{wrong}; preview again and repeat with its token")

    async def _closed_before(self, leaving: Leaving, to: str) -> dict[str, Any]:
        """Return the answer of a closing that was carried out under this key, {} when there is none."""
        done = await self.office.books.find(leaving.key)
        if done is None:
            return {}
        refused = posting.asked(_asked(leaving, to))(done)
        if refused is not None:
            raise refused
        self.residents.closed(leaving.account)
        return {**_answer(done), "repeated": True}

    async def _switch_off(self, cut: Mapping[str, Any]) -> list[dict[str, str]]:
        """Ask for supply off; what an interlock refuses is told and written down, and stays for a person."""
        found = []
        for breaker in cut["breakers"]:
            try:
                found.append({"breaker": breaker, "command": self.office.switch_off(breaker, "tenancy.ended")})
            except Refused as refused:
                logger.warning("move-out: {} stays as it is: {}", breaker, refused)
                found.append({"breaker": breaker, "refused": str(refused)})
        return found

    async def _shown(self, token: str) -> Mapping[str, Any] | None:
        """Return the preview of a token, None when nobody was shown it."""
        found: list[Mapping[str, Any] | None] = []

        async def read(cursor: Cursor) -> None:
            found.append(await store.read_preview(cursor, token))

        await self.office.books.look(read)
        return found[0]


def _asked(leaving: Leaving, to: str) -> dict[str, Any]:
    return {"account": leaving.account, "token": leaving.token, "to": to}


def _answer(posted: Posted) -> dict[str, Any]:
    document = posted.document or {}
    return {
        "account": document["account"],
        "number": ledger.receipt_number(posted.seq),
        "key": posted.key,
        "paid_nano": document["paid_nano"],
        "lines": document["lines"],
        "entries": [[account, nano] for account, nano in posted.entries],
        "supply": document.get("supply", []),
        "repeated": posted.repeated,
    }
