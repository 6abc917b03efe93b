"""Read a device block by block, and turn what it said into values and sentences.

Rule: a block that fails is told with its reason and never shown as a value.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers import cjt188, cjt188_explain
from drivers.asking import Ask
from drivers.cjt188_words import type_name
from drivers.device import Device
from drivers.dlt645_items import Item, item_of, item_of_1997
from drivers.dlt645_values import item_texts
from drivers.frame_log import Entry
from drivers.outcome import ExceptionReply, Outcome, Reply, Silence, Violation
from drivers.pollplan import Block, plan_blocks
from drivers.profile import Profile, Register
from drivers.tools.session import Session
from drivers.tools.target import Target
from drivers.tools.values import Value, values_of
from drivers.tools.words import Words
from scada.errors import Refused
from scada.quality import BAD_SENSOR_FAILURE, GOOD

CJT188_FRAMING: Final = frozenset({"checksum", "end", "other bytes"})


@dataclass(slots=True)
class Harvest:
    """What one round of reading gave."""

    values: list[Value] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    failures: list[tuple[Block, Outcome]] = field(default_factory=list)
    other_type: int | None = None  # CJ/T 188: the T that answered, where another one was asked

    def is_right(self, device: Device) -> bool:
        """Tell whether every block was read, and from a meter of the medium that was asked."""
        return not self.failures and not is_other_medium(device, self.other_type)


def blocks_of(profile: Profile, names: Sequence[str]) -> list[Block]:
    """Return the reads that fetch the named registers, all of them without names. Refused "target.names"."""
    known = {register.measure for register in profile.registers}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Refused("target.names", f"{profile.id} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if not profile.registers:
        raise Refused("target.names", "say what to read: --profile ID, or --register 3:0x000A:2:u32")
    wanted = set(names or known)
    return [b for b in plan_blocks(profile) if wanted & {profile.registers[i].measure for i in b.registers}]


def read(session: Session, target: Target, blocks: Sequence[Block], names: Sequence[str] = ()) -> Harvest:
    """Read some blocks once. What a meter of another medium says is no value of the profile that was named."""
    harvest, device = Harvest(), target.device
    for block in blocks:
        outcome, entries = session.ask(device, Ask("read", block.function, block.address, block.count))
        harvest.entries += entries
        if device.profile.protocol == "cjt188" and entries:
            harvest.other_type = _other_type(device, entries[-1].received) or harvest.other_type
            if device.profile.medium and is_other_medium(device, harvest.other_type) and isinstance(outcome, Reply):
                outcome = Violation(cjt188.Wrong.TYPE)
        if isinstance(outcome, Reply):
            found = values(device, block, outcome.payload)
            if block.count < 0 and device.profile.protocol == "cjt188":
                found = _standard_values(device.profile, block, entries[-1].received) or found
            harvest.values += [value for value in found if not names or value.measure in names]
        else:
            harvest.failures.append((block, as_heard(outcome, entries)))
    return harvest


def as_heard(outcome: Outcome, entries: Sequence[Entry]) -> Outcome:
    """Return a time-out in which something came as the wrong reply that it is: there is somebody on the line."""
    if isinstance(outcome, Silence) and outcome.reason == "timeout" and entries and entries[-1].received:
        echo = entries[-1].received == entries[-1].sent
        return Violation("the question alone came back" if echo else "garbage")
    return outcome


def _other_type(device: Device, received: bytes) -> int | None:
    """Return the meter type that answered when it is not the one that was asked, else None."""
    answered, asked = cjt188.answered_type(cjt188.station_of(device), received), device.profile.meter_type
    return None if answered == asked or asked == cjt188.ANY else answered


def is_other_medium(device: Device, other_type: int | None) -> bool:
    """Tell whether a meter type measures something else than was asked: water, heat or cooling, gas, others."""
    return other_type is not None and other_type >> 4 != device.profile.meter_type >> 4


def type_text(target: Target, harvest: Harvest, words: Words) -> str:
    """Return in a sentence what answered instead of the type that was asked; "" when the right one did."""
    if harvest.other_type is None:
        return ""
    asked = target.device.profile.meter_type
    return words(
        "other medium" if is_other_medium(target.device, harvest.other_type) else "other type",
        who=words.pick(target.zh, target.en),
        asked=f"{asked:02X} {words.pick(*type_name(asked))}",
        answered=f"{harvest.other_type:02X} {words.pick(*type_name(harvest.other_type))}",
    )


def values(device: Device, block: Block, payload: bytes) -> list[Value]:
    """Return the values of a payload: by the profile, or by what the standard says about the identifier."""
    profile = device.profile
    if block.count < 0:  # an ad-hoc read of an identifier
        return _item_values(profile, block, payload)
    found: list[Value] = []
    for index in block.registers:
        register = profile.registers[index]
        single = Block(block.function, block.address, block.count, (index,), block.poll)
        if register.size and register.type != "clock" and profile.protocol == "modbus":
            at = 2 * (register.address - block.address)
            found.append(_raw(register, payload[at : at + register.size]))
        else:
            found += values_of(profile, single, payload, device.ct, device.pt, time.time_ns())
    return found


def _standard_values(profile: Profile, block: Block, received: bytes) -> list[Value]:
    """Return what the standard says about the data of a CJ/T 188 reply: the named fields behind its sequence number."""
    measure = profile.registers[block.registers[0]].measure
    fields = cjt188_explain.explain(received)
    lead = next((number for number, field in enumerate(fields) if field.en == "sequence number"), len(fields))
    return [
        Value(measure, field.zh, field.en, field.value, "", BAD_SENSOR_FAILURE if field.wrong else GOOD,
              received[field.at : field.at + field.size].hex(" ").upper())
        for field in fields[lead + 1 :] if field.en not in CJT188_FRAMING
    ]  # fmt: skip


def _item_values(profile: Profile, block: Block, payload: bytes) -> list[Value]:
    """Return the values of a DL/T 645 identifier by the tables of the standard."""
    register = profile.registers[block.registers[0]]
    if profile.protocol == "cjt188":
        return [_raw(register, payload)]
    item: Item | None = item_of_1997(block.address) if profile.protocol == "dlt645-1997" else item_of(block.address)
    if item is None:
        return [_raw(register, payload)]
    found = []
    for text in item_texts(item, payload):
        raw = payload[text.at : text.at + text.size].hex(" ").upper()
        zh, en = (part if text.size == 0 else f"{name} {part}".strip()
                  for name, part in zip((item.zh, item.en), text.name, strict=True))  # fmt: skip
        quality = BAD_SENSOR_FAILURE if text.wrong else GOOD
        found.append(Value(register.measure, zh, en, text.text[1], "", quality, raw))
    return found


def _raw(register: Register, data: bytes) -> Value:
    raw = data.hex(" ").upper()
    return Value(register.measure, register.description_zh, register.description_en, raw, "", GOOD, raw)


def failure_texts(target: Target, harvest: Harvest, words: Words) -> list[str]:
    """Return in sentences what went wrong or was not as asked; what a wrong meter type explains is told once."""
    told = [type_text(target, harvest, words)] if harvest.other_type is not None else []
    wrong_type = Violation(cjt188.Wrong.TYPE)
    rest = [(block, outcome) for block, outcome in harvest.failures if not told or outcome != wrong_type]
    return told + [failure_text(target, block, outcome, words) for block, outcome in rest]


def failure_text(target: Target, block: Block, outcome: Outcome, words: Words) -> str:
    """Return in a sentence why a block was not read, and where to look."""
    return outcome_sentence(words.pick(target.zh, target.en), block_name(block), outcome, words)


def outcome_sentence(who: str, what: str, outcome: Outcome, words: Words) -> str:
    """Return in a sentence how a question ended that brought no values."""
    if isinstance(outcome, Silence):
        return words(outcome.reason, who=who, what=what)
    if isinstance(outcome, ExceptionReply):
        detail = f"{outcome.code:02X} {outcome.meaning.name}"
        return words("exception", who=who, what=what, detail=detail)
    return words("violation", who=who, what=what, detail=getattr(outcome, "wrong", ""))


def block_name(block: Block) -> str:
    """Return what a read asks for, as written in manuals."""
    if block.function == 0:
        return f"DI {block.address:0{8 if block.address > 0xFFFF else 4}X}"
    return f"{block.function:02d}:0x{block.address:04X}+{block.count}"
