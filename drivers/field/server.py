"""Gateways of the simulated field: real Modbus TCP through pymodbus, many unit ids behind one listening socket.

pymodbus 3.16 keeps one request per connection: it answers whichever came last and forgets bytes that arrive while it
answers. A gateway takes several transactions in flight and works them off one after the other on its line, so
`Connection` queues them; framing, decoding and the answers themselves are pymodbus's own.
Rule: nothing here computes a value; a station answers or refuses.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu import ExceptionResponse
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest, ReadDeviceInformationResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.device import Gateway
from drivers.field.modbus_slave import (
    DEVICE_BUSY,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    TARGET_FAILED,
    WRITES,
    ModbusSlave,
    Refusal,
)
from scada.errors import WattkeeperError

QUEUE_MAX: Final = 32  # requests a common gateway keeps for one line (Moxa MGate manual)
FRAME_MAX: Final = 260  # MBAP header and the longest PDU
MBAP_BYTES: Final = 7
ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER 0: close() sends RST
FUNCTIONS: Final = frozenset((1, 2, 3, 4, *WRITES))
# pymodbus wants a data store of its own; ours answers instead (Connection never asks the server's).
_UNUSED: Final = SimDevice(0, SimData(0, datatype=DataType.REGISTERS))


class Line:
    """The serial line behind a gateway, in the shape in which pymodbus asks a data store."""

    def __init__(self, slaves: Mapping[int, ModbusSlave], unknown_silent: bool) -> None:
        self.units = slaves
        self.hangs = False
        self.delay_ms = 0
        self.first_asked_s = 0.0
        self._unknown_silent = unknown_silent

    async def answer(self, request: Any) -> Any | None:
        """Return the response to a request, or None for silence."""
        slave = self.units.get(request.dev_id)
        station = slave.station if slave is not None else None
        delay_ms = self.delay_ms + (station.delay_ms if station is not None else 0)
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000.0)
        if self.hangs or (station is not None and not station.answers()):
            return None
        if slave is None or station is None:
            return None if self._unknown_silent else ExceptionResponse(request.function_code, TARGET_FAILED)
        if isinstance(request, ReadDeviceInformationRequest):
            return ReadDeviceInformationResponse(information=slave.named())
        if request.function_code not in FUNCTIONS:
            return ExceptionResponse(request.function_code, ILLEGAL_FUNCTION)
        response = await request.datastore_update(self, request.dev_id)
        return None if station.mute and request.function_code in WRITES else response

    async def async_getValues(self, unit: int, function: int, address: int, count: int = 1) -> list[int] | ExcCodes:
        """Read for pymodbus: words, or bits as 0 and 1."""
        try:
            return self.units[unit].read(function, address, count)
        except Refusal as refusal:
            return ExcCodes(refusal.code)

    async def async_setValues(self, unit: int, function: int, address: int, values: Sequence[int]) -> ExcCodes | None:
        """Write for pymodbus."""
        try:
            self.units[unit].write(function, address, values)
        except Refusal as refusal:
            return ExcCodes(refusal.code)
        return None


class Connection(ServerRequestHandler):  # type: ignore[misc]
    """One client of a gateway: requests wait in a queue and are answered in order."""

    def __init__(self, owner: "GatewayServer") -> None:
        super().__init__(owner, None, None, None)
        self.recv_buffer: bytes = b""
        self.max_buffer_size = QUEUE_MAX * FRAME_MAX
        self._line = owner.line
        self._clients = owner.clients
        self.lost = False  # half-open: nothing goes through any more, and nobody says so
        self._waiting: asyncio.Queue[Any] = asyncio.Queue(QUEUE_MAX)
        self._worker: asyncio.Task[None] | None = None

    def callback_connected(self) -> None:
        super().callback_connected()
        self._clients.add(self)
        self._worker = asyncio.get_running_loop().create_task(self._work())

    def callback_disconnected(self, exc: Exception | None) -> None:
        super().callback_disconnected(exc)
        self._clients.discard(self)
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None

    def callback_data(self, data: bytes, addr: Any = None) -> int:
        """Queue every whole frame of the buffer; return how many bytes were used."""
        if self.lost:
            return len(data)
        self._line.first_asked_s = self._line.first_asked_s or asyncio.get_running_loop().time()
        used = 0
        while True:
            try:
                length: int
                length, request = self.framer.handleFrame(data[used:], 0, 0)
            except ModbusIOException as error:
                self._respond(error, _undecodable(data[used + MBAP_BYTES]))
                used += MBAP_BYTES - 1 + int.from_bytes(data[used + 4 : used + 6], "big")
                continue
            used += length
            if request is None:
                return used
            if self._waiting.full():
                self._respond(request, ExceptionResponse(request.function_code, DEVICE_BUSY))
            else:
                self._waiting.put_nowait(request)

    def send(self, data: bytes, addr: Any = None) -> None:
        """Send; pymodbus forgets the receive buffer here, but it may hold the beginning of the next request."""
        received = self.recv_buffer
        super().send(data, addr)
        self.recv_buffer = received

    async def _work(self) -> None:
        while True:
            request = await self._waiting.get()
            response = await self._line.answer(request)
            if response is not None:
                await self._speak(request, response)

    async def _speak(self, request: Any, response: Any) -> None:
        """Send the response, or what the device has been told to make of it."""
        slave = self._line.units.get(request.dev_id)
        if slave is None:
            self._respond(request, response)
            return
        response.transaction_id, response.dev_id = request.transaction_id, request.dev_id
        asked, reply = (bytes(self.framer.buildFrame(pdu)) for pdu in (request, response))
        for pause_s, data in slave.mouth.speak(slave.station.lie, "mbap", asked, reply):
            if pause_s:
                await asyncio.sleep(pause_s)
            if self.transport is not None and not self._line.hangs and not self.lost:
                self.send(data)

    def _respond(self, request: Any, response: Any) -> None:
        if self.transport is None or self._line.hangs or self.lost:
            return
        response.transaction_id, response.dev_id = request.transaction_id, request.dev_id
        self.server_send(response, None)

    def abort(self) -> None:
        """Cut the connection with RST."""
        if self.transport is not None:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            self.transport.abort()


def _undecodable(function: int) -> Any:
    """Return the answer to a frame that pymodbus cannot decode: a function it lacks, or a count out of range."""
    return ExceptionResponse(function & 0x7F, ILLEGAL_VALUE if function in FUNCTIONS else ILLEGAL_FUNCTION)


class GatewayServer(ModbusTcpServer):  # type: ignore[misc]
    """The listening socket of one gateway; make a new one to listen again after a shutdown."""

    def __init__(self, address: tuple[str, int], line: Line) -> None:
        super().__init__(_UNUSED, address=address)
        self.line = line
        self.clients: set[Connection] = set()

    def callback_new_connection(self) -> Connection:
        return Connection(self)


class SimGateway:
    """One gateway of the field that can be started, killed and restored."""

    def __init__(self, gateway: Gateway, slaves: Sequence[ModbusSlave], unknown_silent: bool = False) -> None:
        self.gateway = gateway
        self.slaves = {slave.device_id: slave for slave in slaves}
        self.line = Line({slave.address: slave for slave in slaves}, unknown_silent)
        self._server: GatewayServer | None = None

    @property
    def listening(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        """Listen; WattkeeperError when the address is not free."""
        if self._server is not None:
            return
        server = GatewayServer((self.gateway.host, self.gateway.port), self.line)
        if not await server.listen():
            raise WattkeeperError(
                f"simulated gateway {self.gateway.id} cannot listen on {self.gateway.host}:{self.gateway.port}; "
                "is the port in use by another program?"
            )
        self._server = server

    async def stop(self) -> None:
        """Close the listening socket and every connection."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.shutdown()

    async def reset(self) -> None:
        """Cut every connection with RST."""
        for client in list(self._server.clients if self._server is not None else ()):
            client.abort()

    def lose(self) -> None:
        """Let the present connections die without a word: nothing goes through, and they are not closed."""
        for client in self._server.clients if self._server is not None else ():
            client.lost = True
