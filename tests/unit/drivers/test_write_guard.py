"""What may be written: the switch, what the profile lists, and never a counter."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from harness import device, profile, register

from config.profile_schema import ProfileTable
from config.profiling import profile_of
from drivers.dialects import dialect_of
from drivers.modbus import Request, write_request
from drivers.modbus_rtu import Question
from drivers.profile import Billing, Profile, Switch, WriteRange
from drivers.write_guard import WriteRefusedError, guarded_read_write, guarded_write
from scada.position import CLOSED, OPEN

PROFILES = Path(__file__).parents[3] / "config" / "profiles"
WRITES: dict[str, Callable[[Profile, int, int], Request]] = {
    "5": lambda model, address, count: guarded_write(model, 1, 5, address, [0]),
    "6": lambda model, address, count: guarded_write(model, 1, 6, address, [0]),
    "15": lambda model, address, count: guarded_write(model, 1, 15, address, [0] * count),
    "16": lambda model, address, count: guarded_write(model, 1, 16, address, [0] * count),
    "23": lambda model, address, count: guarded_read_write(model, 1, 0, 1, address, [0] * count),
}


def shipped(name: str) -> Profile:
    text = (PROFILES / f"{name}.toml").read_text(encoding="utf-8")
    return profile_of(ProfileTable.model_validate(tomllib.loads(text, parse_float=Decimal)))


@pytest.mark.parametrize("function", WRITES)
def test_nothing_is_ever_written_to_a_dds238(function: str) -> None:
    """It takes 0 for its totals as an order to erase them; whoever tries, at any address, is refused."""
    meter = shipped("hiking-dds238-2")
    for address in range(0x40):
        for count in (1, 2, 0x40):
            with pytest.raises(WriteRefusedError):
                WRITES[function](meter, address, count)


@pytest.mark.parametrize("function", ["6", "16", "23"])
def test_its_totals_cannot_be_erased_even_by_a_profile_that_lists_everything(function: str) -> None:
    meter = shipped("hiking-dds238-2")
    careless = replace(meter, writable=(WriteRange(16, 0, 0xFFFF),))
    for counter in (r for r in meter.registers if r.unit == "kWh"):
        for address in (counter.address, counter.address + 1):
            with pytest.raises(WriteRefusedError, match="counter"):
                WRITES[function](careless, address, 1)
    WRITES[function](careless, 0x15, 1)


def test_a_block_that_reaches_into_a_counter_is_refused() -> None:
    model = profile(
        register("Energy", 10, "u32"), billing=Billing("Energy", 10, 10**8), writable=(WriteRange(16, 0, 99),)
    )
    assert guarded_write(model, 1, 16, 8, [1, 2]) == write_request(1, 16, 8, [1, 2])
    assert guarded_write(model, 1, 16, 12, [1])
    for address, count in ((8, 3), (9, 2), (11, 1), (0, 99)):
        with pytest.raises(WriteRefusedError, match="counter Energy"):
            guarded_write(model, 1, 16, address, [0] * count)


def test_an_input_counter_protects_the_same_addresses() -> None:
    model = profile(register("Energy", 10, "u32", 4, absent=None), writable=(WriteRange(6, 0, 99),))
    charged = replace(model, billing=Billing("Energy", 10, 10**8))
    with pytest.raises(WriteRefusedError):
        guarded_write(charged, 1, 6, 10, [0])


def test_only_the_range_and_its_table_are_open() -> None:
    model = profile(register("R", 0), writable=(WriteRange(16, 4, 6), WriteRange(5, 2, 2)))
    assert guarded_write(model, 1, 16, 4, [1, 2, 3])
    assert guarded_write(model, 1, 6, 6, [1])
    assert guarded_write(model, 1, 5, 2, [1])
    assert guarded_write(model, 1, 15, 2, [1])
    for function, address, count in ((16, 3, 1), (16, 4, 4), (16, 6, 2), (6, 7, 1), (6, 2, 1), (5, 4, 1), (15, 2, 2)):
        with pytest.raises(WriteRefusedError, match="writable"):
            guarded_write(model, 1, function, address, [0] * count)


def test_a_switch_is_written_by_its_own_function_alone() -> None:
    model = profile(register("P", 0), switch=Switch("P", (), 6, 13, 0, 0xFF00))
    assert guarded_write(model, 1, 6, 13, [0])
    for function, address, count in ((5, 13, 1), (16, 13, 1), (6, 12, 1), (6, 14, 1), (16, 12, 2)):
        with pytest.raises(WriteRefusedError):
            guarded_write(model, 1, function, address, [0] * count)


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize(("target", "value"), [(OPEN, 0), (CLOSED, 0xFF00)])
def test_a_switch_command_passes_the_guard(framed: bool, target: int, value: int) -> None:
    meter = device(0)
    switch = meter.profile.switch
    assert switch is not None
    question = dialect_of("modbus", framed).switch(meter, switch, target, 0)
    request = question.request if isinstance(question, Question) else question
    assert request == write_request(1, switch.function, switch.address, [value])


def test_the_reason_says_which_model_and_where() -> None:
    with pytest.raises(WriteRefusedError, match=r"test: function 16, address 0002 to 0003 is neither its switch"):
        guarded_write(profile(register("R", 0)), 1, 16, 2, [1, 2])
