"""One Modbus station of the simulated field: the register map of a profile over the state of a meter.

Rule: contents are computed when they are read, from one state, so that a request never sees two instants; only what
the profile's switch names can be written. No transport, no pymodbus.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from drivers.device import Device
from drivers.field.model import PER_BASE_UNIT, Field, MeterState
from drivers.field.quantities import COUNTERS, counted_unit, quantity_of
from drivers.field.registers import encode_counts, encode_float, encode_value, ratio_of, units_per_count
from drivers.field.views import analog_base, counter_base
from drivers.profile import Register, Switch
from scada.position import CLOSED, INTERMEDIATE, OPEN

# Exception codes of the Modbus application protocol 1.1b3, section 7
ILLEGAL_FUNCTION: Final = 0x01
ILLEGAL_ADDRESS: Final = 0x02
ILLEGAL_VALUE: Final = 0x03
DEVICE_FAILURE: Final = 0x04
DEVICE_BUSY: Final = 0x06
TARGET_FAILED: Final = 0x0B

BIT_READS: Final = (1, 2)
WRITES: Final = (5, 6, 16)
READ_BITS_MAX: Final = 2000  # section 6.1

Encoder = Callable[[], tuple[int, ...]]
Cell = tuple[int, int] | None  # (index of the register, word of it); None is a hole a block read may bridge


class Refusal(Exception):
    """The station answers a request with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code:#04x}")
        self.code = code


class Station:
    """One unit id. The faults that concern the whole device are plain attributes."""

    def __init__(self, field: Field, state: MeterState) -> None:
        self.silent = False  # does not answer
        self.refuses = False  # answers every command with "device failure"
        self.mute = False  # executes a command and does not answer it
        self.delay_ms = 0
        self._field = field
        self.state = state
        self.profile = state.meter.device.profile
        self._encoders = [_encoder(state, register) for register in self.profile.registers]
        self._maps = {function: _cells(self, function) for function in (1, 2, 3, 4)}
        self._frozen: list[tuple[int, ...]] | None = None
        self._commanded = 0  # last value written to the command register or coil

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    def freeze(self, frozen: bool) -> None:
        """Let every register stand still as it is, while the meter below goes on counting; or let it go again."""
        self._frozen = [encode() for encode in self._encoders] if frozen else None

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Return words (functions 3, 4) or bits (1, 2); Refusal for an address the profile does not know."""
        if function in WRITES:
            return self._echo(function, address)
        limit = READ_BITS_MAX if function in BIT_READS else self.profile.max_registers
        if not 1 <= count <= limit:
            raise Refusal(ILLEGAL_VALUE)
        cells = self._maps[function]
        wanted = range(address, address + count)
        if any(place not in cells for place in wanted):
            raise Refusal(ILLEGAL_ADDRESS)
        contents: dict[int, tuple[int, ...]] = {}
        answer: list[int] = []
        for place in wanted:
            cell = cells[place]
            if cell is None:
                answer.append(0)
                continue
            index, word = cell
            if index not in contents:
                contents[index] = self._frozen[index] if self._frozen is not None else self._encoders[index]()
            answer.append(contents[index][word])
        return answer

    def write(self, function: int, address: int, values: Sequence[int]) -> None:
        """Take a command for the switch; Refusal for everything else."""
        switch = self.profile.switch
        if switch is None or function != switch.function:
            raise Refusal(ILLEGAL_FUNCTION)
        if address != switch.address or len(values) != 1:
            raise Refusal(ILLEGAL_ADDRESS)
        target = _target(switch, values[0])
        if target is None:
            raise Refusal(ILLEGAL_VALUE)
        if self.refuses:
            raise Refusal(DEVICE_FAILURE)
        self._commanded = values[0]
        if self.state.mechanism is not None:
            self.state.mechanism.command(target, self._field.mono_ns)

    def _echo(self, function: int, address: int) -> list[int]:
        """Return what a single write repeats in its answer."""
        switch = self.profile.switch
        if switch is None or (function, address) != (switch.function, switch.address):
            raise Refusal(ILLEGAL_ADDRESS)
        return [self._commanded]


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
            cells.update({register.address + word: (index, word) for word in range(register.words)})
    known = sorted(cells)
    for before, after in pairwise(known):
        if 1 < after - before <= station.profile.merge_gap + 1:
            cells.update(dict.fromkeys(range(before + 1, after)))
    return cells


def _encoder(state: MeterState, register: Register) -> Encoder:
    """Return what computes the words of one register; the choice is made once, not at every read."""
    switch = state.meter.device.profile.switch
    if switch is not None and register.measure == switch.position:
        return _position_encoder(state, register, switch)
    quantity = quantity_of(register)
    billing = state.meter.device.profile.billing
    if billing is not None and register.measure in billing.rates:
        return _rate_encoder(state, register, billing.rates.index(register.measure))
    if quantity.dimension in COUNTERS:
        return _counter_encoder(state, register)
    if quantity.dimension == "none":
        zero = encode_counts(register, 0)
        return lambda: zero
    factor = float(quantity.base_per_unit)
    per_count = float(units_per_count(register, ratio_of(state.meter.device, register.ratio)))
    return lambda: encode_value(register, analog_base(state, quantity) / factor, per_count)


def _counter_encoder(state: MeterState, register: Register) -> Encoder:
    """Whole counts, cut off as a counter does; the billing register rolls over at the profile's modulus."""
    quantity = quantity_of(register)
    per_count = quantity.base_per_unit * units_per_count(register, ratio_of(state.meter.device, register.ratio))
    modulus = modulus_of(state.meter.device, register)

    def counts() -> tuple[int, ...]:
        whole = counter_base(state, quantity) // per_count
        return encode_counts(register, whole % modulus if modulus else whole)

    def fraction() -> tuple[int, ...]:
        return encode_float(register, float(counter_base(state, quantity) / per_count))

    return fraction if register.type == "f32" else counts


def _rate_encoder(state: MeterState, register: Register, rate: int) -> Encoder:
    """One rate register: like the billing register, of what was used while the meter's own table said this rate."""
    base = counted_unit(state.meter.device.profile)[1]
    per_count = base * units_per_count(register, ratio_of(state.meter.device, register.ratio)) * PER_BASE_UNIT
    billing = state.meter.device.profile.billing
    assert billing is not None  # the caller has looked
    return lambda: encode_counts(register, state.shown_rates[rate] // per_count % billing.modulus_counts)


def modulus_of(device: Device, register: Register) -> int:
    """Return at how many counts a register rolls over; 0 where only its width ends it."""
    billing = device.profile.billing
    return billing.modulus_counts if billing is not None and billing.measure == register.measure else 0


def _position_encoder(state: MeterState, register: Register, switch: Switch) -> Encoder:
    """The first raw value of each position. A device that cannot show "intermediate" shows where it came from."""
    raws: dict[int, int] = {}
    for raw, position in switch.states:
        raws.setdefault(position, raw)

    def words() -> tuple[int, ...]:
        mechanism = state.mechanism
        position = INTERMEDIATE if mechanism is None else mechanism.position
        if position not in raws and mechanism is not None:
            position = OPEN if mechanism.target == CLOSED else CLOSED
        return encode_counts(register, raws.get(position, 0))

    return words
