"""Top-ups: money paid in over the counter or by a gateway, as a draft for the books and a receipt for the tenant.

Rule: the receipt is written in the transaction of its posting; a repeated key gives the same receipt again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from billing_core import account_rules, books, chart, ledger, sql
from billing_core.account_rules import AccountClass, Wish, debt, emergency, shown
from billing_core.account_store import Facts, purse_of, read_facts
from billing_core.ledger import Receipt
from billing_core.posting import Balances, Draft, Posted
from scada.database import Cursor
from scada.errors import Refused

LimitsOf = Callable[[str, str], AccountClass]  # (account, name of its class in the tables or "") -> limits
KEY_LENGTH: Final = 150
NOTHING: Final = Facts()


@dataclass(slots=True)
class Payment:
    """What somebody wants to pay in."""

    account: str
    amount_nano: int
    channel: str
    key: str  # of the payment; its transfer's is "topup:<key>"
    user: str
    station: str
    plant_time_s: int
    limits: LimitsOf
    coin_nano: int
    reason: str = ""
    facts: Facts = NOTHING

    async def read(self, cursor: Cursor) -> None:
        """Fetch what the tables say about the account."""
        self.facts = await read_facts(cursor, self.account)

    def draft(self, balances: Balances) -> Draft:
        """Build the posting. Refused "account.unknown", "account.closed", "topup.*" (account_rules.RULES)."""
        if not 1 <= len(self.key) <= KEY_LENGTH:
            raise Refused("topup.key-length", f"a key has 1 to {KEY_LENGTH} characters")
        limits = self.limits(self.account, self.facts.account_class)
        purse = purse_of(self.account, self.facts, balances, limits, self.coin_nano)
        draft = account_rules.top_up(purse, Wish("topup", self.amount_nano, self.channel))
        after_nano = purse.wallet_nano + account_rules.split(purse, self.amount_nano).wallet_nano

        async def add_receipt(cursor: Cursor, seq: int) -> None:
            await cursor.execute(sql.ADD_RECEIPT, self.row(seq, after_nano))

        document = {**(draft.document or {}), **({"reason": self.reason} if self.reason else {})}
        return replace(draft, document=document, also=add_receipt)

    def row(self, seq: int, balance_nano: int) -> Mapping[str, Any]:
        return {
            "number": ledger.receipt_number(seq),
            "seq": seq,
            "account": ledger.wallet(self.account),
            "amount_nano": self.amount_nano,
            "balance_nano": balance_nano,
            "channel": self.channel,
            "plant_time_s": self.plant_time_s,
            "who": self.user,
            "station": self.station,
        }

    def same(self, posted: Posted) -> Refused | None:
        """Return why a posting under this payment's key is not this payment, None when it is."""
        source = (ledger.source_of(self.channel), -self.amount_nano)
        owners = {tenant for account, _ in posted.entries if (tenant := chart.tenant_of(account))}
        if posted.kind == "topup" and source in posted.entries and owners == {self.account}:
            return None
        paid = ", ".join(f"{account} {shown(nano)}" for account, nano in posted.entries)
        return Refused(
            "topup.key-reused",
            f"key {posted.key!r} belongs to transfer {posted.seq}: {paid}; a new payment needs a new key",
        )


async def receipt_of(cursor: Cursor, posted: Posted) -> Receipt:
    """Return the receipt of a posted top-up."""
    await cursor.execute(sql.FIND_RECEIPT, {"seq": posted.seq})
    number, seq, account, amount_nano, balance_nano, currency, channel, plant_time_s, who, station = await books.one(
        cursor
    )
    return Receipt(
        number=number,
        seq=seq,
        account=account,
        amount_nano=amount_nano,
        balance_nano=balance_nano,
        currency=currency,
        channel=channel,
        plant_time_s=plant_time_s,
        who=who,
        station=station,
        repeated=posted.repeated,
        credit_now_nano=posted.credit_now.get(account, 0),
        debt_nano=sum(nano for name, nano in posted.entries if name == debt(account)),
        emergency_nano=sum(nano for name, nano in posted.entries if name == emergency(account)),
    )
