"""The time budget of a line: how short its period can be, from baud rate, frame lengths, delays and gaps.

Rule: pure. It counts what the wire needs; a site adds what its meters take to think, which `REPLY_DELAY_S` estimates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drivers.device import Device, Gateway
from drivers.dialects import dialect_of
from drivers.linemaking import gap_of
from drivers.modbus import Request
from drivers.pollplan import Block, plan_blocks
from drivers.profile import POLL_S, Protocol

# How long a meter takes to begin its answer. DL/T 645-2007: 20 to 500 ms, most answer within 100; the same is seen of
# CJ/T 188; Modbus meters within 20 to 50 ms.
REPLY_DELAY_S: Final[dict[Protocol, float]] = {
    "modbus": 0.03, "dlt645-2007": 0.1, "dlt645-1997": 0.1, "cjt188": 0.1,
}  # fmt: skip
PERIOD_MOST_S: Final = 3600.0  # a line that cannot carry its plan is reported; its values grow stale all the same
RTU_EXTRA_BYTES: Final = 3  # of a Modbus TCP frame behind a gateway: address and CRC of the serial frame
MBAP_HEAD_BYTES: Final = 7


@dataclass(frozen=True, slots=True)
class LineBudget:
    """What the polls of one line need."""

    questions: int  # in a cycle of all blocks of class "scan"
    scan_s: float  # for one such cycle
    timed_share: float  # of the line's time that blocks of longer classes need
    wished_s: float

    @property
    def shortest_s(self) -> float:
        """Return the shortest possible period: the cycle, lengthened by what slower classes take."""
        return self.scan_s / (1.0 - self.timed_share) if self.timed_share < 1.0 else float("inf")

    @property
    def kept(self) -> bool:
        """Tell whether the wished period can be kept."""
        return self.shortest_s <= self.wished_s


def budget_of(gateway: Gateway, devices: Sequence[Device]) -> LineBudget:
    """Return the budget of the serial line of a gateway with its devices.

    Behind a Modbus TCP gateway the serial side is taken to run as the gateway's `baud` and `parity` say.
    """
    questions, scan_s, share = 0, 0.0, 0.0
    for device in devices:
        for block in plan_blocks(device.profile):
            seconds = spent_s(gateway, device, block)
            if POLL_S[block.poll]:
                share += seconds / POLL_S[block.poll]
            else:
                questions += 1
                scan_s += seconds
    return LineBudget(questions, scan_s, share, gateway.period_s)


def period_of(gateway: Gateway, devices: Sequence[Device]) -> float:
    """Return how often the devices of a gateway are read, s: as wished, or as its serial line carries it."""
    if gateway.transport == "modbus-tcp":
        return gateway.period_s  # the serial side, if there is one, is not ours to time
    return min(max(gateway.period_s, budget_of(gateway, devices).shortest_s), PERIOD_MOST_S)


def spent_s(gateway: Gateway, device: Device, block: Block) -> float:
    """Return how long one question and its answer take the line, s."""
    protocol = device.profile.protocol
    question = dialect_of(protocol, gateway.transport == "modbus-tcp").read(device, block)
    if isinstance(question, Request):
        sent = len(question.wire_tail) + 2 - MBAP_HEAD_BYTES + RTU_EXTRA_BYTES
        received = question.reply_frame_bytes - MBAP_HEAD_BYTES + RTU_EXTRA_BYTES
    else:
        sent, received = len(question.wire), question.reply_bytes
    gap_s = gateway.line.gap_s or gap_of(protocol, gateway.line)
    return (sent + received) * gateway.line.char_s + REPLY_DELAY_S[protocol] + gap_s
