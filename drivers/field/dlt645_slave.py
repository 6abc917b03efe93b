"""A station of the simulated field as it speaks DL/T 645-2007 or 1997: control codes, passwords, relay, clock.

Rule: frames in, frames out; what stands under an identifier is in DataBook. Nobody answers a broadcast. Clauses are
those of DL/T 645-2007.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from drivers.field.dlt645_data import DataBook
from drivers.field.frames import MeterParts, split
from drivers.field.hostile import Mouth
from drivers.field.station import Station
from scada.position import CLOSED, OPEN

ANY: Final = 0xAA
BROADCAST: Final = b"\x99" * 6
OTHER, NO_DATA, NOT_AUTHORISED, BAUD_FIXED = 0x01, 0x02, 0x04, 0x08  # error word, 7.4
FAILED, MORE = 0x40, 0x20
READ_MAX: Final = 200  # data bytes of one answer, 5.4.5
SYNC_MAX: Final = timedelta(minutes=5)  # 7.1.4
PERMIT, CLOSE, TRIP, ALARM_ON, ALARM_OFF, PROTECT, UNPROTECT = 0x1B, 0x1C, 0x1A, 0x2A, 0x2B, 0x3A, 0x3B
FREEZE_LAYOUT: Final = 4  # mm hh DD MM

Answer = tuple[int, bytes] | None  # (bits added to the control code, data); None: no answer


class Dlt645Slave:
    """One meter address on a line. `station` may be exchanged: another meter then answers under this address."""

    family: Final = "dlt645"

    def __init__(self, station: Station) -> None:
        device = station.state.meter.device
        self.device_id = device.id
        self.address = bytes.fromhex(device.address.zfill(12))[::-1]
        self.mouth = Mouth()
        self._waiting, self._waiting_di = b"", b""  # what follow-up frames will bring, and of which identifier
        self._sequence = 0
        self.station = station

    @property
    def station(self) -> Station:
        return self._station

    @station.setter
    def station(self, station: Station) -> None:
        self._station = station
        self._book = DataBook(station)
        self._codes = _CODES_1997 if self._book.di_bytes == 2 else _CODES_2007

    def hears(self, frame: bytes) -> bool:
        """Tell whether a request is for this meter: its address, abbreviated or not, or everybody's."""
        asked = frame[1:7]
        return asked == BROADCAST or all(a in (ANY, b) for a, b in zip(asked, self.address, strict=True))

    def answer(self, frame: bytes) -> bytes | None:
        """Carry out a request and return the answer frame; None for silence."""
        request = split("dlt645", frame)
        assert isinstance(request, MeterParts)
        code = request.control & 0x1F
        work = self._codes.get(code)
        if work is None:
            answered: Answer = (FAILED, bytes([OTHER]))
        else:
            answered = work(self, request)
        if answered is None or request.address == BROADCAST:
            return None
        if self._station.mute and work in _COMMANDS:
            return None
        bits, data = answered
        return MeterParts("dlt645", self.address, code | 0x80 | bits, data).join()

    # ---- reading

    def read(self, request: MeterParts) -> Answer:
        size = self._book.di_bytes
        if len(request.data) < size:
            return FAILED, bytes([OTHER])
        data = self._book.read(int.from_bytes(request.data[:size], "little"))
        if data is None:
            return FAILED, bytes([NO_DATA])
        self._sequence = 0
        return self._piece(request.data[:size], data, b"")

    def read_on(self, request: MeterParts) -> Answer:
        """Follow-up: DI and SEQ in, DI, data and SEQ out. 1997 has no SEQ in either direction."""
        size = self._book.di_bytes
        di, sequence = request.data[:size], request.data[size:]
        if len(sequence) != (size == 4):
            return FAILED, bytes([OTHER])
        if not self._waiting or di != self._waiting_di or (sequence and sequence != bytes([self._sequence])):
            return FAILED, bytes([NO_DATA])
        return self._piece(di, self._waiting, sequence)

    def _piece(self, di: bytes, data: bytes, sequence: bytes) -> Answer:
        limit = self._station.panel.part_bytes or READ_MAX - len(di) - 1
        piece, self._waiting, self._waiting_di = data[:limit], data[limit:], di
        self._sequence += 1
        return MORE if self._waiting else 0, di + piece + sequence

    def read_address(self, request: MeterParts) -> Answer:
        return (0, self.address) if request.address == bytes([ANY]) * 6 else None

    # ---- writing

    def write(self, request: MeterParts) -> Answer:
        size = self._book.di_bytes
        head = size + (8 if size == 4 else 4)  # password, and the operator's code since 2007
        if len(request.data) <= head:
            return FAILED, bytes([OTHER])
        if not self._authorised(request.data[size : size + 4]):
            return FAILED, bytes([NOT_AUTHORISED])
        if self._station.refuses:
            return FAILED, bytes([OTHER])
        taken = self._book.write(int.from_bytes(request.data[:size], "little"), request.data[head:])
        return (0, b"") if taken else (FAILED, bytes([NO_DATA]))

    def _authorised(self, level_and_password: bytes) -> bool:
        password = self._station.state.meter.device.secret.password
        return level_and_password == bytes([self._station.profile.level]) + bytes.fromhex(password.zfill(6))[::-1]

    def set_time(self, request: MeterParts) -> Answer:
        """Take a broadcast time when it is near enough and the first of the day; never answer."""
        moment, now, panel = _moment(request.data), self._station.now(), self._station.panel
        if moment is not None and abs(moment - now) <= SYNC_MAX and panel.synced != now.date():
            self._station.set_clock(moment)
            panel.synced = now.date()
        return None

    def freeze(self, request: MeterParts) -> Answer:
        """Keep the energies of this instant; times that come later are accepted and not simulated."""
        if len(request.data) != FREEZE_LAYOUT:
            return FAILED, bytes([OTHER])
        if request.data == b"\x99" * FREEZE_LAYOUT:
            self._book.keep()
        return 0, b""

    def keep_baud(self, _request: MeterParts) -> Answer:
        return FAILED, bytes([BAUD_FIXED])

    # ---- the relay

    def control(self, request: MeterParts) -> Answer:
        """Control 1C: level, password, operator, N1, N2, expiry."""
        station = self._station
        if len(request.data) != 16 or request.address != self.address:
            return FAILED, bytes([OTHER])
        expiry = _moment(request.data[10:])
        if not self._authorised(request.data[:4]) or expiry is None or expiry < station.now():
            return FAILED, bytes([NOT_AUTHORISED])  # a command that is too late is answered like a wrong password
        order = _RELAY.get(request.data[8])
        if order is None or station.refuses or station.state.mechanism is None:
            return FAILED, bytes([OTHER])
        order(station)
        return 0, b""


