"""Files, encodings and places: what the loader says about tables and rows that are wrong by themselves."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.loader import listed, nearest, profile_folder, read_sources
from config.plant import load

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy

SLIPS = [  # file, old, new, exactly the faults
    (
        "plant.toml",
        "checkpoint_s = 10.0",
        "checkpoints_s = 10.0",
        ["plant.toml: scan.checkpoints_s: unknown key (did you mean 'checkpoint_s'?); allowed: checkpoint_s, period_s"],
    ),
    (
        "plant.toml",
        "[history]",
        "[histroy]",
        [
            "plant.toml: histroy: unknown table (did you mean 'history'?); allowed: account_class, building, credit,"
            " credit_class, field, gateway, history, hmi, ledger, opcua, rate_table, scan, ... (15 in all)"
        ],
    ),
    (
        "plant.toml",
        "period_s = 1.0",
        "period_s = 0",
        ["plant.toml: scan.period_s: 0; allowed: greater than or equal to 0.1"],
    ),
    (
        "plant.toml",
        "port = 15021",
        'port = "abc"',
        [
            "plant.toml: gateway.gw-ss.port: 'abc'; allowed: a valid integer, unable to parse string as an integer",
        ],
    ),
    (
        "plant.toml",
        'kind = "source"',
        'kind = "sourse"',
        [
            "plant.toml: station.ss1.node.n-src1.kind: 'sourse' (did you mean 'source'?);"
            " allowed: 'source', 'busbar' or 'load'"
        ],
    ),
    (
        "plant.toml",
        'kind = "breaker", a = "n-lv1"',
        'kind = "line", a = "n-lv1"',
        [
            "plant.toml: station.ss1.edge.x-in1: these keys together;"
            " allowed: a breaker edge names its device, and only a breaker edge does"
        ],
    ),
    (
        "plant.toml",
        'currency = "CNY"',
        'currency = "yuan"',
        ["plant.toml: site.currency: 'yuan'; allowed: three capital letters (ISO 4217), for example CNY"],
    ),
    (
        "tariffs.toml",
        "flat = 0.52 ",
        "flat = 0.5200001 ",
        ["tariffs.toml: tariff.c-commercial.price.flat: '0.5200001'; allowed: at most 6 decimals"],
    ),
    (
        "tariffs.toml",
        'start = "06:00"',
        'start = "6:00"',
        ["tariffs.toml: tariff.e-commercial.slot.2.start: '6:00'; allowed: a time of day HH:MM from 00:00 to 24:00"],
    ),
    (
        "tariffs.toml",
        'rate = "sharp"',
        'rate = "shrap"',
        [
            "tariffs.toml: tariff.e-commercial.slot.3.rate: 'shrap' (did you mean 'sharp'?);"
            " allowed: 'sharp', 'peak', 'flat', 'valley' or 'deep_valley'"
        ],
    ),
    (
        "profiles/abb-b23.toml",
        'unit = "A", zh = "A相电流"',
        'units = "A", zh = "A相电流"',
        [
            "profiles/abb-b23.toml: registers.CurrentL1.units: unknown key (did you mean 'unit'?); allowed: absent,"
            " address, at, deadband, di, en, function, high, layout, low, mask, measure, ... (21 in all)"
        ],
    ),
    (
        "profiles/abb-b23.toml",
        'unit = "kWh"',
        'unit = "kwh"',
        [
            "profiles/abb-b23.toml: registers.ActiveEnergyImportTotal.unit: 'kwh'; allowed: a unit of scada.units: kWh,"
            " Wh, kW, W, kVA, kvar, kvarh, V, A, mA, Hz, m3, m3/h, L, GJ, MJ, °C, t, t/h, kPa, MPa, %, s, ms, d,"
            " h (or empty)"
        ],
    ),
    (
        "meters.csv",
        "rated_current_a,",
        "rated_curent_a,",
        [
            "meters.csv: line 1, column 'rated_curent_a': unknown column (did you mean 'rated_current_a'?); allowed:"
            " address, building, ct, feeder, floor, gateway, id, max_per_h, name_en, name_zh, profile, protected, ..."
            " (17 in all)"
        ],
    ),
    (
        "tenants.csv",
        "t-s01,晨曦咖啡,Dawn Coffee,8.50",
        "t-s01,晨曦咖啡,Dawn, Coffee,8.50",
        [
            "tenants.csv: line 2: 11 cells under 10 headings; allowed: quotes around a text with commas",
        ],
    ),
    (
        "tenants.csv",
        "t-s01,晨曦咖啡,Dawn Coffee,8.50",
        "T_s01,晨曦咖啡,,8.5000000001",
        [
            "tenants.csv: line 2, column 'id': 'T_s01'; allowed: lower-case letters, digits and hyphens, beginning with"
            " a letter or digit",
            "tenants.csv: line 2, column 'opening': '8.5000000001'; allowed: at most 9 decimals",
            "tenants.csv: line 2, column 'name_en': missing; allowed: a value for 'name_en'",
        ],
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "faults"), SLIPS, ids=[f"{slip[0]}-{slip[2][:20]}" for slip in SLIPS])
def test_a_slip_inside_one_table(copy: "Copy", file: str, old: str, new: str, faults: list[str]) -> None:
    copy.edit(file, old, new)
    own = [str(fault) for fault in copy.faults() if fault.file == file]
    assert sorted(own) == sorted(faults)


def test_a_faulty_row_does_not_make_its_references_unknown(copy: "Copy") -> None:
    """The meter keeps its id even though its unit is wrong, so the supply point on it is not blamed."""
    copy.edit("meters.csv", "wattkeeper-demo-1p,gw-a1,1,", "wattkeeper-demo-1p,gw-a1,248,")
    assert list(map(str, copy.faults())) == [
        "meters.csv: line 19, column 'unit': '248'; allowed: less than or equal to 247"
    ]


@pytest.mark.parametrize("file", ["plant.toml", "tariffs.toml", "meters.csv", "supply_points.csv", "tenants.csv"])
def test_a_missing_file_is_named(copy: "Copy", file: str) -> None:
    (copy.folder / file).unlink()
    assert [str(fault) for fault in copy.faults()] == [
        f"{file}: file: missing; allowed: a file {file} in {copy.folder}"
    ]


def test_text_that_is_no_toml_is_named_once(copy: "Copy") -> None:
    copy.edit("tariffs.toml", "[[tariff]]", "[tariff")
    (fault,) = copy.faults()
    assert (fault.file, fault.place, fault.allowed) == ("tariffs.toml", "file", "TOML 1.0")
    assert fault.wrong.startswith("not TOML: ")


def test_a_real_plant_needs_no_simulation_and_no_alarms(copy: "Copy") -> None:
    (copy.folder / "field.toml").unlink()
    (copy.folder / "alarms.toml").unlink()
    plant = load(copy.folder)
    assert (plant.alarms, plant.field.loads) == ((), {})


def test_the_site_table_is_required(copy: "Copy") -> None:
    text = (copy.folder / "plant.toml").read_text(encoding="utf-8")
    start, end = text.index("[site]"), text.index("[scan]")
    (copy.folder / "plant.toml").write_text(text[:start] + text[end:], encoding="utf-8")
    assert "plant.toml: site: missing; allowed: a table [site]" in map(str, copy.faults())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_spreadsheet_may_save_in_its_own_encoding(copy: "Copy", encoding: str) -> None:
    for file in ("meters.csv", "supply_points.csv", "tenants.csv"):
        path = copy.folder / file
        text = path.read_text(encoding="utf-8").replace("\n", "\r\n")
        path.write_bytes(text.encode(encoding))
    plant = load(copy.folder)
    assert plant.names["t-s01"].zh == "晨曦咖啡"


def test_bytes_that_are_no_text_are_named(copy: "Copy") -> None:
    (copy.folder / "tenants.csv").write_bytes(b"id,name_zh\n\xff\xff\xff")
    assert "tenants.csv: byte 11: neither UTF-8 nor GB 18030; allowed: CSV text in UTF-8 or GB 18030" in map(
        str, copy.faults()
    )


def test_empty_lines_comments_and_chinese_yes_are_understood(copy: "Copy") -> None:
    copy.edit("tenants.csv", "\nt-s01,", "\n\n# 商铺\n,,,,,,,,\nt-s01,")
    copy.edit("tenants.csv", ",8.50,200,50,0,20,", ",8.50,200,50,0,20,是")
    accounts = {account.id: account for account in load(copy.folder).accounts}
    assert accounts["t-s01"].protected


def test_lines_are_counted_as_an_editor_does(copy: "Copy") -> None:
    copy.edit("tenants.csv", "\nt-s01,晨曦咖啡,", '\n\nt-s01,"晨曦\n咖啡",')
    copy.edit("tenants.csv", ",8.50,200,", ",x,200,")
    assert [fault.place for fault in copy.faults()] == ["line 4, column 'opening'"]


def test_a_site_may_bring_its_own_profiles(copy: "Copy", demo_folder: Path) -> None:
    assert profile_folder(copy.folder) == copy.folder / "profiles"
    assert profile_folder(demo_folder) == demo_folder.parent / "profiles"
    own = {placed.item.id for placed in read_sources(copy.folder).many("profile")}
    shipped = {placed.item.id for placed in read_sources(demo_folder).many("profile")}
    assert own == shipped


def test_nearest_and_listed() -> None:
    assert nearest("gw-al", ["gw-a1", "gw-ss"]) == " (did you mean 'gw-a1'?)"
    assert nearest("zzz", ["gw-a1"]) == ""
    assert listed([]) == "nothing, none is defined"
    assert listed(f"n{number:02d}" for number in range(20)).endswith("n11, ... (20 in all)")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_limit_is_a_number(copy: "Copy", number: str) -> None:
    copy.edit("alarms.toml", "limit = 1.07", f"limit = {number}")
    assert [fault.place for fault in copy.faults()] == ["rule.High.limit"]
