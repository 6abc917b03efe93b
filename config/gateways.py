"""Gateways: what their tables must agree on, and the records the drivers work with.

Rule: this file alone knows which key belongs to which transport.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.gateway_schema import GatewayTable, packet_bytes
from config.loader import Placed, Sources, listed
from config.tagging import GATEWAY, rows_of
from drivers.counters import GATEWAY_COUNTERS
from drivers.device import Gateway, LineFormat, Transport
from scada.errors import Fault
from scada.tags import TagTable

MODBUS_PORT: Final = 502
MS_PER_S: Final = 1000
COMMON: Final = frozenset({
    "id", "name_zh", "name_en", "transport", "baud", "parity", "stop_bits", "gap_ms", "timeout_s", "period_s",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Keys:
    """Which keys a transport wants and which others it knows, beside COMMON."""

    wanted: Mapping[str, str]  # key -> what it says
    known: frozenset[str] = frozenset()


KEYS: Final[Mapping[Transport, _Keys]] = {
    "modbus-tcp": _Keys({"host": "the address of the gateway"}, frozenset({"port", "in_flight"})),
    "tcp": _Keys(
        {"host": "the address of the gateway", "port": "the port on which the gateway passes bytes through"},
        frozenset({"late"}),
    ),
    "serial": _Keys({"path": "the serial port, for example /dev/ttyUSB0"}),
    "dial-in": _Keys(
        {
            "host": "the address to listen on, 0.0.0.0 for all",
            "port": "the port to listen on",
            "registration": "the packet by which the DTU tells who it is, a text or hex:...",
        },
        frozenset({"heartbeat", "heartbeat_s"}),
    ),
}


def gateways(sources: Sources, tags: TagTable) -> tuple[Gateway, ...]:
    """Return the gateways of a checked configuration, in the order of the file."""
    row = rows_of(sources, tags)
    return tuple(_gateway(table, row) for table in sources.by_id("gateway").values())


def _gateway(table: GatewayTable, row: Callable[[str, str, str], int]) -> Gateway:
    return Gateway(
        id=table.id,
        host=table.host,
        port=port_of(table),
        in_flight=table.in_flight,
        timeout_s=table.timeout_s,
        period_s=table.period_s,
        online_row=row(GATEWAY, table.id, "Online"),
        timeouts_row=row(GATEWAY, table.id, "TimeoutCount"),
        cycle_ms_row=row(GATEWAY, table.id, "CycleMs"),
        transport=table.transport,
        line=LineFormat(table.baud, table.parity, table.stop_bits, table.gap_ms / MS_PER_S),
        path=table.path,
        registration=packet_bytes(table.registration),
        heartbeat=packet_bytes(table.heartbeat),
        heartbeat_s=table.heartbeat_s,
        late=table.late,
        log_frames=table.log_frames,
        rows={measure: row(GATEWAY, table.id, measure) for measure in (*GATEWAY_COUNTERS, "ShortestPeriodMs")},
    )


def port_of(table: GatewayTable) -> int:
    """Return the TCP port of a gateway, 0 when it has none."""
    return table.port or (MODBUS_PORT if table.transport == "modbus-tcp" else 0)


def keys_of_transport(sources: Sources) -> Iterator[Fault]:
    """Every transport has the keys it needs and none that would be ignored."""
    for placed in sources.many("gateway"):
        table = placed.item
        keys = KEYS[table.transport]
        for key, what in keys.wanted.items():
            if not getattr(table, key):
                yield placed.fault(key, f"missing, and transport {table.transport} needs it", what)
        known = COMMON | keys.wanted.keys() | keys.known
        for key in sorted(table.model_fields_set - known):
            wrong = f"means nothing with transport {table.transport}"
            yield placed.fault(key, wrong, listed(known - COMMON) + ", and what every gateway has")


def shared_ends(sources: Sources) -> Iterator[Fault]:
    """No two gateways are one end point, one serial port or one DTU."""
    seen: dict[object, str] = {}
    for placed in sources.many("gateway"):
        for key, end, told, allowed in _ends(placed.item):
            if not getattr(placed.item, key) and key != "port":
                continue  # missing, which is said elsewhere
            if end in seen:
                yield placed.fault(key, f"{told} is already gateway '{seen[end]}'", allowed)
            seen.setdefault(end, placed.item.id)


def _ends(table: GatewayTable) -> Iterator[tuple[str, object, str, str]]:
    """Yield (key, what must be unique, as people say it, what would be right)."""
    place = f"{table.host}:{port_of(table)}"
    if table.transport == "serial":
        yield "path", ("path", table.path), table.path, "another serial port, or its meters behind that gateway"
    elif table.transport == "dial-in":
        packet = packet_bytes(table.registration)
        yield "registration", (place, packet), f"{table.registration} at {place}", "a packet of its own"
    else:
        yield "port", place, place, "another host or port"


def mixed_registrations(sources: Sources) -> Iterator[Fault]:
    """On one port no registration begins like another, and everybody means the same address of this machine."""
    first: dict[int, Placed[Any]] = {}
    packets: dict[int, list[tuple[bytes, str]]] = {}
    for placed in (p for p in sources.many("gateway") if p.item.transport == "dial-in"):
        table = placed.item
        before = first.setdefault(port_of(table), placed).item
        if table.host != before.host:
            wrong = f"'{table.host}', but '{before.id}' listens on {before.host} at port {table.port}"
            yield placed.fault("host", wrong, f"{before.host}, or another port")
        own = packet_bytes(table.registration)
        for other, owner in packets.setdefault(port_of(table), []):
            if own and other and own != other and (own.startswith(other) or other.startswith(own)):
                wrong = f"{table.registration} cannot be told from that of gateway '{owner}': one begins like the other"
                yield placed.fault("registration", wrong, "a packet that no other one begins with")
        packets[port_of(table)].append((own, table.id))


GATEWAY_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (
    keys_of_transport,
    shared_ends,
    mixed_registrations,
)
