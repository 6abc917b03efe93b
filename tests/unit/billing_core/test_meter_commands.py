"""What people write on the command line about registers, read exactly or refused with the place."""

from pathlib import Path

import pytest

from billing_core.meter_commands import read_file, second_of
from billing_core.meter_rules import counts_of, milli_of, ratio_of, shown_of
from billing_core.people import exact
from scada.errors import Refused


@pytest.mark.parametrize(
    ("text", "register_milli", "counts"),
    [("12345.67", 10, 1_234_567), ("0.35", 10, 35), ("7", 1000, 7), ("12.3", 100, 123), ("0.001", 1, 1), ("42", 0, 42)],
)
def test_registers_as_the_meter_shows_them(text: str, register_milli: int, counts: int) -> None:
    assert counts_of(text, register_milli, 100_000_000) == counts
    assert shown_of(counts, register_milli) == text


@pytest.mark.parametrize("text", ["", "ten", "12.345", "-1", "NaN", "1e30", "1000000.00", "Infinity"])
def test_what_is_no_register(text: str) -> None:
    with pytest.raises(Refused, match=r"meter.register"):
        counts_of(text, 10, 100_000_000)


@pytest.mark.parametrize(("text", "ratio"), [("40", 40), ("40/1", 40), ("40/10", 400), ("1/1", 1)])
def test_ratios(text: str, ratio: int) -> None:
    assert ratio_of(text) == ratio


@pytest.mark.parametrize("text", ["", "0", "1/0", "40/10/2", "1.5", "-3", "100001"])
def test_what_is_no_ratio(text: str) -> None:
    with pytest.raises(Refused, match=r"meter.ratio"):
        ratio_of(text)


def test_quantities_areexact() -> None:
    assert milli_of("2.5") == 2_500
    for text in ("2.5001", "-1", "x", "Infinity", "1e40"):
        with pytest.raises(Refused, match=r"meter.quantity"):
            milli_of(text)
    assert [exact(value, 9) for value in (0, 1, -1_500_000_000)] == ["0", "0.000000001", "-1.5"]


def test_times_say_their_offset() -> None:
    assert second_of("2026-11-01T08:03:00+08:00") == second_of("2026-11-01T00:03:00Z") == 1_793_491_380
    for text in ("2026-11-01T08:03:00", "yesterday", ""):
        with pytest.raises(Refused, match=r"late.time"):
            second_of(text)


def test_a_file_of_readings(tmp_path: Path) -> None:
    file = tmp_path / "late.csv"
    file.write_text("time,register\n2026-11-01T08:03:00+08:00,12.50\n2026-11-01T09:03:00+08:00,12.60\n", "utf-8-sig")
    assert read_file(file) == [(1_793_491_380, "12.50"), (1_793_494_980, "12.60")]
    file.write_text("time,register\n2026-11-01T08:03:00+08:00,12.50\nnever,1\n", "utf-8")
    with pytest.raises(Refused, match=r"line 3: 'never' is no time"):
        read_file(file)
    file.write_text("at,register\n", "utf-8")
    with pytest.raises(Refused, match=r"its first line must be time,register"):
        read_file(file)
    with pytest.raises(Refused, match=r"late.file"):
        read_file(tmp_path / "none.csv")
