"""`meter read` and `meter watch`: values with unit and quality, and the frames that brought them, explained.

Rule: what failed is told on the error stream with where to look; a script gets the same in one JSON document.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.pollplan import Block
from drivers.tools import show
from drivers.tools.reading import Harvest, blocks_of, failure_texts
from drivers.tools.reading import read as read_blocks
from drivers.tools.session import Session
from drivers.tools.spoken import Ports
from drivers.tools.target import Target, target_of
from drivers.tools.values import Value
from drivers.tools.way import session_for
from drivers.tools.words import Words
from scada.errors import WattkeeperError


def read(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Read once; return 1 when any block gave no values."""
    target, names = target_of(args, ports)
    blocks = blocks_of(target.device.profile, names)
    session = session_for(args, target, ports.core_socket(args), words)
    try:
        harvest = read_blocks(session, target, blocks, names)
    finally:
        session.close()
    _print(args, target, session, harvest, words)
    return 0 if harvest.is_right(target.device) else 1


def _print(args: argparse.Namespace, target: Target, session: Session, harvest: Harvest, words: Words) -> None:
    frames = args.frames if args.frames is not None else not target.configured
    if args.json:
        print(json.dumps(document(target, session, harvest, words, frames), ensure_ascii=False))
        return
    print(f"{words.pick(target.zh, target.en)}  {target.spoken}  {session.told(words)}")
    if frames:
        for entry in harvest.entries:
            print("\n".join(show.entry_lines(entry, target.device.profile.protocol, session.framed, words)))
        print()
    if harvest.values:
        print("\n".join(show.values(harvest.values, words)))
    for sentence in failure_texts(target, harvest, words):
        print(sentence, file=sys.stderr)


def document(target: Target, session: Session, harvest: Harvest, words: Words, frames: bool) -> Mapping[str, Any]:
    """Return what one round gave, as plain data."""
    protocol, framed = target.device.profile.protocol, session.framed
    told, right = failure_texts(target, harvest, words), harvest.is_right(target.device)
    return {
        "target": target.device.id, "protocol": target.spoken, "way": session.told(words),
        "values": [show.value_json(value) for value in harvest.values],
        "failures": [] if right else told,
        "remarks": told if right else [],
        "frames": [show.entry_json(entry, protocol, framed) for entry in harvest.entries] if frames else [],
    }  # fmt: skip


def watch(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Read until Ctrl-C, or for --rounds; changes since the round before carry a mark."""
    target, names = target_of(args, ports)
    blocks = blocks_of(target.device.profile, names)
    session = session_for(args, target, ports.core_socket(args), words)
    rounds, failed = 0, False
    before: dict[str, str] = {}
    if not args.json:
        print(f"{words.pick(target.zh, target.en)}  {session.told(words)}  {words('watching', every=args.every)}")
    try:
        while True:
            begun = time.monotonic()
            try:
                failed = _round(args, target, session, blocks, names, words, before)
            except WattkeeperError as failure:  # the line, or the core, is away: it may come back
                if not rounds:
                    raise
                failed = True
                print(failure, file=sys.stderr)
            rounds += 1
            if rounds == args.rounds:
                break
            time.sleep(max(0.0, args.every - (time.monotonic() - begun)))
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        session.close()
    print(words("ended", rounds=rounds), file=sys.stderr)
    return 1 if failed else 0


def _round(
    args: argparse.Namespace, target: Target, session: Session, blocks: Sequence[Block], names: Sequence[str],
    words: Words, before: dict[str, str],
) -> bool:  # fmt: skip
    """Read and print one round; tell whether anything failed. before: measure -> text, brought up to date."""
    harvest = read_blocks(session, target, blocks, names)
    changed = frozenset(_changed(before, harvest.values))
    before.update({value.measure: value.text for value in harvest.values})
    if args.json:
        said = document(target, session, harvest, words, bool(args.frames))
        print(
            json.dumps({**said, "utc_ns": time.time_ns(), "changed": sorted(changed)}, ensure_ascii=False), flush=True
        )
        return not harvest.is_right(target.device)
    print(f"--- {time.strftime('%H:%M:%S')}  {words('changed') if changed else ''}".rstrip())
    if args.frames:
        for entry in harvest.entries:
            print("\n".join(show.entry_lines(entry, target.device.profile.protocol, session.framed, words)))
    if harvest.values:
        print("\n".join(show.values(harvest.values, words, changed)), flush=True)
    for sentence in failure_texts(target, harvest, words):
        print(sentence, file=sys.stderr)
    return not harvest.is_right(target.device)


def _changed(before: Mapping[str, str], values: Sequence[Value]) -> list[str]:
    return [value.measure for value in values if before and before.get(value.measure) != value.text]
