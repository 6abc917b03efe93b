"""A damaged or odd table is answered with faults or with a difference, never with another error; nothing changes."""

import io
import random
import shutil
import zipfile
from pathlib import Path

import openpyxl
import pytest

from config.import_sheets import read_file
from config.importing import prepare

CONFIG = Path(__file__).parents[3] / "config"
ROUNDS = 25
PIECES = (
    b"",
    b"\n",
    b"\r",
    b"\r\n",
    b'"',
    b",",
    b"#",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    "编号".encode(),
    b"e-a101",
    b"1E+11",
    b"=1/0",
)
HEAD = 6000  # bytes of a table that are enough for every kind of row


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    shutil.copytree(CONFIG / "demo", folder)
    return folder


def damage(raw: bytes, luck: random.Random) -> bytes:
    for _ in range(luck.randint(1, 4)):
        at = luck.randrange(len(raw))
        raw = raw[:at] + luck.choice(PIECES) + raw[at + luck.randint(0, 5) :]
    return raw


def take(site: Path, path: Path, remove: bool) -> None:
    found = prepare(site, read_file(path, lambda rows, _: rows), remove)
    for fault in found.faults:
        assert fault.file and fault.place and fault.wrong and fault.allowed


@pytest.mark.parametrize("name", ["meters.csv", "supply_points.csv", "tenants.csv"])
def test_damaged_text(site: Path, tmp_path: Path, name: str) -> None:
    luck = random.Random(name)
    sound = (site / name).read_bytes()
    folder = {path.name: path.read_bytes() for path in site.iterdir()}
    path = tmp_path / name
    for round_number in range(ROUNDS):
        path.write_bytes(damage(sound[:HEAD], luck))
        take(site, path, remove=bool(round_number % 2))
        (site / name).write_bytes(damage(sound, luck))  # the folder's own file is damaged as well
        take(site, path, remove=bool(round_number % 2))
        (site / name).write_bytes(sound)
    assert {path.name: path.read_bytes() for path in site.iterdir()} == folder


def test_a_damaged_workbook(site: Path, tmp_path: Path) -> None:
    luck = random.Random("workbook")
    path = tmp_path / "in.xlsx"
    book = openpyxl.Workbook()
    for row in (
        ("编号", "中文名称", "型号", "网关"),
        ("e-a101", "一", "lx47le-125", "gw-a1"),
        (1.5, True, None, "=1/0"),
    ):
        book.active.append(row)
    book.save(path)
    sound = path.read_bytes()
    for round_number in range(2 * ROUNDS):
        path.write_bytes(damage(sound, luck) if round_number % 2 else damage_inside(sound, luck))
        read_file(path, lambda rows, _: rows)  # the checks behind it are those of a CSV


def damage_inside(raw: bytes, luck: random.Random) -> bytes:
    """Return a workbook whose archive is sound and one of whose parts is not."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        victim = luck.choice(names)
        for name in names:
            part = old.read(name)
            new.writestr(name, damage(part, luck) if name == victim else part)
    return out.getvalue()
