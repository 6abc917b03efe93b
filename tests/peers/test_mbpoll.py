"""Debian's mbpoll reads and writes simulated Modbus meters, over TCP and on a pseudo-terminal."""

import asyncio
import re
from typing import Final

import pytest

from tests.peers.needed import mbpoll
from tests.peers.standing_field import StandingField, on_standing_field

LINE: Final = re.compile(r"^\[(\d+)\]:\s+(\S+)", re.MULTILINE)
HOLDING, INPUTS, COILS = "4", "3", "0"
HIGH_WORD_FIRST: Final = ("-B",)


async def called(*arguments: str) -> tuple[int, str, str]:
    """Run mbpoll once; return its exit code, output and complaints."""
    process = await asyncio.create_subprocess_exec(
        mbpoll(), "-1", "-0", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 20.0)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class Polled:
    """One line that mbpoll reaches."""

    def __init__(self, *where: str) -> None:
        *self.options, self.place = where

    async def read(self, unit: int, kind: str, first: int, count: int, *more: str) -> dict[int, str]:
        """Return the values it prints by address."""
        asked = ("-a", str(unit), "-t", kind, "-r", str(first), "-c", str(count), *more)
        code, out, err = await called(*self.options, *asked, self.place)
        assert code == 0, err
        return {int(address): value for address, value in LINE.findall(out)}

    async def refused(self, unit: int, kind: str, first: int) -> str:
        asked = ("-a", str(unit), "-t", kind, "-r", str(first))
        code, _, err = await called(*self.options, *asked, self.place)
        assert code != 0
        return err

    async def write(self, unit: int, kind: str, first: int, *values: int) -> None:
        words = [str(value) for value in values]
        code, _, err = await called(*self.options, "-a", str(unit), "-t", kind, "-r", str(first), self.place, *words)
        assert code == 0, err


def over_tcp(field: StandingField) -> Polled:
    return Polled("-m", "tcp", "-p", str(field.net_port), "127.0.0.1")


def on_the_port(field: StandingField) -> Polled:
    return Polled("-m", "rtu", "-b", "19200", "-P", "even", field.rtu_path)


async def reads_a_single_phase_meter(field: StandingField, line: Polled, device: str, unit: int) -> None:
    assert await line.read(unit, "4:int", 0, 1) == {0: str(int(field.raw(device, "ActiveEnergyImportTotal")))}
    words = await line.read(unit, HOLDING, 11, 7)
    shown = {11: "VoltageL1", 12: "CurrentL1", 13: "ActivePowerTotal", 16: "PowerFactorTotal", 17: "Frequency"}
    assert {at: float(words[at]) for at in shown} == {at: field.raw(device, name) for at, name in shown.items()}
    assert await line.read(unit, COILS, 1, 1) == {1: "1"}


@on_standing_field
async def test_mbpoll_reads_words_and_a_long_register_over_tcp(field: StandingField) -> None:
    await reads_a_single_phase_meter(field, over_tcp(field), "shop", 7)


@on_standing_field
async def test_mbpoll_reads_words_and_a_long_register_on_a_port(field: StandingField) -> None:
    await reads_a_single_phase_meter(field, on_the_port(field), "motor", 5)


@on_standing_field
async def test_mbpoll_reads_floats_and_signed_long_registers(field: StandingField) -> None:
    line = over_tcp(field)
    floats = await line.read(3, "3:float", 0, 6, *HIGH_WORD_FIRST)
    phases = ("VoltageL1", "VoltageL2", "VoltageL3", "CurrentL1", "CurrentL2", "CurrentL3")
    for at, name in enumerate(phases):
        assert float(floats[2 * at]) == pytest.approx(field.raw("hall", name), rel=1e-5), name  # six digits are printed
    power = await line.read(3, "3:int", 12, 1, *HIGH_WORD_FIRST)
    assert power == {12: str(int(field.raw("hall", "ActivePowerTotal")))}
    words = await line.read(3, "3:hex", 0x48, 4)
    assert int("".join(word.removeprefix("0x") for word in words.values()), 16) == 123


@on_standing_field
async def test_mbpoll_hears_exceptions_and_silence(field: StandingField) -> None:
    assert "Illegal data address" in await over_tcp(field).refused(3, INPUTS, 500)
    assert "Illegal data address" in await on_the_port(field).refused(5, HOLDING, 500)
    assert "Connection timed out" in await on_the_port(field).refused(6, HOLDING, 0)  # nobody is 6 on this line
    assert "Target device failed to respond" in await over_tcp(field).refused(9, HOLDING, 0)


@on_standing_field
async def test_mbpoll_moves_a_breaker(field: StandingField) -> None:
    for device, unit, line in (("shop", 7, over_tcp(field)), ("motor", 5, on_the_port(field))):
        await line.write(unit, COILS, 0x0001, 0)
        field.go_on(2.0)
        assert (await field.order("show", device))["position"] == "open"
        assert await line.read(unit, COILS, 1, 1) == {1: "0"}
        await line.write(unit, COILS, 0x0001, 1)
        field.go_on(2.0)
        assert (await field.order("show", device))["position"] == "closed"
