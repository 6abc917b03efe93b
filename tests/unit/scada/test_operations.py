"""Operations over the link: typed arguments, roles, answers and refusals, asked as the command line asks."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scada import link
from scada.console import perform
from scada.errors import DatabaseAway, Refused, WattkeeperError
from scada.operations import Operation, OperationDesk, Who, parse


@dataclass(frozen=True)
class Greeting:
    """Greet somebody."""

    name: str
    times: int = 1


async def greet(who: Who, arguments: Greeting) -> dict[str, Any]:
    if arguments.name == "nobody":
        raise Refused("greet.nobody", "there is nobody to greet: try a name")
    if arguments.name == "away":
        raise DatabaseAway("gone")
    return {"text": f"{arguments.name} " * arguments.times, "who": who.user, "role": who.role}


DESK = OperationDesk([Operation("greet", "view", Greeting, greet), Operation("rule", "user.manage", Greeting, greet)])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"name": "x", "timse": 2}', "timse"),
        ("{}", "name"),
        ('{"name": "x", "times": "soon"}', "times"),
        ("no json", "arguments"),
    ],
)
def test_arguments_that_are_not_understood_are_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(Greeting, text)
    assert refused.value.code == "operation.arguments"
    assert named in refused.value.detail


def test_a_text_that_no_data_base_holds_is_refused() -> None:
    with pytest.raises(Refused, match=r"operation\.arguments.*NUL"):
        parse(Greeting, '{"name": "a\\u0000b"}')
    assert parse(Greeting, '{"name": "a\\\\u0000b"}').name == "a\\u0000b"  # the six characters, not the one


def test_unknown_operations_and_roles_without_the_permission_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(DESK.perform("gret", "{}", Who("a", "admin", "s")))
    assert refused.value.code == "operation.unknown"
    with pytest.raises(Refused) as refused:
        asyncio.run(DESK.perform("rule", '{"name": "x"}', Who("a", "operator", "s")))
    assert refused.value.code == "role"


def test_the_console_asks_a_core_over_its_socket(reactor_loop: Any, tmp_path: Path) -> None:
    """What the command line sends is what the desk gets; refusals come back with their codes."""

    async def perform_there(operation: str, arguments: str, user: str, role: str, station: str) -> dict[str, Any]:
        return {"answer": await DESK.perform(operation, arguments, Who(user, role, station))}

    socket = tmp_path / "core.sock"

    async def talk() -> None:
        listening = link.serve(reactor_loop.reactor, socket, dict.fromkeys(link.COMMANDS, perform_there))
        answer = await asyncio.to_thread(perform, socket, "greet", {"name": "晓", "times": 2}, "li")
        assert answer == {"text": "晓 晓 ", "who": "li", "role": "admin"}
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(perform, socket, "greet", {"name": "nobody"})
        assert (refused.value.code, refused.value.detail) == ("greet.nobody", "there is nobody to greet: try a name")
        with pytest.raises(DatabaseAway):
            await asyncio.to_thread(perform, socket, "greet", {"name": "away"})
        await link.stop_serving(listening)

    reactor_loop.run(talk())


def test_without_a_core_the_console_says_so(tmp_path: Path) -> None:
    with pytest.raises(WattkeeperError, match="is it running"):
        perform(tmp_path / "core.sock", "greet", {"name": "x"})
