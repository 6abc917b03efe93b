"""Top-ups: money paid in over the counter or by a gateway, as a draft for the books and a receipt for the tenant.

Rule: the receipt is written in the transaction of its posting; a repeated key gives the same receipt again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing_core import books, ledger, sql
from billing_core.ledger import Entry, Receipt, TopUpLimits
from billing_core.posting import Balances, Draft, Posted
from scada.database import Cursor
from scada.errors import Refused


@dataclass(frozen=True, slots=True)
class Payment:
    """What somebody wants to pay in."""

    account: str
    amount_nano: int
    channel: str
    key: str  # of the payment; its transfer's is "topup:<key>"
    user: str
    station: str
    plant_time_s: int
    limits: TopUpLimits

    def draft(self, balances: Balances) -> Draft:
        """Build the posting. Refused "account.unknown", "topup.*" (ledger.top_up_refusal)."""
        wallet = ledger.wallet(self.account)
        balance_nano = balances(wallet)
        refused = ledger.top_up_refusal(self.limits, self.amount_nano, balance_nano, self.key, self.channel)
        if refused is not None:
            raise refused

        async def add_receipt(cursor: Cursor, seq: int) -> None:
            await cursor.execute(sql.ADD_RECEIPT, self.row(seq, balance_nano + self.amount_nano))

        return Draft(self.entries(), self.channel, also=add_receipt)

    def entries(self) -> tuple[Entry, ...]:
        return ((ledger.source_of(self.channel), -self.amount_nano), (ledger.wallet(self.account), self.amount_nano))

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
        if (posted.kind, posted.entries, posted.memo) == ("topup", self.entries(), self.channel):
            return None
        return Refused("topup.key-reused", f"this key belongs to transfer {posted.seq}: {posted.entries}")


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
    )
