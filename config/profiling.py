"""Turn tables about meter models into the records the drivers read: profiles, and what single meters add to them.

Rule: the tables have passed every check, so nothing here judges. This file alone knows how hexadecimal text, words and
missing keys become the numbers of `drivers.profile`.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from config import metering
from config.loader import Sources
from config.profile_schema import BillingTable, ProfileTable, RegisterTable, SwitchTable
from config.schema import MeterRow
from drivers.device import Secret
from drivers.profile import NEVER, SWITCH_WORDS, Billing, DataItem, Profile, Protocol, Register, Switch, WriteRange
from scada.position import CLOSED, INTERMEDIATE, OPEN

HEX: Final = 16


def profiles(sources: Sources) -> dict[str, Profile]:
    return {table.id: profile_of(table) for table in sources.by_id("profile").values()}


def profile_of(table: ProfileTable) -> Profile:
    return Profile(
        id=table.id,
        maker=table.maker,
        model=table.model,
        medium=table.medium,
        registers=tuple(map(_register, table.registers)),
        billing=_billing(table.billing) if table.billing else None,
        switch=_switch(table.switch, table.protocol) if table.switch else None,
        max_registers=table.max_registers,
        merge_gap=table.merge_gap,
        verified=table.verified,
        protocol=table.protocol,
        data=tuple(DataItem(di_number(item.di), item.bytes) for item in table.data),
        identity=table.identity,
        clock=table.clock,
        writable=tuple(WriteRange(item.function, item.first, item.last) for item in table.writable),
        wake_bytes=table.wake_bytes,
        di_low_first=table.di_low_first,
        meter_type=table.meter_type,
        any_type=table.any_type,
        level=table.level,
    )


def di_number(text: str) -> int:
    """Return a data identifier as a number, 0 for none."""
    return int(text, HEX) if text else 0


def secrets(sources: Sources) -> Callable[[MeterRow, Profile], Secret]:
    """Return what knows the words a meter wants before it switches: its own, else its model's, else the usual ones."""
    of_meter, of_profile = sources.by_id("meter_secret"), sources.by_id("profile_secret")

    def secret_of(meter: MeterRow, profile: Profile) -> Secret:
        given: dict[str, Any] = {"level": profile.level}
        for table in filter(None, (of_profile.get(meter.profile), of_meter.get(meter.id))):
            given |= table.model_dump(exclude={"id"}, exclude_none=True)
        return Secret(**given)

    return secret_of


def _register(table: RegisterTable) -> Register:
    return Register(
        measure=table.measure,
        function=table.function or 0,
        address=table.address or 0,
        type=table.type,
        scale=Fraction(table.scale),
        unit=table.unit,
        description_zh=table.zh,
        description_en=table.en,
        order=table.order,
        ratio=table.ratio,
        absent=table.absent,
        deadband=table.deadband,
        low=table.low,
        high=table.high,
        poll=table.poll,
        mask=table.mask,
        di=di_number(table.di),
        at=table.at,
        size=table.size,
        unit_at=-1 if table.unit_at is None else table.unit_at,
        layout=table.layout,
    )


def _billing(table: BillingTable) -> Billing:
    return Billing(table.measure, table.milli_per_count, table.modulus_counts, metering.rate_names(table))


def _switch(table: SwitchTable, protocol: Protocol) -> Switch:
    states = [(raw, OPEN) for raw in table.open_raw] + [(raw, CLOSED) for raw in table.closed_raw]
    states += [(raw, INTERMEDIATE) for raw in table.intermediate_raw]
    if protocol == "modbus":
        opening, closing = table.open_value, table.close_value
    else:
        words = SWITCH_WORDS[protocol]
        opening, closing = words.opening[table.open], words.closing[table.close] if table.close else None
    return Switch(
        position=table.position,
        states=tuple(states),
        function=table.function or 0,
        address=table.address or 0,
        open_value=NEVER if opening is None else opening,
        close_value=NEVER if closing is None else closing,
        current=table.current,
        verify_s=table.verify_s,
        n2=table.n2,
        expiry_s=table.expiry_s,
    )