def press_button(station: Station) -> bool:
    """Press the button of a meter: a permitted close is carried out. Return whether one was waiting."""
    waiting, station.panel.permit = station.panel.permit, False
    if waiting and station.state.mechanism is not None:
        station.state.mechanism.command(CLOSED, station.field.mono_ns)
    return waiting


def _trip(station: Station) -> None:
    """Accepted under protected supply too, as most firmwares do; the relay then stays."""
    station.panel.permit, station.panel.ordered_open = False, True
    if station.state.mechanism is not None and not station.panel.protected:
        station.state.mechanism.command(OPEN, station.field.mono_ns)


def _permit(station: Station) -> None:
    station.panel.permit, station.panel.ordered_open = True, False


def _close(station: Station) -> None:
    station.panel.permit, station.panel.ordered_open = False, False
    if station.state.mechanism is not None:
        station.state.mechanism.command(CLOSED, station.field.mono_ns)


def _panel(**flags: bool) -> Callable[[Station], None]:
    def order(station: Station) -> None:
        for name, on in flags.items():
            setattr(station.panel, name, on)

    return order


_RELAY: Final[dict[int, Callable[[Station], None]]] = {
    TRIP: _trip, PERMIT: _permit, CLOSE: _close,
    ALARM_ON: _panel(alarm=True), ALARM_OFF: _panel(alarm=False),
    PROTECT: _panel(protected=True), UNPROTECT: _panel(protected=False),
}  # fmt: skip


def _moment(data: bytes) -> datetime | None:
    """Read ss mm hh DD MM YY; None when it is no date."""
    if len(data) != 6 or any(byte >> 4 > 9 or byte & 15 > 9 for byte in data):
        return None
    second, minute, hour, day, month, year = (10 * (byte >> 4) + (byte & 15) for byte in data)
    try:
        return datetime(2000 + year, month, day, hour, minute, second)
    except ValueError:
        return None


_Work = Callable[[Dlt645Slave, MeterParts], Answer]
_CODES_2007: Final[dict[int, _Work]] = {
    0x08: Dlt645Slave.set_time, 0x11: Dlt645Slave.read, 0x12: Dlt645Slave.read_on, 0x13: Dlt645Slave.read_address,
    0x14: Dlt645Slave.write, 0x16: Dlt645Slave.freeze, 0x17: Dlt645Slave.keep_baud, 0x1C: Dlt645Slave.control,
}  # fmt: skip
_CODES_1997: Final[dict[int, _Work]] = {
    0x01: Dlt645Slave.read, 0x02: Dlt645Slave.read_on, 0x04: Dlt645Slave.write, 0x08: Dlt645Slave.set_time,
    0x0C: Dlt645Slave.keep_baud,
}  # fmt: skip
_COMMANDS: Final = (Dlt645Slave.write, Dlt645Slave.control)
