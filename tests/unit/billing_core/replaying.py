"""The command `run.py replay` as tests call it."""

import contextlib
import io
from argparse import Namespace
from typing import Any

from billing_core.replay_commands import run_replay

TAGS = {"m1": "demo/M/m1/EnergyTotal"}


def replayed(dsn: str, **given: Any) -> tuple[int, str]:
    """Run the command; return exit code and what it printed."""
    words = {"account": None, "all": False, "from_": None, "to_": None, "lang": "en", "brief": True}
    args = Namespace(**{**words, "registers": False, "json": False, **given})
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = run_replay(args, dsn, lambda _: TAGS)
    return code, printed.getvalue()
