"""Every protocol parser with its fuzz target and the inputs from which the fuzzer starts: one table."""

from collections.abc import Callable
from typing import Final

from tests.fuzz import cjt188_and_modbus, dlt645_parsers

Target = Callable[[bytes], None]

TARGETS: Final[dict[str, Target]] = dlt645_parsers.TARGETS | cjt188_and_modbus.TARGETS


def seeds_of(name: str) -> list[bytes]:
    """Return the first inputs of a target."""
    return (dlt645_parsers if name in dlt645_parsers.TARGETS else cjt188_and_modbus).seeds()
