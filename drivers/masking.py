"""Which bytes of a frame are secrets: the passwords of DL/T 645, wherever a frame of it stands in what was sent.

Rule: pure, and by the shape of the frame alone, because a log does not know which protocol a line carries just then.
"""

from typing import Final

ENVELOPE_BYTES: Final = 12  # 68 A0..A5 68 C L CS 16
DATA_AT: Final = 10
# Control code of the request -> (first byte of the secret in the data, bytes). Level and password; a new password too.
# DL/T 645-2007 sections 7.5 (write), 7.9 (password), 7.10 to 7.13 (clear), annex on remote switching; 1997 section 6.
SECRETS: Final[dict[int, tuple[int, int]]] = {
    0x14: (4, 4),  # 2007 write: after the identifier
    0x18: (4, 8),  # 2007 password: old and new
    0x19: (0, 4),
    0x1A: (0, 4),
    0x1B: (0, 4),
    0x1C: (0, 4),
    0x04: (2, 4),  # 1997 write: after the identifier
    0x0F: (2, 8),  # 1997 password: old and new
    0x10: (0, 4),  # 1997 clear demand, on meters that want a password
}


def secret_places(frame: bytes) -> tuple[int, ...]:
    """Return the places of the password bytes of every DL/T 645 request in `frame`, and of the checksum over them.

    The checksum is the sum of all bytes: shown, it would give a part of the password away.
    """
    places: list[int] = []
    for start in range(len(frame) - ENVELOPE_BYTES + 1):
        if frame[start] != 0x68 or frame[start + 7] != 0x68:
            continue
        length = frame[start + 9]
        first, size = SECRETS.get(frame[start + 8], (0, 0))
        if not size or start + DATA_AT + length + 2 > len(frame) or length < first + size:
            continue
        places += range(start + DATA_AT + first, start + DATA_AT + first + size)
        places.append(start + DATA_AT + length)
    return tuple(places)


def masked(frame: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Return a frame with its secrets set to zero, and their places."""
    places = secret_places(frame)
    if not places:
        return frame, places
    hidden = bytearray(frame)
    for place in places:
        hidden[place] = 0
    return bytes(hidden), places
