"""DL/T 645-1997 without I/O: the envelope of 2007, identifiers of two bytes, other function codes, no relay.

Rule: only what differs from 2007 stands here. The edition has no command for a relay (makers have their own) and no
question for the address.

Source: DL/T 645-1997 sections 4 to 6 and annex A.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from drivers import dlt645
from drivers.dlt645 import METER_OFFSET_S, clock_bytes
from drivers.dlt645_frame import BROADCAST, WAKE_MAX, Wrong, address_bytes
from drivers.dlt645_question import ANY_LENGTH, Edition, Request, ask, only_one_meter
from drivers.dlt645_words import ERRORS_1997
from drivers.outcome import Continue, Judged, Reply, Scanner, Violation

READ: Final = 0x01
FOLLOW_UP: Final = 0x02
READ_AGAIN: Final = 0x03
WRITE: Final = 0x04
TIME_SYNC: Final = 0x08
WRITE_ADDRESS: Final = 0x0A
CHANGE_BAUD: Final = 0x0C
CHANGE_PASSWORD: Final = 0x0F
CLEAR_DEMAND: Final = 0x10

DATE: Final = 0xC010  # WW DD MM YY on the wire
TIME: Final = 0xC011  # ss mm hh
DATE_BYTES, TIME_BYTES = 4, 3
CLOCK_BYTES: Final = TIME_BYTES + DATE_BYTES
MIDNIGHTS_MAX: Final = 2  # that may pass while a clock is read: one is seldom, more is a clock that runs backwards

WRITE_MAX: Final = 50  # data bytes of a write; the edition names no limit, that of 2007 is kept
PASSWORD_DIGITS: Final = 8  # level (two digits) and password (six)

EDITION: Final = Edition(
    name="1997", read=READ, follow_up=FOLLOW_UP, read_address=None, di_bytes=2, sequenced=False,
    serr=frozenset(), meanings=ERRORS_1997,
)  # fmt: skip


class Try(NamedTuple):
    """One step of finding out how a meter speaks: a baud rate, an edition and an identifier that every meter has."""

    edition: Literal["dlt645-2007", "dlt645-1997"]
    baud: int
    di: int


# Auto-detection: the factory settings first, then what is met in the field. 1997 comes after 2007 at each rate: many
# meters of 2007 answer the old edition too, in a way that shows fewer digits.
TRIES: Final = (
    Try("dlt645-2007", 2400, 0x0001_0000),
    Try("dlt645-1997", 1200, 0x9010),
    Try("dlt645-2007", 9600, 0x0001_0000),
    Try("dlt645-2007", 1200, 0x0001_0000),
    Try("dlt645-2007", 4800, 0x0001_0000),
    Try("dlt645-1997", 2400, 0x9010),
    Try("dlt645-1997", 9600, 0x9010),
    Try("dlt645-1997", 4800, 0x9010),
)


def question_of(step: Try, address: str, wake_bytes: int = WAKE_MAX) -> Request:
    """Return the read of one step of the auto-detection: four bytes of energy in either edition."""
    module_read = dlt645.read if step.edition == "dlt645-2007" else read
    return module_read(address, step.di, 4, wake_bytes)


def di_bytes(di: int) -> bytes:
    """Return a data identifier as sent, DI0 first. ValueError when it has more than two bytes."""
    if not 0 <= di <= 0xFFFF:
        raise ValueError(f"{di:#x} is no data identifier of two bytes, as DL/T 645-1997 has them")
    return di.to_bytes(2, "little")


def read(address: str, di: int, payload_bytes: int = ANY_LENGTH, wake_bytes: int = WAKE_MAX) -> Request:
    """Make a read of one identifier; as in 2007. Follow-up frames carry no number here: give the length if known."""
    lead = di_bytes(di)
    where = address_bytes(address)
    if where == BROADCAST:
        raise ValueError("nobody answers a read to the broadcast address")
    return ask(EDITION, where, READ, lead, wake_bytes, lead=lead, payload_bytes=payload_bytes, writes=False)


@dataclass(frozen=True, slots=True)
class ClockRead:
    """The whole clock, ss mm hh WW DD MM YY, whose parts stand under two identifiers: an outcome.Exchange.

    It asks for the time, for the date and for the time once more. When the second time is not before the first, no
    midnight has passed and the date belongs to it; else the date is asked for again. What is answered is the last time,
    so that its receipt is the receipt of the whole.
    """

    asked: Request  # of the two identifiers the one that is asked for now
    address: str
    wake_bytes: int
    time: bytes = b""  # as read before the date
    date: bytes = b""
    midnights: int = 0

    @property
    def wire(self) -> bytes:
        """Return the bytes of the question that is due."""
        return self.asked.wire

    @property
    def writes(self) -> bool:
        """Nothing is changed by reading a clock."""
        return False

    @property
    def broadcast(self) -> bool:
        """One meter answers."""
        return False

    @property
    def reply_bytes(self) -> int:
        """Return the length of the right answer to the question that is due."""
        return self.asked.reply_bytes

    @property
    def alike(self) -> tuple[bytes, tuple[int, bytes, int]]:
        """Return who is asked and what the answer to the question that is due looks like."""
        return self.asked.alike

    def scanner(self) -> Scanner:
        """Return a fresh scanner."""
        return self.asked.scanner()

    def judge(self, frame: bytes) -> Judged | Continue | None:
        """Judge a frame; None when it answers something else. Only a whole clock of one day becomes a Reply."""
        judged = self.asked.judge(frame)
        if not isinstance(judged, Reply):
            return judged
        if self.asked.lead == di_bytes(DATE):
            return replace(self, date=judged.payload).asking(TIME, TIME_BYTES)
        later = judged.payload
        if self.date and later[::-1] >= self.time[::-1]:  # hh mm ss, in digits that sort as they stand
            return Reply(later + self.date)
        midnights = self.midnights + bool(self.date)
        if midnights > MIDNIGHTS_MAX:
            return Violation(Wrong.SEQUENCE)
        return replace(self, time=later, date=b"", midnights=midnights).asking(DATE, DATE_BYTES)

    def asking(self, di: int, size: int) -> Continue:
        """Return the next question of the same transaction."""
        return Continue(replace(self, asked=read(self.address, di, size, self.wake_bytes)))


def read_clock(address: str, wake_bytes: int = WAKE_MAX) -> ClockRead:
    """Make the read of a whole clock; its payload is CLOCK_BYTES long."""
    return ClockRead(read(address, TIME, TIME_BYTES, wake_bytes), address, wake_bytes)


def write(address: str, di: int, value: bytes, password: str, wake_bytes: int = WAKE_MAX) -> Request:
    """Make a write. password: eight digits, the level first. ValueError for a wildcard, and without showing it."""
    if not (len(password) == PASSWORD_DIGITS and password.isascii() and password.isdecimal()):
        raise ValueError("the password of a DL/T 645-1997 meter has eight digits, the level first")
    level, secret = password[:2], password[2:]
    data = di_bytes(di) + bytes.fromhex(level) + bytes.fromhex(secret)[::-1] + value
    if len(data) > WRITE_MAX or not value:
        raise ValueError(f"a write of {len(value)} bytes; 1 to {WRITE_MAX - len(data) + len(value)} are possible")
    return ask(EDITION, only_one_meter(address_bytes(address), "a write"), WRITE, data, wake_bytes)


def broadcast_time(utc_ns: int, meter_offset_s: int = METER_OFFSET_S, wake_bytes: int = WAKE_MAX) -> Request:
    """Make a clock correction for all meters of a line; nobody answers."""
    return ask(EDITION, BROADCAST, TIME_SYNC, clock_bytes(utc_ns, meter_offset_s), wake_bytes, broadcast=True)


def clear_demand(address: str, wake_bytes: int = WAKE_MAX) -> Request:
    """Make "clear the maximum demand", which has no password in this edition. ValueError for a wildcard."""
    where = only_one_meter(address_bytes(address), "clearing the demand")
    return ask(EDITION, where, CLEAR_DEMAND, b"", wake_bytes)
