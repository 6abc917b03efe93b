"""Which protocol module makes the question for a device: one table by protocol and by kind of line.

Rule: a new protocol is a new row here and a module without I/O beside it; pollers and tools never ask which it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from drivers import cjt188, dlt645, dlt645_1997, modbus, modbus_rtu
from drivers.device import Device
from drivers.outcome import Exchange
from drivers.pollplan import Block
from drivers.profile import NEVER, Protocol, Switch
from drivers.write_guard import guarded_write
from scada.position import CLOSED, OPEN

Question = modbus.Request | Exchange


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one protocol reads and switches on one kind of line."""

    read: Callable[[Device, Block], Question]
    switch: Callable[[Device, Switch, int, int], Question]  # device, switch, target (Dbpos), UTC now, ns


def dialect_of(protocol: Protocol, framed: bool) -> Dialect:
    """Return the dialect of a protocol; framed: the line carries Modbus TCP frames. KeyError when there is none."""
    return DIALECTS[protocol, framed]


def switch_value(switch: Switch, target: int) -> int:
    """Return what commands a switch to a Dbpos. ValueError for a target that is no command."""
    if target not in (OPEN, CLOSED):
        raise ValueError(f"a switch cannot be commanded to position {target}")
    value = switch.open_value if target == OPEN else switch.close_value
    if value == NEVER:
        raise ValueError(f"this model cannot be {'opened' if target == OPEN else 'closed'} from afar")
    return value


def _keep_gas_shut(device: Device, target: int) -> None:
    """Raise ValueError for a command that would let gas flow, whatever type and value the profile has."""
    if device.profile.medium == "gas" and target == CLOSED:
        raise ValueError(f"{device.id}: a gas valve is opened on site after a leak check, never from afar")


def _modbus_read(device: Device, block: Block) -> modbus.Request:
    return modbus.read_request(device.unit, block.function, block.address, block.count)


def _modbus_switch(device: Device, switch: Switch, target: int, utc_ns: int) -> modbus.Request:
    _keep_gas_shut(device, target)
    value = switch_value(switch, target)
    return guarded_write(device.profile, device.unit, switch.function, switch.address, (value,))


def _rtu_read(device: Device, block: Block) -> Question:
    return modbus_rtu.Question(_modbus_read(device, block))


def _rtu_switch(device: Device, switch: Switch, target: int, utc_ns: int) -> Question:
    return modbus_rtu.Question(_modbus_switch(device, switch, target, utc_ns))


def _cjt188_read(device: Device, block: Block) -> Question:
    return cjt188.read(cjt188.station_of(device), block.address, block.payload_bytes)


def _cjt188_switch(device: Device, switch: Switch, target: int, utc_ns: int) -> Question:
    """Make the valve command; CLOSED lets it flow. ValueError for gas then, whatever type and value the profile has."""
    _keep_gas_shut(device, target)
    return cjt188.set_valve(cjt188.station_of(device), switch_value(switch, target))


def _dlt645_read(device: Device, block: Block) -> Question:
    return dlt645.read(device.address, block.address, block.count, device.profile.wake_bytes)


def _dlt645_switch(device: Device, switch: Switch, target: int, utc_ns: int) -> Question:
    """Make control 1C, void `expiry_s` from now by the meter's clock, which is taken to show UTC+8 rightly."""
    profile = device.profile
    expiry = dlt645.clock_bytes(utc_ns + switch.expiry_s * dlt645.NS_PER_S)
    n1 = switch_value(switch, target)
    return dlt645.control(
        device.address, n1, device.secret, expiry,
        level=device.secret.level, n2=switch.n2, wake_bytes=profile.wake_bytes,
    )  # fmt: skip


def _dlt645_1997_read(device: Device, block: Block) -> Question:
    if (block.address, block.count) == (dlt645_1997.TIME, dlt645_1997.CLOCK_BYTES):  # a clock with its date
        return dlt645_1997.read_clock(device.address, device.profile.wake_bytes)
    return dlt645_1997.read(device.address, block.address, block.count, device.profile.wake_bytes)


def _dlt645_1997_switch(device: Device, switch: Switch, target: int, utc_ns: int) -> Question:
    raise ValueError(f"{device.id}: DL/T 645-1997 has no command for a relay; take the switch out of its profile")


DIALECTS: Final[Mapping[tuple[Protocol, bool], Dialect]] = {
    ("modbus", True): Dialect(_modbus_read, _modbus_switch),
    ("modbus", False): Dialect(_rtu_read, _rtu_switch),
    ("cjt188", False): Dialect(_cjt188_read, _cjt188_switch),
    ("dlt645-2007", False): Dialect(_dlt645_read, _dlt645_switch),
    ("dlt645-1997", False): Dialect(_dlt645_1997_read, _dlt645_1997_switch),
}
