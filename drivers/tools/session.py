"""Who carries a question to the field: the running core, which owns its lines, or the tool on a line of its own.

Rule: one owner per line. A configured meter is asked through the core whenever it runs.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from drivers.adhoc import DirectLine, where
from drivers.asking import Ask, entry_from_json, outcome_from_json, question_of, spec_of
from drivers.device import Device, Gateway
from drivers.frame_log import Entry
from drivers.outcome import Outcome
from drivers.tools.words import Words
from scada import console


class Session(Protocol):
    """A way to the field."""

    framed: bool  # its line carries Modbus TCP frames

    def ask(self, device: Device, asked: Ask, timeout_s: float = 0.0) -> tuple[Outcome, list[Entry]]:
        """Ask one question; return how it ended and what went over the line."""
        ...

    def told(self, words: Words) -> str:
        """Return in one line which way it is."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class OwnLine:
    """A line that this process holds."""

    def __init__(self, gateway: Gateway) -> None:
        self._line = DirectLine(gateway)
        self.framed = self._line.framed

    def ask(self, device: Device, asked: Ask, timeout_s: float = 0.0) -> tuple[Outcome, list[Entry]]:
        question = question_of(device, asked, self.framed, time.time_ns())
        outcome, entry = self._line.ask(question, timeout_s)
        return outcome, [entry]

    def told(self, words: Words) -> str:
        return words("via line", where=where(self._line.gateway))

    def close(self) -> None:
        self._line.close()


class ThroughCore:
    """A line that the running core holds."""

    def __init__(self, core_socket: Path, line: str, framed: bool, configured: bool, force: bool = False) -> None:
        """configured: devices are asked by their id; else any station on `line`."""
        self._socket = core_socket
        self._line = line
        self.framed = framed
        self._configured = configured
        self._force = force

    def ask(self, device: Device, asked: Ask, timeout_s: float = 0.0) -> tuple[Outcome, list[Entry]]:
        """Ask through the core; its own time-out holds. Refused and WattkeeperError as scada.console.perform has it."""
        whom: Mapping[str, Any] = {"device": device.id}
        if not self._configured:
            whom = {"line": self._line, "station": asdict(spec_of(device)), "force": self._force}
        answer = console.perform(self._socket, "field.ask", {**whom, **asdict(asked)})
        return outcome_from_json(answer["outcome"]), [entry_from_json(entry) for entry in answer["entries"]]

    def told(self, words: Words) -> str:
        return words("via core", line=self._line)

    def close(self) -> None:
        """There is nothing to let go of."""
