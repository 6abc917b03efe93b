"""Foreign programs and libraries that are needed here. A missing one is an error in CI, and elsewhere a skip."""

import ctypes
import ctypes.util
import os
import shutil
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """End the test: what is missing, and how it is installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing", pytrace=False)
    pytest.skip(f"{what} is missing")


def mbpoll() -> str:
    """Return the path of the program mbpoll."""
    return shutil.which("mbpoll") or missing("mbpoll (Debian: apt install mbpoll)")


def libmodbus() -> ctypes.CDLL:
    """Load libmodbus; each call lets other threads run."""
    try:
        return ctypes.CDLL(ctypes.util.find_library("modbus") or "libmodbus.so.5", use_errno=True)
    except OSError:
        missing("libmodbus (Debian: apt install libmodbus5)")
