"""The commands of tariffs that read a configuration folder: what they print, for people and for machines."""

import json
from typing import TYPE_CHECKING

import pytest

import run
from billing_core.plan_body import body_hash, plan_of
from config.plant import load

if TYPE_CHECKING:
    from tests.unit.config.conftest import Copy


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run.main(["tariff", *arguments])
    return code, capsys.readouterr().out


def test_check_tells_faults_and_notes(copy: "Copy", capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(capsys, "check", str(copy.folder))
    assert code == 0
    assert "holidays and make-up days are set until 2026" in text
    assert "fees on top of utility prices are forbidden in China" in text
    assert "2027至2040年按法定节日" in text
    code, text = told(capsys, "check", str(copy.folder), "--json")
    found = json.loads(text)
    assert (code, found["faults"]) == (0, [])
    assert [plan["id"] for plan in found["plans"]] == [plan.id for plan in load(copy.folder).plans]
    copy.edit("tariffs.toml", "bounds = [180, 260]", "bounds = [180, 180]")
    code, text = told(capsys, "check", str(copy.folder))
    assert (code, text) == (
        2, "tariffs.toml: tariff.w-residential.tiers.bounds: 180, 180; allowed: bounds above 0 that rise\n",
    )  # fmt: skip
    code, text = told(capsys, "check", str(copy.folder), "--json")
    assert (code, len(json.loads(text)["faults"])) == (2, 1)


def test_list_and_show(copy: "Copy", capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(capsys, "list", "--config", str(copy.folder))
    assert (code, [line.split()[0] for line in text.splitlines()]) == (0, [plan.id for plan in load(copy.folder).plans])
    code, text = told(capsys, "list", "--config", str(copy.folder), "--json")
    hashes = {row["id"]: row["hash"] for row in json.loads(text)["plans"]}
    code, text = told(capsys, "show", "e-residential", "--config", str(copy.folder), "--json")
    body = json.loads(text)
    assert body.pop("hash") == hashes["e-residential"] == body_hash(body).hex()
    assert plan_of(body).id == "e-residential"
    code, text = told(capsys, "show", "w-commercial", "--config", str(copy.folder), "--at", "2027-02-01 08:30")
    assert "2027-02-01 08:30: 平 flat 5.29" in text
    assert "基本水价 3.35 + 水资源费 0.5 + 污水处理费 1.44" in text
    assert "3.19" not in text  # the version before
    for plan, line in (
        ("e-industrial", "需量电费 / Demand charge: 38.4 per kW and month, contract"),
        ("e-industrial", "力调电费 / Power-factor adjustment: standard 0.9"),
        ("e-capacity", "容量电费 / Capacity charge: 24 per kVA and month"),
        ("h-commercial", "基本热费 / Basic heat fee: 360 per month"),
        ("c-commercial", "最低收费 / Minimum charge: 50 per month"),
        ("e-residential-care", "基础用量 / Base quantity: 15 free per month"),
        ("e-residential", "阶梯 tiers (graduated, year): 2160, 4200 kWh, from person 5 + 1200 each"),
        ("s-commercial", "税 tax 9 %, was added 价外税已计入"),
        ("e-commercial", "调休 make-up days: "),
    ):
        code, text = told(capsys, "show", plan, "--config", str(copy.folder))
        assert code == 0
        assert line in text


def test_what_is_not_there_is_said(
    copy: "Copy", capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert run.main(["tariff", "show", "none", "--config", str(copy.folder)]) == 1
    assert "no tariff none; known: e-commercial" in capsys.readouterr().err
    assert run.main(["tariff", "show", "w-commercial", "--config", str(copy.folder), "--at", "tomorrow"]) == 1
    assert "'tomorrow' is no time" in capsys.readouterr().err
    nowhere = str(tmp_path_factory.mktemp("data"))
    assert run.main(["tariff", "list", "--live", "--data", nowhere]) == 1
    assert "is it running?" in capsys.readouterr().err
