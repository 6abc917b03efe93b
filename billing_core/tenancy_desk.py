"""The lives of tenants: open, hand over, move out. Each is a row of small steps that a repetition finds and passes by.

    open      books: tenant, purses -> engine: spare row, cut reading, new payer -> books: tenancy -> top-up
    move out  preview -> (same token) -> engine: cut reading, payer = house -> supply off -> last statement -> books:
              refund, everything to zero, account closed

One life changes at a time (`_lock`); money may move meanwhile, so what is paid is judged again where it is posted.
Rule: the books know every step under `<key>` or `<key>:<step>`; after a crash or a lost answer the same command with
the same key goes on where it was.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Protocol

from loguru import logger

from billing_core import account_store as store
from billing_core import closing, ledger, posting
from billing_core.account_desk import Counter
from billing_core.account_rules import CLOSED, OPEN, Purse
from billing_core.account_store import Facts
from billing_core.points import AccountSpec
from billing_core.posting import Balances, Draft, NewAccount, Posted
from billing_core.state import Act, Change, Register, Target
from scada.database import Cursor
from scada.errors import Refused
from scada.operations import Who

FRESH_S: Final = 900  # plant seconds: a final reading is at most so old; meters are polled in seconds to minutes
ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")  # as in the configuration: ids become parts of keys and names


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
class PurseWish:
    """One account to be opened. Amounts in nano."""

    id: str
    points: tuple[str, ...]
    name_zh: str = ""
    name_en: str = ""
    account_class: str = "standard"
    alarm1_nano: int = 0
    alarm2_nano: int = 0
    overdraft_nano: int = 0
    reconnect_nano: int = 0
    protected: bool = False
    opening_minor: int = 0  # paid in at once, in coins
    channel: str = "cash"


@dataclass(frozen=True, slots=True)
class TenantWish:
    """A tenant to be opened with one or several purses; what a preset holds."""

    id: str
    name_zh: str
    name_en: str
    accounts: tuple[PurseWish, ...]
    contact: str = ""
    household: int = 0  # persons
    reset_tiers: bool = False  # begin the tiers anew; otherwise the room's position goes on
    plan: str = ""  # another tariff for all points; "": as the room has it


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


class Lives:
    """Opens and closes accounts and moves supply points between them. One per core."""

    def __init__(self, counter: Counter, statements: Statements | None = None) -> None:
        self.counter = counter
        self.office = counter.office
        self.residents = counter.residents
        self.statements = statements or NoStatements()
        self._lock = asyncio.Lock()

    # ---- open

    async def open(self, who: Who, wish: TenantWish, key: str, accept_stale: bool = False) -> dict[str, Any]:
        """Open a tenant's accounts, give them their vacant points, take the opening credit."""
        async with self._lock:
            begun = await self.office.books.find(key)
            if begun is None:
                self._check_new(wish)
                self._check_vacant(wish, accept_stale)
            await self._enter(who, wish, key)
            cut = await self._take_over(who, wish, key, self.residents.require_house())
            receipts = [await self._opening(who, purse, key) for purse in wish.accounts if purse.opening_minor]
        return {
            "tenant": wish.id,
            "key": key,
            "accounts": [purse.id for purse in wish.accounts],
            "registers": cut,
            "receipts": receipts,
            "repeated": begun is not None,
        }

    def _check_new(self, wish: TenantWish) -> None:
        """Refuse ids that are no ids or are taken, and classes nobody knows. Raises Refused "tenant.*"."""
        for name in (wish.id, *(purse.id for purse in wish.accounts)):
            if not ID.fullmatch(name):
                raise Refused("tenant.id", f"{name!r}: lower-case letters, digits and hyphens, at most 40")
        if not wish.accounts or len({purse.id for purse in wish.accounts}) != len(wish.accounts):
            raise Refused("tenant.accounts", "one account at least, each id once")
        for purse in wish.accounts:
            if purse.id in self.residents.specs:
                raise Refused("account.exists", f"account {purse.id} exists; choose another id")
            if purse.account_class not in self.residents.classes:
                known = ", ".join(self.residents.classes)
                raise Refused("account.class", f"{purse.account_class!r} is no class; there are {known}")
            if not purse.points or purse.alarm2_nano > purse.alarm1_nano or purse.overdraft_nano < 0:
                raise Refused("tenant.accounts", f"{purse.id}: a supply point, alarm2 <= alarm1, overdraft >= 0")
            if purse.reconnect_nano <= -purse.overdraft_nano and purse.overdraft_nano:
                raise Refused("tenant.accounts", f"{purse.id}: reconnect above minus overdraft")
        if wish.plan and wish.plan not in {plan.id for plan in self.office.engine.plans}:
            raise Refused("plan.unknown", f"there is no tariff {wish.plan!r}")
        if self.residents.spare < len(wish.accounts):
            raise Refused("account.no-room", "no spare row is left; raise [ledger] spare_accounts and restart the core")

    def _check_vacant(self, wish: TenantWish, accept_stale: bool) -> None:
        points = [point for purse in wish.accounts for point in purse.points]
        if len(set(points)) != len(points):
            raise Refused("point.twice", "name each supply point once")
        rows = [self.residents.vacant(point) for point in points]
        if not accept_stale:
            self._require_fresh(rows)

    async def _enter(self, who: Who, wish: TenantWish, key: str) -> None:
        """Enter tenant and purses in the books, then in the memory of the core."""
        specs = [self._spec(wish, purse) for purse in wish.accounts]
        wanted = {"tenant": asdict(wish)}
        wanted["tenant"]["accounts"] = [{**asdict(purse), "points": list(purse.points)} for purse in wish.accounts]

        async def also(cursor: Cursor, seq: int) -> None:
            given = {name: getattr(wish, name) for name in ("id", "name_zh", "name_en", "contact", "household")}
            await cursor.execute(store.ADD_TENANT, {**given, "seq": seq})
            for spec in specs:
                await store.keep_purse(cursor, spec, OPEN, opened_seq=seq)

        def build(balances: Balances) -> Draft:
            opens = tuple(
                NewAccount(ledger.wallet(spec.id), spec.name_zh, spec.name_en, spec.currency) for spec in specs
            )
            return Draft((), f"open {wish.id}", {"asked": wanted, "opened": [s.id for s in specs]}, opens, also)

        await self.office.books.post(key, "account", who, build, same=posting.asked(wanted))
        for spec in specs:
            if spec.id not in self.residents.specs:
                self.residents.opened(spec, self.office.engine.adopt(spec))

    def _spec(self, wish: TenantWish, purse: PurseWish) -> AccountSpec:
        currency = next(iter(self.residents.specs.values())).currency
        return AccountSpec(
            id=purse.id,
            name_zh=purse.name_zh or wish.name_zh,
            name_en=purse.name_en or wish.name_en,
            currency=currency,
            opening_nano=0,  # paid in like any other money, with a receipt
            alarm1_nano=purse.alarm1_nano,
            alarm2_nano=purse.alarm2_nano,
            overdraft_nano=purse.overdraft_nano,
            reconnect_nano=purse.reconnect_nano,
            protected=purse.protected,
            breakers=(),
            account_class=purse.account_class,
            tenant=wish.id,
        )

    async def _take_over(self, who: Who, wish: TenantWish, key: str, giver: str) -> list[dict[str, Any]]:
        """Cut the points of a tenancy that begins: from now on its accounts pay. Return the cut readings."""
        targets: list[Target] = []
        for purse in wish.accounts:
            for point in purse.points:
                targets.append(self._target(wish, self.residents.row_of_point(point), purse.id))
        cut = await self._cut(who, f"{key}:cut", targets, giver, f"{wish.id} begins", {"tenant": wish.id})
        for purse in wish.accounts:
            rows = [self.residents.row_of_point(point) for point in purse.points]
            await self._note_tenancy(who, f"{key}:tenancy:{purse.id}", purse.id, rows)
            self.residents.moved(rows, purse.id)
        return cut

    def _target(self, wish: TenantWish, row: int, account: str) -> Target:
        """Return what a point is billed by in a new tenancy: the tier position stays with the room, or begins anew."""
        options = replace(self.office.engine.point(row).options, household=wish.household)
        read = self.office.engine.register(row).at_s >= 0
        if wish.reset_tiers:
            options = replace(options, opened_s=self.counter.now_s())
        return Target(
            row,
            account=self.residents.rows[account],
            options=options,
            plan=wish.plan or None,
            position_milli=0 if wish.reset_tiers and read else None,
        )

    async def _opening(self, who: Who, purse: PurseWish, key: str) -> dict[str, Any]:
        receipt = await self.office.books.top_up(
            purse.id, purse.opening_minor, purse.channel, f"{key}:{purse.id}", who.user, who.station,
            self.office.clock.utc_ns(),
        )  # fmt: skip
        if receipt.credit_now_nano:
            self.office.credit_now(purse.id, receipt.credit_now_nano)
        return {"account": purse.id, "number": receipt.number, "balance_nano": receipt.balance_nano}

    # ---- leave

    async def preview(self, account: str, accept_stale: bool = True) -> dict[str, Any]:
        """Return every line of closing an account now, and the token that stands for it. Changes nothing."""
        spec = self.residents.spec(account)
        rows = self.residents.points_of(account)
        if not accept_stale:
            self._require_fresh(rows)
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
        return closing.preview(account, self._registers(rows), found, spec.breakers)

    async def move_out(self, who: Who, leaving: Leaving) -> dict[str, Any]:
        """Close an account as it was previewed: final reading, supply off, last statement, refund, room to the house."""
        async with self._lock:
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
        to = wish.accounts[0].id if carry and wish.accounts else ""
        async with self._lock:
            if done := await self._closed_before(leaving, to):
                return done
            key = f"{leaving.key}:open"
            if await self.office.books.find(key) is None:
                self._check_new(wish)
                await self._check_leaving(leaving)
                self._check_heirs(leaving.account, wish)
            await self._enter(who, wish, key)
            registers = await self._take_over(who, wish, key, leaving.account)
            await self.statements.close(leaving.account, self.counter.now_s(), who)
            cut = {"registers": registers, "breakers": []}
            answer = await self._settle(who, leaving, "handover", to, cut, [])
            receipts = [await self._opening(who, purse, key) for purse in wish.accounts if purse.opening_minor]
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
            await self._cut(who, key, targets, leaving.account, leaving.reason, note, before)
            await self._note_tenancy(who, f"{leaving.key}:tenancy:{house}", house, rows)
            self.residents.moved(rows, house)
        return {"registers": now["registers"], "breakers": now["breakers"]}

    async def _judge_money(self, leaving: Leaving, now: Mapping[str, Any]) -> None:
        """Refuse, or ask for a second person, before any supply is touched."""
        lines = {line["code"]: line["nano"] for line in now["lines"]}
        limits = self.residents.limits(leaving.account)
        purse = Purse(
            leaving.account, OPEN, lines["net"], 0, 0, 0, 0, limits, 0, self.office.minor_nano
        )  # fmt: skip
        closing.closing(purse, leaving.channel, leaving.reason, leaving.unpaid, "", leaving.approved_by)

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
            wrong = f"{closing.rules.shown(shown_nano)} was shown, it is {closing.rules.shown(paid_nano)} now"
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

    # ---- steps they share

    async def show(self, who: Who, account: str) -> dict[str, Any]:
        """Preview, and keep what was shown under its token, so that carrying out can be held to it."""
        found = await self.preview(account)

        def build(balances: Balances) -> Draft:
            return Draft((), f"preview {account}", {"asked": {"token": found["token"]}, "preview": found})

        key = f"preview:{account}:{found['token']}"
        await self.office.books.post(key, "moveout", who, build, same=posting.asked({"token": found["token"]}))
        return found

    async def _cut(
        self,
        who: Who,
        key: str,
        targets: Sequence[Target],
        giver: str,
        memo: str,
        note: Mapping[str, Any],
        registers: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """Give points of one account to others, all in one change; passed by when it was done. Return the readings."""
        begun = await self.office.books.find(key)
        if begun is not None and begun.document is not None:
            return list(begun.document["points"])

        def make() -> Change:
            for target in targets:
                if self.residents.payers[target.row] != giver:
                    point, payer = self.residents.points[target.row].id, self.residents.payers[target.row]
                    raise Refused("tenancy.occupied", f"{point} is paid for by {payer} now, not by {giver}")
            self._require_still(targets, registers)
            return self.office.engine.retarget(targets, Act(key, who.user, who.station, memo, "tenancy", note))

        change: Change = await self.office.change(make)
        return list(change.document["points"])

    def _require_still(self, targets: Sequence[Target], registers: Sequence[Mapping[str, Any]] | None) -> None:
        """Refuse when a register moved between the last look and the cut."""
        for before in registers or ():
            row = self.residents.row_of_point(before["point"])
            now = self.office.engine.register(row)
            if now.raw != before["raw"]:
                wrong = f"{now.point}: register {before['raw']} -> {now.raw}"
                raise Refused("closing.changed", f"{wrong}; switch the load off first, or allow --within")

    async def _note_tenancy(self, who: Who, key: str, account: str, rows: Sequence[int]) -> None:
        """Enter in the books who pays for points from now on."""
        points = [self.residents.points[row].id for row in rows]
        from_s = self.counter.now_s()
        wanted = {"account": account, "points": points}

        async def also(cursor: Cursor, seq: int) -> None:
            given = {"points": points, "account": account, "from_s": from_s, "seq": seq}
            await cursor.execute(store.ADD_TENANCY, given)

        def build(balances: Balances) -> Draft:
            return Draft((), f"{account} pays", {"asked": wanted, "from_s": from_s}, also=also)

        await self.office.books.post(key, "tenancy", who, build, same=posting.asked(wanted))

    def _registers(self, rows: Sequence[int]) -> list[Register]:
        return [self.office.engine.register(row) for row in rows]

    def _require_fresh(self, rows: Sequence[int]) -> None:
        closing.require_fresh(self._registers(rows), self.counter.now_s(), FRESH_S)

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
