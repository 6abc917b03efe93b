"""A plant of any number of meters as a configuration folder, and the truth that its simulator must tell.

Every meter shows VALUES_EACH values in one block of REGISTERS registers; every supply point bills one of them. Gateways
are told apart by their address on the loopback network, so that one simulator can be them all.
"""

from pathlib import Path
from typing import Final

UNITS_EACH: Final = 240  # meters behind one gateway; unit ids end at 247
METERS_EACH: Final = 4  # of one tenant
VALUES_EACH: Final = 20
PROFILE: Final = "bench-meter"
MILLI_PER_COUNT: Final = 10
MODULUS: Final = 100_000_000
OPENING: Final = 1_000_000
CHECKPOINT_S: Final = 10.0
IN_FLIGHT: Final = 8

# measure, type, scale, unit, value on the wire; the first is billed and advances
_ENERGY = [("ActiveEnergyImportTotal", "u32", "0.01", "kWh"), ("ReactiveEnergyTotal", "u32", "0.01", "kvarh")]
_WORDS = [
    *((f"VoltageL{n}", "u16", "0.1", "V") for n in (1, 2, 3)),
    *((f"CurrentL{n}", "u16", "0.001", "A") for n in (1, 2, 3)),
    *((f"ActivePowerL{n}", "s16", "0.001", "kW") for n in (1, 2, 3)),
    *((f"ReactivePowerL{n}", "s16", "0.001", "kvar") for n in (1, 2, 3)),
    ("ActivePowerTotal", "s16", "0.001", "kW"),
    ("ReactivePowerTotal", "s16", "0.001", "kvar"),
    ("PowerFactorTotal", "s16", "0.001", ""),
    ("Frequency", "u16", "0.01", "Hz"),
    *((f"Temperature{n}", "s16", "0.1", "°C") for n in (1, 2)),
]
WIRE: Final = {
    "VoltageL": 2200, "CurrentL": 5000, "ActivePower": 900, "ReactivePower": 100, "PowerFactor": 950, "Frequency": 5000,
    "Temperature": 250,
}  # fmt: skip
QUANTITIES: Final = tuple(_ENERGY + _WORDS)
REGISTERS: Final = sum(2 if type_ == "u32" else 1 for _, type_, *_ in QUANTITIES)


def place(meter: int) -> tuple[int, int]:
    """Return (gateway number, unit id) of a meter."""
    return meter // UNITS_EACH, meter % UNITS_EACH + 1


def gateways(meters: int) -> int:
    return -(-meters // UNITS_EACH)


def host(gateway: int) -> str:
    return f"127.1.{gateway // 250}.{gateway % 250 + 1}"


def number_of(address: str) -> int:
    """Return the gateway that an address on the loopback network stands for."""
    _, _, high, low = map(int, address.split("."))
    return 250 * high + low - 1


def words() -> list[int]:
    """Return the registers behind the billing register, as every meter shows them."""
    found = [0, 0]
    for measure, type_, *_ in QUANTITIES[1:]:
        value = next((v for name, v in WIRE.items() if measure.startswith(name)), 0)
        found += [0, value] if type_ == "u32" else [value]
    return found


def write(folder: Path, meters: int, port: int) -> None:
    """Write the configuration folder."""
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / f"{PROFILE}.toml").write_text(_profile(), encoding="utf-8")
    (folder / "plant.toml").write_text(_plant(meters, port), encoding="utf-8")
    (folder / "tariffs.toml").write_text(_TARIFFS, encoding="utf-8")
    (folder / "alarms.toml").write_text(_ALARMS, encoding="utf-8")
    _csv(folder / "meters.csv", "id,name_zh,name_en,profile,gateway,unit,serial,rated_current_a,building,floor", [
        f"m{i},电表{i},Meter {i},{PROFILE},gw-{place(i)[0]},{place(i)[1]},{20260000000 + i},6000000,a,1F"
        for i in range(meters)
    ])  # fmt: skip
    _csv(folder / "supply_points.csv", "id,name_zh,name_en,meter,account,tariff,building,floor,room", [
        f"p{i},用电{i},Supply {i},m{i},t{i // METERS_EACH},e,a,1F,{i}" for i in range(meters)
    ])  # fmt: skip
    _csv(folder / "tenants.csv", "id,name_zh,name_en,opening,alarm1,alarm2,reconnect", [
        f"t{i},租户{i},Tenant {i},{OPENING},200,50,20" for i in range(-(-meters // METERS_EACH))
    ])  # fmt: skip


def _csv(path: Path, heading: str, lines: list[str]) -> None:
    path.write_text("\n".join([heading, *lines]) + "\n", encoding="utf-8")


def _profile() -> str:
    lines, at = [], 0
    for measure, type_, scale, unit in QUANTITIES:
        bounds = ", low = 0.0, high = 300.0" if measure.startswith("Voltage") else ""
        lines.append(
            f'    {{ measure = "{measure}", function = 3, address = {at}, type = "{type_}", scale = {scale},'
            f' unit = "{unit}", zh = "{measure}", en = "{measure}", deadband = 0.5{bounds} }},'
        )
        at += 2 if type_ == "u32" else 1
    return "\n".join([
        f'id = "{PROFILE}"', 'maker = "Bench"', 'model = "20 values"', 'medium = "electricity"',
        'source = "made for the bench"', "phases = 3", "voltage_v = 220.0", "registers = [", *lines, "]",
        "[billing]", f'measure = "{QUANTITIES[0][0]}"', f"milli_per_count = {MILLI_PER_COUNT}",
        f"modulus_counts = {MODULUS}", "",
    ])  # fmt: skip


def _plant(meters: int, port: int) -> str:
    parts = [
        '[site]\nid = "scale"\nname_zh = "规模"\nname_en = "Scale"\ntimezone = "Asia/Shanghai"\ncurrency = "CNY"\n',
        f"[scan]\nperiod_s = 1.0\ncheckpoint_s = {CHECKPOINT_S}\n",
        '[[building]]\nid = "a"\nname_zh = "甲"\nname_en = "A"\nfloors = ["1F"]\n',
    ]
    parts += [
        f'[[gateway]]\nid = "gw-{g}"\nname_zh = "网关{g}"\nname_en = "Gateway {g}"\nhost = "{host(g)}"\nport = {port}\n'
        f"in_flight = {IN_FLIGHT}\nperiod_s = 1.0\ntimeout_s = 1.0\n"
        for g in range(gateways(meters))
    ]
    return "\n".join(parts)


_TARIFFS: Final = """[[tariff]]
id = "e"
name_zh = "电"
name_en = "Electricity"
medium = "electricity"
unit = "kWh"
price = { flat = 0.7236 }
slot = [{ start = "00:00", end = "24:00", rate = "flat" }]
"""

_ALARMS: Final = "\n".join(
    f"""[[rule]]
name = "{name}"
on = "device"
measures = ["VoltageL1", "VoltageL2", "VoltageL3"]
comparison = "{comparison}"
limit = {limit}
deadband = 1.0
priority = {priority}
text_zh = "{{name}} {{measure}}"
text_en = "{{name}}: {{measure}}"
"""
    for name, comparison, limit, priority in (
        ("High", "above", 236.0, 3), ("HighHigh", "above", 245.0, 2),
        ("Low", "below", 198.0, 3), ("LowLow", "below", 180.0, 2),
    )
)  # fmt: skip
