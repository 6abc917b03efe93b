"""Lookup: the plant by the ids that pages are addressed with, and the tag rows behind what they show.

Rule: made once from the plant, read only; NO_ROW says that the plant has no such tag.
"""

from collections import defaultdict
from typing import Final

from billing_core.points import AccountSpec, PointSpec
from config.plant import Plant
from config.tagging import COUNTER_OFFERS
from hmi.switch_words import Kind
from scada.tags import Tag

NO_ROW: Final = -1
CORE: Final = "core"  # owner id of the core's own tags
TARGETS: Final = ("open", "closed")  # of a switch, as the link names them; the first interrupts

# Measures in the order of preference, for what a diagram and a list show of any device.
POWER: Final = ("ActivePowerTotal", "ThermalPower", "WaterFlow", "GasFlow", "SteamFlow")
CURRENT: Final = ("CurrentL1",)
VOLTAGE: Final = ("VoltageL1",)
ENERGY: Final = (
    "ActiveEnergyImportTotal", "WaterVolume", "GasVolume", "SteamMass", "HeatEnergy", "CoolEnergy",
)  # fmt: skip

# What the page of a line shows of each device, beside the deviation of its clock, whose measure the profile names.
LINE_METER_MEASURES: Final = ("Online", *(offer.name for offer in COUNTER_OFFERS), "IdentityFault")
CLOCK: Final = "clock"

MOMENTS: Final = frozenset({"LastGood", "ForecastEmpty"})  # counted in UTC seconds, shown as a time of the site

DECIMALS: Final = {
    "kW": 1, "kWh": 2, "kvar": 1, "kVA": 1, "V": 1, "A": 2, "Hz": 2, "m3": 2, "m3/h": 2, "GJ": 3, "MJ": 1, "°C": 1,
    "t": 2, "t/h": 2, "kPa": 1, "MPa": 3, "%": 1, "ms": 1, "s": 1, "d": 1,
}  # fmt: skip
DECIMALS_RATIO: Final = 3
DECIMALS_MONEY: Final = 2
DECIMALS_PRICE: Final = 4


class Lookup:
    """Ids to rows and specs."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.devices = {device.id: device for device in plant.devices}
        self.gateways = {gateway.id: gateway for gateway in plant.gateways}
        self.breakers = {breaker.id: breaker for breaker in plant.breakers}
        self.networks = {network.id: network for network in plant.networks}
        self.accounts = {account.id: account for account in plant.accounts}
        self.point_of = {point.meter: point for point in plant.points}
        self.points_of: dict[str, list[PointSpec]] = defaultdict(list)
        for point in plant.points:
            self.points_of[plant.accounts[point.account].id].append(point)
        self._behind: dict[str, list[str]] = defaultdict(list)
        for device in plant.devices:
            self._behind[device.gateway].append(device.id)
        self._owned: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row, tag in enumerate(plant.tags.tags):
            _, letter, owner, _ = tag.id.split("/")
            self._owned[letter, owner].append(row)

    def row(self, letter: str, owner: str, *measures: str) -> int:
        """Return the row of the first of these measures that the owner has, else NO_ROW."""
        for measure in measures:
            found = self.plant.tags.index.get(f"{self.plant.site.id}/{letter}/{owner}/{measure}")
            if found is not None:
                return found
        return NO_ROW

    def rows_of(self, letter: str, owner: str) -> list[int]:
        """Return every row of an owner, in image order."""
        return self._owned[letter, owner]

    def behind(self, gateway_id: str) -> list[str]:
        """Return the ids of the devices of a line."""
        return self._behind[gateway_id]

    def line_rows(self, device_id: str) -> dict[str, int]:
        """Return column -> row of what the page of a line shows of a device; CLOCK is what its clock deviates by."""
        rows = {name: self.row("M", device_id, name) for name in LINE_METER_MEASURES}
        return rows | {CLOCK: self.row("M", device_id, self.devices[device_id].profile.clock)}

    def tag(self, row: int) -> Tag:
        return self.plant.tags.tags[row]

    def decimals(self, row: int) -> int:
        """Return how many decimals of a tag a person reads."""
        tag = self.tag(row)
        if tag.kind != "double":
            return 0
        if tag.name == "Price":
            return DECIMALS_PRICE
        if tag.currency:
            return DECIMALS_MONEY
        return DECIMALS.get(tag.unit, DECIMALS_RATIO)

    def is_name(self, row: int) -> bool:
        """Tell whether a row holds the number by which a device names itself, whose digits are not grouped."""
        _, letter, owner, measure = self.tag(row).id.split("/")
        return letter == "M" and measure == self.devices[owner].profile.identity

    def kind_of_row(self, row: int) -> Kind:
        """Return what the device of a row switches."""
        return self.kind_of(self.tag(row).id.split("/")[2])

    def kind_of(self, device_id: str) -> Kind:
        """Return what a device switches: a breaker or a valve; "breaker" for one that switches nothing."""
        breaker = self.breakers.get(device_id)
        return breaker.kind if breaker is not None else "breaker"

    def targets_of(self, breaker_id: str) -> tuple[str, ...]:
        """Return what a page may offer for a switch: one that is closed on the spot only is never offered to be."""
        breaker = self.breakers[breaker_id]
        return TARGETS if breaker.remote_close and breaker.medium != "gas" else TARGETS[:1]

    def credit_states(self) -> tuple[str, ...]:
        """Return the credit states in the order of the image's numbers."""
        rows = [self.row("T", account, "CreditState") for account in self.accounts]
        return self.tag(rows[0]).states if rows else ()

    def account_of(self, device_id: str) -> AccountSpec | None:
        """Return the account that pays for a device's supply, or whose supply the device switches."""
        point = self.point_of.get(device_id)
        if point is not None:
            return self.plant.accounts[point.account]
        return next((account for account in self.plant.accounts if device_id in account.breakers), None)

    def breaker_of(self, device_id: str) -> str:
        """Return the switch on a device's page: its own, else the one that carries its tenant's supply, else ""."""
        if device_id in self.breakers:
            return device_id
        feeder = self.plant.device_feeder.get(device_id, "")
        return feeder if feeder in self.breakers else ""

    def name(self, owner: str, language: str) -> str:
        """Return the name of anything in a language; its id when the plant gave it none."""
        named = self.plant.names.get(owner)
        return str(getattr(named, language)) if named is not None else owner

    def page_of(self, source: str) -> str:
        """Return the page where a person looks for the source of an alarm."""
        if source in self.devices:
            return f"/meter/{source}"
        if source in self.gateways:
            return f"/line/{source}"
        return f"/account/{source}" if source in self.accounts else "/"
