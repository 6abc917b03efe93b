"""Importing meters: headings and encodings as people make them, every fault by row and column, the write."""

import csv
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import run
from config import schema
from config.import_sheets import ratio, text_of
from config.import_words import COLUMNS, KINDS, column_of
from config.plant import load
from scada.errors import ConfigurationError

CONFIG = Path(__file__).parents[3] / "config"
MODELS = {"meter": schema.MeterRow, "point": schema.PointRow, "tenant": schema.TenantRow}
CHINESE = (
    "编号",
    "中文名称",
    "英文名称",
    "型号",
    "网关",
    "站号",
    "表号",
    "CT变比",
    "额定电流(A)",
    "楼栋",
    "楼层",
    "上级开关",
    "保电",
)
ENGLISH = (
    "id", "Chinese name", "English name", "profile", "gateway", "unit id", "Serial number", "CT ratio",
    "Rated current (A)", "building", "floor", "feeder", "protected",
)  # fmt: skip
NEW = (
    "e-new1",
    "新表一",
    "New meter 1",
    "wattkeeper-demo-3p",
    "gw-a1",
    "101",
    "N1",
    "100/5",
    "100",
    "a",
    "1F",
    "q-f01",
    "是",
)
OLD = "e-a102"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a copy of the demonstration without its profiles, which come with Wattkeeper."""
    folder = tmp_path / "site"
    shutil.copytree(CONFIG / "demo", folder)
    return folder


def sheet(path: Path, rows: Sequence[Sequence[Any]], encoding: str = "utf-8", title: str = "Sheet1") -> Path:
    """Write rows as CSV or XLSX, by the name of the file."""
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        book.active.title = title
        for row in rows:
            book.active.append(list(row))
        book.save(path)
    else:
        with path.open("w", encoding=encoding, newline="") as stream:
            csv.writer(stream).writerows(rows)
    return path


@pytest.fixture
def take(site: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Return what runs the command and returns its code and lines."""

    def run_it(path: Path, *options: str) -> tuple[int, list[str]]:
        code = run.main(["import", str(path), "--config", str(site), *options])
        return code, capsys.readouterr().out.splitlines()

    return run_it


def row_of(site: Path, name: str) -> dict[str, str]:
    with (site / "meters.csv").open(encoding="utf-8-sig", newline="") as stream:
        return next(row for row in csv.DictReader(stream) if row["id"] == name)


Take = Callable[..., tuple[int, list[str]]]


@pytest.mark.parametrize("headings", [CHINESE, ENGLISH])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "xlsx"])
def test_a_new_meter(site: Path, take: Take, tmp_path: Path, headings: Sequence[str], encoding: str) -> None:
    name = "in.xlsx" if encoding == "xlsx" else "in.csv"
    path = sheet(tmp_path / name, [headings, NEW], encoding)
    before = (site / "meters.csv").read_bytes()
    code, lines = take(path)
    assert (code, lines[0]) == (0, "meters.csv: 1 added, 0 changed, 0 removed, 0 as they are, 103 not in the file stay")
    assert "ct 20" in lines[1]
    assert "nothing was written" in lines[-1]
    assert (site / "meters.csv").read_bytes() == before
    code, lines = take(path, "--write")
    assert code == 0
    device = next(device for device in load(site).devices if device.id == "e-new1")
    assert (device.unit, device.ct, device.serial, device.profile.id) == (101, 20, "N1", "wattkeeper-demo-3p")
    assert (site / "meters.csv").read_bytes().startswith(before)
    (copy,) = site.glob("*.bak")
    assert copy.read_bytes() == before
    assert take(path, "--write")[1] == [
        "meters.csv: 0 added, 0 changed, 0 removed, 1 as they are, 103 not in the file stay", "nothing differs",
    ]  # fmt: skip


