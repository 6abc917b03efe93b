"""A file with a new tariff, read for the shadow: its plans, and its faults under its own name."""

from argparse import Namespace
from pathlib import Path

import pytest

from config.tariff_commands import plans_of_file
from scada.errors import ConfigurationError, WattkeeperError

DEMO = Path(__file__).resolve().parents[3] / "config" / "demo"
TARIFF = """
[[tariff]]
id = "next"
name_zh = "明年"
name_en = "Next year"
medium = "electricity"
unit = "kWh"
slot = [{ start = "00:00", end = "24:00", rate = "flat" }]
price = { flat = 0.75 }
"""


def test_the_plans_of_a_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "next.toml"
    file.write_text(TARIFF, encoding="utf-8")
    (found,) = plans_of_file(Namespace(config=DEMO), file)
    assert found.id == "next"
    assert found.versions[0].price_micro(2, 0) == 750_000


def test_faults_bear_the_name_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "next.toml"
    file.write_text(TARIFF.replace("24:00", "23:00"), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        plans_of_file(Namespace(config=DEMO), file)
    assert refused.value.faults
    assert all(fault.file == str(file) for fault in refused.value.faults)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WattkeeperError, match=r"none\.toml: No such file"):
        plans_of_file(Namespace(config=DEMO), tmp_path / "none.toml")
