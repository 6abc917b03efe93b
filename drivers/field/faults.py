"""What the orders of the catalogue do to the simulated field.

Rule: an order that is not understood changes nothing and its answer names what is allowed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

from drivers.field.catalogue import BY_NAME, DELAY_MS_MAX, PERMILLE_MAX, Order
from drivers.field.device_lies import DeviceLies
from drivers.field.line_faults import LineFaults
from drivers.field.mechanism import Mechanism
from drivers.field.model import PERMILLE, Field
from drivers.field.quantities import quantity_of
from drivers.field.refusals import number, refuse, whole
from drivers.field.registers import ratio_of, units_per_count
from drivers.field.site import SimLine
from drivers.field.station import Station
from drivers.field.views import counter_base
from scada.position import CLOSED, OPEN, POSITIONS

ROLLOVER_COUNTS: Final = 2  # near enough to be seen to roll over within minutes


class FaultDesk:
    """Takes orders for one field. `order` is the only entrance."""

    def __init__(self, field: Field, gateways: Mapping[str, SimLine], stations: Mapping[str, Station]) -> None:
        self._field = field
        self._gateways = gateways
        self._stations = stations
        self._lines = LineFaults(field, gateways)
        self._lies = DeviceLies(field, gateways, stations)
        self._orders: dict[str, Callable[[str, str], Any]] = {
            "list": self._list,
            "show": self._show,
            "freeze": lambda target, _: self._stations[target].freeze(True),
            "unfreeze": lambda target, _: self._stations[target].freeze(False),
            "rollover": self._roll_over,
            "set-register": self._set_register,
            "slow": self._slow,
            "load": self._load,
            "bypass": self._bypass,
            "fail-trip": self._fail_trip,
            "fail-close": self._fail_close,
            "weld": self._weld,
            "refuse-command": lambda target, _: self._set(target, refuses=True),
            "mute-command": lambda target, _: self._set(target, mute=True),
            "local-trip": lambda target, _: self._mechanism(target).command(OPEN, self._field.mono_ns),
            "local-close": lambda target, _: self._mechanism(target).command(CLOSED, self._field.mono_ns),
            "supply-off": lambda target, _: self._field.supply.update({target: False}),
            "supply-on": lambda target, _: self._field.supply.update({target: True}),
            "clear": self._clear,
            **self._lines.orders,
            **self._lies.orders,
        }

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._orders)

    async def order(self, name: str, target: str = "", value: str = "") -> dict[str, Any]:
        """Carry out one order and return its answer, {} when there is nothing to tell; Refused says what is allowed."""
        order = BY_NAME.get(name)
        if order is None:
            refuse(f"unknown order {name!r}", BY_NAME)
        self._check(order, target, value)
        answer = self._orders[name](target, value)
        if isinstance(answer, Awaitable):
            answer = await answer
        return answer or {}

    def _check(self, order: Order, target: str, value: str) -> None:
        allowed = self._targets(order)
        if order.target == "none" or (order.target == "optional" and not target):
            if target:
                refuse(f"{order.name} takes no target", ())
        elif target not in allowed:
            refuse(f"{order.name}: unknown target {target!r}", allowed)
        if value and not order.value:
            refuse(f"{order.name} takes no value", ())
        if order.value and not order.value.endswith("?") and not value:
            refuse(f"{order.name} needs a value: {order.value}", ())

    def _targets(self, order: Order) -> list[str]:
        """Return the names an order may take."""
        stations = self._stations.items()
        return {
            "none": [],
            "gateway": list(self._gateways),
            "device": list(self._stations),
            "button": [device for device, station in stations if station.profile.protocol == "dlt645-2007"],
            "switch": [device for device, station in stations if station.profile.switch is not None],
            "counter": [device for device, station in stations if station.profile.billing is not None],
            "any": [*self._gateways, *self._stations],
            "optional": [*self._gateways, *self._stations],
            "medium": list(self._field.supply),
        }[order.target]

    # ---- looking ------------------------------------------------------------------------------------------------

    def _list(self, _target: str, _value: str) -> dict[str, Any]:
        return {
            "gateways": {name: self._lines.active(name) for name in self._gateways},
            "devices": {name: self._device_faults(name) for name in self._stations},
            "supply": dict(self._field.supply),
        }

    def _show(self, target: str, _value: str) -> dict[str, Any]:
        station = self._stations[target]
        state, mechanism = station.state, station.state.mechanism
        shown: dict[str, Any] = {
            "live": state.live,
            "rate": state.rate_milli / 1000.0,  # W, L/h or kg/h
            "faults": self._device_faults(target),
        }
        if mechanism is not None:
            shown |= {"position": POSITIONS[mechanism.position], "contact": mechanism.contact}
        if station.profile.billing is not None:
            shown["counts"] = _counts(station)  # since ever: no modulus
        return shown

    # ---- communication ------------------------------------------------------------------------------------------

    def _slow(self, target: str, value: str) -> None:
        delay_ms = number(value, "milliseconds", 0, DELAY_MS_MAX)
        place = self._gateways[target].line if target in self._gateways else self._stations[target]
        place.delay_ms = int(delay_ms)

    def _set(self, target: str, **flags: bool) -> None:
        for name, on in flags.items():
            setattr(self._stations[target], name, on)

    # ---- measuring ----------------------------------------------------------------------------------------------

    def _roll_over(self, target: str, value: str) -> None:
        billing = self._stations[target].profile.billing
        assert billing is not None  # _check lets only counters pass
        before = whole(value or str(ROLLOVER_COUNTS), 1, billing.modulus_counts - 1)
        self._put_register(target, billing.modulus_counts - before)

    def _set_register(self, target: str, value: str) -> None:
        billing = self._stations[target].profile.billing
        assert billing is not None  # _check lets only counters pass
        self._put_register(target, whole(value, 0, billing.modulus_counts - 1))

    def _put_register(self, target: str, counts: int) -> None:
        self._field.put_counter(target, counts)

    def _load(self, target: str, value: str) -> None:
        factor = number(value, "factor", 0, PERMILLE_MAX / PERMILLE)
        self._stations[target].state.load_permille = round(factor * PERMILLE)

    def _bypass(self, target: str, value: str) -> None:
        self._stations[target].state.bypass_permille = round(number(value, "percent", 0, 100) * 10)

    # ---- switching ----------------------------------------------------------------------------------------------

    def _mechanism(self, target: str) -> Mechanism:
        mechanism = self._stations[target].state.mechanism
        assert mechanism is not None  # _check lets only switches pass
        return mechanism

    def _fail_trip(self, target: str, _value: str) -> None:
        self._mechanism(target).stuck_closed = True

    def _fail_close(self, target: str, _value: str) -> None:
        self._mechanism(target).stuck_open = True

    def _weld(self, target: str, value: str) -> None:
        if value == "closed":
            self._mechanism(target).weld = "closed"
        elif value in ("", "open"):
            self._mechanism(target).weld = "open"
        else:
            refuse(f"weld: {value!r} is no position", ("open", "closed"))

    # ---- ending -------------------------------------------------------------------------------------------------

    async def _clear(self, target: str, _value: str) -> None:
        for name in self._gateways:
            if target in ("", name):
                await self._lines.clear(name)
        for name, station in self._stations.items():
            if target in ("", name):
                _repair(station)
                self._lies.clear(name)
        if not target:
            self._field.supply.update(dict.fromkeys(self._field.supply, True))

    def close(self) -> None:
        """Give back what faults hold."""
        self._lines.close()

    def _device_faults(self, name: str) -> list[str]:
        return self._lies.active(name) + _faults_of(self._stations[name])


def _repair(station: Station) -> None:
    station.refuses = station.mute = False
    station.delay_ms = 0
    station.freeze(False)
    station.state.load_permille, station.state.bypass_permille = PERMILLE, 0
    if station.state.mechanism is not None:
        station.state.mechanism.clear_faults()


def _faults_of(station: Station) -> list[str]:
    state, mechanism = station.state, station.state.mechanism
    active = {
        "frozen": station.frozen,
        "refuse-command": station.refuses,
        "mute-command": station.mute,
        f"slow {station.delay_ms} ms": station.delay_ms > 0,
        f"load x{state.load_permille / PERMILLE:g}": state.load_permille != PERMILLE,
        f"bypass {state.bypass_permille / 10:g} %": state.bypass_permille > 0,
    }
    if mechanism is not None:
        active |= {
            "fail-trip": mechanism.stuck_closed,
            "fail-close": mechanism.stuck_open,
            f"weld (shows {mechanism.weld})": mechanism.weld != "",
        }
    return [name for name, on in active.items() if on]


def _counts(station: Station) -> int:
    """Return the billing counter in counts since ever."""
    billing = station.profile.billing
    assert billing is not None  # who asks has looked
    register = next(r for r in station.profile.registers if r.measure == billing.measure)
    register = replace(register, scale=Fraction(billing.milli_per_count, 1000))  # as the ledger counts a float
    quantity = quantity_of(register)
    per_count = units_per_count(register, ratio_of(station.state.meter.device, register.ratio))
    exact = counter_base(station.state, quantity) / (quantity.base_per_unit * per_count)
    return round(exact) if register.type == "f32" else int(exact)  # a float is rounded to the ledger's counts, too
