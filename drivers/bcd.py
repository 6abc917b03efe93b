"""Packed decimal numbers as meters send them: two digits a byte, the lowest pair first, exact integers only.

Rule: a pattern that is no number is never turned into one: all FF means "not fitted" and gives None, any other nibble
above 9 is a ValueError. Source: DL/T 645-2007 annex A, CJ/T 188-2018 section 5.
"""

from typing import Final

SIGN: Final = 0x80  # the top bit of the highest byte of a signed number
ABSENT: Final = 0xFF


def encode_bcd(value: int, size: int) -> bytes:
    """Return `size` bytes, lowest pair of digits first. ValueError when the number is negative or does not fit."""
    if not 0 <= value < 10 ** (2 * size):
        raise ValueError(f"{value} does not fit into {2 * size} decimal digits")
    return bytes.fromhex(f"{value:0{2 * size}d}")[::-1]


def encode_sbcd(value: int, size: int) -> bytes:
    """Return the same with the sign in the top bit, which leaves 0..7 to the first digit. ValueError beyond it."""
    if abs(value) >= 8 * 10 ** (2 * size - 1):
        raise ValueError(f"{value} does not fit into {2 * size} decimal digits with a sign")
    data = bytearray(encode_bcd(abs(value), size))
    data[-1] |= SIGN if value < 0 else 0
    return bytes(data)


def decode_bcd(data: bytes) -> int | None:
    """Return the number, or None when it is absent (all FF). ValueError for no bytes and for a nibble above 9."""
    if data.count(ABSENT) == len(data) > 0:
        return None
    digits = data[::-1].hex()
    if not digits.isdecimal():
        raise ValueError(f"{data.hex(' ').upper()} is no packed decimal number")
    return int(digits)


def decode_sbcd(data: bytes) -> int | None:
    """Return the number whose sign is the top bit of the last byte, or None when it is absent. ValueError as above."""
    if data.count(ABSENT) == len(data) > 0:
        return None
    if not data or data[-1] < SIGN:
        return decode_bcd(data)
    magnitude = decode_bcd(data[:-1] + bytes((data[-1] - SIGN,)))
    return None if magnitude is None else -magnitude


def is_bcd(data: bytes) -> bool:
    """Tell whether every nibble is a decimal digit."""
    return data.hex().isdecimal()
