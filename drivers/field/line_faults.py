"""Faults of whole lines of the simulated field: reset, half-open, black hole, and a power cut of everything.

Rule: a line is stopped and started, never asked what it carries.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from loguru import logger

from drivers.field.model import Field
from drivers.field.refusals import refuse
from drivers.field.site import SimLine

FILLERS: Final = 4  # connections that fill a backlog of 0, which holds one
LISTENED_TO: Final = ("modbus-tcp", "tcp")
ELECTRICITY: Final = "electricity"


class BlackHole:
    """A listening socket that nobody accepts from and whose queue is full: a SYN gets no answer at all."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server((host, port), backlog=0)
        self._fillers = []
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((host, port))
            self._fillers.append(filler)

    def close(self) -> None:
        for held in (*self._fillers, self._listener):
            held.close()


class LineFaults:
    """The orders that concern whole lines."""

    def __init__(self, field: Field, lines: Mapping[str, SimLine]) -> None:
        self._field = field
        self._lines = lines
        self._holes: dict[str, BlackHole] = {}
        self._dark: list[str] = []  # lines that a power cut has stopped
        self._power_since_s = 0.0  # time of the event loop
        self.orders: Mapping[str, Callable[[str, str], Any]] = {
            "gateway-kill": self._kill,
            "gateway-restore": self._restore,
            "gateway-hang": self._hang,
            "gateway-reset": self._reset,
            "gateway-half-open": self._lose,
            "gateway-black-hole": self._swallow,
            "power-off": self._power_off,
            "power-on": self._power_on,
            "first-asked": self._first_asked,
        }

    def active(self, name: str) -> list[str]:
        """Return the faults that a line has now."""
        line = self._lines[name].line
        stopped = not self._lines[name].listening and name not in self._holes
        faults = {
            "killed": stopped and name not in self._dark,
            "without power": name in self._dark,
            "black hole": name in self._holes,
            "hangs": line.hangs,
            f"slow {line.delay_ms} ms": line.delay_ms > 0,
        }
        return [fault for fault, on in faults.items() if on]

    async def clear(self, name: str) -> None:
        """End the faults of one line."""
        line = self._lines[name].line
        line.hangs, line.delay_ms = False, 0
        if name in self._dark:
            self._dark.remove(name)
        await self._restore(name)

    def close(self) -> None:
        """Give back what black holes hold."""
        while self._holes:
            self._holes.popitem()[1].close()

    async def _kill(self, name: str, _value: str) -> None:
        await self._lines[name].stop()

    async def _restore(self, name: str, _value: str = "") -> None:
        self._lines[name].line.hangs = False
        hole = self._holes.pop(name, None)
        if hole is not None:
            hole.close()
        await self._lines[name].start()

    def _hang(self, name: str, _value: str) -> None:
        self._lines[name].line.hangs = True

    async def _reset(self, name: str, _value: str) -> None:
        await self._lines[name].reset()

    def _lose(self, name: str, _value: str) -> None:
        self._lines[name].lose()

    async def _swallow(self, name: str, _value: str) -> None:
        gateway = self._lines[name].gateway
        if gateway.transport not in LISTENED_TO:
            fitting = [n for n, line in self._lines.items() if line.gateway.transport in LISTENED_TO]
            refuse(f"gateway-black-hole: {name} is not listened to by the field", fitting)
        if name not in self._holes:
            await self._lines[name].stop()
            self._holes[name] = BlackHole(gateway.host, gateway.port)

    async def _power_off(self, _target: str, _value: str) -> None:
        """Nothing answers, no electricity flows."""
        for name, line in self._lines.items():
            if line.listening:
                self._dark.append(name)
                await line.stop()
        self._set_supply(False)
        logger.info("power cut: {} lines are dark", len(self._dark))

    async def _power_on(self, _target: str, _value: str) -> None:
        """All that went dark comes back in the same moment."""
        dark, self._dark = self._dark, []
        self._set_supply(True)
        self._power_since_s = asyncio.get_running_loop().time()
        for line in self._lines.values():
            line.line.first_asked_s = 0.0
        await asyncio.gather(*(self._lines[name].start() for name in dark))

    def _first_asked(self, _target: str, _value: str) -> dict[str, Any]:
        """Tell of each line how long after the return of the power it was first asked, null: not yet."""
        asked = {name: line.line.first_asked_s for name, line in self._lines.items()}
        return {"seconds": {name: at - self._power_since_s if at else None for name, at in asked.items()}}

    def _set_supply(self, on: bool) -> None:
        if ELECTRICITY in self._field.supply:
            self._field.supply[ELECTRICITY] = on
