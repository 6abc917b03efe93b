"""The commands of meter profiles and the page about them: the data test of every profile, and the worked example."""

from pathlib import Path

import pytest

import run
from config import profile_reports
from config.profile_commands import faults_of, one_path, profile_paths, read
from config.profiling import profile_of
from drivers.device import LineFormat
from drivers.linemaking import gap_of

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "profiles.md"
SHIPPED = sorted((ROOT / "config" / "profiles").glob("*.toml"))
DEMO = ROOT / "config" / "demo"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_data_of_every_shipped_profile(path: Path) -> None:
    """No overlap, no duplicate, every quantity once, every field of its protocol; and its poll plan can be asked."""
    sources = read([path])
    assert faults_of(sources) == []
    (table,) = sources.by_id("profile").values()
    profile = profile_of(table)
    assert len({register.measure for register in profile.registers}) == len(profile.registers)
    costs = profile_reports.costs(profile)
    assert costs[0].poll == "scan"
    assert all(cost.reads and cost.shortest_s[0] > cost.shortest_s[1] > 0 for cost in costs)


def test_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["profile", "test"]) == 0
    shown = capsys.readouterr()
    assert f"{len(SHIPPED)} profiles, 0 of them faulty, 0 faults" in shown.out
    assert shown.err == ""


def test_the_cost_of_a_known_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """DL/T 645: a read is 16 bytes and 4 of wake-up, its reply 16 and the data; 11 bits each; 100 ms and a gap pass."""
    profile = profile_of(read([one_path(DEMO, "dlt645-2007-basic")]).by_id("profile")["dlt645-2007-basic"])
    scan, minute = profile_reports.costs(profile)
    assert (scan.poll, scan.reads, scan.request_bytes, scan.reply_bytes) == ("scan", 2, 40, 2 * 20 + 4 + 3)
    assert scan.bits == (40 + 47) * 11
    waited_s = 2 * (0.1 + gap_of("dlt645-2007", LineFormat(2400, "E")))
    assert scan.shortest_s == pytest.approx((957 / 2400 + waited_s, 957 / 9600 + waited_s))
    assert (minute.poll, minute.reads) == ("minute", 2)
    assert run.main(["profile", "show", "dlt645-2007-basic"]) == 0
    assert "  scan         2       40     47    957       659 ms       360 ms" in capsys.readouterr().out


def test_the_page_works_to_the_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = PAGE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    name = example.partition("# ")[2].partition(":")[0]
    path = tmp_path / name
    path.write_text(example, encoding="utf-8")
    assert run.main(["profile", "test", str(path)]) == 0
    assert "1 profiles, 0 of them faulty" in capsys.readouterr().out
    path.write_text(example.replace("address = 0x0002", "address = 0x0001"), encoding="utf-8")
    assert run.main(["profile", "test", str(path)]) == 2
    shown = capsys.readouterr()
    assert "registers.VoltageL1.address: 0x0001-0x0001 overlaps 'ActiveEnergyImportTotal'" in shown.err
    assert "1 profiles, 1 of them faulty, 1 faults" in shown.out


def test_the_table_of_the_page_is_the_shipped_profiles() -> None:
    """Mend it with `run.py profile list --markdown`."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- profiles -->\n")[2].partition("<!-- end -->")[0]
    assert table.splitlines() == list(profile_reports.markdown(read(SHIPPED).by_id("profile").values()))


def test_a_profile_goes_by_file_or_by_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["profile", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(SHIPPED) == len(profile_paths(DEMO))
    assert run.main(["profile", "test", "hiking-dds238"]) == 1
    assert "unknown profile 'hiking-dds238' (did you mean 'hiking-dds238-2'?)" in capsys.readouterr().err
    assert run.main(["profile", "test", str(tmp_path / "nowhere.toml")]) == 1
    assert "there is no file" in capsys.readouterr().err
    for verb in ("test", "show"):
        broken = tmp_path / "broken.toml"
        broken.write_text('id = "broken"\n', encoding="utf-8")
        assert run.main(["profile", verb, str(broken)]) == 2
        assert "broken.toml: registers: missing" in capsys.readouterr().err


def test_a_gas_valve_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["profile", "show", "cjt188-gas"]) == 0
    assert "switched: open 0x0099, close never from afar" in capsys.readouterr().out
