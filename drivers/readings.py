"""What the replies and failures of one device do to the stage.

Rule: a value is staged only from a checked reply, with the time of its complete receipt; a failure changes the quality
alone, and a row that never held a usable value never becomes "uncertain, last usable".
"""

from drivers.agenda import put_in_place
from drivers.bulk import NO_POSITION, BulkDecoder, Place
from drivers.device import Device
from drivers.dialects import Question, dialect_of
from drivers.pollplan import Block
from scada.quality import is_bad


class DeviceReadings:
    """What one device is asked, and the way of its replies into the store and of its failures into the stage.

    Block number i stands at place i of `polls`, `requests` and `slots`: those of the plan, and behind them the parts of
    those that the device refused.
    """

    def __init__(self, device: Device, bulk: BulkDecoder, framed: bool = True) -> None:
        """framed: the line carries Modbus TCP frames, not bare serial ones."""
        self.device = device
        self._bulk = bulk
        self._plan = bulk.store.plan_of(device)
        self._dialect = dialect_of(device.profile.protocol, framed)
        self._blocks: tuple[Block, ...] = ()
        self._places: tuple[Place, ...] = ()
        self.requests: tuple[Question, ...] = ()
        self.asked = self._add(range(self._plan.planned))  # the blocks in force
        self.polls = tuple(block.poll for block in self._plan.reads[: self._plan.planned])
        self._find()

    def _add(self, reads: range) -> tuple[int, ...]:
        """Take reads of the full plan up; return the numbers that they get here."""
        first = len(self._blocks)
        blocks = tuple(self._plan.reads[read] for read in reads)
        self._blocks += blocks
        self._places += tuple(self._bulk.place(self.device, read) for read in reads)
        self.requests += tuple(self._dialect.read(self.device, block) for block in blocks)
        return tuple(range(first, len(self._blocks)))

    def _find(self) -> None:
        """Note which blocks show the clock and the switch."""
        profile = self.device.profile
        self.clock_block = self._block_of(profile.clock)
        self.switch_blocks: tuple[int, ...] = ()  # what proves that a switching was executed: position, then current
        if profile.switch is not None:
            found = (self._block_of(measure) for measure in (profile.switch.position, profile.switch.current))
            self.switch_blocks = tuple(dict.fromkeys(block for block in found if block is not None))

    def _block_of(self, measure: str) -> int | None:
        """Return the number of the block that reads a measure, None when there is none."""
        registers = self.device.profile.registers
        for number in self.asked:
            if any(registers[index].measure == measure for index in self._blocks[number].registers):
                return number
        return None

    @property
    def slots(self) -> tuple[int, ...]:
        """Return the slots of the blocks in the reply store."""
        return tuple(place.slot for place in self._places)

    @property
    def spare(self) -> int:
        """Return how many parts may be asked for beside the blocks of the plan."""
        return len(self._plan.reads) - self._plan.planned

    def split(self, block: int) -> tuple[int, ...]:
        """Put the parts of a block in its place; return their numbers, () for a block without a hole."""
        parts = self._plan.parts.get(block)
        if parts is None or block not in self.asked:
            return ()
        numbers = self._add(parts)
        self.asked = put_in_place(self.asked, block, numbers)
        self._find()
        return numbers

    def name(self, block: int) -> str:
        """Return what is asked for with a block, for the log."""
        asked = self._blocks[block]
        if asked.function == 0:
            return f"block {block} (data {asked.address:08X})"
        return f"block {block} (function {asked.function}, {asked.count} from 0x{asked.address:04X})"

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
        for block in self.asked:
            self._bulk.fail(self._places[block], quality, spoils=False)