def test_a_changed_meter_keeps_its_place_and_the_file_its_form(site: Path, take: Take, tmp_path: Path) -> None:
    path = site / "meters.csv"
    text = "# 手工注释, 不可丢失\r\n" + path.read_text(encoding="utf-8").replace("\n", "\r\n")
    heading, _, rest = text.partition("\r\n")[2].partition("\r\n")
    path.write_bytes(("\ufeff" + heading + "\r\n# a comment, kept\r\n\r\n" + rest).encode("utf-8"))
    before = path.read_bytes().decode().splitlines()
    wanted = sheet(tmp_path / "in.csv", [("编号", "额定电流", "保电", "楼层"), (OLD, "125", "否", "1F")])
    code, lines = take(wanted, "--write")
    assert code == 0
    assert lines[:3] == [
        "meters.csv: 0 added, 1 changed, 0 removed, 0 as they are, 102 not in the file stay",
        f"  ~ {OLD}",
        "      rated_current_a: 100 -> 125",
    ]
    raw = path.read_bytes()
    after = raw.decode().splitlines()
    assert raw.startswith(b"\xef\xbb\xbf") and raw.count(b"\r\n") == raw.count(b"\n")
    differing = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert [before[number].split(",")[0] for number in differing] == [OLD]
    assert row_of(site, OLD)["serial"] == "20262611082"  # what the sheet does not bring stays


def test_a_file_in_gb18030_stays_so(site: Path, take: Take, tmp_path: Path) -> None:
    path = site / "meters.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("gb18030"))
    assert take(sheet(tmp_path / "in.csv", [("编号", "中文名称"), (OLD, "川味人家二号表")]), "--write")[0] == 0
    assert "川味人家二号表" in path.read_bytes().decode("gb18030")
    assert next(name for key, name in load(site).names.items() if key == OLD).zh == "川味人家二号表"


