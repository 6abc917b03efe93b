"""Raw lines of the simulated field on real sockets and pseudo-terminals: transparent gateway, serial port, DTU."""

import asyncio
import contextlib
import os
import socket
import tty
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusSerialClient

from drivers.device import Gateway, LineFormat
from drivers.field.frames import Ear, MeterParts, ModbusParts
from drivers.field.model import SimMeter
from drivers.field.room import RegisterFile, SimulatedPark
from scada.errors import WattkeeperError
from tests.unit.drivers_field.conftest import SINGLE, SteppedClock, free_ports
from tests.unit.drivers_field.speaking import CJT_WATER, DLT_1997, DLT_2007, octets, raw_meter

FAST = LineFormat(115_200)
READ_FLAT = MeterParts("dlt645", octets("010000000000"), 0x11, octets("00000100")).join()
READ_OTHER = MeterParts("dlt645", octets("020000000000"), 0x11, octets("00000100")).join()
READ_OLD = MeterParts("dlt645", octets("030000000000"), 0x01, octets("1090")).join()
READ_WATER = MeterParts("cjt188", octets("04000000000000"), 0x01, octets("1F9007"), 0x10).join()
READ_UNIT = ModbusParts(True, 5, octets("0300000002")).join()
ANYBODY = MeterParts("dlt645", b"\xaa" * 6, 0x13, b"").join()


def meters() -> tuple[SimMeter, ...]:
    return (
        raw_meter("flat", DLT_2007, "1", "mix", initial_counts=11, seed=1),
        raw_meter("other", DLT_2007, "2", "mix", initial_counts=22, seed=2),
        raw_meter("old", DLT_1997, "3", "mix", initial_counts=33, seed=3),
        raw_meter("water", CJT_WATER, "4", "mix", initial_counts=44, seed=4),
        raw_meter("motor", SINGLE, "", "mix", unit=5, initial_counts=55, seed=5),
        raw_meter("port-water", CJT_WATER, "4", "port", initial_counts=66, seed=6),
        raw_meter("port-motor", SINGLE, "", "port", unit=5, initial_counts=77, seed=7),
        raw_meter("far-flat", DLT_2007, "1", "far", initial_counts=88, seed=8),
    )


class Lines:
    """A served park of three raw lines."""

    def __init__(self, folder: Path, line: LineFormat) -> None:
        self.tcp, self.dial, control = free_ports(3)
        self.folder = folder
        gateways = (
            Gateway("mix", "127.0.0.1", self.tcp, transport="tcp", line=line),
            Gateway("port", "", 0, transport="serial", path="port.tty", line=line),
            Gateway(
                "far", "127.0.0.1", self.dial, transport="dial-in", line=line, registration=b"DTU-0001",
                heartbeat=b"\xfe", heartbeat_s=0.3,
            ),
        )  # fmt: skip
        registers = RegisterFile(folder / "field.json")
        self.park = SimulatedPark(
            SteppedClock(), registers, gateways, meters(), control, "Asia/Shanghai", False, folder
        )
        self.park.step()
        self.park.save()

    async def order(self, name: str, target: str = "", value: str = "") -> dict[str, Any]:
        return await self.park.desk.order(name, target, value)

    @contextlib.asynccontextmanager
    async def served(self, *names: str) -> AsyncIterator[None]:
        try:
            for name in names:
                await self.park.gateways[name].start()
            yield
        finally:
            for gateway in self.park.gateways.values():
                await gateway.stop()
            self.park.desk.close()


