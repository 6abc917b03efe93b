"""A station of the simulated field as it speaks CJ/T 188: current data, address, valve.

Rule: frames in, frames out. The layout of current data is the profile's; what the profile leaves open is filled as
CJ/T 188-2004 annex A lays it out, so that a reader with a layout of his own finds it too.
"""

from datetime import datetime
from typing import Final

from drivers.device import Device
from drivers.field.frames import MeterParts, split
from drivers.field.hostile import Mouth
from drivers.field.registers import encode_clock
from drivers.field.station import Station
from scada.position import CLOSED, INTERMEDIATE, OPEN

ANY: Final = 0xAA
READ, READ_ADDRESS, WRITE = 0x01, 0x03, 0x04
FAILED: Final = 0x40
CURRENT, ADDRESS, SET_CLOCK, VALVE = 0x901F, 0x810A, 0xA015, 0xA017
VALVE_CLOSED, VALVE_FAILED = 0x01, 0x03  # status byte, bits 0 and 1
CLOCK: Final = "smhDMYC"
FLOW_BYTES, HEAT_BYTES = 19, 43  # data behind DI and SER: water and gas, heat and cooling
TAIL: Final = len(CLOCK) + 2  # clock and status stand last in both


class Cjt188Slave:
    """One meter address on a line. `station` may be exchanged: another meter then answers, with its own address."""

    family: Final = "cjt188"

    def __init__(self, station: Station) -> None:
        device = station.state.meter.device
        self.device_id = device.id
        self.address = _address(device)
        self.mouth = Mouth()
        self.station = station

    def hears(self, frame: bytes) -> bool:
        """Tell whether a request is for this meter: type and address, each of which may be a wildcard."""
        kind = frame[1] in (ANY, self.station.profile.meter_type)
        return kind and all(a in (ANY, b) for a, b in zip(frame[2:9], self.address, strict=True))

    def answer(self, frame: bytes) -> bytes | None:
        """Carry out a request and return the answer frame; None for silence."""
        request = split("cjt188", frame)
        assert isinstance(request, MeterParts)
        if len(request.data) < 3:
            return None
        di = int.from_bytes(request.data[:2], "little" if self.station.profile.di_low_first else "big")
        head, value = request.data[:3], request.data[3:]
        if request.control == READ:
            payload = self._read(di)
            return None if payload is None else self._reply(READ, head + payload)
        if request.control == READ_ADDRESS:
            return self._reply(READ_ADDRESS, head) if ADDRESS in (di, _swapped(di)) else None
        if request.control == WRITE and di == VALVE and len(value) == 1:
            return self._valve(head, value[0])
        if request.control == WRITE and di == SET_CLOCK and (moment := _moment(value)) is not None:
            self.station.set_clock(moment)
            return self._reply(WRITE, head)
        return self._reply(request.control | FAILED, head[2:3] + self._status())

    def _reply(self, control: int, data: bytes) -> bytes:
        kind = self.station.profile.meter_type
        own = _address(self.station.state.meter.device)  # from the factory: the meter takes it to wherever it is put
        return MeterParts("cjt188", own, control | 0x80, data, kind).join()

    def _read(self, di: int) -> bytes | None:
        """Return the data of an identifier; None, as of meters that want the other byte order, for an unknown one."""
        station = self.station
        registers = station.profile.registers
        own = [i for i, register in enumerate(registers) if register.di == di]
        if not own:
            return None
        given = {item.di: item.bytes for item in station.profile.data}
        reach = max(max(registers[i].at + registers[i].bytes, registers[i].unit_at + 1) for i in own)
        payload = bytearray(given.get(di, reach))
        if len(payload) in (FLOW_BYTES, HEAT_BYTES):
            payload[-TAIL:] = encode_clock(CLOCK, station.now()) + self._status()
        for index in own:
            station.lay(payload, index)
        return bytes(payload)

    def _valve(self, head: bytes, value: int) -> bytes | None:
        station, switch = self.station, self.station.profile.switch
        target = None if switch is None else {switch.open_value: OPEN, switch.close_value: CLOSED}.get(value)
        if target is None or station.refuses or station.state.mechanism is None:
            return self._reply(WRITE | FAILED, head[2:3] + self._status())
        station.state.mechanism.command(target, station.field.mono_ns)
        return None if station.mute else self._reply(WRITE, head + self._status())

    def _status(self) -> bytes:
        """Return the status word. Dbpos CLOSED is an open valve: the medium flows."""
        mechanism = self.station.state.mechanism
        position = CLOSED if mechanism is None else mechanism.position
        if mechanism is not None and position == INTERMEDIATE:
            position = OPEN if mechanism.target == CLOSED else CLOSED  # it shows where it came from
        return bytes([{OPEN: VALVE_CLOSED, CLOSED: 0}.get(position, VALVE_FAILED), 0])


def _address(device: Device) -> bytes:
    """Return the address of a meter as it stands on the wire, lowest pair first."""
    return bytes.fromhex(device.address.zfill(14))[::-1]


def _moment(value: bytes) -> datetime | None:
    """Read ss mm hh DD MM YY CC; None when it is no date."""
    try:
        return datetime.strptime(value[::-1].hex(), "%Y%m%d%H%M%S") if len(value) == len(CLOCK) else None
    except ValueError:
        return None


def _swapped(di: int) -> int:
    return (di & 0xFF) << 8 | di >> 8