def test_rows_go_only_when_told(site: Path, take: Take, tmp_path: Path) -> None:
    with (site / "meters.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row[0] != "q-f14"]
    path = sheet(tmp_path / "in.csv", rows)
    assert take(path)[1][-1] == "nothing differs"
    code, lines = take(path, "--remove")  # a breaker of the station's diagram: its removal is refused as a whole
    assert code == 2
    assert any("unknown meter 'q-f14'" in line for line in lines) or any("'q-f14'" in line for line in lines)
    tenants = [("id", "name_zh", "name_en", "alarm1", "alarm2", "reconnect")]
    assert take(sheet(tmp_path / "tenants.csv", tenants), "--remove")[0] == 2  # an empty sheet removes nothing
    assert len(load(site).devices) == 103


FAULTS = [
    (
        {"型号": "wattkeeper-demo-p3"},
        "'型号' (profile): unknown profile 'wattkeeper-demo-p3' (did you mean 'wattkeeper-demo-3p'?)",
    ),
    ({"网关": "gw-a9"}, "'网关' (gateway): unknown gateway 'gw-a9'"),
    ({"站号": "2"}, "'站号' (unit): unit 2 of gw-a1 already belongs to 'e-a102' (line 20)"),
    ({"站号": ""}, "'站号' (unit): missing, and this is a Modbus device"),
    ({"站号": "300"}, "'站号' (unit): '300'; allowed: less than or equal to 247"),
    ({"表号": "20262611082"}, "'表号' (serial): '20262611082' already belongs to 'e-a102' (line 20)"),
    ({"CT变比": "100/7"}, "'CT变比' (ct): '100/7'; allowed: a valid integer"),
    ({"编号": "E New"}, "'编号' (id): 'E New'; allowed: lower-case letters, digits and hyphens"),
    ({"编号": ""}, "'编号' (id): missing; allowed: a value for 'id'"),
    ({"编号": "gw-a1"}, "'编号' (id): 'gw-a1' already names the gateway at plant.toml, gateway.gw-a1"),
    ({"中文名称": ""}, "'中文名称' (name_zh): missing"),
    ({"楼层": "99F"}, "'楼层' (floor): unknown floor '99F' of building 'a'"),
    ({"上级开关": "e-a103x"}, "'上级开关' (feeder): unknown feeder 'e-a103x'"),
    ({"保电": "maybe"}, "'保电' (protected): 'maybe'; allowed: a valid boolean"),
    ({"额定电流(A)": "#N/A"}, "'额定电流(A)' (rated_current_a): '#N/A': a formula failed; allowed: a value"),
]


@pytest.mark.parametrize(("slip", "said"), FAULTS)
def test_every_fault_is_told_by_row_and_column(
    site: Path, take: Take, tmp_path: Path, slip: dict[str, str], said: str
) -> None:
    before = (site / "meters.csv").read_bytes()
    row = [slip.get(heading, cell) for heading, cell in zip(CHINESE, NEW, strict=True)]
    path = sheet(tmp_path / "in.csv", [("# 张三 2026-11-24",), CHINESE, (), row])
    code, lines = take(path, "--write")
    assert code == 2
    assert lines[0].startswith(f"in.csv: row 4, column {said}"), lines
    assert (site / "meters.csv").read_bytes() == before
    assert list(site.glob("*.bak")) == []


def test_all_faults_come_at_once(take: Take, tmp_path: Path) -> None:
    rows = [
        CHINESE,
        ["e-x1", *NEW[1:4], "gw-a9", "300", *NEW[6:]],
        ["e-x2", *NEW[1:]],
        ["e-x2", *NEW[1:5], "102", "N2", *NEW[7:]],
    ]
    code, lines = take(sheet(tmp_path / "in.xlsx", rows))
    assert code == 2
    told = "\n".join(lines)
    for part in (
        "in.xlsx [Sheet1]: row 2, column '站号' (unit): '300'; allowed: less than or equal to 247",
        "in.xlsx [Sheet1]: row 4, column '编号' (id): 'e-x2' stands twice in this sheet; allowed: each id once",
    ):
        assert part in told


def test_a_row_is_judged_whole_although_a_cell_of_it_cannot_be_read(take: Take, tmp_path: Path) -> None:
    slips = {"CT变比": "100/7", "保电": "也许", "站号": "2", "表号": "20262611082", "楼层": "9Z", "额定电流(A)": "-1"}
    row = [slips.get(heading, cell) for heading, cell in zip(CHINESE, NEW, strict=True)]
    code, lines = take(sheet(tmp_path / "in.csv", [CHINESE, row]))
    assert code == 2
    places = [line.partition("'")[2].partition("'")[0] for line in lines]
    assert sorted(places) == sorted(slips), lines  # each once


def test_headings_that_are_wrong(take: Take, tmp_path: Path) -> None:
    headings = ["编号", "中文名称", "英文名称", "型号", "网关", "颜色", "名称"]
    code, lines = take(sheet(tmp_path / "meters.csv", [headings, NEW[:7]]))
    assert code == 2
    assert lines[0].startswith(
        "meters.csv: row 1, column '颜色': unknown column; allowed: id (编号), name_zh (中文名称)"
    )
    assert lines[1] == "meters.csv: row 1, column '名称': a second column of 'name_zh'; allowed: each column once"
    assert len(lines) == 2
    assert "missing column" in take(sheet(tmp_path / "meters.csv", [headings[1:5], NEW[1:5]]))[1][0]


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("in.xlsx", b"this is no archive", "no workbook, or a damaged one: BadZipFile"),
        ("in.xls", b"\xd0\xcf\x11\xe0", "'.xls'; allowed: .xlsx or .csv; save an old .xls"),
        ("in.csv", b"\xff\xff\xfe", "neither UTF-8 nor GB 18030"),
        ("in.csv", b"", "no sheet with rows that are known"),
        ("in.csv", "甲,乙\n1,2\n".encode(), "no sheet with rows that are known"),
        ("nowhere/in.csv", None, "missing; allowed: a CSV or XLSX file"),
    ],
)
def test_a_file_that_is_none(take: Take, tmp_path: Path, name: str, raw: bytes | None, said: str) -> None:
    path = tmp_path / name
    if raw is not None:
        path.write_bytes(raw)
    code, lines = take(path)
    assert code == 2
    assert f"in.{name.rpartition('.')[2]}: file: {said}" in lines[0]


