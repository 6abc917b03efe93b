"""A serial line of the simulated field: one talker at a time, at the pace of its baud rate, many protocols on it.

Whoever talks while another one talks spoils both, as on RS-485: a master that does not wait for an answer, or two
meters that answer the same wildcard. What the master sends takes its time on the line before a meter has heard it.
Rule: bytes in, bytes out, over whatever carries them; meters know nothing of the line.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from drivers.device import LineFormat
from drivers.field.frames import WAKE, Ear, Family
from drivers.field.hostile import Burst, Mouth
from drivers.field.shapes import mix
from drivers.field.station import Station

SLICE_S: Final = 0.01  # bytes are handed over in slices of so much line time
NOISE: Final = 0x5A  # what two talkers make of a byte
# Reply delay of meters, ms (least, span): 20 to 500 allowed by DL/T 645, most answer soon; Modbus RTU within a few
DELAY_MS: Final[dict[Family, tuple[int, int]]] = {"rtu": (3, 8), "dlt645": (20, 40), "cjt188": (25, 50), "mbap": (0, 1)}
WAKE_MAX: Final = 5  # a meter leads in with 0 to 4 bytes FE


class Slave(Protocol):
    """One address on the line."""

    device_id: str
    station: Station
    mouth: Mouth

    @property
    def family(self) -> Family: ...

    def hears(self, frame: bytes) -> bool: ...

    def answer(self, frame: bytes) -> bytes | None: ...


class Wire:
    """One line. `talk` is where its bytes go; `hear` takes what the master sent."""

    def __init__(self, slaves: Sequence[Slave], line: LineFormat) -> None:
        self.slaves = {slave.device_id: slave for slave in slaves}
        self.hangs = False
        self.delay_ms = 0
        self.first_asked_s = 0.0
        self.talk: Callable[[bytes], None] = lambda _data: None
        self._line = line
        self._ears = [Ear(family) for family in sorted({slave.family for slave in slaves})]
        self._sent_by = 0.0  # when the last byte of the master will have been on the line
        self._talking: asyncio.Task[None] | None = None
        self._spoiled = False

    def hear(self, data: bytes) -> None:
        """Take bytes of the master; a whole request is answered after its time on the line and the meter's delay."""
        loop = asyncio.get_running_loop()
        self.first_asked_s = self.first_asked_s or loop.time()
        self._sent_by = max(loop.time(), self._sent_by) + len(data) * self._line.char_s
        if self._talking is not None and not self._talking.done():
            self._spoiled = True  # nobody understands the one or the other
            return
        bursts = [
            spoken for ear in self._ears for frame in ear.feed(data, loop.time()) for spoken in self._ask(ear, frame)
        ]
        if bursts and not self.hangs:
            self._spoiled = False
            self._talking = loop.create_task(self._say(bursts))

    async def quiet(self) -> None:
        """Stop talking at once."""
        task, self._talking = self._talking, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _ask(self, ear: Ear, frame: bytes) -> list[tuple[float, list[Burst]]]:
        """Let everybody who hears a request answer it: (delay, what is said) of each."""
        if self.hangs:
            return []
        spoken = []
        for slave in self.slaves.values():
            if slave.family != ear.family or not slave.hears(frame) or not slave.station.answers():
                continue
            reply = slave.answer(frame)
            if reply is not None:
                bursts = slave.mouth.speak(slave.station.lie, slave.family, frame, reply)
                spoken.append((self._delay_s(slave), _led_in(slave, bursts)))
        return spoken

    def _delay_s(self, slave: Slave) -> float:
        least, span = DELAY_MS[slave.family]
        own = least + mix(slave.station.state.meter.seed, 11) % span
        return (own + self.delay_ms + slave.station.delay_ms) / 1000.0

    async def _say(self, spoken: list[tuple[float, list[Burst]]]) -> None:
        loop = asyncio.get_running_loop()
        together = len(spoken) > 1  # two meters answer at once: a collision
        delay_s, bursts = min(spoken, key=lambda one: one[0])
        await asyncio.sleep(max(0.0, self._sent_by - loop.time()) + delay_s)
        at = loop.time()
        step = max(1, int(SLICE_S / self._line.char_s))
        for pause_s, data in bursts:
            at += pause_s
            for begin in range(0, len(data), step):
                piece = data[begin : begin + step]
                at += len(piece) * self._line.char_s
                await asyncio.sleep(max(0.0, at - loop.time()))
                self.talk(bytes(byte ^ NOISE for byte in piece) if together or self._spoiled else piece)


def _led_in(slave: Slave, bursts: list[Burst]) -> list[Burst]:
    """Put the meter's own wake-up bytes before what it says; Modbus has none."""
    if slave.family == "rtu" or not bursts:
        return bursts
    lead = bytes([WAKE]) * (mix(slave.station.state.meter.seed, 12) % WAKE_MAX)
    return [Burst(bursts[0].pause_s, lead + bursts[0].data), *bursts[1:]]
