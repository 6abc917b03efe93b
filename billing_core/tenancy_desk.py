"""Opening accounts: a tenant, purses and vacant supply points in one command. 开户

    books: tenant, purses -> engine: spare row, cut reading, new payer -> books: tenancy -> top-up with receipt

One life of a tenant changes at a time (`lock`); money may move meanwhile.
Rule: the books know every step under `<key>` or `<key>:<step>`; after a crash or a lost answer the same command with
the same key goes on where it was.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from pydantic import with_config

from billing_core import account_rules as rules
from billing_core import account_store as store
from billing_core import closing, ledger, posting
from billing_core.account_desk import Counter
from billing_core.account_rules import OPEN
from billing_core.bounds import TOTAL_MAX
from billing_core.points import AccountSpec
from billing_core.posting import Balances, Draft, NewAccount
from billing_core.state import Act, Change, Register, Target
from scada.database import Cursor
from scada.errors import Refused
from scada.operations import STRICT, Who

FRESH_S: Final = 900  # plant seconds: a final reading is at most so old; meters are polled in seconds to minutes
KEY_LENGTH: Final = 100  # the steps stand under the key with up to sixty characters behind it
HOUSEHOLD_MOST: Final = 100
ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")  # as in the configuration: ids become parts of keys and names


def check_key(key: str) -> None:
    """Refuse a key that leaves no room for the steps behind it: "tenant.key"."""
    if not 1 <= len(key) <= KEY_LENGTH or not key.isprintable():
        raise Refused("tenant.key", f"a key has 1 to {KEY_LENGTH} printable characters")


@with_config(STRICT)
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


@with_config(STRICT)
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


class Lives:
    """Opens accounts and moves supply points between them. One per core."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.office = counter.office
        self.residents = counter.residents
        self.lock = asyncio.Lock()

    # ---- open

    async def open(self, who: Who, wish: TenantWish, key: str, accept_stale: bool = False) -> dict[str, Any]:
        """Open a tenant's accounts, give them their vacant points, take the opening credit."""
        check_key(key)
        async with self.lock:
            begun = await self.office.books.find(key)
            if begun is None:
                self.check_new(wish)
                self._check_vacant(wish, accept_stale)
            await self.enter(who, wish, key)
            cut = await self.take_over(who, wish, key, self.residents.require_house())
            receipts = [await self.opening(who, purse, key) for purse in wish.accounts if purse.opening_minor]
        return {
            "tenant": wish.id,
            "key": key,
            "accounts": [purse.id for purse in wish.accounts],
            "registers": cut,
            "receipts": receipts,
            "repeated": begun is not None,
        }

    def check_new(self, wish: TenantWish) -> None:
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
            self._check_amounts(purse)
        if not 0 <= wish.household <= HOUSEHOLD_MOST:
            raise Refused("tenant.household", f"0 to {HOUSEHOLD_MOST} persons")
        if wish.plan and wish.plan not in {plan.id for plan in self.office.engine.plans}:
            raise Refused("plan.unknown", f"there is no tariff {wish.plan!r}")
        if self.residents.spare < len(wish.accounts):
            raise Refused("account.no-room", "no spare row is left; raise [ledger] spare_accounts and restart the core")

    def _check_amounts(self, purse: PurseWish) -> None:
        """Refuse amounts that no purse holds, and an opening credit that would be refused after everything else."""
        for name in ("alarm1_nano", "alarm2_nano", "overdraft_nano", "reconnect_nano"):
            if abs(getattr(purse, name)) > TOTAL_MAX:
                raise Refused("tenant.accounts", f"{purse.id}: {name} leaves the scale of the books")
        if purse.opening_minor:
            limits, coin_nano = self.residents.limits(purse.id, purse.account_class), self.office.minor_nano
            empty = rules.Purse(purse.id, OPEN, 0, 0, 0, 0, 0, limits, 0, coin_nano)
            rules.judge(empty, rules.Wish("topup", purse.opening_minor * coin_nano, purse.channel))

    def _check_vacant(self, wish: TenantWish, accept_stale: bool) -> None:
        points = [point for purse in wish.accounts for point in purse.points]
        if len(set(points)) != len(points):
            raise Refused("point.twice", "name each supply point once")
        rows = [self.residents.vacant(point) for point in points]
        if not accept_stale:
            self.require_fresh(rows)

    async def enter(self, who: Who, wish: TenantWish, key: str) -> None:
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

    async def take_over(self, who: Who, wish: TenantWish, key: str, giver: str) -> list[dict[str, Any]]:
        """Cut the points of a tenancy that begins: from now on its accounts pay. Return the cut readings."""
        targets: list[Target] = []
        for purse in wish.accounts:
            for point in purse.points:
                targets.append(self._target(wish, self.residents.row_of_point(point), purse.id))
        cut = await self.cut(who, f"{key}:cut", targets, giver, f"{wish.id} begins", {"tenant": wish.id})
        for purse in wish.accounts:
            rows = [self.residents.row_of_point(point) for point in purse.points]
            await self.note_tenancy(who, f"{key}:tenancy:{purse.id}", purse.id, rows)
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

    async def opening(self, who: Who, purse: PurseWish, key: str) -> dict[str, Any]:
        receipt = await self.office.books.top_up(
            purse.id, purse.opening_minor, purse.channel, f"{key}:{purse.id}", who.user, who.station,
            self.office.clock.utc_ns(),
        )  # fmt: skip
        if receipt.credit_now_nano:
            self.office.credit_now(purse.id, receipt.credit_now_nano)
        return {"account": purse.id, "number": receipt.number, "balance_nano": receipt.balance_nano}

    # ---- steps that leaving shares

    async def cut(
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

    async def note_tenancy(self, who: Who, key: str, account: str, rows: Sequence[int]) -> None:
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

    def registers(self, rows: Sequence[int]) -> list[Register]:
        return [self.office.engine.register(row) for row in rows]

    def require_fresh(self, rows: Sequence[int]) -> None:
        closing.require_fresh(self.registers(rows), self.counter.now_s(), FRESH_S)
