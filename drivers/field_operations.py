"""What people ask of the field through the running core: one question to a device, the lines there are, the frames.

    run.py meter read --scada.console.perform("field.ask")--> handler --> FieldBus.ask --> the line, before others

The core owns its lines, so the poll cycle goes on and the question jumps the queue of its bus.
Rule: nothing here moves the switch of a configured device: that is the control desk's, with interlocks and journal.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from loguru import logger

from drivers.adhoc import where
from drivers.asking import (
    TARGETS,
    Ask,
    Kind,
    StationSpec,
    entry_to_json,
    outcome_to_json,
    question_of,
)
from drivers.bus import FieldBus
from drivers.cjt188 import NUMBER_DIGITS
from drivers.device import Device, Gateway
from scada.clock import Clock
from scada.errors import Refused
from scada.operations import Operation, Who
from scada.position import CLOSED
from scada.roles import Permission, require

ASK: Final[Permission] = "field.ask"
SWITCH: Final[Permission] = "breaker.switch"
WAITING_MAX: Final = 4  # questions of people that may wait on one line; polls must go on
ENTRIES_MAX: Final = 200  # of one answer about frames
GAS_TYPES: Final = range(0x30, 0x3A)  # CJ/T 188: T of gas meters


@dataclass(frozen=True, slots=True)
class LinesArguments:
    """List the lines of the core with their devices."""


@dataclass(frozen=True, slots=True)
class AskArguments:
    """Ask one device: a configured one by its id, or any station on a configured line."""

    kind: Kind
    device: str = ""
    line: str = ""  # id of the gateway
    station: StationSpec | None = None
    function: int = 0
    address: int = 0
    count: int = 0
    target: Literal["", "open", "closed"] = ""
    utc_ns: int = 0
    force: bool = False


@dataclass(frozen=True, slots=True)
class FramesArguments:
    """Tell the transactions of a device or of a whole line that are kept, after a number."""

    device: str = ""
    line: str = ""
    after: int = 0
    follow: bool = False  # good ones are wanted too, for the next ten seconds


class FieldDesk:
    """Carries out the operations. One thread, the core's."""

    def __init__(
        self, bus: FieldBus, gateways: Sequence[Gateway], devices: Sequence[Device], clock: Clock, run: Path
    ) -> None:
        """run: folder from which the path of a serial port counts."""
        self._run = run
        self._bus = bus
        self._gateways = {gateway.id: gateway for gateway in gateways}
        self._devices = {device.id: device for device in devices}
        self._clock = clock
        self._waiting: dict[str, int] = dict.fromkeys(self._gateways, 0)

    async def lines(self, who: Who, arguments: LinesArguments) -> dict[str, Any]:
        found = []
        for gateway in self._gateways.values():
            behind = [device.id for device in self._devices.values() if device.gateway == gateway.id]
            path = str(self._run / gateway.path) if gateway.path else ""
            state = self._bus.state_of(gateway.id)
            told = {"line": gateway.id, "where": where(gateway), "transport": gateway.transport, "state": state}
            found.append({**told, "host": gateway.host, "port": gateway.port, "path": path, "devices": behind})
        return {"lines": found}

    async def ask(self, who: Who, arguments: AskArguments) -> dict[str, Any]:
        """Ask one question; answer its outcome and its frames. Refused when it may not, or cannot, be asked."""
        device, gateway = self._whom(arguments)
        if arguments.kind == "switch":
            self._may_switch(who, arguments, device, gateway)
        if self._waiting[gateway.id] >= WAITING_MAX:
            raise Refused("field.busy", f"{WAITING_MAX} questions of people wait on {gateway.id}; try again")
        given = (arguments.function, arguments.address, arguments.count, arguments.target, arguments.utc_ns)
        asked = Ask(arguments.kind, *given)
        question = question_of(device, asked, gateway.transport == "modbus-tcp", self._clock.utc_ns())
        self._waiting[gateway.id] += 1
        try:
            outcome, entries = await self._bus.ask(gateway.id, question)
        finally:
            self._waiting[gateway.id] -= 1
        return {"outcome": outcome_to_json(outcome), "entries": [entry_to_json(entry) for entry in entries]}

    def _whom(self, arguments: AskArguments) -> tuple[Device, Gateway]:
        if arguments.device:
            device = self._device(arguments.device)
            return device, self._gateways[device.gateway]
        gateway = self._gateways.get(arguments.line)
        if gateway is None:
            known = ", ".join(sorted(self._gateways)[:12])
            raise Refused("field.line", f"the core has no line {arguments.line!r}; its first ones: {known}")
        if arguments.station is None:
            raise Refused("field.station", "say which station on the line is asked")
        return arguments.station.device(), gateway

    def _device(self, name: str) -> Device:
        device = self._devices.get(name)
        if device is None:
            raise Refused("field.device", f"there is no device {name!r}")
        return device

    def _may_switch(self, who: Who, arguments: AskArguments, device: Device, gateway: Gateway) -> None:
        """Refuse a switching that goes past the control desk, unless it was forced on a device that is not ours."""
        require(who.role, SWITCH)
        if arguments.device:
            raise Refused("field.desk", "a configured device is switched by the control desk: run.py meter trip|close")
        ours = next((d.id for d in self._devices.values() if d.gateway == gateway.id and same_station(d, device)), "")
        if ours:
            raise Refused("field.desk", f"this station is the configured device {ours}: run.py meter trip|close {ours}")
        if not arguments.force:
            raise Refused("field.force", "a station that is not configured is switched with --force only")
        check_gas(device, arguments.target)
        logger.warning("{} at {} switches an unconfigured station on {} to {}", who.user, who.station, gateway.id,
                       arguments.target)  # fmt: skip

    async def frames(self, who: Who, arguments: FramesArguments) -> dict[str, Any]:
        """Answer the kept transactions; `last` is the number to ask after the next time."""
        device = self._device(arguments.device) if arguments.device else None
        line = device.gateway if device else arguments.line
        if line not in self._gateways:
            raise Refused("field.line", f"the core has no line {line!r}")
        log = self._bus.log_of(line)
        framed = self._gateways[line].transport == "modbus-tcp"
        if arguments.follow:
            log.follow(self._clock.mono_ns())
        found = log.entries(arguments.after)
        last = found[-1].number if found else arguments.after
        chosen = [entry for entry in found if device is None or speaks_to(device, framed, entry.sent)]
        return {"line": line, "framed": framed, "protocol": device.profile.protocol if device else "",
                "last": last, "entries": [entry_to_json(entry) for entry in chosen[-ENTRIES_MAX:]]}  # fmt: skip


