"""The link: typed commands over a socket that only its owner may open; refusals cross it with their code."""

import asyncio
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scada import link
from scada.console import perform
from scada.errors import DatabaseAway, Refused
from tests.plant.amp_client import AmpError, call

WHO = {"user": "li", "role": "operator", "station": "room-1"}


async def acknowledge(**asked: Any) -> Mapping[str, Any]:
    await asyncio.sleep(0)
    if asked["alarm"] == "unknown":
        raise Refused("alarm.unknown", "there is no alarm 'unknown': nothing was done")
    if asked["alarm"] == "away":
        raise DatabaseAway("the books are not open yet")
    if asked["alarm"] == "broken":
        raise ZeroDivisionError("a programmer's error")
    assert asked == {"alarm": "报警", "comment": "查过", **WHO}
    return {}


async def nothing(**asked: Any) -> Mapping[str, Any]:
    return {"state": "idle", "detail": "{}"}


HANDLERS = dict.fromkeys(link.COMMANDS, nothing) | {link.Acknowledge: acknowledge}


def test_every_command_needs_a_handler(reactor_loop, tmp_path: Path) -> None:
    handlers = dict(HANDLERS)
    del handlers[link.TopUp]
    with pytest.raises(ValueError, match="TopUp"):
        link.serve(reactor_loop.reactor, tmp_path / "core.sock", handlers)


def test_commands_answers_and_refusals(reactor_loop, tmp_path: Path) -> None:
    socket = tmp_path / "core.sock"
    socket.touch()  # what a killed core leaves behind

    async def talk() -> None:
        listening = link.serve(reactor_loop.reactor, socket, HANDLERS)
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        client = link.CoreClient(reactor_loop.reactor, socket)
        assert await client.call(link.Acknowledge, alarm="报警", comment="查过", **WHO) == {}
        assert await client.call(link.Acknowledge, alarm="报警", comment="查\0过", **WHO) == {}, "SQL holds no NUL"
        with pytest.raises(Refused) as refused:
            await client.call(link.Acknowledge, alarm="unknown", comment="", **WHO)
        assert refused.value.code == "alarm.unknown"
        assert refused.value.detail == "there is no alarm 'unknown': nothing was done"
        with pytest.raises(DatabaseAway, match="not open yet"):
            await client.call(link.Acknowledge, alarm="away", comment="", **WHO)
        foreign = await asyncio.to_thread(call, socket, "CommandState", command="x")
        assert foreign["state"] == "idle"
        with pytest.raises(AmpError, match=r"REFUSED: alarm\.unknown: "):
            await asyncio.to_thread(call, socket, "Acknowledge", alarm="unknown", comment="", **WHO)
        await client.close()
        await link.stop_serving(listening)

    reactor_loop.run(talk())


@pytest.mark.parametrize("letters", [1, 30_000, 60_001, 2_000_000])
def test_what_is_asked_and_answered_may_be_long(reactor_loop, tmp_path: Path, letters: int) -> None:
    """A list of held meters of a large site is longer than one value of the wire format."""
    socket, text = tmp_path / "core.sock", json.dumps({"text": "报a" * letters}, ensure_ascii=False)

    async def echo(**asked: Any) -> Mapping[str, Any]:
        return {"answer": asked["arguments"]}

    async def talk() -> None:
        listening = link.serve(reactor_loop.reactor, socket, HANDLERS | {link.Perform: echo})
        client = link.CoreClient(reactor_loop.reactor, socket)
        answer = await client.call(link.Perform, operation="meter.held", arguments=text, **WHO)
        assert answer == {"answer": text}
        assert await asyncio.to_thread(perform, socket, "meter.held", {"text": "报a" * letters}) == json.loads(text)
        await client.close()
        await link.stop_serving(listening)

    reactor_loop.run(talk())


def test_without_a_core_the_client_fails_fast_and_finds_it_again(reactor_loop, tmp_path: Path) -> None:
    socket = tmp_path / "core.sock"

    async def talk() -> None:
        client = link.CoreClient(reactor_loop.reactor, socket)
        with pytest.raises(link.CoreAway):
            await client.call(link.CommandState, command="x")
        listening = link.serve(reactor_loop.reactor, socket, HANDLERS)
        answer = None
        for _ in range(100):
            try:
                answer = await client.call(link.CommandState, command="x")
                break
            except link.CoreAway:
                await asyncio.sleep(0.1)
        assert answer == {"state": "idle", "detail": "{}"}
        await client.close()
        await link.stop_serving(listening)

    reactor_loop.run(talk())
