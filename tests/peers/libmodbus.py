"""libmodbus through ctypes: as the client that it mostly is, and as a server over sockets and a serial port.

Rule: libmodbus does the Modbus; here are only its signatures, memory, and the loop that its manual shows for a server.
"""

import contextlib
import ctypes
import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, c_char_p, c_int, c_uint8, c_uint16, c_uint32, c_void_p
from typing import Any, Final

from tests.peers import needed

ILLEGAL_ADDRESS: Final = "Illegal data address"
FRAME_MOST: Final = 260  # MODBUS_MAX_ADU_LENGTH
TIMEOUT_S: Final = 3
POLL_S: Final = 0.05  # how soon a server sees that it shall end


class _Mapping(ctypes.Structure):
    """modbus_mapping_t"""

    _fields_ = (
        ("nb_bits", c_int), ("start_bits", c_int), ("nb_input_bits", c_int), ("start_input_bits", c_int),
        ("nb_input_registers", c_int), ("start_input_registers", c_int), ("nb_registers", c_int),
        ("start_registers", c_int), ("bits", POINTER(c_uint8)), ("input_bits", POINTER(c_uint8)),
        ("input_registers", POINTER(c_uint16)), ("registers", POINTER(c_uint16)),
    )  # fmt: skip


SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "modbus_new_tcp": (c_void_p, (c_char_p, c_int)),
    "modbus_new_rtu": (c_void_p, (c_char_p, c_int, ctypes.c_char, c_int, c_int)),
    "modbus_free": (None, (c_void_p,)),
    "modbus_close": (None, (c_void_p,)),
    "modbus_connect": (c_int, (c_void_p,)),
    "modbus_get_socket": (c_int, (c_void_p,)),
    "modbus_set_socket": (c_int, (c_void_p, c_int)),
    "modbus_set_slave": (c_int, (c_void_p, c_int)),
    "modbus_set_response_timeout": (c_int, (c_void_p, c_uint32, c_uint32)),
    "modbus_strerror": (c_char_p, (c_int,)),
    "modbus_read_bits": (c_int, (c_void_p, c_int, c_int, POINTER(c_uint8))),
    "modbus_read_registers": (c_int, (c_void_p, c_int, c_int, POINTER(c_uint16))),
    "modbus_read_input_registers": (c_int, (c_void_p, c_int, c_int, POINTER(c_uint16))),
    "modbus_write_bit": (c_int, (c_void_p, c_int, c_int)),
    "modbus_write_register": (c_int, (c_void_p, c_int, c_uint16)),
    "modbus_write_registers": (c_int, (c_void_p, c_int, c_int, POINTER(c_uint16))),
    "modbus_mapping_new": (POINTER(_Mapping), (c_int, c_int, c_int, c_int)),
    "modbus_mapping_free": (None, (POINTER(_Mapping),)),
    "modbus_receive": (c_int, (c_void_p, POINTER(c_uint8))),
    "modbus_reply": (c_int, (c_void_p, POINTER(c_uint8), c_int, POINTER(_Mapping))),
}


def library() -> ctypes.CDLL:
    """Return the library with its signatures; the test ends where it is missing."""
    loaded = needed.libmodbus()
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


class PeerError(Exception):
    """What libmodbus says about a transaction that failed."""


class Client:
    """A libmodbus master; every call blocks."""

    def __init__(self, context: int, lib: ctypes.CDLL) -> None:
        self._context, self._lib = context, lib

    def ask(self, unit: int) -> "Client":
        """Say whom the next calls are for."""
        self._done(self._lib.modbus_set_slave(self._context, unit))
        return self

    def registers(self, first: int, count: int) -> list[int]:
        """Function 3."""
        words = (c_uint16 * count)()
        self._done(self._lib.modbus_read_registers(self._context, first, count, words), count)
        return list(words)

    def input_registers(self, first: int, count: int) -> list[int]:
        """Function 4."""
        words = (c_uint16 * count)()
        self._done(self._lib.modbus_read_input_registers(self._context, first, count, words), count)
        return list(words)

    def coils(self, first: int, count: int) -> list[int]:
        """Function 1."""
        bits = (c_uint8 * count)()
        self._done(self._lib.modbus_read_bits(self._context, first, count, bits), count)
        return list(bits)

    def write_coil(self, address: int, on: bool) -> None:
        """Function 5."""
        self._done(self._lib.modbus_write_bit(self._context, address, int(on)), 1)

    def write_register(self, address: int, value: int) -> None:
        """Function 6."""
        self._done(self._lib.modbus_write_register(self._context, address, value), 1)

    def write_registers(self, first: int, values: Sequence[int]) -> None:
        """Function 16."""
        words = (c_uint16 * len(values))(*values)
        self._done(self._lib.modbus_write_registers(self._context, first, len(values), words), len(values))

    def _done(self, result: int, wanted: int = 0) -> None:
        if result != wanted:
            raise PeerError(self._lib.modbus_strerror(ctypes.get_errno()).decode())


