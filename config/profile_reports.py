"""What is said of a meter profile: its registers, how it is switched, and what reading it costs on a serial line.

Rule: returns lines of text. The cost is counted on the very questions that the drivers send, so it cannot drift.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from config.profile_schema import ProfileTable
from config.profiling import profile_of
from drivers.budget import spent_s
from drivers.device import Device, Gateway, LineFormat, Parity
from drivers.dialects import dialect_of
from drivers.modbus import Request
from drivers.pollplan import Block, plan_blocks
from drivers.profile import POLL_S, PollClass, Profile, Protocol

BAUDS: Final = (2400, 9600)
# How each protocol's lines are usually set: DL/T 645 section 5.2 and CJ/T 188 want even parity, Modbus meters come 8N1
PARITY: Final[dict[Protocol, Parity]] = {"modbus": "N", "dlt645-2007": "E", "dlt645-1997": "E", "cjt188": "E"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What the reads of one poll class put on a serial line."""

    poll: PollClass
    reads: int
    request_bytes: int
    reply_bytes: int
    bits: int  # of both, with start, parity and stop bits
    shortest_s: tuple[float, ...]  # at each of BAUDS, with the usual delay of an answer (drivers.budget)


def costs(profile: Profile) -> list[Cost]:
    """Return the cost of every poll class that the profile uses."""
    digits = 10 if profile.protocol == "cjt188" else 12
    device = Device("sample", "line", 1, profile, 1, 1, {}, address="1".zfill(digits))
    blocks = plan_blocks(profile)
    return [_cost(device, poll, found) for poll in POLL_S if (found := [b for b in blocks if b.poll == poll])]


def _cost(device: Device, poll: PollClass, blocks: Sequence[Block]) -> Cost:
    protocol = device.profile.protocol
    requests = replies = 0
    for block in blocks:
        question = dialect_of(protocol, framed=False).read(device, block)
        assert not isinstance(question, Request)  # a line without frames has bare exchanges
        requests += len(question.wire)
        replies += question.reply_bytes
    lines = [LineFormat(baud, PARITY[protocol]) for baud in BAUDS]
    gateways = [Gateway("line", "", 0, transport="serial", line=line) for line in lines]
    times = tuple(sum(spent_s(gateway, device, block) for block in blocks) for gateway in gateways)
    bits = (requests + replies) * (10 + (PARITY[protocol] != "N"))
    return Cost(poll, len(blocks), requests, replies, bits, times)


def summary(table: ProfileTable) -> str:
    """Return a profile in one line."""
    proven = "proven on a device" if table.verified else "not proven on a device"
    uses = [word for word, has in (("charged", table.billing), ("switched", table.switch)) if has]
    what = ", ".join([table.medium, f"{len(table.registers)} registers", *uses, proven])
    return f"{table.id:<26} {table.protocol:<12} {table.maker} {table.model}: {what}"


def markdown(tables: Iterable[ProfileTable]) -> Iterator[str]:
    """Yield a table of profiles for a page."""
    yield "| profile | what it is | protocol | charged | switched | proven | where its registers come from |"
    yield "|---|---|---|---|---|---|---|"
    for table in tables:
        charged = table.billing.measure if table.billing else "–"
        marks = ["yes" if mark else "–" for mark in (table.switch, table.verified)]
        what = f"{table.maker} {table.model}"
        yield f"| {' | '.join([f'`{table.id}`', what, table.protocol, charged, *marks, table.source])} |"


def plan(profile: Profile) -> Iterator[str]:
    """Yield what reading a meter costs, class by class."""
    times = "".join(f"{f'{baud} baud':>13}" for baud in BAUDS)
    yield f"  {'class':<8}{'reads':>6}{'request':>9}{'reply':>7}{'bits':>7}{times}"
    for cost in costs(profile):
        shortest = "".join(f"{f'{seconds * 1000:.0f} ms':>13}" for seconds in cost.shortest_s)
        row = f"{cost.reads:>6}{cost.request_bytes:>9}{cost.reply_bytes:>7}{cost.bits:>7}{shortest}"
        yield f"  {cost.poll:<8}{row}"


def shown(table: ProfileTable) -> Iterator[str]:
    """Yield a whole profile: registers, what is charged, how it is switched, and what reading it costs."""
    profile = profile_of(table)
    yield summary(table)
    yield f"  source: {table.source}"
    for register in table.registers:
        place = f"{register.function}:{register.address:#06x}" if register.address is not None else register.di
        place += f"+{register.at}" if register.at else ""
        form = register.type + (f":{register.size}" if register.size else "")
        form += f" & {register.mask:#x}" if register.mask else ""
        value = f"x {register.scale} {register.unit}".rstrip() + (f" x {register.ratio}" if register.ratio else "")
        names = f"{register.zh} / {register.en}"
        yield f"  {register.measure:<26} {place:<13} {form:<14} {value:<20} {register.poll:<8} {names}"
    if table.billing:
        weight = f"{table.billing.milli_per_count} thousandths a count, rolls over at {table.billing.modulus_counts}"
        yield f"  charged: {table.billing.measure}, {weight}"
    if profile.switch:
        command = f"function {profile.switch.function} at {profile.switch.address:#06x}, "
        words = command if table.protocol == "modbus" else ""
        closing = f"{profile.switch.close_value:#06x}" if profile.switch.close_value >= 0 else "never from afar"
        yield f"  switched: {words}open {profile.switch.open_value:#06x}, close {closing}"
    yield from plan(profile)
