"""The shape of a [[gateway]]: one line with meters, whatever carries its bytes.

Rule: one table at a time; which keys belong to which transport, and what two gateways may not share, is in
`config.gateways`.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from config.schema import Named, Port
from drivers.device import HEARTBEAT_S, LateReplies, Parity, Transport

HEX: Final = "hex:"
PACKET_BYTES_MAX: Final = 64  # registration packets of the field are an IMEI, a serial number or a short text


def packet_bytes(text: str) -> bytes:
    """Return the bytes of a packet written as "text" or "hex:FE 01 02". ValueError when the hex digits are none."""
    return bytes.fromhex(text[len(HEX) :]) if text.startswith(HEX) else text.encode()


def _packet(text: str) -> str:
    try:
        size = len(packet_bytes(text))
    except ValueError:
        raise ValueError("a text, or 'hex:' and pairs of hexadecimal digits, for example hex:FE0102") from None
    if size > PACKET_BYTES_MAX:
        raise ValueError(f"at most {PACKET_BYTES_MAX} bytes")
    return text


Packet = Annotated[str, AfterValidator(_packet)]
Baud = Annotated[int, Field(ge=300, le=921_600)]


class GatewayTable(Named):
    """One line with meters: a Modbus TCP end point, a transparent gateway, a serial port, or a DTU that dials in."""

    transport: Transport = "modbus-tcp"
    host: str = ""  # dial-in: the address to listen on
    port: Port | None = None  # 502 for Modbus TCP
    path: str = ""  # of the serial port; a relative one stands in the run folder of the data directory
    baud: Baud = 9600
    parity: Parity = "N"
    stop_bits: Annotated[int, Field(ge=1, le=2)] = 1
    gap_ms: Annotated[float, Field(ge=0, le=5000)] = 0.0  # silence between transactions; 0: what the protocol asks for
    late: LateReplies = "wait"  # what follows a time-out: wait until the line is quiet, or a new connection
    registration: Packet = ""
    heartbeat: Packet = ""
    heartbeat_s: Annotated[float, Field(ge=5, le=86_400)] = HEARTBEAT_S  # a DTU that is silent for longer is hung up on
    in_flight: Annotated[int, Field(ge=1, le=32)] = 1  # 32: request queue of common gateways
    timeout_s: Annotated[float, Field(ge=0.05, le=30)] = 1.0  # until the first byte of an answer
    period_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    log_frames: bool = False  # keep good frames in the frame log too, although nobody follows
