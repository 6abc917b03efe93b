"""A scripted RS-485 bus of Modbus RTU meters for tests of half-duplex lines: it hears frames and answers as told."""

import asyncio
import os
import struct
import tty
from collections.abc import Awaitable, Callable
from typing import Any

from drivers.modbus_rtu import with_crc

FRAME_BYTES = 8  # every request of these tests
Answer = Callable[[bytes], Awaitable[bytes]]


def words_of(frame: bytes, first: int) -> bytes:
    """Return the right reply to a read of registers: `first`, and the numbers that follow it; a write is echoed."""
    unit, function, _, count = struct.unpack_from(">BBHH", frame)
    if function == 6:
        return frame
    return with_crc(struct.pack(f">BBB{count}H", unit, function, 2 * count, *range(first, first + count)))


class RtuBus:
    """What hangs on the line. `heard` are the frames that came, in order; `talk` is set by who carries the bytes."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.at_once: list[int] = []  # frames that came while another was being answered
        self.answer: Answer = self.honest
        self.talk: Callable[[bytes], None] = lambda data: None
        self._rest = b""
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def honest(self, frame: bytes) -> bytes:
        return words_of(frame, 100 * frame[0])

    def hear(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= FRAME_BYTES:
            frame, self._rest = self._rest[:FRAME_BYTES], self._rest[FRAME_BYTES:]
            self.heard.append(frame)
            if self._busy:
                self.at_once.append(frame[0])
            task = asyncio.get_running_loop().create_task(self._serve(frame))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, frame: bytes) -> None:
        self._busy += 1
        try:
            reply = await self.answer(frame)
        finally:
            self._busy -= 1
        if reply:
            self.talk(reply)

    def end(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()


class TcpEnd:
    """A transparent gateway in front of the bus."""

    def __init__(self, bus: RtuBus) -> None:
        self.bus = bus
        self.port = 0
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        bus.talk = self._talk

    def _talk(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        self.bus.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        try:
            while data := await reader.read(4096):
                self.bus.hear(data)
        except ConnectionError:
            pass  # the line hung up, which some tests want
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()


class PtyEnd:
    """A pseudo-terminal in front of the bus; the line opens `path`."""

    def __init__(self, bus: RtuBus) -> None:
        self.bus = bus
        bus.talk = lambda data: os.write(self._master, data)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            self.bus.hear(os.read(self._master, 4096))
        except OSError:
            return  # nobody has the other end open

    def close(self) -> None:
        self.bus.end()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