@contextlib.contextmanager
def tcp_client(port: int) -> Iterator[Client]:
    lib = library()
    with _connected(lib, lib.modbus_new_tcp(b"127.0.0.1", port)) as client:
        yield client


@contextlib.contextmanager
def rtu_client(path: str, baud: int, parity: str) -> Iterator[Client]:
    lib = library()
    with _connected(lib, lib.modbus_new_rtu(path.encode(), baud, parity.encode(), 8, 1)) as client:
        yield client


@contextlib.contextmanager
def _connected(lib: ctypes.CDLL, context: int) -> Iterator[Client]:
    assert context
    try:
        lib.modbus_set_response_timeout(context, TIMEOUT_S, 0)
        if lib.modbus_connect(context):
            raise PeerError(lib.modbus_strerror(ctypes.get_errno()).decode())
        yield Client(context, lib)
        lib.modbus_close(context)
    finally:
        lib.modbus_free(context)


class Server:
    """Coils and registers that libmodbus answers for; `registers[address]` and `coils[address]` are its memory."""

    def __init__(self, lib: ctypes.CDLL, context: int) -> None:
        self._lib, self._context = lib, context
        self._mapping = lib.modbus_mapping_new(64, 64, 64, 64)
        self.coils, self.registers = self._mapping.contents.bits, self._mapping.contents.registers
        self.inputs = self._mapping.contents.input_registers
        self.served = 0  # requests answered

    def answer(self) -> bool:
        """Take one request from the present socket and answer it; False when the peer has gone."""
        query = (c_uint8 * FRAME_MOST)()
        size = self._lib.modbus_receive(self._context, query)
        if size > 0:  # 0: a frame for another slave of the line
            self._lib.modbus_reply(self._context, query, size, self._mapping)
            self.served += 1
        return bool(size >= 0)

    def use(self, descriptor: int) -> None:
        self._lib.modbus_set_socket(self._context, descriptor)

    def free(self) -> None:
        self._lib.modbus_mapping_free(self._mapping)
        self._lib.modbus_free(self._context)


@contextlib.contextmanager
def tcp_server() -> Iterator[tuple[Server, int]]:
    """Serve on a free port; connections one after the other, as libmodbus' own examples do."""
    lib = library()
    server = Server(lib, lib.modbus_new_tcp(b"127.0.0.1", 0))
    listening = socket.create_server(("127.0.0.1", 0))
    peers: list[socket.socket] = []

    def turn() -> None:
        for ready in select.select([listening, *peers], [], [], POLL_S)[0]:
            if ready is listening:
                peers.append(listening.accept()[0])
                continue
            server.use(ready.fileno())
            if not server.answer():
                peers.remove(ready)
                ready.close()

    with listening, _running(turn):
        yield server, listening.getsockname()[1]
    for peer in peers:
        peer.close()
    server.free()


@contextlib.contextmanager
def rtu_server(path: str, unit: int, baud: int, parity: str) -> Iterator[Server]:
    """Serve one slave on a serial port."""
    lib = library()
    context = lib.modbus_new_rtu(path.encode(), baud, parity.encode(), 8, 1)
    server = Server(lib, context)
    lib.modbus_set_slave(context, unit)
    assert lib.modbus_connect(context) == 0
    descriptor = lib.modbus_get_socket(context)

    def turn() -> None:
        if select.select([descriptor], [], [], POLL_S)[0]:
            server.answer()

    with _running(turn):
        yield server
    lib.modbus_close(context)
    server.free()


@contextlib.contextmanager
def _running(turn: Callable[[], None]) -> Iterator[None]:
    """Take turns in a thread until the block ends; what a turn raises is raised here."""
    ending = threading.Event()
    failed: list[Exception] = []

    def work() -> None:
        try:
            while not ending.is_set():
                turn()
        except Exception as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=work, name="libmodbus server")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
    assert not failed
