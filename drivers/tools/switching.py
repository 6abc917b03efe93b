"""`meter trip` and `meter close`: through the control desk of the core, step by step, with the last word to a person.

A station that is not configured, or no core, means no interlocks and no journal: it takes --force, and says so.
Rule: "sent" is never "done": what is shown at the end is the position that was read back. Gas is never opened.
"""

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, Final

from drivers.asking import TARGETS, Ask
from drivers.dlt645 import METER_OFFSET_S
from drivers.field_operations import check_gas
from drivers.outcome import Outcome, Reply, Silence
from drivers.pollplan import plan_blocks
from drivers.profile import Switch
from drivers.tools.reading import outcome_sentence
from drivers.tools.session import Session
from drivers.tools.spoken import Ports
from drivers.tools.target import Target, secret_of, target_of
from drivers.tools.values import Value, clock_of, values_of
from drivers.tools.way import session_for
from drivers.tools.words import TEXTS, Words
from scada import console, link
from scada.errors import Refused
from scada.position import POSITIONS

FOLLOW_S: Final = 0.2
PATIENCE_S: Final = 90.0  # a valve may take 60 s; the desk gives its verdict before
LOOK_S: Final = 1.0
DIGITS: Final = 4
CODE_COLUMNS: Final = 26
STATUS_WORD_3: Final = 0x0400_0503  # DL/T 645-2007 annex A: running state of the meter
PROTECTED_HIGH: Final = 0x10  # bit 12, in its second byte
DATE: Final = 0x0400_0101  # WW DD MM YY on the wire
TIME_OF_DAY: Final = 0x0400_0102  # ss mm hh
ENDED: Final = frozenset({"verified", "failed", "undetermined", "cancelled", "expired"})
STEPS: Final = {"selected": "step select", "sent": "step operate", "accepted": "step accept", "verified": "step verify"}
Tell = Callable[[str, str], None]  # step, sentence


