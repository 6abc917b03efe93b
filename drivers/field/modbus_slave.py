"""A station of the simulated field as it speaks Modbus: address spaces, exceptions, and protocol data units.

Rule: only what the profile's switch names can be written. No transport, no framing, no pymodbus.
"""

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from drivers.field.frames import ModbusParts
from drivers.field.hostile import Mouth
from drivers.field.station import Station
from drivers.profile import Switch
from scada.position import CLOSED, OPEN

# Exception codes of the Modbus application protocol 1.1b3, section 7
ILLEGAL_FUNCTION: Final = 0x01
ILLEGAL_ADDRESS: Final = 0x02
ILLEGAL_VALUE: Final = 0x03
DEVICE_FAILURE: Final = 0x04
DEVICE_BUSY: Final = 0x06
TARGET_FAILED: Final = 0x0B

BIT_READS: Final = (1, 2)
READS: Final = (1, 2, 3, 4)
WRITES: Final = (5, 6, 15, 16)
SINGLE_WRITES: Final = (5, 6)
READ_BITS_MAX: Final = 2000  # section 6.1
COIL_ON: Final = 0xFF00
EVERYBODY: Final = 0  # broadcast, serial lines only
IDENTIFY: Final = (0x2B, 0x0E)  # read device identification, section 6.21

Cell = tuple[tuple[int, int], ...]  # (index of the register, word of it); () is a hole that a block read may bridge


class Refusal(Exception):
    """The station answers a request with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code:#04x}")
        self.code = code


class ModbusSlave:
    """One unit id. `station` may be exchanged: another device then answers under this unit id."""

    family: Final = "rtu"

    def __init__(self, station: Station) -> None:
        self.device_id = station.state.meter.device.id
        self.address = station.state.meter.device.unit
        self.mouth = Mouth()
        self._commanded = 0  # last value written to the command register or coil
        self.station = station

    def named(self) -> dict[int, bytes]:
        """Return the objects of its basic identification: maker, product code and revision."""
        profile = self.station.profile
        return {number: text.encode()[:60] for number, text in enumerate((profile.maker, profile.model, "1.0"))}

    @property
    def station(self) -> Station:
        return self._station

    @station.setter
    def station(self, station: Station) -> None:
        self._station = station
        self._maps = {function: _cells(station, function) for function in READS}

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Return words (functions 3, 4) or bits (1, 2); Refusal for an address the profile does not know."""
        if function in WRITES:
            return self._echo(function, address)
        limit = READ_BITS_MAX if function in BIT_READS else self._station.profile.max_registers
        if not 1 <= count <= limit:
            raise Refusal(ILLEGAL_VALUE)
        cells = self._maps[function]
        wanted = range(address, address + count)
        if any(not cells.get(place, ()) and (self._station.holes or place not in cells) for place in wanted):
            raise Refusal(ILLEGAL_ADDRESS)
        contents: dict[int, bytes] = {}
        answer: list[int] = []
        for place in wanted:
            value = 0
            for index, word in cells[place]:
                if index not in contents:
                    contents[index] = self._station.contents(index)
                value |= int.from_bytes(contents[index][2 * word : 2 * word + 2], "big")
            answer.append(value)
        return answer

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        """Take a command for the switch; Refusal for everything else."""
        station, switch = self._station, self._station.profile.switch
        if switch is None or function != switch.function:
            raise Refusal(ILLEGAL_FUNCTION)
        if address != switch.address or len(values) != 1:
            raise Refusal(ILLEGAL_ADDRESS)
        target = _target(switch, values[0])
        if target is None:
            raise Refusal(ILLEGAL_VALUE)
        if station.refuses:
            raise Refusal(DEVICE_FAILURE)
        self._commanded = values[0]
        if station.state.mechanism is not None:
            station.state.mechanism.command(target, station.field.mono_ns)

    def _echo(self, function: int, address: int) -> list[int]:
        """Return what a single write repeats in its answer."""
        switch = self._station.profile.switch
        if switch is None or (function, address) != (switch.function, switch.address):
            raise Refusal(ILLEGAL_ADDRESS)
        return [self._commanded]

    def hears(self, frame: bytes) -> bool:
        """Tell whether an RTU request is for this unit, or for everybody."""
        return frame[0] in (EVERYBODY, self.address)

    def answer(self, frame: bytes) -> bytes | None:
        """Carry out an RTU request and return the answer frame; None for silence."""
        answered = self.answer_pdu(frame[1:-2])
        if frame[0] == EVERYBODY or (self._station.mute and frame[1] in WRITES):
            return None
        return ModbusParts(True, self.address, answered).join()

    def answer_pdu(self, pdu: bytes) -> bytes:
        """Answer one protocol data unit; never empty."""
        function = pdu[0]
        try:
            return bytes([function]) + _PDUS.get(function, _unknown)(self, pdu[1:])
        except Refusal as refusal:
            return bytes([function | 0x80, refusal.code])