class Peer:
    """A client of a raw line: sends bytes, and reads until nothing has come for a while."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self, patience_s: float = 0.25) -> bytes:
        heard = b""
        with contextlib.suppress(TimeoutError):
            while True:
                piece = await asyncio.wait_for(self.reader.read(4096), patience_s)
                if not piece:
                    return heard
                heard += piece
        return heard

    async def ask(self, data: bytes) -> bytes:
        self.say(data)
        return await self.hear()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[Peer]:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield peer
    finally:
        await peer.close()


def counted(heard: bytes, family: Any) -> list[int]:
    """Return the counts in the replies of a family that stand in what was heard."""
    if family == "rtu":
        return [int.from_bytes(heard[5:7] + heard[3:5], "big")] if len(heard) == 9 else []
    at, offset = (14, 0x33) if family == "dlt645" else (14, 0)
    at = {"dlt645": 14, "cjt188": 14}[family]
    values = []
    for frame in Ear(family).feed(heard, 1.0):
        start = 12 if family == "dlt645" and frame[8] == 0x81 else at
        digits = bytes((byte - offset) & 0xFF for byte in frame[start : start + 4])
        values.append(int(digits[::-1].hex()))
    return values


def on_lines(*names: str, line: LineFormat = FAST) -> Callable[..., Callable[..., None]]:
    """Run a test on a fresh loop with the named lines started."""

    def decorate(test: Callable[[Lines], Coroutine[Any, Any, None]]) -> Callable[..., None]:
        def run(tmp_path: Path, run_checked: Any) -> None:
            async def work() -> None:
                lines = Lines(tmp_path, line)
                async with lines.served(*names):
                    await test(lines)

            run_checked(work())

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


@on_lines("mix")
async def test_five_meters_of_four_protocols_share_a_line(lines: Lines) -> None:
    async with client(lines.tcp) as peer:
        assert counted(await peer.ask(READ_FLAT), "dlt645") == [11]
        assert counted(await peer.ask(READ_OLD), "dlt645") == [33]
        assert counted(await peer.ask(READ_WATER), "cjt188") == [44]
        assert counted(await peer.ask(READ_UNIT), "rtu") == [55]
        assert counted(await peer.ask(b"\xfe\xfe\x68\x00" + READ_OTHER), "dlt645") == [22]
        assert await peer.ask(MeterParts("dlt645", octets("990000000000"), 0x11, octets("00000100")).join()) == b""


@on_lines("mix")
async def test_a_request_in_pieces_and_one_with_noise(lines: Lines) -> None:
    async with client(lines.tcp) as peer:
        for byte in READ_WATER:
            peer.say(bytes([byte]))
            await asyncio.sleep(0.002)
        assert counted(await peer.hear(), "cjt188") == [44]
        assert counted(await peer.ask(READ_UNIT[:-1] + b"\x00" + READ_FLAT), "dlt645") == [11]


@on_lines("mix")
async def test_two_masters_spoil_each_other(lines: Lines) -> None:
    async with client(lines.tcp) as one, client(lines.tcp) as two:
        one.say(READ_FLAT)
        await asyncio.sleep(0.01)  # the meter has not begun to answer yet
        two.say(READ_OTHER)
        heard = await asyncio.gather(one.hear(), two.hear())
        assert heard[0] == heard[1] != b""  # both hear the same noise
        assert counted(heard[0], "dlt645") == []
        assert counted(await one.ask(READ_FLAT), "dlt645") == [11]  # and the line recovers


@on_lines("mix")
async def test_two_meters_that_answer_at_once_are_noise(lines: Lines) -> None:
    async with client(lines.tcp) as peer:
        heard = await peer.ask(ANYBODY)
        assert heard
        assert Ear("dlt645").feed(heard, 1.0) == []


@on_lines("mix", line=LineFormat(1200, "E"))
async def test_a_slow_line_is_as_slow_as_in_life(lines: Lines) -> None:
    loop = asyncio.get_running_loop()
    async with client(lines.tcp) as peer:
        began = loop.time()
        peer.say(READ_FLAT)
        first = await peer.reader.read(1)
        assert loop.time() - began >= 16 * 11 / 1200 + 0.02  # the request alone is so long on the line
        heard = first + await peer.hear(0.4)
        assert counted(heard, "dlt645") == [11]


@on_lines("mix")
async def test_hostile_replies_and_silence_for_a_number_of_requests(lines: Lines) -> None:
    async with client(lines.tcp) as peer:
        await lines.order("hostile", "flat", "checksum 2")
        assert [counted(await peer.ask(READ_FLAT), "dlt645") for _ in range(3)] == [[], [], [11]]
        await lines.order("hostile", "water", "late")
        assert await peer.ask(READ_WATER) == b""
        assert counted(await peer.ask(READ_WATER), "cjt188") == [44]
        await lines.order("clear", "water")
        await lines.order("meter-silent", "motor", "1")
        assert await peer.ask(READ_UNIT) == b""
        assert counted(await peer.ask(READ_UNIT), "rtu") == [55]


@on_lines("mix")
async def test_swapped_meters_and_twins(lines: Lines) -> None:
    number = MeterParts("dlt645", octets("010000000000"), 0x11, octets("02040004")).join()
    async with client(lines.tcp) as peer:
        await lines.order("swap", "flat", "other")
        assert counted(await peer.ask(READ_FLAT), "dlt645") == [22]
        assert counted(await peer.ask(number), "dlt645") == [2]
        await lines.order("swap", "flat", "other")
        await lines.order("same-serial", "flat", "other")
        assert counted(await peer.ask(READ_FLAT), "dlt645") == [11]
        assert counted(await peer.ask(number), "dlt645") == [2]
        await lines.order("clear", "flat")
        assert counted(await peer.ask(number), "dlt645") == [1]


@on_lines("mix")
async def test_reset_half_open_and_black_hole(lines: Lines) -> None:
    async with client(lines.tcp) as peer:
        await lines.order("gateway-reset", "mix")
        with pytest.raises(ConnectionResetError):
            await peer.reader.read(1)
    async with client(lines.tcp) as old:
        assert await old.ask(READ_FLAT)
        await lines.order("gateway-half-open", "mix")
        assert await old.ask(READ_FLAT) == b""
        async with client(lines.tcp) as new:
            assert counted(await new.ask(READ_FLAT), "dlt645") == [11]
        assert not old.reader.at_eof()
    await lines.order("gateway-black-hole", "mix")
    assert (await lines.order("list"))["gateways"]["mix"] == ["black hole"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.open_connection("127.0.0.1", lines.tcp), 0.5)
    await lines.order("gateway-restore", "mix")
    async with client(lines.tcp) as peer:
        assert counted(await peer.ask(READ_FLAT), "dlt645") == [11]


@on_lines("mix", "port", "far")
async def test_a_power_cut_takes_all_and_gives_all_back(lines: Lines) -> None:
    await lines.order("power-off")
    assert set(map(tuple, (await lines.order("list"))["gateways"].values())) == {("without power",)}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", lines.tcp)
    assert not (lines.folder / "port.tty").exists()
    await lines.order("power-on")
    async with client(lines.tcp) as peer:
        assert counted(await peer.ask(READ_FLAT), "dlt645") == [11]
        asked_s = (await lines.order("first-asked"))["seconds"]
        assert asked_s["mix"] > 0
        assert asked_s["port"] is None
        assert counted(await peer.ask(READ_FLAT), "dlt645") == [11]
        assert (await lines.order("first-asked"))["seconds"] == asked_s, "the first counts"
    assert not any((await lines.order("list"))["gateways"].values())


# ---- pseudo-terminal


@contextlib.asynccontextmanager
async def port(path: Path) -> AsyncIterator[Peer]:
    """Open a serial port as a terminal in raw mode."""
    loop = asyncio.get_running_loop()
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    reader = asyncio.StreamReader()
    incoming, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(descriptor), "rb", 0)
    )
    try:
        peer = Peer(reader, None)  # type: ignore[arg-type]
        peer.say = lambda data: os.write(descriptor, data)  # type: ignore[method-assign, assignment, return-value]
        yield peer
    finally:
        incoming.close()
        os.close(descriptor)


@on_lines("port")
async def test_a_serial_port_carries_two_protocols(lines: Lines) -> None:
    async with port(lines.folder / "port.tty") as peer:
        assert counted(await peer.ask(READ_WATER), "cjt188") == [66]
        assert counted(await peer.ask(READ_UNIT), "rtu") == [77]
    async with port(lines.folder / "port.tty") as again:  # the port can be closed and opened
        assert counted(await again.ask(READ_UNIT), "rtu") == [77]
    old = str((lines.folder / "port.tty").readlink())
    await lines.order("gateway-kill", "port")
    assert not os.path.lexists(lines.folder / "port.tty")
    await lines.order("gateway-restore", "port")
    async with port(lines.folder / "port.tty") as again:
        assert counted(await again.ask(READ_UNIT), "rtu") == [77]
    assert old.startswith("/dev/pts/")


@on_lines("port")
async def test_pymodbus_reads_the_serial_port(lines: Lines) -> None:
    master = AsyncModbusSerialClient(str(lines.folder / "port.tty"), baudrate=115_200, timeout=1, retries=0)
    assert await master.connect()
    try:
        low, high = (await master.read_holding_registers(0, count=2, device_id=5)).registers
        assert high << 16 | low == 77
        assert (await master.read_holding_registers(100, count=1, device_id=5)).exception_code == 2
        named = await master.read_device_information(device_id=5)
        assert named.information == {0: b"test", 1: b"single", 2: b"1.0"}
        assert not (await master.write_coil(1, False, device_id=5)).isError()
    finally:
        master.close()


@on_lines()
async def test_a_file_in_the_place_of_the_port_is_not_overwritten(lines: Lines) -> None:
    (lines.folder / "port.tty").write_text("somebody's")
    with pytest.raises(WattkeeperError, match="no link of the simulated field"):
        await lines.park.gateways["port"].start()


@on_lines("port")
async def test_a_link_that_a_killed_field_left_is_replaced(lines: Lines) -> None:
    (lines.folder / "other").mkdir()
    other = Lines(lines.folder / "other", FAST)
    (lines.folder / "other" / "port.tty").symlink_to("/dev/pts/no-such")
    async with other.served("port"), port(other.folder / "port.tty") as peer:
        assert counted(await peer.ask(READ_UNIT), "rtu") == [77]


# ---- DTU that dials in


class Listener:
    """What the core is to a DTU."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def listening(self, number: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(lambda r, w: self.peers.put_nowait(Peer(r, w)), "127.0.0.1", number)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()


