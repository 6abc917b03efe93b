"""A few seconds of the coverage-guided fuzzer on each protocol parser; WATTKEEPER_FUZZ_S makes it minutes or hours."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.dlt645_question import Request
from drivers.outcome import Reply
from tests.fuzz import dlt645_parsers
from tests.fuzz.targets import TARGETS, seeds_of

ROOT = Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("WATTKEEPER_FUZZ_S", "10"))
START_S = 40  # for the instrumented imports, on a busy machine


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.timeout(SECONDS + START_S + 10)
def test_the_fuzzer_finds_nothing(name: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        message = "atheris is not installed (it needs CPython < 3.14 on Linux x86-64): no coverage-guided fuzzing"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(SECONDS)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS + START_S)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-6000:]
    assert "stat::number_of_executed_units" in found.stderr, "it did not run"


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_fine(name: str) -> None:
    for seed in seeds_of(name):
        TARGETS[name](seed)


NEAR = st.builds(
    lambda seed, at, value: seed[: at % len(seed)] + value + seed[at % len(seed) + 1 :],
    st.sampled_from(dlt645_parsers.seeds()), st.integers(0, 60), st.binary(max_size=3),
)  # fmt: skip


@pytest.mark.parametrize("target", dlt645_parsers.TARGETS.values(), ids=dlt645_parsers.TARGETS)
@settings(max_examples=300)
@given(data=st.sampled_from(dlt645_parsers.seeds()) | NEAR | st.binary(max_size=300))
def test_what_must_hold_holds(target: Callable[[bytes], None], data: bytes) -> None:
    target(data)


@pytest.mark.parametrize("target", dlt645_parsers.TARGETS.values(), ids=dlt645_parsers.TARGETS)
def test_a_target_notices_a_judge_that_takes_everything(
    target: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that cannot fail finds nothing."""
    monkeypatch.setattr(Request, "judge", lambda self, frame: Reply(frame))
    with pytest.raises(AssertionError):
        for seed in dlt645_parsers.seeds():
            target(seed)
