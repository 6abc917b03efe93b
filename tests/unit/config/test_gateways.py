"""Gateways of every transport: what they need, what they may not share, and what becomes of them."""

from typing import TYPE_CHECKING

import pytest

from config.gateways import GATEWAY_CHECKS
from config.loader import read_sources
from config.plant import load
from drivers.device import LineFormat

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy

SOUND = """
[[gateway]]
id = "gw-tcp"
name_zh = "透传网关"
name_en = "Transparent gateway"
transport = "tcp"
host = "127.0.0.1"
port = 15031
baud = 2400
parity = "E"
late = "reconnect"

[[gateway]]
id = "gw-com"
name_zh = "串口"
name_en = "Serial port"
transport = "serial"
path = "field-com1"
gap_ms = 40
timeout_s = 0.8

[[gateway]]
id = "gw-dtu1"
name_zh = "拨入1"
name_en = "DTU 1"
transport = "dial-in"
host = "127.0.0.1"
port = 15040
registration = "DTU-0001"
heartbeat = "hex:FE 01 FE"
heartbeat_s = 60

[[gateway]]
id = "gw-dtu2"
name_zh = "拨入2"
name_en = "DTU 2"
transport = "dial-in"
host = "127.0.0.1"
port = 15040
registration = "hex:860102030405"
"""

CASES = [
    (
        'transport = "tcp"\nhost = "127.0.0.1"\nport = 15031',
        'transport = "rfc2217"\nport = 15031',
        ["gateway.gw-tcp.transport: 'rfc2217'"],
    ),
    ("port = 15031", "", ["gateway.gw-tcp.port: missing, and transport tcp needs it"]),
    ('path = "field-com1"', "", ["gateway.gw-com.path: missing, and transport serial needs it"]),
    ('registration = "DTU-0001"', "", ["gateway.gw-dtu1.registration: missing, and transport dial-in needs it"]),
    (
        'path = "field-com1"',
        'path = "field-com1"\nhost = "10.0.0.1"\nin_flight = 2',
        [
            "gateway.gw-com.host: means nothing with transport serial",
            "gateway.gw-com.in_flight: means nothing with transport serial",
        ],
    ),
    (
        '"gw-com"\nname_zh = "串口"\nname_en = "Serial port"\n',
        '"gw-c0"\nname_zh = "串"\nname_en = "S"\ntransport = "serial"\npath = "field-com1"\n\n'
        '[[gateway]]\nid = "gw-com"\nname_zh = "串口"\nname_en = "Serial port"\n',
        ["gateway.gw-com.path: field-com1 is already gateway 'gw-c0'"],
    ),
    ("port = 15031", "port = 15021", ["gateway.gw-tcp.port: 127.0.0.1:15021 is already gateway 'gw-ss'"]),
    (
        '"hex:860102030405"',
        '"DTU-0001"',
        ["gateway.gw-dtu2.registration: DTU-0001 at 127.0.0.1:15040 is already gateway 'gw-dtu1'"],
    ),
    (
        '"hex:860102030405"',
        '"DTU-00012"',
        [
            "gateway.gw-dtu2.registration: DTU-00012 cannot be told from that of gateway 'gw-dtu1': one begins like"
            " the other"
        ],
    ),
    (
        '"127.0.0.1"\nport = 15040\nregistration = "hex',
        '"0.0.0.0"\nport = 15040\nregistration = "hex',
        ["gateway.gw-dtu2.host: '0.0.0.0', but 'gw-dtu1' listens on 127.0.0.1 at port 15040"],
    ),
    ('"hex:FE 01 FE"', '"hex:FE 0"', ["gateway.gw-dtu1.heartbeat: 'hex:FE 0'"]),
    ("port = 15031\nbaud = 2400", "port = 15031\nbaud = 24", ["gateway.gw-tcp.baud: 24"]),
]


def test_each_transport_becomes_a_gateway_of_its_own_kind(copy: "Copy") -> None:
    copy.append("plant.toml", SOUND)
    plant = load(copy.folder)
    found = {gateway.id: gateway for gateway in plant.gateways}
    assert (found["gw-ss"].transport, found["gw-ss"].port) == ("modbus-tcp", 15021)
    tcp, com = found["gw-tcp"], found["gw-com"]
    assert (tcp.transport, tcp.host, tcp.port, tcp.late) == ("tcp", "127.0.0.1", 15031, "reconnect")
    assert tcp.line == LineFormat(2400, "E", 1, 0.0)
    assert (com.transport, com.path, com.line.gap_s, com.timeout_s) == ("serial", "field-com1", 0.04, 0.8)
    assert found["gw-dtu1"].registration == b"DTU-0001"
    assert (found["gw-dtu1"].heartbeat, found["gw-dtu1"].heartbeat_s) == (b"\xfe\x01\xfe", 60)
    assert found["gw-dtu2"].registration == bytes.fromhex("860102030405")
    assert found["gw-com"].rows["ShortestPeriodMs"] == plant.row("N", "gw-com", "ShortestPeriodMs")


@pytest.mark.parametrize(("old", "new", "faults"), CASES)
def test_a_slip_is_named(copy: "Copy", old: str, new: str, faults: list[str]) -> None:
    copy.append("plant.toml", SOUND)
    copy.edit("plant.toml", old, new)
    told = copy.faults()
    assert [str(fault).removeprefix("plant.toml: ").partition("; allowed: ")[0] for fault in told] == faults
    assert all(fault.allowed for fault in told)


def test_every_check_has_a_case(copy: "Copy") -> None:
    copy.append("plant.toml", SOUND)
    path = copy.folder / "plant.toml"
    sound = path.read_text(encoding="utf-8")
    silent = set(GATEWAY_CHECKS)
    for old, new, _ in CASES:
        path.write_text(sound, encoding="utf-8")
        copy.edit("plant.toml", old, new)
        sources = read_sources(copy.folder)
        silent -= {check for check in silent if list(check(sources))}
    assert not silent
