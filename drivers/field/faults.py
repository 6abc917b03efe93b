"""What the orders of the catalogue do to the simulated field.

Rule: an order that is not understood changes nothing and its answer names what is allowed.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn

from drivers.field.catalogue import BY_NAME, DELAY_MS_MAX, PERMILLE_MAX, Order
from drivers.field.mechanism import Mechanism
from drivers.field.model import PERMILLE, Field
from drivers.field.quantities import quantity_of
from drivers.field.registers import ratio_of, units_per_count
from drivers.field.server import SimGateway
from drivers.field.station import Station
from drivers.field.views import counter_base
from scada.errors import Refused
from scada.position import CLOSED, OPEN, POSITIONS

ROLLOVER_COUNTS: Final = 2  # near enough to be seen to roll over within minutes
NAMES_SHOWN: Final = 12  # of an unknown target's alternatives


class FaultDesk:
    """Takes orders for one field. `order` is the only entrance."""

    def __init__(self, field: Field, gateways: Mapping[str, SimGateway], stations: Mapping[str, Station]) -> None:
        self._field = field
        self._gateways = gateways
        self._stations = stations
        self._orders: dict[str, Callable[[str, str], Any]] = {
            "list": self._list,
            "show": self._show,
            "gateway-kill": self._kill_gateway,
            "gateway-restore": self._restore_gateway,
            "gateway-hang": self._hang_gateway,
            "meter-silent": lambda target, _: self._set(target, silent=True),
            "meter-restore": lambda target, _: self._set(target, silent=False),
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
        }

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._orders)

    async def order(self, name: str, target: str = "", value: str = "") -> dict[str, Any]:
        """Carry out one order and return its answer, {} when there is nothing to tell; Refused says what is allowed."""
        order = BY_NAME.get(name)
        if order is None:
            _refuse(f"unknown order {name!r}", BY_NAME)
        self._check(order, target, value)
        answer = self._orders[name](target, value)
        if isinstance(answer, Awaitable):
            answer = await answer
        return answer or {}

    def _check(self, order: Order, target: str, value: str) -> None:
        allowed = self._targets(order)
        if order.target == "none" or (order.target == "optional" and not target):
            if target:
                _refuse(f"{order.name} takes no target", ())
        elif target not in allowed:
            _refuse(f"{order.name}: unknown target {target!r}", allowed)
        if value and not order.value:
            _refuse(f"{order.name} takes no value", ())
        if order.value and not order.value.endswith("?") and not value:
            _refuse(f"{order.name} needs a value: {order.value}", ())

    def _targets(self, order: Order) -> list[str]:
        """Return the names an order may take."""
        stations = self._stations.items()
        return {
            "none": [],
            "gateway": list(self._gateways),
            "device": list(self._stations),
            "switch": [device for device, station in stations if station.profile.switch is not None],
            "counter": [device for device, station in stations if station.profile.billing is not None],
            "any": [*self._gateways, *self._stations],
            "optional": [*self._gateways, *self._stations],
            "medium": list(self._field.supply),
        }[order.target]

    # ---- looking ------------------------------------------------------------------------------------------------

    def _list(self, _target: str, _value: str) -> dict[str, Any]:
        return {
            "gateways": {name: _gateway_faults(gateway) for name, gateway in self._gateways.items()},
            "devices": {name: _device_faults(station) for name, station in self._stations.items()},
            "supply": dict(self._field.supply),
        }

    def _show(self, target: str, _value: str) -> dict[str, Any]:
        station = self._stations[target]
        state, mechanism = station.state, station.state.mechanism
        shown: dict[str, Any] = {
            "live": state.live,
            "rate": state.rate_milli / 1000.0,  # W, L/h or kg/h
            "faults": _device_faults(station),
        }
        if mechanism is not None:
            shown |= {"position": POSITIONS[mechanism.position], "contact": mechanism.contact}
        if station.profile.billing is not None:
            shown["counts"] = _counts(station)  # since ever: no modulus
        return shown

    # ---- communication ------------------------------------------------------------------------------------------

    async def _kill_gateway(self, target: str, _value: str) -> None:
        await self._gateways[target].stop()

    async def _restore_gateway(self, target: str, _value: str) -> None:
        self._gateways[target].line.hangs = False
        await self._gateways[target].start()

    def _hang_gateway(self, target: str, _value: str) -> None:
        self._gateways[target].line.hangs = True

    def _slow(self, target: str, value: str) -> None:
        delay_ms = _number(value, "milliseconds", 0, DELAY_MS_MAX)
        place = self._gateways[target].line if target in self._gateways else self._stations[target]
        place.delay_ms = int(delay_ms)

    def _set(self, target: str, **flags: bool) -> None:
        for name, on in flags.items():
            setattr(self._stations[target], name, on)

    # ---- measuring ----------------------------------------------------------------------------------------------

    def _roll_over(self, target: str, value: str) -> None:
        billing = self._stations[target].profile.billing
        assert billing is not None  # _check lets only counters pass
        before = _whole(value or str(ROLLOVER_COUNTS), 1, billing.modulus_counts - 1)
        self._put_register(target, billing.modulus_counts - before)

    def _set_register(self, target: str, value: str) -> None:
        billing = self._stations[target].profile.billing
        assert billing is not None  # _check lets only counters pass
        self._put_register(target, _whole(value, 0, billing.modulus_counts - 1))

    def _put_register(self, target: str, counts: int) -> None:
        self._field.put_counter(target, counts)

    def _load(self, target: str, value: str) -> None:
        factor = _number(value, "factor", 0, PERMILLE_MAX / PERMILLE)
        self._stations[target].state.load_permille = round(factor * PERMILLE)

    def _bypass(self, target: str, value: str) -> None:
        self._stations[target].state.bypass_permille = round(_number(value, "percent", 0, 100) * 10)

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
            _refuse(f"weld: {value!r} is no position", ("open", "closed"))

    # ---- ending -------------------------------------------------------------------------------------------------

    async def _clear(self, target: str, _value: str) -> None:
        for name, gateway in self._gateways.items():
            if target in ("", name):
                gateway.line.hangs, gateway.line.delay_ms = False, 0
                await gateway.start()
        for name, station in self._stations.items():
            if target in ("", name):
                _repair(station)
        if not target:
            self._field.supply.update(dict.fromkeys(self._field.supply, True))


def _repair(station: Station) -> None:
    station.silent = station.refuses = station.mute = False
    station.delay_ms = 0
    station.freeze(False)
    station.state.load_permille, station.state.bypass_permille = PERMILLE, 0
    if station.state.mechanism is not None:
        station.state.mechanism.clear_faults()


def _gateway_faults(gateway: SimGateway) -> list[str]:
    line = gateway.line
    active = {"killed": not gateway.listening, "hangs": line.hangs, f"slow {line.delay_ms} ms": line.delay_ms > 0}
    return [name for name, on in active.items() if on]


def _device_faults(station: Station) -> list[str]:
    state, mechanism = station.state, station.state.mechanism
    active = {
        "silent": station.silent,
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
    register = next(r for r in station.profile.registers if billing is not None and r.measure == billing.measure)
    quantity = quantity_of(register)
    per_count = units_per_count(register, ratio_of(station.state.meter.device, register.ratio))
    return counter_base(station.state, quantity) // (quantity.base_per_unit * per_count)


def _number(text: str, what: str, low: float, high: float) -> float:
    """Read a number of an order; Refused names the range."""
    try:
        number = float(text)
    except ValueError:
        _refuse(f"{text!r} is not a number of {what}", (f"{low:g} to {high:g}",))
    if not low <= number <= high:
        _refuse(f"{text} {what} is out of range", (f"{low:g} to {high:g}",))
    return number


def _whole(text: str, low: int, high: int) -> int:
    """Read whole counts of an order; a float would lose the last digits of a 64 bit register."""
    if not text.isdecimal() or not low <= int(text) <= high:
        _refuse(f"{text!r} is no number of counts in range", (f"{low} to {high}",))
    return int(text)


def _refuse(wrong: str, allowed: Any) -> NoReturn:
    """Refuse an order, naming what would be allowed."""
    names = list(allowed)
    more = f", ... ({len(names)} in all)" if len(names) > NAMES_SHOWN else ""
    raise Refused("field.order", f"{wrong}; allowed: {', '.join(names[:NAMES_SHOWN]) or 'nothing'}{more}")
