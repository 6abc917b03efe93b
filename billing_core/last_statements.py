"""What settlement still charges to an account that is closed: the bridge between a closing and the settlement desk."""

from billing_core import ledger, settlement
from billing_core.settle_desk import SettlementDesk
from scada.operations import Who


class LastStatements:
    """Fills the port `leaving_desk.Statements`."""

    def __init__(self, desk: SettlementDesk) -> None:
        self._desk = desk

    async def due(self, account: str, at_s: int) -> int:
        """Return what the last statement would still post to the wallet, nano, charges below zero."""
        document = await self._desk.close_lines(account, at_s)
        wallet = ledger.wallet(account)
        return sum(nano for name, nano in settlement.recompute(document) if name == wallet)

    async def close(self, account: str, at_s: int, who: Who) -> None:
        """Post the last statement; repeatable."""
        await self._desk.close(account, at_s, who)