@on_lines("far")
async def test_a_dtu_dials_registers_beats_and_comes_back(lines: Lines) -> None:
    listener = Listener()
    async with listener.listening(lines.dial):
        peer = await asyncio.wait_for(listener.peers.get(), 5.0)
        assert await peer.reader.readexactly(8) == b"DTU-0001"
        assert await peer.reader.readexactly(2) == b"\xfe\xfe"  # heartbeats
        peer.say(READ_FLAT)
        assert counted(await peer.hear(0.08), "dlt645") == [88]
        await peer.close()  # the core hangs up
        again = await asyncio.wait_for(listener.peers.get(), 5.0)
        assert await again.reader.readexactly(8) == b"DTU-0001"
        await lines.order("gateway-reset", "far")
        with pytest.raises(ConnectionResetError):
            await again.reader.readexactly(20)
        third = await asyncio.wait_for(listener.peers.get(), 5.0)
        await lines.order("gateway-kill", "far")
        assert (await third.hear()).startswith(b"DTU-0001")
        for peer in (again, third):
            await peer.close()


def test_a_meter_that_cannot_speak_modbus_tcp_is_named(tmp_path: Path) -> None:
    gateways = (Gateway("mix", "127.0.0.1", 1),)
    with pytest.raises(ValueError, match="mix carries Modbus TCP, which flat, other, old, water does not speak"):
        SimulatedPark(
            SteppedClock(), RegisterFile(tmp_path / "f"), gateways, meters()[:5], 1, "Asia/Shanghai", False, tmp_path
        )  # fmt: skip


def test_the_black_hole_gives_its_port_back() -> None:
    from drivers.field.line_faults import BlackHole

    (number,) = free_ports(1)
    BlackHole("127.0.0.1", number).close()
    socket.create_server(("127.0.0.1", number)).close()
