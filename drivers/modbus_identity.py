"""Device identification over Modbus (function 43/14): the objects of a reply, and what to ask next when more follow.

Rule: pure; the judgement of a part is `drivers.modbus`', here its objects are read.
Source: MODBUS Application Protocol V1.1b3 section 6.21.
"""

from typing import Final

from drivers.modbus import PART_BYTES, Request, identify_request

OBJECT_NAMES: Final[dict[int, tuple[str, str]]] = {
    0x00: ("厂商", "vendor"),
    0x01: ("产品代码", "product code"),
    0x02: ("版本", "revision"),
    0x03: ("厂商网址", "vendor URL"),
    0x04: ("产品名称", "product name"),
    0x05: ("型号", "model"),
    0x06: ("应用名称", "application"),
}


def next_request(request: Request, part: bytes) -> Request | None:
    """Return what to ask after a part that was judged good; None when it was the last one.

    The next object's number always grows (the judgement sees to it), so this ends.
    """
    if not part[3]:
        return None
    return identify_request(request.unit, part[1], part[4])


def objects_bytes(part: bytes) -> bytes:
    """Return the objects of a part: number, length and text of each."""
    return part[PART_BYTES:]


def objects(data: bytes) -> dict[int, bytes]:
    """Return object number -> text of the objects of one part, or of several behind each other."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found
