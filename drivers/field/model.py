"""The simulated park as a model: loads, the tree of breakers that carries them, and registers that integrate exactly.

Power is held between two steps, so a register is the exact integral of the power that was shown: integers only, rate
in thousandths of the base unit per hour times nanoseconds of plant time. A register never goes back.
Rule: no socket, no clock, no disk; plant time and real time come in with every step.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from fractions import Fraction
from typing import Any, Final

from drivers.device import Device
from drivers.field.mechanism import Mechanism
from drivers.field.quantities import counted_unit
from drivers.field.registers import ratio_of, units_per_count
from drivers.field.shapes import Noise, Shape, levels, mix
from scada.position import CLOSED

# One base unit (Wh, L, kg): 1000 thousandths per hour, for 3600 seconds of 1e9 nanoseconds
PER_BASE_UNIT: Final = 1000 * 3600 * 1_000_000_000
NS_PER_S: Final = 1_000_000_000
NS_PER_MINUTE: Final = 60 * NS_PER_S
PERMILLE: Final = 1000
LOSS_PERMILLE: Final = 4  # what cables and transformers below a feeder meter lose, unmetered by the meters below
PHASES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class SimMeter:
    """One meter or breaker of the simulated park."""

    device: Device
    nominal: float = 0.0
    # load at shape 1.0: W for electricity, else the unit of the billing register per hour (m3/h, t/h, GJ/h).
    # For a device with meters below, what it feeds besides them.
    parent: str = ""  # device id of the breaker it hangs behind, "" when it hangs at the source
    shape: Shape = "office"
    seed: int = 0
    phases: int = 0  # 1 or 3; 0: as many as its profile shows
    initial_counts: int = 0  # billing register at its very first start, counts
    closed: bool = True  # its switch at its very first start
    rate_minutes: tuple[tuple[int, ...], ...] = ()  # its own rate table: rate register by [weekday][local minute]

    @property
    def medium(self) -> str:
        return self.device.profile.medium

    @property
    def phase_count(self) -> int:
        """Return how many phases it is connected to."""
        seen = any("L2" in register.measure for register in self.device.profile.registers)
        return self.phases or (PHASES_MAX if seen else 1)


class MeterState:
    """One meter at one instant. Counters are integers in base units * PER_BASE_UNIT."""

    __slots__ = (
        "below", "bypass_permille", "counted", "counted_rates", "counted_var", "drawn_milli", "live", "load_permille",
        "main", "mechanism", "meter", "noise", "nominal_milli", "own_milli", "parent", "power_factor_permille",
        "rate_milli", "shares_permille", "shown", "shown_rates", "shown_var", "var_milli", "wander",
    )  # fmt: skip

    def __init__(self, meter: SimMeter) -> None:
        self.meter = meter
        self.main, unit_base = counted_unit(meter.device.profile)
        self.parent: MeterState | None = None
        self.below: list[MeterState] = []  # meters of the same medium that it measures together
        profile = meter.device.profile
        valve = profile.protocol == "cjt188"
        self.mechanism = Mechanism(meter.seed, meter.closed, valve) if profile.switch else None
        self.own_milli = round(meter.nominal * 1000.0 * (1.0 if meter.medium == "electricity" else float(unit_base)))
        self.nominal_milli = self.own_milli  # with what is below; set when the tree is known
        self.noise = Noise(meter.seed)
        self.wander = 0.0  # the noise at this step
        self.shares_permille = _shares(meter)
        self.power_factor_permille = 900 + mix(meter.seed, 3) % 85 if self.main == "energy" else PERMILLE
        self.live = False  # its upstream side is energised (or under pressure)
        self.load_permille = PERMILLE  # fault "load"
        self.bypass_permille = 0  # fault "bypass": part of the load that flows around the meter
        self.drawn_milli = 0  # what it takes from upstream
        self.rate_milli = 0  # what it measures: thousandths of a base unit per hour
        self.var_milli = 0
        self.counted = self.counted_at(meter.initial_counts) if meter.device.profile.billing else 0
        self.counted_var = 0
        self.counted_rates = [self.counted, 0, 0, 0, 0]  # rate registers add up to the total, as in any meter
        self.shown_rates = tuple(self.counted_rates)
        self.shown = self.counted  # the counters as their registers show them: see Field.latch
        self.shown_var = 0

    @property
    def conducts(self) -> bool:
        return self.mechanism is None or self.mechanism.contact

    def counted_at(self, counts: int) -> int:
        """Return the counter at which the billing register shows `counts` (the least one, before any rollover)."""
        device = self.meter.device
        billing = device.profile.billing
        if billing is None:
            raise ValueError(f"{device.id} has no billing register")
        register = next(r for r in device.profile.registers if r.measure == billing.measure)
        register = replace(register, scale=Fraction(billing.milli_per_count, 1000))  # as counted: a float has no counts
        per_count = units_per_count(register, ratio_of(device, register.ratio)) * counted_unit(device.profile)[1]
        exact = counts * per_count * PER_BASE_UNIT
        return -(-exact.numerator // exact.denominator)  # upwards, so that the register really shows it


def _shares(meter: SimMeter) -> tuple[int, int, int]:
    """Return how a load spreads over the phases, thousandths; loads in buildings are never quite balanced."""
    if meter.phase_count == 1:
        return (PERMILLE, 0, 0)
    first = 300 + mix(meter.seed, 1) % 68
    second = 300 + mix(meter.seed, 2) % 68
    return (first, second, PERMILLE - first - second)


class Field:
    """All meters of the park. `step` moves it on; between two steps nothing changes but commands to mechanisms."""

    def __init__(self, meters: Iterable[SimMeter], zone: tzinfo) -> None:
        self.states: dict[str, MeterState] = {meter.device.id: MeterState(meter) for meter in meters}
        self.supply: dict[str, bool] = {state.meter.medium: True for state in self.states.values()}  # sources
        self._zone = zone
        self._order = self._join()  # parents before children
        self._rate_tables = {state.meter.rate_minutes for state in self._order}
        self._last_utc_ns: int | None = None
        self.mono_ns = 0

    @property
    def utc_ns(self) -> int:
        """Plant time of the last step; 0 before the first."""
        return self._last_utc_ns or 0

    @property
    def zone(self) -> tzinfo:
        return self._zone

    def step(self, utc_ns: int, mono_ns: int) -> None:
        """Count what flowed since the last step, then move mechanisms and loads to this instant.

        The first step counts nothing: what happened while the field was switched off is not added. Plant time that
        stands or goes back counts nothing either.
        """
        elapsed_ns = max(0, utc_ns - self._last_utc_ns) if self._last_utc_ns is not None else 0
        from_ns = utc_ns - elapsed_ns
        parts = {minutes: tuple(self._rate_parts(minutes, from_ns, utc_ns)) for minutes in self._rate_tables}
        for state in self._order:
            state.counted += state.rate_milli * elapsed_ns
            for rate, part_ns in parts[state.meter.rate_minutes]:
                state.counted_rates[rate] += state.rate_milli * part_ns
            state.counted_var += state.var_milli * elapsed_ns
            if state.mechanism is not None:
                state.mechanism.advance(mono_ns)
        self._last_utc_ns = utc_ns
        self.mono_ns = mono_ns
        self._spread(utc_ns)

    def _rate_parts(self, minutes: tuple[tuple[int, ...], ...], from_ns: int, to_ns: int) -> Iterator[tuple[int, int]]:
        """Yield (rate register, nanoseconds) of a stretch of time by a meter's own table, cut at whole minutes."""
        at_ns = from_ns
        while at_ns < to_ns:
            if not minutes:
                yield 0, to_ns - at_ns  # one rate: all of it in the first register
                return
            local = datetime.fromtimestamp(at_ns // NS_PER_S, self._zone)
            end_ns = min((at_ns // NS_PER_MINUTE + 1) * NS_PER_MINUTE, to_ns)
            yield minutes[local.weekday()][local.hour * 60 + local.minute], end_ns - at_ns
            at_ns = end_ns

    def put_counter(self, device: str, counts: int) -> None:
        """Set the billing register of a meter; its rate registers follow, all of it in the first."""
        state = self.states[device]
        state.counted = state.counted_at(counts)
        state.counted_rates = [state.counted, 0, 0, 0, 0]

    def add_counts(self, device: str, counts: int) -> None:
        """Let the billing register of a meter jump forward; the jump stands in the first rate register."""
        state = self.states[device]
        jump = state.counted_at(counts)
        state.counted += jump
        state.counted_rates[0] += jump

    def latch(self) -> None:
        """Let the registers show what has been counted.

        The room calls it after it saved the counters: like a meter with a non-volatile memory, the field never
        shows a register that it could forget.
        """
        for state in self._order:
            state.shown = state.counted
            state.shown_var = state.counted_var
            state.shown_rates = tuple(state.counted_rates)

    def _spread(self, utc_ns: int) -> None:
        """Work out who is live from the sources downwards, then the flows from the loads upwards."""
        shapes = levels(utc_ns, self._zone)
        for state in self._order:
            above = state.parent
            state.live = self.supply[state.meter.medium] if above is None else above.live and above.conducts
            state.wander = state.noise.at(utc_ns)
        for state in reversed(self._order):
            state.drawn_milli = _drawn(state, shapes)
            state.rate_milli = state.drawn_milli * (PERMILLE - state.bypass_permille) // PERMILLE
            state.var_milli = _reactive(state)

    def _join(self) -> list[MeterState]:
        """Tie meters to their parents and return them parents first; ValueError names a missing or circular parent."""
        for state in self.states.values():
            if state.meter.parent:
                if state.meter.parent not in self.states:
                    raise ValueError(f"{state.meter.device.id}: parent {state.meter.parent} is not a simulated device")
                state.parent = self.states[state.meter.parent]
                if (state.parent.meter.medium, state.parent.main) == (state.meter.medium, state.main):
                    state.parent.below.append(state)
        order = sorted(self.states.values(), key=_depth)
        for state in reversed(order):
            state.nominal_milli += sum(child.nominal_milli for child in state.below)
        return order

    def snapshot(self) -> dict[str, Any]:
        """Return what must survive a restart, ready for JSON: counters and switch positions."""
        return {
            device: {
                "counted": state.counted,
                "counted_var": state.counted_var,
                "counted_rates": state.counted_rates,
                "closed": None if state.mechanism is None else state.mechanism.target == CLOSED,
            }
            for device, state in self.states.items()
        }

    def restore(self, saved: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from a snapshot; devices that it does not know start with their initial register."""
        for device in saved.keys() & self.states.keys():
            state, entry = self.states[device], saved[device]
            state.counted, state.counted_var = int(entry["counted"]), int(entry["counted_var"])
            state.counted_rates = [int(part) for part in entry.get("counted_rates", [state.counted, 0, 0, 0, 0])]
            if state.mechanism is not None and entry["closed"] is not None:
                state.mechanism.set(bool(entry["closed"]))
        self.latch()


def _depth(state: MeterState) -> int:
    """Return how many breakers lie above; ValueError when they form a circle."""
    depth, above, seen = 0, state.parent, {id(state)}
    while above is not None:
        if id(above) in seen:
            raise ValueError(f"{state.meter.device.id}: its parents form a circle")
        seen.add(id(above))
        depth, above = depth + 1, above.parent
    return depth


def _drawn(state: MeterState, shapes: Mapping[Shape, float]) -> int:
    """Return what a meter's circuit takes from upstream now: its own load, the meters below and the losses."""
    if not (state.live and state.conducts):
        return 0
    level = max(0.0, shapes[state.meter.shape] * (1.0 + state.wander))
    own = int(state.own_milli * level) * state.load_permille // PERMILLE
    below = sum(child.drawn_milli for child in state.below)
    return own + below + below * LOSS_PERMILLE // PERMILLE


def _reactive(state: MeterState) -> int:
    """Return the reactive power that goes with the active one at the meter's power factor, mvar."""
    if state.meter.medium != "electricity":
        return 0
    factor = state.power_factor_permille / PERMILLE
    return int(state.rate_milli * (1.0 - factor * factor) ** 0.5 / factor)
