"""DL/T 645-2007 without I/O: what the product asks of a meter, and what the simulated field needs beside it.

Rule: a command never goes to a wildcard or broadcast address, and what nobody may do from here (clear a meter or its
events, change its baud rate, password or address) is encoded but refused by `for_product`. Numbers of this file are
those of the standard; the names of data are in dlt645_items.py, of bits in dlt645_words.py.

Source: DL/T 645-2007 section 7 and annex A; control 1C by the State Grid's remote control supplement.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from drivers.bcd import is_bcd
from drivers.device import Secret
from drivers.dlt645_frame import ANYONE, BROADCAST, WAKE_MAX, address_bytes
from drivers.dlt645_question import ANY_LENGTH, Edition, Request, ask, only_one_meter
from drivers.dlt645_words import ERRORS_2007

TIME_SYNC: Final = 0x08
READ: Final = 0x11
FOLLOW_UP: Final = 0x12
READ_ADDRESS: Final = 0x13
WRITE: Final = 0x14
WRITE_ADDRESS: Final = 0x15
FREEZE: Final = 0x16
CHANGE_BAUD: Final = 0x17
CHANGE_PASSWORD: Final = 0x18
CLEAR_DEMAND: Final = 0x19
CLEAR_METER: Final = 0x1A
CLEAR_EVENTS: Final = 0x1B
CONTROL: Final = 0x1C
# What no part of the product may send: it destroys registers or makes the meter unreachable.
FORBIDDEN: Final = frozenset({WRITE_ADDRESS, CHANGE_BAUD, CHANGE_PASSWORD, CLEAR_METER, CLEAR_EVENTS})

TRIP: Final = 0x1A  # N1 of control 1C
CLOSE_PERMIT: Final = 0x1B  # the relay closes when the customer presses the meter's button
CLOSE: Final = 0x1C
ALARM_ON: Final = 0x2A
ALARM_OFF: Final = 0x2B
PROTECT_ON: Final = 0x3A  # protected supply: the meter ignores every trip
PROTECT_OFF: Final = 0x3B
CONTROLS: Final = (TRIP, CLOSE_PERMIT, CLOSE, ALARM_ON, ALARM_OFF, PROTECT_ON, PROTECT_OFF)

WRITE_MAX: Final = 50  # section 7.4: data bytes of a write, identifier, password and operator included
BAUD_WORDS: Final = {600: 0x02, 1200: 0x04, 2400: 0x08, 4800: 0x10, 9600: 0x20, 19200: 0x40}
METER_OFFSET_S: Final = 8 * 3600  # meters of this protocol show China Standard Time, UTC+8, all the year
NS_PER_S: Final = 1_000_000_000

EDITION: Final = Edition(
    name="2007", read=READ, follow_up=FOLLOW_UP, read_address=READ_ADDRESS, di_bytes=4, sequenced=True,
    serr=frozenset({0x03}), meanings=ERRORS_2007,
)  # fmt: skip


def di_bytes(di: int) -> bytes:
    """Return a data identifier as sent, DI0 first. ValueError when it has more than four bytes."""
    if not 0 <= di <= 0xFFFF_FFFF:
        raise ValueError(f"{di:#x} is no data identifier of four bytes")
    return di.to_bytes(4, "little")


def read(address: str, di: int, payload_bytes: int = ANY_LENGTH, wake_bytes: int = WAKE_MAX) -> Request:
    """Make a read of one identifier. The address may hold wildcards when only one meter is on the line.

    The payload is everything behind the identifier, of all parts, free of 0x33. ValueError for an impossible address.
    """
    lead = di_bytes(di)
    where = address_bytes(address)
    if where == BROADCAST:
        raise ValueError("nobody answers a read to the broadcast address")
    return ask(EDITION, where, READ, lead, wake_bytes, lead=lead, payload_bytes=payload_bytes, writes=False)


def read_address(wake_bytes: int = WAKE_MAX) -> Request:
    """Make the question for the address of the only meter on the line; the payload is the address."""
    return ask(EDITION, ANYONE, READ_ADDRESS, b"", wake_bytes, payload_bytes=6, writes=False)


def write(
    address: str, di: int, value: bytes, secret: Secret, level: int = 0x02, wake_bytes: int = WAKE_MAX
) -> Request:
    """Make a write of `value`, encoded as the identifier wants it. ValueError for a wildcard or too many bytes."""
    data = di_bytes(di) + password_block(secret, level) + operator_block(secret) + value
    if len(data) > WRITE_MAX or not value:
        raise ValueError(f"a write of {len(value)} bytes; 1 to {WRITE_MAX - len(data) + len(value)} are possible")
    return ask(EDITION, only_one_meter(address_bytes(address), "a write"), WRITE, data, wake_bytes)


def broadcast_time(utc_ns: int, meter_offset_s: int = METER_OFFSET_S, wake_bytes: int = WAKE_MAX) -> Request:
    """Make a clock correction for all meters of a line; nobody answers. Meters take it when they are < 5 min wrong."""
    return ask(EDITION, BROADCAST, TIME_SYNC, clock_bytes(utc_ns, meter_offset_s), wake_bytes, broadcast=True)


def freeze(address: str, month_day: str = "9999", hour_minute: str = "9999", wake_bytes: int = WAKE_MAX) -> Request:
    """Make a freeze: 99 stands for "every". The default freezes at once, "99"+"DD" with hhmm every month, and so on.

    month_day     MMDD: "9999" at once, hourly or daily; "99DD" monthly
    hour_minute   hhmm: "9999" at once; "99mm" hourly; "hhmm" daily or monthly
    address       twelve nines for all meters, which do not answer. ValueError for what is no freeze time.
    """
    where = address_bytes(address)
    if where != BROADCAST:
        only_one_meter(where, "a freeze")
    digits = month_day + hour_minute
    parts = [digits[at : at + 2] for at in range(0, 8, 2)]
    if len(digits) != 8 or not (digits.isdecimal() and digits.isascii()) or not _is_freeze(*map(int, parts)):
        raise ValueError(f"{month_day} {hour_minute} is no freeze time; MMDD hhmm with 99 for every, from the left")
    return ask(EDITION, where, FREEZE, bytes.fromhex(digits)[::-1], wake_bytes, broadcast=where == BROADCAST)


def _is_freeze(month: int, day: int, hour: int, minute: int) -> bool:
    """Tell whether "every" stands only before what is given: at once, hourly, daily, monthly."""
    every = tuple(part == 99 for part in (month, day, hour, minute))
    ranges = ((day, 1, 28), (hour, 0, 23), (minute, 0, 59))  # day 28: every month has it
    return every[0] and list(every) == sorted(every, reverse=True) and all(
        part == 99 or low <= part <= high for part, low, high in ranges
    )  # fmt: skip


def control(
    address: str,
    n1: int,
    secret: Secret,
    expiry: bytes,
    *,
    level: int = 0x02,
    n2: int = 0,
    wake_bytes: int = WAKE_MAX,
) -> Request:
    """Make a control 1C. The reply says that the meter accepted it, not that the relay moved.

    n1       one of CONTROLS
    expiry   six bytes ss mm hh DD MM YY of the meter's own clock, from clock_bytes; the command is void afterwards
    ValueError for a wildcard or broadcast address, an unknown n1 or an expiry that is no time.
    """
    where = only_one_meter(address_bytes(address), "control 1C")
    if n1 not in CONTROLS or not 0 <= n2 <= 0xFF:
        raise ValueError(f"control 1C knows N1 {', '.join(f'{n:02X}' for n in CONTROLS)}, not {n1:02X} (N2 {n2:02X})")
    if len(expiry) != 6 or not is_bcd(expiry):
        raise ValueError(f"{expiry.hex(' ')} is no expiry: ss mm hh DD MM YY")
    data = password_block(secret, level) + operator_block(secret) + bytes((n1, n2)) + expiry
    return ask(EDITION, where, CONTROL, data, wake_bytes)


def clear_demand(address: str, secret: Secret, level: int = 0x04, wake_bytes: int = WAKE_MAX) -> Request:
    """Make "clear the maximum demand". ValueError for a wildcard or broadcast address."""
    where = only_one_meter(address_bytes(address), "clearing the demand")
    return ask(EDITION, where, CLEAR_DEMAND, password_block(secret, level) + operator_block(secret), wake_bytes)


def change_baud(address: str, word: int, wake_bytes: int = WAKE_MAX) -> Request:
    """Make a change of the baud rate (a value of BAUD_WORDS); the meter echoes the word. Not for the product."""
    if word not in BAUD_WORDS.values():
        raise ValueError(f"{word:02X} is no baud word: one of {', '.join(f'{w:02X}' for w in BAUD_WORDS.values())}")
    where = only_one_meter(address_bytes(address), "a change of the baud rate")
    return ask(EDITION, where, CHANGE_BAUD, bytes((word,)), wake_bytes, lead=bytes((word,)))


def change_password(
    address: str, di: int, old: Secret, new: Secret, level: int = 0x02, wake_bytes: int = WAKE_MAX
) -> Request:
    """Make a change of the password of a level; the meter echoes the new one. Not for the product."""
    where = only_one_meter(address_bytes(address), "a change of the password")
    data = di_bytes(di) + password_block(old, level) + password_block(new, level)
    return ask(EDITION, where, CHANGE_PASSWORD, data, wake_bytes, lead=password_block(new, level))


def clear_meter(address: str, secret: Secret, level: int = 0x02, wake_bytes: int = WAKE_MAX) -> Request:
    """Make "clear all registers". Not for the product."""
    where = only_one_meter(address_bytes(address), "clearing a meter")
    return ask(EDITION, where, CLEAR_METER, password_block(secret, level) + operator_block(secret), wake_bytes)


def clear_events(
    address: str, secret: Secret, di: int = 0xFFFF_FFFF, level: int = 0x02, wake_bytes: int = WAKE_MAX
) -> Request:
    """Make "clear the events" of an identifier, all of them by default. Not for the product."""
    where = only_one_meter(address_bytes(address), "clearing events")
    data = password_block(secret, level) + operator_block(secret) + di_bytes(di)
    return ask(EDITION, where, CLEAR_EVENTS, data, wake_bytes)


def for_product(request: Request) -> Request:
    """Return a request that the product may send. ValueError for one of FORBIDDEN."""
    if request.function in FORBIDDEN and request.edition is EDITION:
        raise ValueError(f"function {request.function:02X} destroys registers or hides the meter and is never sent")
    return request


def clock_bytes(utc_ns: int, meter_offset_s: int = METER_OFFSET_S) -> bytes:
    """Return an instant as the meter's clock shows it, to the second: ss mm hh DD MM YY."""
    shown = datetime.fromtimestamp(utc_ns // NS_PER_S, UTC) + timedelta(seconds=meter_offset_s)
    return bytes.fromhex(f"{shown:%S%M%H%d%m%y}")


def password_block(secret: Secret, level: int) -> bytes:
    """Return PA P0 P1 P2. ValueError, which does not show the password, when it has not six digits."""
    if not (len(secret.password) == 6 and secret.password.isascii() and secret.password.isdecimal()):
        raise ValueError("the password of a meter has six digits")
    if not 0 <= level <= 0xFF:
        raise ValueError(f"access level {level} is no byte")
    return bytes((level,)) + bytes.fromhex(secret.password)[::-1]


def operator_block(secret: Secret) -> bytes:
    """Return C0 C1 C2 C3. ValueError when the operator code has not eight digits."""
    if not (len(secret.operator) == 8 and secret.operator.isascii() and secret.operator.isdecimal()):
        raise ValueError("the operator code of a meter has eight digits")
    return bytes.fromhex(secret.operator)[::-1]