def switch(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Move a switch and prove it; return 0 only when the position was read back."""
    target, rest = target_of(args, ports)
    if rest:
        raise Refused("target.names", f"{args.verb} wants one meter and nothing else: {' '.join(rest)}")
    check_gas(target.device, args.target)
    core_socket = ports.core_socket(args)
    told: list[dict[str, str]] = []

    def tell(step: str, sentence: str) -> None:
        told.append({"step": step, "text": sentence})
        if not args.json:
            print(f"{words(step):<12} {sentence}", flush=True)

    if target.configured and console.answers(core_socket):
        if args.password_file or args.ask_password:
            raise Refused("target.password", "the core switches with the password of secrets.toml; give it none")
        _show_interlocks(core_socket, target, args, words)
        state = _cancelled(args, target, words) or _by_desk(core_socket, target, args, words, tell)
    else:
        _demand_force(args, target, words, core_socket)
        print(words("warn adhoc"), file=sys.stderr)
        state = _cancelled(args, target, words) or _by_hand(args, ports, target, words, tell)
    if args.json:
        print(
            json.dumps(
                {"target": target.device.id, "wish": args.target, "state": state, "steps": told}, ensure_ascii=False
            )
        )
    return 0 if state == "verified" else 1


def _demand_force(args: argparse.Namespace, target: Target, words: Words, core_socket: Path) -> None:
    if target.device.profile.switch is None:
        raise Refused(
            "field.switch", f"profile {target.device.profile.id} has no [switch]; name --profile of the model"
        )
    if target.protected and args.target == "open":
        raise Refused("field.protected", f"{target.device.id} is protected (保电) and never switched off from afar")
    if not args.force:
        reason = words("no core", socket=core_socket) if target.configured else "this station is not configured"
        raise Refused("field.force", f"{reason}: there are no interlocks and no journal; --force does it all the same")


def _cancelled(args: argparse.Namespace, target: Target, words: Words) -> str:
    """Let a person type the last digits of the meter number; return "cancelled" when they are not right."""
    if args.yes:
        return ""
    number = target.device.serial or target.device.address or str(target.device.unit)
    name = words.pick(target.zh, target.en)
    question = words("type digits", verb=words(args.verb), name=name, number=number)
    print(question, end="", file=sys.stderr, flush=True)  # the output may be one JSON document
    try:
        typed = input("")
    except EOFError:
        typed = ""
    if typed.strip() == number[-DIGITS:]:
        return ""
    print(words("not confirmed"), file=sys.stderr)
    return "cancelled"


# --- through the control desk -----------------------------------------------------------------------------------------


def _show_interlocks(core_socket: Path, target: Target, args: argparse.Namespace, words: Words) -> None:
    """Show what stands for and against it. Refused with the first condition that does not hold."""
    answer = console.call(core_socket, link.Interlocks, {"breaker": target.device.id, "position": args.target})
    conditions = link.conditions_from_json(answer["conditions"])
    if not args.json:
        print(words("interlocks"))
        for condition in conditions:
            mark = "ok" if condition["ok"] else "NO" if condition["blocks"] else "--"
            print(f"  {mark}  {condition['code']:<{CODE_COLUMNS}} {_said(condition, words)}")
    for condition in conditions:
        if condition["blocks"] and not condition["ok"]:
            raise Refused(condition["code"], f"does not hold: {condition['detail']}")


def _said(condition: Mapping[str, Any], words: Words) -> str:
    """Return a condition in the language of the terminal, with the number or word that decided it."""
    code, detail = str(condition["code"]), str(condition["detail"])
    if code not in TEXTS or words.lang == "en":
        return detail
    fact = detail[detail.index(" (") :] if detail.endswith(")") else ""
    return f"{words(code)}{fact}"


def _by_desk(core_socket: Path, target: Target, args: argparse.Namespace, words: Words, tell: Tell) -> str:
    """Select, operate and follow; return the last state. Refused with the interlock that does not hold."""
    wish = {"breaker": target.device.id, "position": args.target}
    selected = console.call(core_socket, link.SelectBreaker, wish)
    command = {"command": selected["command"]}
    tell("step select", f"{target.device.id} -> {args.target}, {selected['timeout_s']} s")
    console.call(core_socket, link.OperateBreaker, {**command, "reason": args.reason})
    try:
        return _follow(core_socket, command, words, tell)
    except KeyboardInterrupt:  # ends the looking on alone
        print("\n" + words("goes on"), file=sys.stderr)
        return "sent"


def _follow(core_socket: Path, command: dict[str, Any], words: Words, tell: Tell) -> str:
    """Tell every state that a command reaches until it ends."""
    until = time.monotonic() + PATIENCE_S
    seen = "selected"
    while time.monotonic() < until:
        answer = console.call(core_socket, link.CommandState, command)
        state = str(answer["state"])
        if state != seen:
            for step in _between(seen, state):
                tell(STEPS.get(step, "step verify"), words(f"state {step}"))
            detail = json.loads(answer["detail"])["detail"]
            tell(STEPS.get(state, "step verify"), f"{words(f'state {state}')} {detail}".strip())
            seen = state
        if state in ENDED:
            return state
        time.sleep(FOLLOW_S)
    return seen


def _between(seen: str, state: str) -> list[str]:
    """Return the steps that were passed between two looks."""
    order = list(STEPS)
    if state not in order or seen not in order:
        return []
    return order[order.index(seen) + 1 : order.index(state)]


# --- without a desk ---------------------------------------------------------------------------------------------------


def _by_hand(args: argparse.Namespace, ports: Ports, target: Target, words: Words, tell: Tell) -> str:
    """Send the command on a line without a desk, and read the position back."""
    secret = secret_of(args, lambda: getpass.getpass(words("password")), target.device.secret)
    target = replace(target, device=replace(target.device, secret=secret))
    switch = target.device.profile.switch
    assert switch is not None
    session = session_for(args, target, ports.core_socket(args), words, args.force)
    try:
        before = position(session, target, switch)
        meter_ns = _look_at_relay(session, target, args) if target.spoken == "dlt645-2007" else 0
        tell("step select", before.text if before else "?")
        outcome, _ = session.ask(target.device, Ask("switch", target=args.target, utc_ns=meter_ns))
        if not isinstance(outcome, Reply) and not (isinstance(outcome, Silence) and outcome.sent):
            tell("step operate", outcome_sentence(words.pick(target.zh, target.en), args.verb, outcome, words))
            return "failed"
        tell("step accept" if isinstance(outcome, Reply) else "step operate", _accepted(outcome, words))
        return _verify(session, target, switch, args, words, tell)
    finally:
        session.close()


def _look_at_relay(session: Session, target: Target, args: argparse.Namespace) -> int:
    """Return the time on the meter's clock as UTC, ns; 0 when it does not say. A command expires by that clock.

    Refused "field.protected" for tripping a supply that the meter protects: it would take the command and do nothing.
    """
    word, _ = session.ask(target.device, Ask("read", 0, STATUS_WORD_3, 2))
    if args.target == "open" and isinstance(word, Reply) and word.payload[1] & PROTECTED_HIGH:
        raise Refused("field.protected", "the meter protects this supply (保电); end that first, or it stays closed")
    date, _ = session.ask(target.device, Ask("read", 0, DATE, 4))
    time_of_day, _ = session.ask(target.device, Ask("read", 0, TIME_OF_DAY, 3))
    if not isinstance(date, Reply) or not isinstance(time_of_day, Reply):
        return 0
    shown = clock_of("WDMYsmh", date.payload + time_of_day.payload)
    if shown is None:
        return 0
    return int((shown - timedelta(seconds=METER_OFFSET_S)).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def _accepted(outcome: Outcome, words: Words) -> str:
    return words("done") if isinstance(outcome, Reply) else words("undetermined")


def _verify(
    session: Session, target: Target, switch: Switch, args: argparse.Namespace, words: Words, tell: Tell
) -> str:
    """Read the position until it is the wished one or the mechanism's time is over."""
    until = time.monotonic() + switch.verify_s
    wished = POSITIONS[TARGETS[args.target]]
    while True:
        shown = position(session, target, switch)
        if shown is not None and shown.text == wished:
            tell("step verify", f"{words('state verified')}: {shown.text} ({shown.raw})")
            return "verified"
        if time.monotonic() >= until:
            tell("step verify", f"{words('state undetermined')}: {shown.text if shown else words('nothing')}")
            return "undetermined"
        time.sleep(LOOK_S)


def position(session: Session, target: Target, switch: Switch) -> Value | None:
    """Read the position of a switch; None when it cannot be read now, or the profile does not say where it stands."""
    profile = target.device.profile
    for block in plan_blocks(profile):
        if any(profile.registers[index].measure == switch.position for index in block.registers):
            outcome, _ = session.ask(target.device, Ask("read", block.function, block.address, block.count))
            if not isinstance(outcome, Reply):
                return None
            found = values_of(profile, block, outcome.payload, target.device.ct, target.device.pt, time.time_ns())
            return next(value for value in found if value.measure == switch.position)
    return None
