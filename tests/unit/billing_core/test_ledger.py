"""The rules of a transfer: balanced, canonical, chained; and what a top-up may be."""

import hashlib

import numpy as np
import pytest

from billing_core import copying, ledger
from billing_core.ledger import GENESIS, Transfer

SIDES = (("cash", -5), ("wallet:t1", 5))


def transfer(**changes: object) -> Transfer:
    fields = {"key": "k", "kind": "topup", "site": "s", "plant_time_s": 1, "who": "安", "station": "d", "memo": ""}
    return Transfer(**{**fields, "entries": SIDES, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"entries": (("cash", -5), ("wallet:t1", 4))},
        {"entries": (("cash", 0), ("wallet:t1", 0))},
        {"entries": ()},
        {"entries": (("cash", 0),)},
        {"kind": "gift"},
        {"key": ""},
    ],
)
def test_what_must_never_be_posted(change: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        transfer(**change)


def test_the_canonical_form_is_fixed() -> None:
    """Golden: a change here makes every stored hash false."""
    body = ledger.canonical(transfer(), 7, 1_000_000)
    assert body == (
        b'{"charges":"","entries":[["cash",-5],["wallet:t1",5]],"key":"k","kind":"topup","memo":"",'
        b'"plant_time_s":1,"posted_at_us":1000000,"seq":7,"site":"s","station":"d","who":"\\u5b89"}'
    )
    assert ledger.chain(GENESIS, body) == hashlib.sha256(b"\0" * 32 + body).digest()


def test_a_copy_body_is_what_the_manual_says() -> None:
    values = np.array([1, -2], dtype=np.int64)
    found = copying.body([copying.Field(values, 4), copying.timestamps(values)])
    rows = b"".join(
        b"\0\2" + b"\0\0\0\4" + value.to_bytes(4, "big", signed=True)
        + b"\0\0\0\x08" + ((value - 946_684_800) * 1_000_000).to_bytes(8, "big", signed=True)
        for value in (1, -2)
    )  # fmt: skip
    assert found == b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows + b"\xff\xff"