def check_gas(device: Device, target: str) -> None:
    """Refused "field.gas" for opening the supply of gas: that is done on the spot, after a leak check."""
    gas = device.profile.medium == "gas" or (
        device.profile.protocol == "cjt188" and device.profile.meter_type in GAS_TYPES
    )
    if gas and TARGETS[target] == CLOSED:
        raise Refused("field.gas", "a gas valve is opened on the spot after a leak check, never from here")


def same_station(one: Device, other: Device) -> bool:
    """Tell whether two devices of one line are one and the same station."""
    if one.profile.protocol == "modbus" or other.profile.protocol == "modbus":
        return one.profile.protocol == other.profile.protocol and one.unit == other.unit
    return _digits(one) == _digits(other)


def _digits(device: Device) -> str:
    """Return the number of a meter. In CJ/T 188 the maker's code before it may be left out; some ignore it."""
    digits = device.address.upper()
    return (digits[-NUMBER_DIGITS:] if device.profile.protocol == "cjt188" else digits).lstrip("0")


def speaks_to(device: Device, framed: bool, sent: bytes) -> bool:
    """Tell whether a request on the device's line went to the device."""
    if device.profile.protocol == "modbus":
        at = 6 if framed else 0
        return len(sent) > at and sent[at] == device.unit
    pairs = len(device.address) // 2 * 2
    wire = bytes.fromhex(device.address[len(device.address) - pairs :])[::-1]
    return wire in sent


def operations(
    bus: FieldBus, gateways: Sequence[Gateway], devices: Sequence[Device], clock: Clock, run: Path
) -> list[Operation]:
    """Return the operations of the field. run: folder from which the path of a serial port counts."""
    desk = FieldDesk(bus, gateways, devices, clock, run)
    table: tuple[tuple[str, type, Callable[[Who, Any], Awaitable[Mapping[str, Any]]]], ...] = (
        ("field.lines", LinesArguments, desk.lines),
        ("field.ask", AskArguments, desk.ask),
        ("field.frames", FramesArguments, desk.frames),
    )
    return [Operation(name, ASK, arguments, handler) for name, arguments, handler in table]
