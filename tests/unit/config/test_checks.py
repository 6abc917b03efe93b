"""Every cross-check, seen to fail: one slip in a copy of the demonstration gives exactly the faults of its row."""

from typing import TYPE_CHECKING, NamedTuple

import pytest

from config.addresses import ADDRESS_CHECKS
from config.checks import CHECKS
from config.gateways import GATEWAY_CHECKS
from config.loader import read_sources
from config.protocol_checks import PROTOCOL_CHECKS
from config.secrets import secret_faults
from config.tariff_checks import TARIFF_CHECKS
from scada.errors import Fault

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy


class Case(NamedTuple):
    """One slip: `old` becomes `new` in a file; `faults` is what is said about it."""

    name: str
    file: str
    old: str
    new: str
    faults: list[str]  # "place: wrong", after the name of the file when it is another one


def _told(fault: Fault, file: str) -> str:
    return str(fault).removeprefix(f"{file}: ").partition("; allowed: ")[0]


CASES = (
    Case(
        "credit of a class that is not there",
        "plant.toml",
        '[[credit_class]]\nid = "resident"',
        '[[credit_class]]\nid = "residents"',
        ["credit_class.residents.id: unknown account class 'residents'"],
    ),
    Case(
        "one class twice",
        "plant.toml",
        '[[credit_class]]\nid = "resident"',
        '[[credit_class]]\nid = "resident"\n\n[[credit_class]]\nid = "resident"',
        ["credit_class.resident.id: class 'resident' stands here twice"],
    ),
    Case(
        "holidays of a country without a calendar",
        "plant.toml",
        "friendly = []",
        'friendly = []\nholidays = "ZZZ"',
        ["credit.holidays: no calendar of country 'ZZZ'"],
    ),
    Case(
        "unknown time zone",
        "plant.toml",
        '"Asia/Shanghai"',
        '"Asia/Shangai"',
        ["site.timezone: unknown time zone 'Asia/Shangai'"],
    ),
    Case(
        "duplicate id in one file",
        "meters.csv",
        "\ne-a102,",
        "\ne-a101,",
        [
            "line 20, column 'id': 'e-a101' already names the meter at meters.csv, line 19",
            "supply_points.csv: line 3, column 'meter': unknown meter 'e-a102' (did you mean 'w-a102'?)",
            "field.toml: load.e-a102.id: unknown meter 'e-a102' (did you mean 'w-a102'?)",
        ],
    ),
    Case(
        "duplicate id across kinds",
        "tenants.csv",
        "\nt-s01,",
        "\nq-f01,",
        [
            "line 2, column 'id': 'q-f01' already names the meter at meters.csv, line 5",
            "supply_points.csv: line 2, column 'account': unknown account 't-s01' (did you mean 't-w01'?)",
            "supply_points.csv: line 7, column 'account': unknown account 't-s01' (did you mean 't-w01'?)",
            "line 2, column 'id': no supply point is paid by 'q-f01'",
        ],
    ),
    Case(
        "duplicate id in a diagram",
        "plant.toml",
        'id = "n-f01"',
        'id = "n-f02"',
        [
            "station.ss1.node.n-f02.id: 'n-f02' already names the diagram node at plant.toml, station.ss1",
            "station.ss1.edge.x-f01.b: unknown node 'n-f01' (did you mean 'n-f14'?)",
        ],
    ),
    Case(
        "duplicate unit",
        "meters.csv",
        "wattkeeper-demo-1p,gw-a1,1,",
        "wattkeeper-demo-1p,gw-a1,2,",
        ["line 20, column 'unit': unit 2 of gw-a1 already belongs to 'e-a101' (line 19)"],
    ),
    Case(
        "duplicate end point",
        "plant.toml",
        "port = 15022",
        "port = 15021",
        ["gateway.gw-a1.port: 127.0.0.1:15021 is already gateway 'gw-ss'"],
    ),
    Case(
        "unknown profile",
        "meters.csv",
        "e-a101,晨曦咖啡电表,Dawn Coffee electricity meter,wattkeeper-demo-1p",
        "e-a101,晨曦咖啡电表,Dawn Coffee electricity meter,wattkeeper-demo-p1",
        ["line 19, column 'profile': unknown profile 'wattkeeper-demo-p1' (did you mean 'wattkeeper-demo-3p'?)"],
    ),
    Case(
        "unknown gateway",
        "meters.csv",
        "wattkeeper-demo-1p,gw-a1,1,",
        "wattkeeper-demo-1p,gw_a1,1,",
        ["line 19, column 'gateway': unknown gateway 'gw_a1' (did you mean 'gw-a1'?)"],
    ),
    Case(
        "unknown feeder",
        "meters.csv",
        ",a,1F,q-f01,",
        ",a,1F,q-f1,",
        ["line 19, column 'feeder': unknown feeder 'q-f1' (did you mean 'q-f14'?)"],
    ),
    Case(
        "unknown building",
        "supply_points.csv",
        "t-s01,e-commercial,a,",
        "t-s01,e-commercial,aa,",
        ["line 2, column 'building': unknown building 'aa' (did you mean 'a'?)"],
    ),
    Case(
        "unknown account",
        "supply_points.csv",
        ",t-s01,",
        ",t-s011,",
        ["line 2, column 'account': unknown account 't-s011' (did you mean 't-s01'?)"],
    ),
    Case(
        "unknown tariff",
        "supply_points.csv",
        ",e-commercial,",
        ",e-comercial,",
        ["line 2, column 'tariff': unknown tariff 'e-comercial' (did you mean 'e-commercial'?)"],
    ),
    Case(
        "unknown meter of a point",
        "supply_points.csv",
        ",e-a101,",
        ",e-a110x,",
        ["line 2, column 'meter': unknown meter 'e-a110x' (did you mean 'e-a105'?)"],
    ),
    Case(
        "unknown meter of a load",
        "field.toml",
        "\ne-a101 =",
        "\ne-a109 =",
        [
            "load.e-a109.id: unknown meter 'e-a109' (did you mean 'e-a105'?)",
            "supply_points.csv: line 2, column 'meter': meter 'e-a101' has no load in field.toml",
        ],
    ),
    Case(
        "unknown floor",
        "meters.csv",
        ",a,1F,q-f01,",
        ",a,1f,q-f01,",
        ["line 19, column 'floor': unknown floor '1f' of building 'a'"],
    ),
    Case(
        "device without a place",
        "meters.csv",
        ",a,1F,q-f01,",
        ",,,q-f01,",
        ["line 19, column 'building': neither in a building nor in a station"],
    ),
    Case(
        "feeder without a switch",
        "meters.csv",
        ",b,1F,q-f13,",
        ",b,1F,e-adc2,",
        ["line 64, column 'feeder': 'e-adc2' has no switch (profile abb-b23)"],
    ),
    Case(
        "feeder of another medium",
        "meters.csv",
        ",6,a,1F,,",
        ",6,a,1F,q-f01,",
        ["line 24, column 'feeder': 'q-f01' carries electricity, this device water"],
    ),
    Case(
        "feeders in a loop",
        "meters.csv",
        ",400,,1800,,,,,",
        ",400,,1800,,,,q-f01,",
        ["line 2, column 'feeder': feeders form a loop: q-in1 -> q-f01 -> q-in1"],
    ),
    Case(
        "no rated current",
        "meters.csv",
        "20262611075,,,60,",
        "20262611075,,,,",
        ["line 19, column 'rated_current_a': missing, and this electricity meter is charged"],
    ),
    Case(
        "no possible flow",
        "meters.csv",
        ",,,,6,a,1F,",
        ",,,,,a,1F,",
        ["line 24, column 'max_per_h': missing, and this water meter is charged"],
    ),
    Case(
        "ratio that the profile ignores",
        "meters.csv",
        "20262611075,,,60,",
        "20262611075,20,,60,",
        ["line 19, column 'ct': 20, but profile wattkeeper-demo-1p uses no CT"],
    ),
    Case(
        "one meter on two points",
        "supply_points.csv",
        ",e-a102,",
        ",e-a101,",
        ["line 3, column 'meter': 'e-a101' already measures supply point 'p-e-a101'"],
    ),
    Case(
        "minute of a rate table twice",
        "plant.toml",
        '{ start = "06:00", end = "08:00", rate = "flat" }',
        '{ start = "05:00", end = "08:00", rate = "flat" }',
        ["rate_table.rt-commercial.slot: mon 05:00 is covered 2 times"],
    ),
    Case(
        "rate registers of a meter without a table",
        "meters.csv",
        "q-f08,,rt-commercial",
        "q-f08,,",
        [
            "supply_points.csv: line 48, column 'rate_registers': yes, but meter 'e-bw101' has no rate_table",
        ],
    ),
    Case(
        "rate register out of reach",
        "profiles/wattkeeper-demo-3p.toml",
        'ActiveEnergyImportDeepValley", function = 3, address = 0x000A',
        'ActiveEnergyImportDeepValley", function = 3, address = 0x0070',
        [
            "billing.rates.deep_valley: 'ActiveEnergyImportDeepValley' is not read together with"
            " 'ActiveEnergyImportTotal'"
        ],
    ),
    Case(
        "virtual meter of another medium",
        "plant.toml",
        'subtract = ["p-e-b301", "p-e-b302"',
        'subtract = ["p-w-b301", "p-e-b302"',
        ["virtual.v-b3light.subtract: 'p-w-b301' is water in m3"],
    ),
    Case(
        "virtual meter that takes a point twice",
        "plant.toml",
        'subtract = ["p-e-b301", "p-e-b302"',
        'subtract = ["p-e-b301", "e-b301"',
        ["virtual.v-b3light.subtract: 'e-b301' stands twice"],
    ),
    Case(
        "virtual meter of a virtual meter",
        "plant.toml",
        'add = ["p-e-bpump"]\nshare = 0.4',
        'add = ["p-v-bpump1"]\nshare = 0.4',
        ["virtual.v-bpump2.add: 'p-v-bpump1' is virtual itself"],
    ),
    Case(
        "virtual meter that nobody is charged by",
        "supply_points.csv",
        ",v-bpump2,",
        ",e-a101,",
        [
            "line 90, column 'meter': 'e-a101' already measures supply point 'p-e-a101'",
            "plant.toml: virtual.v-bpump2.id: no supply point has the virtual meter 'v-bpump2'",
        ],
    ),
    Case(
        "virtual meter with a tariff of water",
        "supply_points.csv",
        ",v-bpump2,t-w02,e-commercial,",
        ",v-bpump2,t-w02,w-commercial,",
        ["line 90, column 'tariff': 'w-commercial' prices water in m3"],
    ),
    Case(
        "meter without billing register",
        "supply_points.csv",
        ",e-a101,",
        ",q-f14,",
        [
            "line 2, column 'meter': 'q-f14' has no billing register (profile wattkeeper-demo-feeder)",
            "line 2, column 'meter': meter 'q-f14' has no load in field.toml",
        ],
    ),
    Case(
        "tariff of another medium",
        "supply_points.csv",
        "t-s01,e-commercial,",
        "t-s01,w-commercial,",
        ["line 2, column 'tariff': 'w-commercial' prices water, meter 'e-a101' measures electricity"],
    ),
    Case(
        "tariff of another unit",
        "tariffs.toml",
        'unit = "GJ"',
        'unit = "kWh"',
        [
            "supply_points.csv: line 22, column 'tariff': 'h-commercial' prices kWh, meter 'h-a402' counts GJ",
            "supply_points.csv: line 34, column 'tariff': 'h-commercial' prices kWh, meter 'h-a801' counts GJ",
            "supply_points.csv: line 58, column 'tariff': 'h-commercial' prices kWh, meter 'h-bw201' counts GJ",
        ],
    ),
    Case(
        "limits out of order",
        "tenants.csv",
        ",8.50,200,50,",
        ",8.50,50,200,",
        ["line 2, column 'alarm2': 200 is above alarm1 50"],
    ),
    Case(
        "warning after the end",
        "tenants.csv",
        ",8.50,200,50,",
        ",8.50,200,-5,",
        ["line 2, column 'alarm2': -5 is below the end of supply at 0"],
    ),
    Case(
        "reconnect below the end",
        "tenants.csv",
        ",8.50,200,50,0,20,",
        ",8.50,200,50,0,0,",
        ["line 2, column 'reconnect': 0 is not above the end of supply at 0"],
    ),
    Case(
        "tenant without a supply point",
        "tenants.csv",
        "\nt-s01,",
        "\nt-s99,空铺,Empty shop,0,1,0,0,1,\nt-s01,",
        ["line 2, column 'id': no supply point is paid by 't-s99'"],
    ),
    Case(
        "charged meter without a load",
        "field.toml",
        "\ne-a101 =",
        "\nq-f14 =",
        ["supply_points.csv: line 2, column 'meter': meter 'e-a101' has no load in field.toml"],
    ),
    Case(
        "open at start without a switch",
        "field.toml",
        '"q-f14"',
        '"w-a101"',
        ["simulation.open_at_start: 'w-a101' has no switch"],
    ),
    Case(
        "tariff with a gap",
        "tariffs.toml",
        'start = "06:00", end = "08:00"',
        'start = "06:00", end = "07:30"',
        [
            "tariff.e-commercial.slot: gap: mon, tue, wed, thu, fri, sat, sun, make_up, holiday, festival"
            " 07:30-08:00 not covered"
        ],
    ),
    Case(
        "tariff with an overlap on two days",
        "tariffs.toml",
        'start = "14:00", end = "18:00"',
        'start = "13:59", end = "18:00"',
        ["tariff.e-commercial.slot: overlap: sat, sun, holiday 13:59-14:00 covered 2 times"],
    ),
    Case(
        "rate without a price",
        "tariffs.toml",
        "sharp = 1.3812, ",
        "",
        ["tariff.e-commercial.price: no price for the rate 'sharp' that a slot uses"],
    ),
    Case(
        "two prices and no slot",
        "tariffs.toml",
        "price = { flat = 0.52 }",
        "price = { flat = 0.52, peak = 0.6 }",
        ["tariff.c-commercial.price: 2 prices and no slot"],
    ),
    Case(
        "edge to an unknown node",
        "plant.toml",
        'a = "n-bus1", b = "n-f01"',
        'a = "n-buss1", b = "n-f01"',
        ["station.ss1.edge.x-f01.a: unknown node 'n-buss1' (did you mean 'n-bus1'?)"],
    ),
    Case(
        "edge to itself",
        "plant.toml",
        'a = "n-lv1", b = "n-bus1"',
        'a = "n-lv1", b = "n-lv1"',
        ["station.ss1.edge.x-in1.b: joins 'n-lv1' to itself"],
    ),
    Case(
        "node that nothing reaches",
        "plant.toml",
        'a = "n-bus2", b = "n-f14"',
        'a = "n-bus2", b = "n-f13"',
        ["station.ss1.node.n-f14: no edge reaches this node"],
    ),
    Case(
        "loop that nothing opens",
        "plant.toml",
        "edge = [\n",
        'edge = [\n    { id = "x-l1", kind = "line", a = "n-src1", b = "n-lv1", name_zh = "线", name_en = "Line" },\n',
        ["station.ss1.edge.x-tr1: closes a loop of transformers and lines between 'n-src1' and 'n-lv1'"],
    ),
    Case(
        "breaker edge without a switch",
        "plant.toml",
        'device = "q-f14"',
        'device = "w-a101"',
        [
            "meters.csv: line 18, column 'building': neither in a building nor in a station",
            "station.ss1.edge.x-f14.device: 'w-a101' has no switch (profile wattkeeper-demo-water)",
        ],
    ),
    Case(
        "breaker edge with an unknown device",
        "plant.toml",
        'device = "q-f14"',
        'device = "q-f15"',
        [
            "meters.csv: line 18, column 'building': neither in a building nor in a station",
            "station.ss1.edge.x-f14.device: unknown meter 'q-f15' (did you mean 'q-f14'?)",
        ],
    ),
    Case(
        "device drawn twice",
        "plant.toml",
        'device = "q-f14"',
        'device = "q-f13"',
        [
            "meters.csv: line 18, column 'building': neither in a building nor in a station",
            "station.ss1.edge.x-f14.device: 'q-f13' is already drawn by edge 'x-f13'",
        ],
    ),
    Case(
        "bits read as registers",
        "profiles/wattkeeper-demo-1p.toml",
        'function = 3, address = 0x0014, type = "u16"',
        'function = 3, address = 0x0014, type = "bit"',
        ["registers.Position.function: function 3 with type bit"],
    ),
    Case(
        "register behind the last one",
        "profiles/wattkeeper-demo-water.toml",
        "address = 0x0002",
        "address = 0xFFFF",
        ["registers.WaterFlow.address: ends behind register 65535"],
    ),
    Case(
        "register longer than a read",
        "profiles/wattkeeper-demo-water.toml",
        "merge_gap = 4",
        "max_registers = 1",
        [
            "registers.WaterVolume.type: u32 needs 2 registers in one read",
            "registers.WaterFlow.type: u32 needs 2 registers in one read",
        ],
    ),
    Case(
        "pattern of absence too wide",
        "profiles/abb-b23.toml",
        "absent = 0xFFFFFFFFFFFFFFFF",
        "absent = 0x1FFFFFFFFFFFFFFFF",
        ["registers.ActiveEnergyImportTotal.absent: 0x1ffffffffffffffff does not fit"],
    ),
    Case(
        "plausibility upside down",
        "profiles/wattkeeper-demo-1p.toml",
        "low = 0.0, high = 300.0",
        "low = 300.0, high = 0.0",
        ["registers.VoltageL1.low: 300 is not below high 0"],
    ),
    Case(
        "registers overlap",
        "profiles/wattkeeper-demo-water.toml",
        "address = 0x0002",
        "address = 0x0001",
        ["registers.WaterFlow.address: 0x0001-0x0002 overlaps 'WaterVolume'"],
    ),
    Case(
        "measure twice",
        "profiles/wattkeeper-demo-1p.toml",
        'measure = "PowerFactorTotal"',
        'measure = "Frequency"',
        ["registers.Frequency.measure: 'Frequency' stands twice"],
    ),
    Case(
        "tag collision",
        "profiles/wattkeeper-demo-1p.toml",
        'measure = "PowerFactorTotal"',
        'measure = "Online"',
        ["registers.Online.measure: tag 'Online' of every device with this profile would exist twice"],
    ),
    Case(
        "unknown billing measure",
        "profiles/wattkeeper-demo-water.toml",
        '[billing]\nmeasure = "WaterVolume"',
        '[billing]\nmeasure = "WaterVolum"',
        ["billing.measure: unknown measure 'WaterVolum' (did you mean 'WaterVolume'?)"],
    ),
    Case(
        "float billing register in counts that it cannot show",
        "profiles/eastron-sdm630.toml",
        "milli_per_count = 10",
        "milli_per_count = 777777777",
        [
            "billing.milli_per_count: 777777777, so that one count is 777777777/1000 of what"
            " 'ActiveEnergyImportTotal' shows"
        ],
    ),
    Case(
        "weight against scale",
        "profiles/wattkeeper-demo-water.toml",
        "milli_per_count = 1",
        "milli_per_count = 10",
        ["billing.milli_per_count: 10, but 'WaterVolume' has the scale 0.001"],
    ),
    Case(
        "modulus too large",
        "profiles/wattkeeper-demo-water.toml",
        "modulus_counts = 100_000_000",
        "modulus_counts = 5_000_000_000",
        ["billing.modulus_counts: 5000000000 does not fit into u32"],
    ),
    Case(
        "charged electricity without phases",
        "profiles/wattkeeper-demo-1p.toml",
        "phases = 1",
        "phases = 0",
        ["phases: missing, and this electricity meter is charged"],
    ),
    Case(
        "unknown current of a switch",
        "profiles/wattkeeper-demo-1p.toml",
        'current = "CurrentL1"',
        'current = "CurrentL2"',
        ["switch.current: unknown measure 'CurrentL2' (did you mean 'CurrentL1'?)"],
    ),
    Case(
        "raw position twice",
        "profiles/wattkeeper-demo-1p.toml",
        "closed_raw = [2]",
        "closed_raw = [1]",
        ["switch: raw value 0x0001 stands for two positions"],
    ),
    Case(
        "one value for both directions",
        "profiles/wattkeeper-demo-1p.toml",
        "close_value = 0xAAAA",
        "close_value = 0x5555",
        ["switch.close_value: 0x5555 for both directions"],
    ),
    Case(
        "rule on an unknown measure",
        "alarms.toml",
        '"VoltageL1", "VoltageL2"',
        '"VoltageL1", "VoltageL12"',
        ["rule.High.measures: unknown measure 'VoltageL12' on device (did you mean 'VoltageL2'?)"],
    ),
    Case(
        "rule with a foreign reference",
        "alarms.toml",
        'of = "alarm1"',
        'of = "rated_current"',
        ["rule.BalanceLow.of: 'rated_current' does not exist on account"],
    ),
    Case(
        "rule with an unknown word",
        "alarms.toml",
        "{name}: position differs",
        "{nam}: switch",
        ["rule.Discrepancy.text_en: unknown word '{nam}' (did you mean 'name'?)"],
    ),
    Case(
        "rule with a torn brace",
        "alarms.toml",
        "{name}: position differs",
        "{name: position differs",
        ["rule.Discrepancy.text_en: braces that do not match: unmatched '{' in format spec"],
    ),
    Case(
        "two rules of one name",
        "alarms.toml",
        'name = "BalanceLowLow"',
        'name = "BalanceLow"',
        ["rule.BalanceLow.name: a second rule 'BalanceLow' for Balance on account"],
    ),
    Case(
        "shares by a key that nobody has",
        "settlement.toml",
        'by = "heads"',
        'by = "capacity"',
        [
            "share_group.b3-corridor.by: shared by capacity, but no participant has capacity_kva",
        ],
    ),
    Case(
        "a capacity fee without a capacity",
        "supply_points.csv",
        "p-e-bw203,联创模具用电,Lianchuang Moulds electricity,e-bw203,t-w07,e-capacity,b,2F,W203,,,,,,80,900",
        "p-e-bw203,联创模具用电,Lianchuang Moulds electricity,e-bw203,t-w07,e-capacity,b,2F,W203,,,,,,,900",
        ["line 62, column 'capacity_kva': missing, and tariff 'e-capacity' charges by capacity"],
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_slip_is_named(copy: "Copy", case: Case) -> None:
    copy.edit(case.file, case.old, case.new)
    faults = copy.faults()
    assert [_told(fault, case.file) for fault in faults] == case.faults
    assert all(fault.allowed for fault in faults)


def test_every_check_has_a_case(copy: "Copy") -> None:
    """Break everything at once, one check after the other: no check of the table stays silent."""
    own_cases = {*TARIFF_CHECKS, *GATEWAY_CHECKS, *PROTOCOL_CHECKS, *ADDRESS_CHECKS, secret_faults}
    silent = set(CHECKS) - own_cases
    for case in CASES:
        path = copy.folder / case.file
        sound = path.read_text(encoding="utf-8")
        copy.edit(case.file, case.old, case.new)
        sources = read_sources(copy.folder)
        silent -= {check for check in silent if list(check(sources))}
        path.write_text(sound, encoding="utf-8")
    assert {check.__name__ for check in silent} <= {"duplicate_profiles"}  # needs a file of its own, see below


def test_a_profile_that_stands_twice(copy: "Copy") -> None:
    text = (copy.folder / "profiles/abb-b23.toml").read_text(encoding="utf-8")
    (copy.folder / "profiles/abb-b24.toml").write_text(text, encoding="utf-8")
    assert list(map(str, copy.faults())) == [
        "profiles/abb-b24.toml: id: 'abb-b23' in a file of another name; allowed: abb-b24",
        "profiles/abb-b24.toml: id: 'abb-b23' already stands in profiles/abb-b23.toml; allowed: one file per id",
    ]


def test_what_is_allowed_is_said(copy: "Copy") -> None:
    copy.edit("meters.csv", "wattkeeper-demo-1p,gw-a1,1,", "wattkeeper-demo-1p,gw-a1,2,")
    copy.edit("tariffs.toml", 'start = "06:00", end = "08:00"', 'start = "06:00", end = "07:30"')
    assert [fault.allowed for fault in copy.faults()] == [
        "a unit that is free on gw-a1, for example 1",
        "every minute of every day exactly once",
    ]


def test_a_slot_over_midnight_belongs_to_two_days(copy: "Copy") -> None:
    """Valley from 22:00 to 06:00 on Sundays alone leaves Sunday morning open and covers Monday morning."""
    copy.edit("tariffs.toml", '{ start = "22:00"', '{ days = ["sun"], start = "22:00"')
    assert [fault.wrong for fault in copy.faults()] == [
        "gap: mon, tue, wed, thu, fri, sat, make_up, holiday, festival 22:00-24:00 not covered",
        "gap: tue, wed, thu, fri, sat, sun, make_up, holiday, festival 00:00-06:00 not covered",
    ]


def test_several_faults_are_reported_together(copy: "Copy") -> None:
    copy.edit("plant.toml", "period_s = 1.0", "periods = 1.0")
    copy.edit("meters.csv", "wattkeeper-demo-1p,gw-a1,1,", "wattkeeper-demo-1p,gw-a9,0,")
    copy.edit("tenants.csv", ",8.50,200,50,", ",8.50,50,200,")
    copy.edit("tariffs.toml", "sharp = 1.3812, ", "")
    copy.edit("field.toml", 'shape = "office"', 'shape = "offices"')
    assert {fault.file for fault in copy.faults()} == {
        "plant.toml", "meters.csv", "tenants.csv", "tariffs.toml", "field.toml",
    }  # fmt: skip
