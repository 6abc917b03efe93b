"""A foreign AMP client: the wire format written down once more, so that the core's link is not tested with itself.

A box is a row of (2-byte length, key, 2-byte length, value) that ends with a zero length; see Twisted's AMP.
"""

import socket
import struct
from pathlib import Path


class AmpError(Exception):
    """The other side answered with an error box."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


def encode(box: dict[str, str]) -> bytes:
    parts = [part.encode() for pair in box.items() for part in pair]
    return b"".join(struct.pack(">H", len(part)) + part for part in parts) + b"\0\0"


def call(path: Path, command: str, /, timeout_s: float = 10.0, **arguments: str) -> dict[str, str]:
    """Send one command, return its answer; AmpError when it was refused."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(timeout_s)
        link.connect(str(path))
        link.sendall(encode({"_ask": "1", "_command": command} | arguments))
        stream = link.makefile("rb")
        answer: dict[str, str] = {}
        while length := struct.unpack(">H", stream.read(2))[0]:
            key = stream.read(length).decode()
            answer[key] = stream.read(struct.unpack(">H", stream.read(2))[0]).decode()
    if "_error" in answer:
        raise AmpError(answer["_error_code"], answer["_error_description"])
    return answer
