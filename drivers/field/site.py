"""The lines of the simulated field by transport, and the slaves by protocol: the two tables a new kind is added to.

Rule: nothing here knows frames or meters; a line is anything that looks like `SimLine`.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from drivers.device import Gateway, Transport
from drivers.field.cjt188_slave import Cjt188Slave
from drivers.field.dlt645_slave import Dlt645Slave
from drivers.field.lines import DialLine, TerminalLine, TransparentGateway
from drivers.field.modbus_slave import ModbusSlave
from drivers.field.server import SimGateway
from drivers.field.station import Station
from drivers.field.wire import Slave
from drivers.profile import Protocol as MeterProtocol


class Faulty(Protocol):
    """What can be told to every line."""

    hangs: bool
    delay_ms: int
    first_asked_s: float  # time of the event loop; 0: not asked since somebody set it to 0


class SimLine(Protocol):
    """One gateway, port or DTU of the field: it can be started, stopped and made to fail."""

    @property
    def gateway(self) -> Gateway: ...

    @property
    def line(self) -> Faulty: ...

    @property
    def slaves(self) -> Mapping[str, Slave]: ...

    @property
    def listening(self) -> bool: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def reset(self) -> None: ...

    def lose(self) -> None: ...


SLAVES: Final[Mapping[MeterProtocol, Callable[[Station], Slave]]] = {
    "modbus": ModbusSlave,
    "dlt645-2007": Dlt645Slave,
    "dlt645-1997": Dlt645Slave,
    "cjt188": Cjt188Slave,
}


def _modbus_tcp(gateway: Gateway, slaves: list[Slave], unknown_silent: bool, _run: Path) -> SimLine:
    wrong = [slave.device_id for slave in slaves if not isinstance(slave, ModbusSlave)]
    if wrong:
        raise ValueError(f"{gateway.id} carries Modbus TCP, which {', '.join(wrong)} does not speak")
    return SimGateway(gateway, [slave for slave in slaves if isinstance(slave, ModbusSlave)], unknown_silent)


LINES: Final[Mapping[Transport, Callable[[Gateway, list[Slave], bool, Path], SimLine]]] = {
    "modbus-tcp": _modbus_tcp,
    "tcp": lambda gateway, slaves, _silent, _run: TransparentGateway(gateway, slaves),
    "serial": lambda gateway, slaves, _silent, run: TerminalLine(gateway, slaves, run),
    "dial-in": lambda gateway, slaves, _silent, _run: DialLine(gateway, slaves),
}


def line_of(gateway: Gateway, stations: Iterable[Station], unknown_silent: bool, run: Path) -> SimLine:
    """Return the line of a gateway with the devices behind it; ValueError for a device that cannot be there."""
    mine = [s for s in stations if s.state.meter.device.gateway == gateway.id]
    slaves = [SLAVES[station.profile.protocol](station) for station in mine]
    return LINES[gateway.transport](gateway, slaves, unknown_silent, run)
