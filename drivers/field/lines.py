"""How the lines of the simulated field are reached: transparent TCP gateway, pseudo-terminal, DTU that dials in.

Rule: bytes are carried, not understood. Every line can be started, stopped and started again.
"""

import asyncio
import os
import socket
import struct
import tty
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loguru import logger

from drivers.device import Gateway
from drivers.field.wire import Slave, Wire
from scada.errors import WattkeeperError

READ_BYTES: Final = 4096
REDIAL_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # pauses between two attempts of a DTU, the last one for ever
HEARTBEAT_SHARE: Final = 3  # heartbeats in the time after which the listener gives a silent DTU up
ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER 0: close() sends RST


class RawLine:
    """What the lines have in common: a wire, and who is connected to it."""

    def __init__(self, gateway: Gateway, slaves: Sequence[Slave]) -> None:
        self.gateway = gateway
        self.line = Wire(slaves, gateway.line)
        self.line.talk = self._talk
        self._writers: set[asyncio.StreamWriter] = set()
        self._lost: set[asyncio.StreamWriter] = set()  # half-open: nothing goes through any more, and nobody says so

    @property
    def slaves(self) -> dict[str, Slave]:
        return self.line.slaves

    def _talk(self, data: bytes) -> None:
        for writer in self._writers - self._lost:
            writer.write(data)

    async def reset(self) -> None:
        """Cut every connection with RST."""
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            writer.transport.abort()

    def lose(self) -> None:
        """Let the present connections die without a word: nothing goes through, and they are not closed."""
        self._lost |= self._writers

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on until the peer is gone."""
        self._writers.add(writer)
        try:
            while data := await reader.read(READ_BYTES):
                if writer not in self._lost:
                    self.line.hear(data)
        except ConnectionError as error:
            logger.debug("{}: peer gone: {}", self.gateway.id, error)
        finally:
            self._writers.discard(writer)
            self._lost.discard(writer)
            writer.close()


class TransparentGateway(RawLine):
    """A listening socket; what one client sends goes on the line, what comes from the line goes to all."""

    def __init__(self, gateway: Gateway, slaves: Sequence[Slave]) -> None:
        super().__init__(gateway, slaves)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def listening(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        """Listen; WattkeeperError when the address is not free."""
        if self._server is not None:
            return
        host, port = self.gateway.host, self.gateway.port
        try:
            self._server = await asyncio.start_server(self._greet, host, port)
        except OSError as error:
            raise WattkeeperError(
                f"simulated gateway {self.gateway.id} cannot listen on {host}:{port}; "
                "is the port in use by another program?"
            ) from error

    async def stop(self) -> None:
        """Close the listening socket and every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        await self.line.quiet()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await server.wait_closed()

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class TerminalLine(RawLine):
    """A pseudo-terminal whose other end the core opens as a serial port."""

    def __init__(self, gateway: Gateway, slaves: Sequence[Slave], run: Path) -> None:
        super().__init__(gateway, slaves)
        self._link = run / gateway.path  # an absolute path stays as it is
        self._master = self._slave = -1

    @property
    def listening(self) -> bool:
        return self._master >= 0

    async def start(self) -> None:
        """Open the pair and put the link in its place; WattkeeperError when something else stands there."""
        if self.listening:
            return
        if self._link.exists() and not self._link.is_symlink():
            raise WattkeeperError(f"simulated line {self.gateway.id}: {self._link} is no link of the simulated field")
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._link.parent.mkdir(parents=True, exist_ok=True)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._read)

    async def stop(self) -> None:
        """Take the port away, as if its adapter were pulled out."""
        if not self.listening:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        await self.line.quiet()
        self._link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    async def reset(self) -> None:
        """Pull the adapter out and put it in again: whoever has the port open loses it."""
        await self.stop()
        await self.start()

    def _read(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except OSError as error:
            logger.debug("{}: {}", self.gateway.id, error)
            return
        self.line.hear(data)

    def _talk(self, data: bytes) -> None:
        if not self.listening:
            return
        try:
            os.write(self._master, data)
        except BlockingIOError:
            logger.debug("{}: nobody reads the line; {} bytes lost, as on a real one", self.gateway.id, len(data))


class DialLine(RawLine):
    """A DTU: it dials the core, says who it is, and sends heartbeats when nothing happens."""

    def __init__(self, gateway: Gateway, slaves: Sequence[Slave]) -> None:
        super().__init__(gateway, slaves)
        self._task: asyncio.Task[None] | None = None

    @property
    def listening(self) -> bool:
        """Tell whether it is switched on: it dials, or is connected."""
        return self._task is not None

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self.line.quiet()

    async def _live(self) -> None:
        failures = 0
        while True:
            try:
                host = self.gateway.host if self.gateway.host != "0.0.0.0" else "127.0.0.1"
                reader, writer = await asyncio.open_connection(host, self.gateway.port)
            except OSError as error:
                if failures == 0:
                    logger.info("DTU {} cannot reach {}:{}: {}", self.gateway.id, host, self.gateway.port, error)
                failures += 1
            else:
                logger.info("DTU {} is connected to {}:{}", self.gateway.id, host, self.gateway.port)
                failures = 0
                await self._serve(reader, writer)
            await asyncio.sleep(REDIAL_S[min(failures, len(REDIAL_S) - 1)])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.gateway.registration)
        beating = asyncio.get_running_loop().create_task(self._beat(writer))
        try:
            await self._carry(reader, writer)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        while self.gateway.heartbeat:
            await asyncio.sleep(self.gateway.heartbeat_s / HEARTBEAT_SHARE)
            if writer not in self._lost and not self.line.hangs:
                writer.write(self.gateway.heartbeat)
