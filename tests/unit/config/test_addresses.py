"""Meter numbers and units: what each protocol calls an address, and that nothing answers for two."""

from pathlib import Path

import pytest

from config.addresses import ADDRESS_CHECKS, is_identified, meter_address
from config.loader import read_sources
from config.schema import MeterRow

PLANT = """[site]
id = "p"
name_zh = "园"
name_en = "Park"
timezone = "Asia/Shanghai"
currency = "CNY"

[[gateway]]
id = "tcp"
name_zh = "一"
name_en = "One"
transport = "tcp"
host = "10.0.0.1"
port = 4001

[[gateway]]
id = "mb"
name_zh = "二"
name_en = "Two"
host = "10.0.0.2"
"""
HEADING = "id,name_zh,name_en,profile,gateway,unit,address,serial,building\n"


def said(folder: Path, *rows: str) -> list[str]:
    """Return the faults of the address checks over rows of `profile,gateway,unit,address,serial`."""
    (folder / "plant.toml").write_text(PLANT, encoding="utf-8")
    lines = [f"m{number},表,Meter,{row},a\n" for number, row in enumerate(rows)]
    (folder / "meters.csv").write_text(HEADING + "".join(lines), encoding="utf-8")
    sources = read_sources(folder)
    return [f"{fault.place}: {fault.wrong}" for check in ADDRESS_CHECKS for fault in check(sources)]


SOUND = [
    ("dlt645-2007-3p,tcp,,112233445566,s",),
    ("dlt645-2007-3p,tcp,,1,s",),
    ("dlt645-1997,tcp,,000000000003,s",),
    ("cjt188-cold-water,tcp,,12345678,s",),
    ("cjt188-cold-water,tcp,,78330011223344,s",),
    ("acrel-adl3000,tcp,247,,s",),
    ("acrel-adl3000,mb,1,,s",),
    ("dlt645-2007-3p,tcp,,1,s1", "dlt645-1997,tcp,,1,s2", "acrel-adl3000,tcp,1,,s3"),  # they hear other frames
]


@pytest.mark.parametrize("rows", SOUND)
def test_sound_addresses(tmp_path: Path, rows: tuple[str, ...]) -> None:
    assert said(tmp_path, *rows) == []


SLIPS = [
    ("dlt645-2007-3p,tcp,,,s", "address'", "missing, and this is a device of dlt645-2007"),
    ("dlt645-2007-3p,tcp,,1234567890123,s", "address'", "'1234567890123'"),
    ("dlt645-2007-3p,tcp,,12345A,s", "address'", "'12345A'"),
    ("dlt645-2007-3p,tcp,,１２,s", "address'", "'１２'"),
    ("dlt645-2007-3p,tcp,,1.12233E+11,s", "address'", "'1.12233E+11': a spreadsheet has rounded it"),
    ("dlt645-2007-3p,tcp,,999999999999,s", "address'", "'999999999999' is the address of all meters at once"),
    ("dlt645-2007-3p,tcp,3,12,s", "unit'", "3, and this is a device of dlt645-2007"),
    ("dlt645-2007-3p,mb,,12,s", "gateway'", "'mb' speaks Modbus TCP, this device dlt645-2007"),
    ("cjt188-gas,tcp,,12345678901,s", "address'", "'12345678901'"),
    ("acrel-adl3000,mb,,,s", "unit'", "missing, and this is a Modbus device"),
    ("acrel-adl3000,mb,1,12,s", "address'", "'12', and this is a Modbus device"),
]


@pytest.mark.parametrize(("row", "column", "wrong"), SLIPS)
def test_a_wrong_address(tmp_path: Path, row: str, column: str, wrong: str) -> None:
    assert said(tmp_path, row) == [f"line 2, column '{column}: {wrong}"]


def test_nothing_answers_for_two(tmp_path: Path) -> None:
    rows = ["dlt645-2007-3p,tcp,,12,s1", "dlt645-2007-1p,tcp,,000000000012,s2", "acrel-adl3000,mb,1,,s2"]
    assert said(tmp_path, *rows) == [
        "line 3, column 'address': 000000000012 of tcp already belongs to 'm0' (line 2)",
        "line 4, column 'serial': 's2' already belongs to 'm1' (line 3)",
    ]
    full = [f"acrel-adl3000,mb,{unit},,s{unit}" for unit in range(1, 248)]
    assert said(tmp_path, *full, "acrel-adl3000,mb,1,,x") == [
        "line 249, column 'unit': unit 1 of mb already belongs to 'm0' (line 2)"
    ]


def test_meters_without_a_serial_number_are_no_twins(tmp_path: Path) -> None:
    assert said(tmp_path, "abb-b23,mb,1,,", "abb-b23,mb,2,,") == []


@pytest.mark.parametrize(
    ("identity", "serial", "address", "told"),
    [
        ("N", "7", "", True),
        ("N", "", "12", True),
        ("N", "none", "", False),
        ("N", "", "", False),
        ("", "7", "12", False),
    ],
)
def test_who_is_identified(identity: str, serial: str, address: str, told: bool) -> None:
    row = {"id": "m", "name_zh": "表", "name_en": "Meter", "profile": "p", "gateway": "g"}
    meter = MeterRow(**row, serial=serial, address=address)
    assert is_identified(identity, meter) is told


def test_numbers_are_padded() -> None:
    assert meter_address("12", "dlt645-2007") == "000000000012"
    assert meter_address("12345678", "cjt188") == "00000012345678"
    assert meter_address("78330011223344", "cjt188") == "78330011223344"
    assert meter_address("", "modbus") == ""