def _target(switch: Switch, value: int) -> int | None:
    """Return the position a written value asks for. A coil carries only true or false."""
    if switch.function == 5:
        value = bool(value)
        return OPEN if value == bool(switch.open_value) else CLOSED
    return {switch.open_value: OPEN, switch.close_value: CLOSED}.get(value)


def _cells(station: Station, function: int) -> dict[int, Cell]:
    """Lay out one address space, with holes that are no wider than the profile lets a read bridge."""
    cells: dict[int, Cell] = {}
    for index, register in enumerate(station.profile.registers):
        if register.function == function:
            for word in range(register.words):
                place = register.address + word
                cells[place] = (*cells.get(place, ()), (index, word))
    known = sorted(cells)
    for before, after in pairwise(known):
        if 1 < after - before <= station.profile.merge_gap + 1:
            cells.update(dict.fromkeys(range(before + 1, after), ()))
    return cells


# ---- protocol data units, for lines on which no library stands between ----------------------------------------------


def _numbers(body: bytes, count: int) -> tuple[int, ...]:
    """Unpack the 16 bit numbers a request must be made of; Refusal for another length."""
    if len(body) != 2 * count:
        raise Refusal(ILLEGAL_VALUE)
    return struct.unpack(f">{count}H", body)


def _read_words(function: int) -> Callable[[ModbusSlave, bytes], bytes]:
    def answer(slave: ModbusSlave, body: bytes) -> bytes:
        address, count = _numbers(body, 2)
        words = slave.read(function, address, count)
        return struct.pack(f">B{count}H", 2 * count, *words)

    return answer


def _read_bits(function: int) -> Callable[[ModbusSlave, bytes], bytes]:
    def answer(slave: ModbusSlave, body: bytes) -> bytes:
        address, count = _numbers(body, 2)
        bits = sum(bool(bit) << at for at, bit in enumerate(slave.read(function, address, count)))
        size = (count + 7) // 8
        return bytes([size]) + bits.to_bytes(size, "little")

    return answer


def _write_coil(slave: ModbusSlave, body: bytes) -> bytes:
    address, value = _numbers(body, 2)
    if value not in (0, COIL_ON):
        raise Refusal(ILLEGAL_VALUE)
    slave.write(5, address, [value])
    return body


def _write_register(slave: ModbusSlave, body: bytes) -> bytes:
    slave.write(6, *_split(body))
    return body


def _split(body: bytes) -> tuple[int, list[int]]:
    address, value = _numbers(body, 2)
    return address, [value]


def _write_registers(slave: ModbusSlave, body: bytes) -> bytes:
    if len(body) < 5 or len(body) != 5 + body[4]:
        raise Refusal(ILLEGAL_VALUE)
    address, count = _numbers(body[:4], 2)
    slave.write(16, address, _numbers(body[5:], count))
    return body[:4]


def _identify(slave: ModbusSlave, body: bytes) -> bytes:
    """Basic identification: maker, product code and revision; one answer holds them all."""
    if len(body) != 3 or body[0] != IDENTIFY[1]:
        raise Refusal(ILLEGAL_FUNCTION)
    objects = slave.named()
    listed = b"".join(bytes([number, len(text)]) + text for number, text in objects.items())
    return bytes([IDENTIFY[1], 1, 1, 0, 0, len(objects)]) + listed


def _unknown(_slave: ModbusSlave, _body: bytes) -> bytes:
    raise Refusal(ILLEGAL_FUNCTION)


_PDUS: Final[dict[int, Callable[[ModbusSlave, bytes], bytes]]] = {
    1: _read_bits(1),
    2: _read_bits(2),
    3: _read_words(3),
    4: _read_words(4),
    5: _write_coil,
    6: _write_register,
    16: _write_registers,
    IDENTIFY[0]: _identify,
}