def test_a_whole_tenant_in_one_workbook(site: Path, take: Take, tmp_path: Path) -> None:
    """A meter, its supply point and its tenant come together: alone each would be refused."""
    book = openpyxl.Workbook()
    book.active.title = "说明"
    book.active.append(["请填写后面的表", None])
    for title, rows in (
        ("仪表", [CHINESE, NEW]),
        ("计费点", [("编号", "中文名称", "英文名称", "表计", "租户", "资费", "楼栋", "楼层"),
                 ("p-new1", "新计费点", "New point", "e-new1", "t-new1", "e-commercial", "a", "1F")]),
        ("租户", [("编号", "中文名称", "英文名称", "提醒余额", "警告余额", "复电余额"),
                ("t-new1", "新租户", "New tenant", 200, 50.5, 10)]),
    ):  # fmt: skip
        page = book.create_sheet(title)
        for row in rows:
            page.append(row)
    path = tmp_path / "all.xlsx"
    book.save(path)
    with (site / "field.toml").open("a", encoding="utf-8") as stream:
        stream.write('e-new1 = { nominal = 100, shape = "flat", seed = 9 }\n')
    code, lines = take(path, "--write")
    assert code == 0, lines
    assert lines[0] == "all.xlsx [说明]: no rows that are known, passed over"
    plant = load(site)
    assert next(point for point in plant.points if point.id == "p-new1").meter == "e-new1"
    assert next(account for account in plant.accounts if account.id == "t-new1").alarm2_nano == 50_500_000_000
    assert sorted(path.name.partition(".2")[0] for path in site.glob("*.bak")) == sorted(KINDS.values())


