"""Addresses and numbers of meters: what each protocol calls one, how it is written, and that nothing answers for two.

Rule: this file alone knows how the columns `unit` and `address` of meters.csv become the address of a device, and
whether a meter has a number that it can be identified by.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.loader import Placed, Sources
from config.schema import MeterRow
from drivers.profile import Protocol
from scada.errors import Fault

UNITS: Final = range(1, 248)  # Modbus, 248 to 255 are reserved


@dataclass(frozen=True, slots=True)
class AddressForm:
    """How the meter numbers of a protocol are written."""

    digits: int  # most; a shorter number is padded on the left
    maker_digits: int  # of a maker's code that may stand before the full number
    everybody: str  # a number that all meters hear; "" none
    words: str


_METER_NUMBER: Final = AddressForm(12, 0, "9" * 12, "1 to 12 digits, as on the nameplate")  # DL/T 645 clause 5.2.2
_CJT_NUMBER: Final = AddressForm(10, 4, "", "1 to 10 digits, or 14 with the four of the maker's code before them")
FORMS: Final[Mapping[Protocol, AddressForm]] = {
    "dlt645-2007": _METER_NUMBER,
    "dlt645-1997": _METER_NUMBER,
    "cjt188": _CJT_NUMBER,
}


def meter_address(text: str, protocol: Protocol) -> str:
    """Return an address of full length, "" where the protocol has none (Modbus)."""
    form = FORMS.get(protocol)
    return text.zfill(form.digits + form.maker_digits) if form else ""


def address_kinds(sources: Sources) -> Iterator[Fault]:
    """A Modbus device has a unit; every other has an address of digits. Only Modbus goes through Modbus TCP."""
    profiles, gateways = sources.by_id("profile"), sources.by_id("gateway")
    for placed in sources.many("meter"):
        profile, gateway = profiles.get(placed.item.profile), gateways.get(placed.item.gateway)
        if profile is None:
            continue
        if profile.protocol == "modbus":
            yield from _modbus(placed)
        else:
            yield from _numbered(placed, profile.protocol)
            if gateway is not None and gateway.transport == "modbus-tcp":
                wrong = f"'{gateway.id}' speaks Modbus TCP, this device {profile.protocol}"
                yield placed.fault("gateway", wrong, "a gateway of transport tcp, serial or dial-in")


def _modbus(placed: Placed[Any]) -> Iterator[Fault]:
    if placed.item.unit is None:
        yield placed.fault("unit", "missing, and this is a Modbus device", f"{UNITS[0]} to {UNITS[-1]}")
    if placed.item.address:
        yield placed.fault("address", f"'{placed.item.address}', and this is a Modbus device", "empty, and a unit")


def _numbered(placed: Placed[Any], protocol: Protocol) -> Iterator[Fault]:
    text, form = placed.item.address, FORMS[protocol]
    if placed.item.unit is not None:
        wrong = f"{placed.item.unit}, and this is a device of {protocol}"
        yield placed.fault("unit", wrong, "empty, and the number of the meter as its address")
    if not text:
        yield placed.fault("address", f"missing, and this is a device of {protocol}", form.words)
    elif "E+" in text.upper():
        allowed = f"{form.words}; set the column to text in the spreadsheet and type the number again"
        yield placed.fault("address", f"'{text}': a spreadsheet has rounded it", allowed)
    elif not (text.isascii() and text.isdigit() and _right_length(text, form)):
        yield placed.fault("address", f"'{text}'", form.words)
    elif form.everybody and text == form.everybody:
        yield placed.fault("address", f"'{text}' is the address of all meters at once", form.words)


def _right_length(text: str, form: AddressForm) -> bool:
    return len(text) <= form.digits or len(text) == form.digits + form.maker_digits


def duplicate_addresses(sources: Sources) -> Iterator[Fault]:
    """A unit or meter number belongs to one device of a line, a serial number to one device of the site."""
    profiles = sources.by_id("profile")
    seen: dict[tuple[str, str, object], str] = {}
    serials: dict[str, str] = {}
    for placed in sources.many("meter"):
        meter, profile = placed.item, profiles.get(placed.item.profile)
        told = f"'{meter.id}' ({placed.key})"
        if meter.serial in serials:
            wrong = f"'{meter.serial}' already belongs to {serials[meter.serial]}"
            yield placed.fault("serial", wrong, "the number on this meter's nameplate")
        if meter.serial:
            serials.setdefault(meter.serial, told)
        if profile is None or profile.protocol == "modbus":
            yield from _duplicate_unit(placed, told, seen)
        elif meter.address:
            address = (meter.gateway, profile.protocol, meter_address(meter.address, profile.protocol))
            if address in seen:
                wrong = f"{meter.address} of {meter.gateway} already belongs to {seen[address]}"
                yield placed.fault("address", wrong, "the number of one meter on this line")
            seen.setdefault(address, told)


def _duplicate_unit(placed: Placed[Any], told: str, seen: dict[tuple[str, str, object], str]) -> Iterator[Fault]:
    gateway, unit = placed.item.gateway, placed.item.unit
    if unit is None:
        return
    if (gateway, "modbus", unit) in seen:
        free = next((unit for unit in UNITS if (gateway, "modbus", unit) not in seen), None)
        allowed = f"a unit that is free on {gateway}" + (f", for example {free}" if free else ", and there is none")
        wrong = f"unit {unit} of {gateway} already belongs to {seen[gateway, 'modbus', unit]}"
        yield placed.fault("unit", wrong, allowed)
    seen.setdefault((gateway, "modbus", unit), told)


def is_identified(identity: str, meter: MeterRow) -> bool:
    """Tell whether a meter must show its number before it is charged: its model can, and it has one.

    identity: measure of its profile's register, "" none
    """
    return bool(identity and digits_of(meter.serial + meter.address))


def digits_of(text: str) -> str:
    """Return the decimal digits of a text."""
    return "".join(letter for letter in text if letter in "0123456789")


ADDRESS_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (address_kinds, duplicate_addresses)
