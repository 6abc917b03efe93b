"""What one device of the simulated field can be told to say that is not so: hostile replies, false numbers, sensors.

Rule: a lie is told by the station or the mouth of its address; nothing here touches the model but by its own methods.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final, get_args

from drivers.field.dlt645_slave import press_button
from drivers.field.frames import Family
from drivers.field.hostile import BY_NAME, EXCEPTION, Lie, classes_for
from drivers.field.model import Field
from drivers.field.refusals import number, refuse, whole
from drivers.field.site import SimLine
from drivers.field.station import FOREVER, PATTERNS, Panel, Station
from drivers.field.wire import Slave
from drivers.profile import WordOrder

ON: Final = "on"
OFF: Final = "off"
COUNT_MAX: Final = 1_000_000
CLOCK_S_MAX: Final = 10 * 366 * 86_400  # ten years
CODE_MAX: Final = 255
FACTOR_MIN, FACTOR_MAX = 0.001, 1000.0
PART_BYTES_MAX: Final = 200


class DeviceLies:
    """The orders that make single devices lie."""

    def __init__(self, field: Field, lines: Mapping[str, SimLine], stations: Mapping[str, Station]) -> None:
        self._field = field
        self._stations = stations
        self._lines = {device: line for line in lines.values() for device in line.slaves}
        self.orders: Mapping[str, Callable[[str, str], Any]] = {
            "meter-silent": self._silence,
            "meter-restore": lambda target, _: setattr(stations[target], "silent_left", 0),
            "hostile": self._hostile,
            "sensor": self._sensor,
            "word-order": self._word_order,
            "scale": self._scale,
            "jump": self._jump,
            "replace": self._replace,
            "same-serial": self._same_serial,
            "swap": self._swap,
            "clock": self._clock,
            "press-button": self._press,
            "holes": self._holes,
            "split-answers": self._split,
        }

    def active(self, name: str) -> list[str]:
        """Return the lies that a device tells now."""
        station, left = self._stations[name], self._stations[name].silent_left
        lie = station.lie if station.lie is not None and station.lie.left != 0 else None
        answers_for = self._answered_by(name)
        faults = {
            "silent": left < 0,
            f"silent for {left} more": left > 0,
            f"hostile {lie.name}{f', {lie.left} more' if lie.left > 0 else ''}" if lie else "": lie is not None,
            f"sensor {station.pattern}": station.pattern != "",
            f"word order {station.order}": station.order is not None,
            f"scale x{float(station.factor):g}": station.factor != 1,
            f"serial {station.number}": station.number != station.serial,
            f"answered by {answers_for}": answers_for != name,
            f"clock {station.clock_offset_s:+.0f} s": abs(station.clock_offset_s) >= 1.0,
            "holes": station.holes,
        }
        return [fault for fault, on in faults.items() if on]

    def clear(self, name: str) -> None:
        """Let a device speak the truth again; what it has counted, and its relay, stay."""
        station, slave = self._stations[name], self._slave(name)
        station.silent_left, station.lie, station.pattern, station.order = 0, None, "", None
        station.number, station.clock_offset_s, station.holes = station.serial, 0.0, False
        station.factor = Fraction(1)
        station.panel.part_bytes = 0
        slave.mouth.held = b""
        slave.station = station

    def _slave(self, device: str) -> Slave:
        return self._lines[device].slaves[device]

    def _family(self, device: str) -> Family:
        modbus_tcp = self._lines[device].gateway.transport == "modbus-tcp"
        return "mbap" if modbus_tcp else self._slave(device).family

    def _answered_by(self, device: str) -> str:
        return self._slave(device).station.state.meter.device.id

    def _silence(self, target: str, value: str) -> None:
        self._stations[target].silent_left = whole(value, 1, COUNT_MAX) if value else FOREVER

    def _hostile(self, target: str, value: str) -> None:
        """CLASS [COUNT]: without a count until it is cleared, or told "off"."""
        name, _, count = value.partition(" ")
        if name == OFF:
            self._stations[target].lie = None
            return
        allowed = [*classes_for(self._family(target)), f"{EXCEPTION}1 to {EXCEPTION}{CODE_MAX}", OFF]
        if name.startswith(EXCEPTION):
            whole(name.removeprefix(EXCEPTION), 1, CODE_MAX)
        elif name not in BY_NAME or name not in allowed:
            refuse(f"hostile: {target} has no class {name!r}", allowed)
        self._stations[target].lie = Lie(name, whole(count, 1, COUNT_MAX) if count else FOREVER)

    def _sensor(self, target: str, value: str) -> None:
        if value not in (*PATTERNS, OFF):
            refuse(f"sensor: {value!r} is no pattern", (*PATTERNS, OFF))
        self._stations[target].pattern = "" if value == OFF else value  # type: ignore[assignment]  # checked above

    def _word_order(self, target: str, value: str) -> None:
        orders: tuple[WordOrder, ...] = get_args(WordOrder)
        found = next((order for order in orders if order == value), None)
        if found is None and value != OFF:
            refuse(f"word-order: {value!r} is none", (*orders, OFF))
        self._stations[target].order = found

    def _scale(self, target: str, value: str) -> None:
        if value != OFF:
            number(value, "times", FACTOR_MIN, FACTOR_MAX)
        self._stations[target].factor = Fraction(1 if value == OFF else value)  # exact: 0.1 is a tenth

    def _jump(self, target: str, value: str) -> None:
        billing = self._stations[target].profile.billing
        assert billing is not None  # the desk lets only counters pass
        self._field.add_counts(target, whole(value, 1, billing.modulus_counts - 1))

    def _replace(self, target: str, value: str) -> None:
        """Put another meter in its place: another number, its register somewhere else."""
        station = self._stations[target]
        assert station.profile.billing is not None  # the desk lets only counters pass
        self._field.put_counter(target, whole(value or "0", 0, station.profile.billing.modulus_counts - 1))
        station.number = "9" + station.serial[1:] if station.serial else "9"
        station.panel = Panel()

    def _same_serial(self, target: str, value: str) -> None:
        self._stations[target].number = self._other(target, value).serial

    def _swap(self, target: str, value: str) -> None:
        """Let two meters answer for each other, as after crossed cables; done twice it is undone."""
        self._other(target, value)
        one, other = self._slave(target), self._slave(value)
        one.station, other.station = other.station, one.station

    def _other(self, target: str, value: str) -> Station:
        """Return the second device of an order; Refused when it is not of the same protocol."""
        protocol = self._stations[target].profile.protocol
        fitting = [n for n, s in self._stations.items() if s.profile.protocol == protocol and n != target]
        if value not in fitting:
            refuse(f"{value!r} is no other device that speaks {protocol}", fitting)
        return self._stations[value]

    def _clock(self, target: str, value: str) -> None:
        self._stations[target].clock_offset_s = number(value, "seconds", -CLOCK_S_MAX, CLOCK_S_MAX)

    def _press(self, target: str, _value: str) -> dict[str, Any]:
        return {"closed": press_button(self._stations[target])}

    def _holes(self, target: str, value: str) -> None:
        if self._stations[target].profile.protocol != "modbus":
            modbus = [name for name, station in self._stations.items() if station.profile.protocol == "modbus"]
            refuse(f"holes: {target} does not speak Modbus", modbus)
        if value not in (ON, OFF):
            refuse(f"holes: {value!r} is neither", (ON, OFF))
        self._stations[target].holes = value == ON

    def _split(self, target: str, value: str) -> None:
        self._stations[target].panel.part_bytes = whole(value, 0, PART_BYTES_MAX)
