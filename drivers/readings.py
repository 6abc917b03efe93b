"""What the replies and failures of one device do to the stage.

Rule: a value is staged only from a checked reply, with the time of its complete receipt; a failure changes the quality
alone, and a row that never held a usable value never becomes "uncertain, last usable".
"""

from drivers.bulk import NO_POSITION, BulkDecoder
from drivers.device import Device
from drivers.dialects import Question, dialect_of
from drivers.pollplan import Block, plan_blocks
from scada.quality import is_bad


class DeviceReadings:
    """The poll plan of one device and the way of its replies into the store, and of its failures into the stage."""

    def __init__(self, device: Device, bulk: BulkDecoder, framed: bool = True) -> None:
        """framed: the line carries Modbus TCP frames, not bare serial ones."""
        self.device = device
        self._bulk = bulk
        plan = plan_blocks(device.profile)
        self._places = tuple(bulk.place(device, block) for block in range(len(plan)))
        self.polls = tuple(block.poll for block in plan)
        dialect = dialect_of(device.profile.protocol, framed)
        self.requests: tuple[Question, ...] = tuple(dialect.read(device, block) for block in plan)
        self.clock_block = _block_of(plan, device, device.profile.clock)
        switch = device.profile.switch
        self.switch_blocks: tuple[int, ...] = ()  # what proves that a switching was executed: position, then current
        if switch is not None:
            found = (_block_of(plan, device, measure) for measure in (switch.position, switch.current))
            self.switch_blocks = tuple(dict.fromkeys(block for block in found if block is not None))

    def accept(self, block: int, payload: bytes, utc_ns: int) -> None:
        """Keep a checked reply received at `utc_ns` for the next scan."""
        self._bulk.store.put(self._places[block].slot, payload, utc_ns)

    def accept_now(self, block: int, payload: bytes, utc_ns: int) -> int | None:
        """Stage a checked reply at once; return the Dbpos it shows, None when it shows none that can be believed."""
        self.accept(block, payload, utc_ns)
        position = self._bulk.decode(self._places[block])
        return None if position == NO_POSITION else position

    def reject(self, block: int, quality: int) -> None:
        """Stage that one block has no valid reply while the device itself answers."""
        self._bulk.fail(self._places[block], quality, spoils=is_bad(quality))

    def lose(self, quality: int) -> None:
        """Stage that nothing comes from the device: `quality` where a usable value is held, else BadNoCommunication."""
        for place in self._places:
            self._bulk.fail(place, quality, spoils=False)


def _block_of(plan: tuple[Block, ...], device: Device, measure: str) -> int | None:
    """Return the number of the block that reads a measure, None when there is none."""
    for number, block in enumerate(plan):
        if any(device.profile.registers[index].measure == measure for index in block.registers):
            return number
    return None
