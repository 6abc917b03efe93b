"""The communication tags of a gateway and its devices: who is online, how often it failed, how fast it answers.

Rule: these are facts about the line, known whatever the line does, so they are good and staged every cycle. Only who
is online is not known before the first answer or the first failure: a DTU has to dial in first, and an alarm that is
raised before it can have done so is noise.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from drivers.budget import budget_of
from drivers.device import NO_ROW, Device, Gateway
from scada.quality import GOOD
from scada.stage import Rows, Stage

MS_PER_S: Final = 1000.0
TAGS_EACH: Final = 3  # Online, ErrorCount, ResponseTimeMs of a device; Online, TimeoutCount, CycleMs of a gateway


class CommunicationTags:
    """Current values of the tags; device number i is `devices[i]`."""

    def __init__(self, gateway: Gateway, devices: Sequence[Device]) -> None:
        rows = [row for d in devices for row in (d.online_row, d.errors_row, d.response_ms_row)]
        rows += [gateway.online_row, gateway.timeouts_row, gateway.cycle_ms_row]
        rows.append(gateway.rows.get("ShortestPeriodMs", NO_ROW))
        self._values = np.zeros(len(rows))
        if gateway.transport != "modbus-tcp":  # what hangs behind such a gateway, and how, is the gateway's own matter
            self._values[-1] = budget_of(gateway, devices).shortest_s * MS_PER_S
        self._rows: Rows = np.array(rows, dtype=np.int64)
        self._gateway_at = TAGS_EACH * len(devices)
        self._shown = self._rows != NO_ROW
        self._shown[: self._gateway_at + 1 : TAGS_EACH] = False  # who is online

    def answer(self, number: int, response_ms: float) -> None:
        """Note that a device answered."""
        self._set_online(TAGS_EACH * number, 1.0)
        self._values[TAGS_EACH * number + 2] = response_ms

    def answers(self, numbers: Rows, response_ms: npt.NDArray[np.float64]) -> None:
        """Note that devices answered; of several answers of one device the last one counts."""
        self._set_online(TAGS_EACH * numbers, 1.0)
        self._values[TAGS_EACH * numbers + 2] = response_ms

    def error(self, number: int) -> None:
        """Count a poll of a device that gave no values."""
        self._values[TAGS_EACH * number + 1] += 1.0

    def offline(self, number: int) -> None:
        """Note that a device is lost."""
        self._set_online(TAGS_EACH * number, 0.0)

    def gateway_online(self, online: bool) -> None:
        """Note that the gateway answers, or that it is lost."""
        self._set_online(self._gateway_at, float(online))

    def _set_online(self, at: int | Rows, online: float) -> None:
        self._values[at] = online
        self._shown[at] = self._rows[at] != NO_ROW

    def timeouts(self, count: int) -> None:
        """Note the time-outs counted so far."""
        self._values[self._gateway_at + 1] = count

    def cycle_ms(self, spent_ms: float) -> None:
        """Note how long the last cycle took."""
        self._values[self._gateway_at + 2] = spent_ms

    def stage(self, stage: Stage, utc_ns: int) -> None:
        """Stage all that is known with the time at which it was true."""
        stage.put(self._rows[self._shown], self._values[self._shown], GOOD, utc_ns)
