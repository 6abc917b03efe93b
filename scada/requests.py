"""Requests of other rooms: each command of the link, checked for role, carried out by the core, answered.

Rule: the table `handlers` names every command of `scada.link.COMMANDS`; nothing else changes the plant from outside.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from twisted.protocols import amp

from scada import link
from scada.clock import NS_PER_S, Clock
from scada.control import SELECT_S
from scada.core import Core
from scada.errors import Refused
from scada.operations import OperationDesk, Who
from scada.position import CLOSED, OPEN
from scada.roles import require

TARGETS: Final[Mapping[str, int]] = {"open": OPEN, "closed": CLOSED}


def target_of(position: str) -> int:
    """Return the Dbpos number of a position word; Refused when it is neither "open" nor "closed"."""
    if position not in TARGETS:
        raise Refused("command.position", f"{position!r} is not a position; allowed: open, closed")
    return TARGETS[position]


class Requests:
    """The core's answers to the link."""

    def __init__(self, core: Core, clock: Clock, operations: OperationDesk) -> None:
        self._core = core
        self._operations = operations
        self._desk = core.ports.desk
        self._clock = clock

    async def top_up(
        self, account: str, amount_minor: int, channel: str, key: str, user: str, role: str, station: str
    ) -> Mapping[str, Any]:
        require(role, "account.topup")
        receipt = await self._core.top_up(account, amount_minor, channel, key, user, station)
        return {
            "receipt": receipt.number,
            "balance_nano": receipt.balance_nano,
            "posted_utc_ns": receipt.plant_time_s * NS_PER_S,
            "repeated": receipt.repeated,
        }

    async def acknowledge(self, alarm: str, comment: str, user: str, role: str, station: str) -> Mapping[str, Any]:
        require(role, "alarm.acknowledge")
        self._core.ports.alarms.acknowledge(alarm, user, station, comment, self._clock.utc_ns())
        return {}

    async def interlocks(self, breaker: str, position: str) -> Mapping[str, Any]:
        conditions = self._desk.interlocks(breaker, target_of(position))
        return {"conditions": json.dumps([asdict(condition) for condition in conditions])}

    async def select(self, breaker: str, position: str, user: str, role: str, station: str) -> Mapping[str, Any]:
        command = self._desk.select(breaker, target_of(position), user, role, station)
        return {"command": command.id, "timeout_s": int(SELECT_S)}

    async def operate(self, command: str, reason: str, user: str, role: str, station: str) -> Mapping[str, Any]:
        self._desk.operate(command, reason, user, role, station)
        return {}

    async def cancel(self, command: str, user: str, role: str, station: str) -> Mapping[str, Any]:
        self._desk.cancel(command, user, station)
        return {}

    async def command_state(self, command: str) -> Mapping[str, Any]:
        state = self._desk.state(command)
        detail = {"breaker": state.breaker, "target": state.target, "detail": state.detail, "reason": state.reason}
        return {"state": state.state, "detail": json.dumps(detail)}

    async def release_credit(self, user: str, role: str, station: str) -> Mapping[str, Any]:
        require(role, "breaker.switch")
        self._core.ports.credit.release(f"{user} at {station}")
        return {}

    async def perform(self, operation: str, arguments: str, user: str, role: str, station: str) -> Mapping[str, Any]:
        return {"answer": await self._operations.perform(operation, arguments, Who(user, role, station))}

    def handlers(self) -> Mapping[type[amp.Command], link.Handler]:
        """Return the table that `link.serve` wants."""
        return {
            link.TopUp: self.top_up,
            link.Acknowledge: self.acknowledge,
            link.Interlocks: self.interlocks,
            link.SelectBreaker: self.select,
            link.OperateBreaker: self.operate,
            link.CancelCommand: self.cancel,
            link.CommandState: self.command_state,
            link.ReleaseCredit: self.release_credit,
            link.Perform: self.perform,
        }
