"""What a simulated DL/T 645 meter holds under a data identifier: its profile's registers over the standard's.

Rule: data without framing, control codes or passwords. A phase that a meter does not have is FF, as on real ones.
"""

from typing import Any, Final

from drivers.field import dlt645_items as items
from drivers.field.quantities import quantity_of
from drivers.field.registers import encode, encode_bcd, encode_clock
from drivers.field.sources import rate_source, source_of
from drivers.field.station import Station
from scada.position import INTERMEDIATE, OPEN

ABSENT: Final = 0xFF
SUPPLY_PROTECTED, ALARM, ORDERED_OPEN, RELAY_OPEN = 1 << 12, 1 << 7, 1 << 6, 1 << 4  # status word 3


class DataBook:
    """Everything one meter can be asked for, by data identifier."""

    def __init__(self, station: Station) -> None:
        self._station = station
        old = station.profile.protocol == "dlt645-1997"
        self.di_bytes = 2 if old else 4
        self._items, self._blocks = (
            (items.ITEMS_1997, items.BLOCKS_1997) if old else (items.ITEMS_2007, items.BLOCKS_2007)
        )
        self._parameters = items.PARAMETERS_1997 if old else items.PARAMETERS_2007
        self._own: dict[int, list[int]] = {}  # identifier -> registers of the profile
        for index, register in enumerate(station.profile.registers):
            if not (old and register.type == "clock" and register.di in items.CLOCKS):  # read in two parts
                self._own.setdefault(register.di, []).append(index)
        self._lengths = {item.di: item.bytes for item in station.profile.data}

    def read(self, di: int) -> bytes | None:
        """Return the data of an identifier, None when the meter does not have it."""
        standard = self._standard(di)
        own = self._own.get(di, [])
        if standard is None and not own:
            return None
        registers = self._station.profile.registers
        reach = max((max(registers[i].at + registers[i].bytes, registers[i].unit_at + 1) for i in own), default=0)
        size = self._lengths.get(di, max(reach, len(standard or b"")))
        payload = bytearray((standard or b"")[:size].ljust(size, b"\0"))
        for index in own:
            self._station.lay(payload, index)
        return bytes(payload)

    def write(self, di: int, value: bytes) -> bool:
        """Take a parameter or a part of the clock; False when the meter has no such thing to write."""
        if di in items.CLOCKS:
            return self._write_clock(items.CLOCKS[di], value)
        if di not in self._parameters or len(value) != len(self._parameters[di]):
            return False
        self._station.panel.written[di] = value
        return True

    def keep(self) -> None:
        """Freeze: keep the time and the energies of this instant."""
        block = 0x9010 | 0x0F if self.di_bytes == 2 else 0x0001FF00
        self._station.panel.snapshot = encode_clock("mhDMY", self._station.now()) + (self.read(block) or b"")

    def _standard(self, di: int) -> bytes | None:
        station = self._station
        if di in self._items:
            return self._item(self._items[di])
        if di in self._blocks:
            return b"".join(self.read(member) or b"" for member in self._blocks[di])
        if di in self._parameters:
            return station.panel.written.get(di, self._parameters[di])
        if di in items.CLOCKS and (di <= 0xFFFF) == (self.di_bytes == 2):
            return encode_clock(items.CLOCKS[di], station.now())
        if di in items.NUMBERS and (di <= 0xFFFF) == (self.di_bytes == 2):
            text = station.state.meter.device.address if items.NUMBERS[di] == "address" else station.number
            return encode_bcd(int("".join(c for c in text if c.isdecimal()) or "0"), 6)
        return self._status(di) if self.di_bytes == 4 else None

    def _item(self, item: items.Item) -> bytes:
        station, register = self._station, item.register
        if station.pattern and register.type in ("bcd", "sbcd"):
            return bytes([ABSENT]) * register.size
        if quantity_of(register).phase > station.state.meter.phase_count:
            return bytes([ABSENT]) * register.size
        if item.rate >= 0:
            return encode(register, rate_source(station.state, register, item.rate)())
        same = [i for i, own in enumerate(station.profile.registers) if own.measure == register.measure]
        if same and station.profile.registers[same[0]].size == register.size:
            return station.contents(same[0])  # one truth: ratio, rollover and freezing are the profile's
        return encode(register, source_of(station.state, register)())

    def _status(self, di: int) -> bytes | None:
        words = [bytes(2)] * items.STATUS_WORDS
        words[items.RELAY_WORD - 1] = self._relay_word().to_bytes(2, "little")
        number = di - items.STATUS_FIRST
        if di == items.STATUS_BLOCK:
            return b"".join(words)
        if 0 <= number < items.STATUS_WORDS:
            return words[number]
        if di in items.SNAPSHOTS:
            return self._station.panel.snapshot or None
        return None

    def _relay_word(self) -> int:
        panel, mechanism = self._station.panel, self._station.state.mechanism
        word = SUPPLY_PROTECTED * panel.protected | ALARM * panel.alarm
        if mechanism is None:
            return word
        is_open = mechanism.position == OPEN or (mechanism.position == INTERMEDIATE and mechanism.target != OPEN)
        ordered = panel.ordered_open if panel.ordered_open is not None else mechanism.target == OPEN
        return word | RELAY_OPEN * is_open | ORDERED_OPEN * ordered

    def _write_clock(self, layout: str, value: bytes) -> bool:
        moment = self._station.now()
        names = {"s": "second", "m": "minute", "h": "hour", "D": "day", "M": "month", "Y": "year"}
        if len(value) != len(layout) or any(byte >> 4 > 9 or byte & 15 > 9 for byte in value):
            return False
        numbers = dict(zip(layout, (10 * (byte >> 4) + (byte & 15) for byte in value), strict=True))
        parts: dict[str, Any] = {names[k]: number + 2000 * (k == "Y") for k, number in numbers.items() if k in names}
        try:
            self._station.set_clock(moment.replace(microsecond=0, **parts))
        except ValueError:
            return False  # no such day or hour
        return True
