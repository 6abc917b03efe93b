"""Every function, asked of a server by other people over real sockets: as Modbus TCP and as RTU over TCP."""

import asyncio

import pytest
from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.modbus import (
    ExceptionReply,
    Parser,
    Reply,
    Request,
    Violation,
    check_reply,
    identify_request,
    read_request,
    read_write_request,
    write_request,
)
from drivers.modbus_identity import objects, objects_bytes
from drivers.modbus_rtu import Question
from drivers.outcome import Continue, Judged

UNIT = 1
IDENTITY = ModbusDeviceIdentification(
    info_name={"VendorName": "Maker", "ProductCode": "M1", "MajorMinorRevision": "V2"}
)
WORDS = [0x0012, 0xD687, 0x0304, 0, 0, 0, 0, 0]
# What is asked, in this order, of one device whose coils are the bits of its registers; and what it has to answer.
TALK: list[tuple[str, Request, Reply | ExceptionReply]] = [
    ("3", read_request(UNIT, 3, 0, 3), Reply(bytes.fromhex("0012D6870304"))),
    ("4", read_request(UNIT, 4, 1, 1), Reply(bytes.fromhex("D687"))),
    ("6", write_request(UNIT, 6, 3, [0xFF00]), Reply(b"")),
    ("16", write_request(UNIT, 16, 4, [1, 2]), Reply(b"")),
    ("3 after 6 and 16", read_request(UNIT, 3, 3, 3), Reply(bytes.fromhex("FF0000010002"))),
    ("23 writes first", read_write_request(UNIT, 6, 2, 7, [0xABCD]), Reply(bytes.fromhex("0000ABCD"))),
    ("exception", read_request(UNIT, 3, 100, 1), ExceptionReply(2)),
]
BITS: list[tuple[str, Request, Reply | ExceptionReply]] = [
    ("15", write_request(UNIT, 15, 0, [1, 0, 1, 1, 0, 0, 0, 0, 1, 1]), Reply(b"")),
    ("1", read_request(UNIT, 1, 0, 10), Reply(b"\x0d\x03")),
    # their simulator places coils by sixteens, so that a single coil can be written at multiples of sixteen only
    ("5", write_request(UNIT, 5, 0, [0]), Reply(b"")),
    ("1 after 5", read_request(UNIT, 1, 0, 10), Reply(b"\x0c\x03")),
]


def judge_tcp(request: Request, transaction: int, stream: bytes) -> Judged | None:
    items = Parser().feed(stream)
    if not items:
        return None
    return items[0] if isinstance(items[0], Violation) else check_reply(request, transaction, items[0])


def judge_rtu(request: Request, stream: bytes) -> Judged | Continue | None:
    question = Question(request)
    for item in question.scanner().feed(stream):
        return item if isinstance(item, Violation) else question.judge(item)
    return None


async def ask(port: int, framer: FramerType, request: Request) -> Judged | Continue | None:
    """Ask over a connection of its own and judge what has come after each piece."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode(7) if framer is FramerType.SOCKET else Question(request).wire)
    stream, judged = b"", None
    while judged is None and (piece := await asyncio.wait_for(reader.read(64), 5)):
        stream += piece
        judged = judge_tcp(request, 7, stream) if framer is FramerType.SOCKET else judge_rtu(request, stream)
    writer.close()
    await writer.wait_closed()
    return judged


@pytest.mark.parametrize("framer", [FramerType.SOCKET, FramerType.RTU])
@pytest.mark.parametrize(("kind", "talk"), [(DataType.REGISTERS, TALK), (DataType.BITS, BITS)], ids=["words", "bits"])
def test_a_foreign_server_and_we_agree(
    framer: FramerType, kind: DataType, talk: list[tuple[str, Request, Reply | ExceptionReply]]
) -> None:
    async def story() -> None:
        values = list(WORDS) if kind is DataType.REGISTERS else [False] * 16
        device = SimDevice(UNIT, [SimData(0, values=values, datatype=kind)])
        server = ModbusTcpServer([device], address=("127.0.0.1", 0), framer=framer, identity=IDENTITY)
        await server.listen()
        try:
            port = server.transport.sockets[0].getsockname()[1]
            for name, request, right in talk:
                assert await ask(port, framer, request) == right, name
            who = await ask(port, framer, identify_request(UNIT))
            assert isinstance(who, Reply)
            texts = objects(objects_bytes(who.payload) if framer is FramerType.SOCKET else who.payload)
            assert texts == {0: b"Maker", 1: b"M1", 2: b"V2"}
        finally:
            await server.shutdown()

    asyncio.run(story())