def test_long_numbers_and_new_columns(site: Path, take: Take, tmp_path: Path) -> None:
    """A meter number typed as a number; the file of the folder gets the column that it did not have."""
    with (site / "plant.toml").open("a", encoding="utf-8") as stream:
        stream.write('\n[[gateway]]\nid = "gw-d"\nname_zh = "透传"\nname_en = "Transparent"\ntransport = "tcp"\n')
        stream.write('host = "10.0.0.9"\nport = 4001\n')
    text = (site / "meters.csv").read_text(encoding="utf-8")
    had = "address" in text.partition("\n")[0].split(",")
    rows = [
        ("编号", "中文名称", "英文名称", "型号", "网关", "通信地址", "表号", "额定电流", "楼栋"),
        ("e-d1", "表", "Meter", "dlt645-2007-1p", "gw-d", 112233445566, 26110001, 60.0, "a"),
    ]
    code, lines = take(sheet(tmp_path / "in.xlsx", rows), "--write")
    assert code == 0, lines
    device = next(device for device in load(site).devices if device.id == "e-d1")
    assert (device.address, device.unit, device.serial) == ("112233445566", 0, "26110001")
    heading = (site / "meters.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
    assert heading[-1] == "address" or had
    rows[1] = (*rows[1][:5], "000112233445566"[3:], *rows[1][6:])
    assert take(sheet(tmp_path / "in.xlsx", rows))[1][-1] == "nothing differs"


def test_what_someone_else_wrote_is_not_overwritten(site: Path, tmp_path: Path) -> None:
    from config.import_sheets import read_file
    from config.importing import prepare, write
    from scada.errors import WattkeeperError

    found = prepare(site, read_file(sheet(tmp_path / "in.csv", [CHINESE, NEW]), lambda rows, _: rows), remove=False)
    with (site / "meters.csv").open("a", encoding="utf-8") as stream:
        stream.write("# by hand\n")
    with pytest.raises(WattkeeperError, match="changed by someone else"):
        write(found)
    assert list(site.glob("*.bak")) + list(site.glob(".*.new")) == []


def test_a_replacement_that_fails_takes_the_others_back(site: Path, tmp_path: Path) -> None:
    """The second of two files cannot be replaced, because a folder stands in its place by then."""
    from config.import_sheets import read_file
    from config.importing import _replace, prepare
    from scada.errors import WattkeeperError

    found = prepare(site, read_file(sheet(tmp_path / "in.csv", [CHINESE, NEW]), lambda rows, _: rows), remove=False)
    before = (site / "meters.csv").read_bytes()
    (fresh := site / ".meters.csv.new").write_bytes(found.texts["meters.csv"])
    (other := site / ".tenants.csv.new").write_bytes(b"")
    (site / "tenants.csv").unlink()
    (site / "tenants.csv").mkdir()
    with pytest.raises(WattkeeperError, match="the old files are back"):
        _replace(found, {"meters.csv": fresh, "tenants.csv": other})
    assert (site / "meters.csv").read_bytes() == before
    assert not fresh.exists() and not other.exists()


@pytest.mark.parametrize("alive", [0, 1, 2])
def test_an_import_that_is_killed_between_two_files_is_completed(
    site: Path, take: Take, tmp_path: Path, alive: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A start refuses the mixture; the next import completes it, whatever it brings."""
    path = tmp_path / "all.xlsx"
    book = openpyxl.Workbook()
    for title, old, zh in (("仪表", OLD, "表甲"), ("计费点", "p-e-a102", "点甲"), ("租户", "t-s02", "户甲")):
        page = book.create_sheet(title)
        page.append(("编号", "中文名称"))
        page.append((old, zh))
    book.save(path)
    replaced = Path.replace
    done: list[Path] = []

    def killed(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            if len(done) == alive:
                raise SystemExit  # as SIGKILL: nothing after it is carried out
            done.append(self)
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(SystemExit):
        take(path, "--write")
    monkeypatch.undo()
    capsys.readouterr()
    with pytest.raises(ConfigurationError, match=r"^\.import: file: an import was ended while it replaced files"):
        load(site)
    other = sheet(tmp_path / "in.csv", [("编号", "中文名称"), (OLD, "表甲")])
    code, lines = take(other)
    assert (code, lines[0]) == (
        0, "an import that was ended half-way is complete now: meters.csv, supply_points.csv, tenants.csv",
    )  # fmt: skip
    assert lines[-1] == "nothing differs"
    plant = load(site)
    assert [plant.names[name].zh for name in (OLD, "p-e-a102", "t-s02")] == ["表甲", "点甲", "户甲"]
    assert [path.name for path in site.glob(".*")] == []


def test_rows_are_numbered_as_the_spreadsheet_shows_them(take: Take, tmp_path: Path) -> None:
    """A heading of two lines, as the template has it, is one row; a row whose id was forgotten is no comment."""
    headings = ["编号\nid", "中文名称\nname_zh", *CHINESE[2:]]
    row = ["", "#3 水泵", *NEW[2:]]
    code, lines = take(sheet(tmp_path / "in.csv", [headings, row]))
    assert code == 2
    assert lines[0].startswith("in.csv: row 2, column '编号 id' (id): missing"), lines


def test_the_template_is_read_back(site: Path, take: Take, tmp_path: Path) -> None:
    path = tmp_path / "empty.xlsx"
    assert take(path, "--template")[0] == 0
    assert take(path)[1][0].startswith("empty.xlsx: file: no sheet with rows")
    book = openpyxl.load_workbook(path)
    page = book["meters 仪表"]
    choices = {
        str(area): choice.formula1 for choice in page.data_validations.dataValidation for area in choice.sqref.ranges
    }
    assert len(choices) == 5  # profile, gateway, building, protected, rate table
    sheet_name, _, area = choices["E2:E10000"].partition("!")
    listed = {cell.value for (cell,) in book[sheet_name][area.replace("$", "")]}
    assert listed == {gateway.id for gateway in load(site).gateways}
    headings = [cell.value for cell in page[1]]
    assert [column_of("meter", heading) for heading in headings] == list(COLUMNS["meter"])
    assert all(cell.comment is not None for cell in page[1])
    given = dict(zip((column_of("meter", heading) for heading in CHINESE), NEW, strict=True))
    page.append([given.get(column, "") for column in COLUMNS["meter"]])
    book.save(path)
    code, lines = take(path)
    assert (code, lines[-1].partition(";")[0]) == (0, "nothing was written"), lines
    assert run.main(["import", str(path), "--template", "--config", str(site)]) == 1  # it is there already


def test_the_words_know_every_column_and_mean_one_thing() -> None:
    for kind, model in MODELS.items():
        assert set(COLUMNS[kind]) == set(model.model_fields)
        for column, named in COLUMNS[kind].items():
            for word in (column, named.zh, *named.also):
                assert column_of(kind, word) == column, f"{word} also names {column_of(kind, word)}"


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, ""), (20.0, "20"), (0.1, "0.1"), (True, "yes"), (112233445566, "112233445566"), (" a ", "a"), ("", "")],
)
def test_what_a_cell_shows(cell: object, text: str) -> None:
    assert text_of(cell) == text


@pytest.mark.parametrize(
    ("text", "value"), [("100/5", "20"), ("100 / 5", "20"), ("100/7", "100/7"), ("1/0", "1/0"), ("a/b", "a/b")]
)
def test_ratios(text: str, value: str) -> None:
    assert ratio(text) == value
