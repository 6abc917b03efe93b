"""The fuzz targets of CJ/T 188 and Modbus on their seeds, on bytes near them, and on noise; the fuzzer goes further."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.outcome import Reply
from tests.fuzz import cjt188_and_modbus as fuzz

NEAR = st.builds(
    lambda seed, at, value: seed[: at % len(seed)] + value + seed[at % len(seed) + 1 :],
    st.sampled_from(fuzz.seeds()), st.integers(0, 60), st.binary(max_size=3),
)  # fmt: skip


@pytest.mark.parametrize("target", fuzz.TARGETS.values(), ids=fuzz.TARGETS)
@settings(max_examples=300)
@given(data=st.sampled_from(fuzz.seeds()) | NEAR | st.binary(max_size=300))
def test_what_must_hold_holds(target: Callable[[bytes], None], data: bytes) -> None:
    target(data)


@pytest.mark.parametrize("target", fuzz.TARGETS.values(), ids=fuzz.TARGETS)
def test_a_target_notices_a_judge_that_takes_everything(
    target: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that cannot fail finds nothing."""
    monkeypatch.setattr(fuzz.cjt188.Question, "judge", lambda self, frame: Reply(frame))
    monkeypatch.setattr(fuzz.Question, "judge", lambda self, frame: Reply(frame))
    monkeypatch.setattr(fuzz, "check_reply", lambda request, transaction, frame: Reply(frame))
    with pytest.raises(AssertionError):
        for seed in fuzz.seeds():
            for choice in range(9):
                target(bytes((choice | 0x80,)) + seed[1:])
