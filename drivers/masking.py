"""Which bytes are secrets: the passwords of DL/T 645, wherever a frame of it stands in what was sent or received.

Many RS-485 adapters hear themselves, so that a request with its password comes back in what is received.
Rule: pure, and by the shape of the frame alone, because a log does not know which protocol a line carries just then.
"""

from typing import Final

START: Final = 0x68
DATA_AT: Final = 10  # behind 68 A0..A5 68 C L
# Control code -> (first byte of the secret in the data, bytes). Level, password and, in 2007, the operator code behind
# them, which secrets.toml keeps as well; a new password too.
# DL/T 645-2007 sections 7.5 (write), 7.9 (password), 7.10 to 7.13 (clear), annex on remote switching; 1997 section 6.
SECRETS: Final[dict[int, tuple[int, int]]] = {
    0x14: (4, 8),  # 2007 write: after the identifier
    0x18: (4, 8),  # 2007 password: old and new
    0x98: (0, 4),  # its reply: the new one
    0x19: (0, 8),
    0x1A: (0, 8),
    0x1B: (0, 8),
    0x1C: (0, 8),
    0x04: (2, 4),  # 1997 write: after the identifier
    0x0F: (2, 8),  # 1997 password: old and new
    0x8F: (0, 4),  # its reply: the new one
    0x10: (0, 4),  # 1997 clear demand, on meters that want a password
}


def secret_places(data: bytes) -> tuple[int, ...]:
    """Return the places of the password bytes of every DL/T 645 frame in `data`, and of the checksums over them.

    The checksum is the sum of all bytes: shown, it would give a part of the password away. Of a frame that is cut off,
    what there is of them.
    """
    places: list[int] = []
    start = data.find(START)
    while start >= 0:
        places += _places_of_frame(data, start)
        start = data.find(START, start + 1)
    return tuple(places)


def _places_of_frame(data: bytes, start: int) -> list[int]:
    """Return the same of the frame that may begin at `start`."""
    head = data[start : start + DATA_AT]
    if len(head) < DATA_AT or head[7] != START:
        return []
    (first, size), length = SECRETS.get(head[8], (0, 0)), head[9]
    size = min(size, length - first)  # what there is: some meters leave the operator code out
    if size <= 0:
        return []
    at = start + DATA_AT
    return [place for place in (*range(at + first, at + first + size), at + length) if place < len(data)]


def masked(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Return bytes with the secrets in them set to zero, and their places."""
    places = secret_places(data)
    if not places:
        return data, places
    hidden = bytearray(data)
    for place in places:
        hidden[place] = 0
    return bytes(hidden), places
