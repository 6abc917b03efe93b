"""The link: typed commands that other rooms send to the core, over AMP on a Unix socket with file mode 0600.

Rule: requests only. Live values go through the image, history and lists through SQL. Every request carries who
asks (user, role, station); the core checks the role again. A refusal crosses the link with its code.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from loguru import logger
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, ServerFactory
from twisted.protocols import amp

from scada.errors import DatabaseAway, Refused, WattkeeperError

CONNECT_TIMEOUT_S: Final = 3.0
CALL_TIMEOUT_S: Final = 10.0
PIECE: Final = 60_000  # bytes of one value

_ERRORS: Final = {Refused: b"REFUSED", DatabaseAway: b"DATABASE_AWAY"}


class CoreAway(WattkeeperError):
    """The core does not answer on its socket now; it may be starting."""


class LongText(amp.Unicode):  # type: ignore[misc]
    """Text of any length. A value of the wire format holds 64 kB; the rest follows under `name.1`, `name.2`, ..."""

    def toBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: Any) -> None:
        super().toBox(name, strings, objects, proto)
        whole = strings[name]
        for at in range(0, max(len(whole), 1), PIECE):
            strings[_piece(name, at // PIECE)] = whole[at : at + PIECE]

    def fromBox(self, name: bytes, strings: dict[bytes, bytes], objects: dict[str, Any], proto: Any) -> None:
        pieces = [strings[name]]
        while (piece := strings.pop(_piece(name, len(pieces)), None)) is not None:
            pieces.append(piece)
        strings[name] = b"".join(pieces)
        super().fromBox(name, strings, objects, proto)


def _piece(name: bytes, number: int) -> bytes:
    return b"%s.%d" % (name, number) if number else name


_WHO: Final = [(b"user", amp.Unicode()), (b"role", amp.Unicode()), (b"station", amp.Unicode())]


class TopUp(amp.Command):  # type: ignore[misc]
    """Pay money into an account. The same `key` is credited once, however often it is sent."""

    arguments: ClassVar = [
        (b"account", amp.Unicode()),
        (b"amount_minor", amp.Integer()),  # minor units of the currency (fen), > 0
        (b"channel", amp.Unicode()),  # "cash", "transfer", ...
        (b"key", amp.Unicode()),
        *_WHO,
    ]
    response: ClassVar = [
        (b"receipt", amp.Unicode()),
        (b"balance_nano", amp.Integer()),
        (b"posted_utc_ns", amp.Integer()),
        (b"repeated", amp.Boolean()),
    ]
    errors = _ERRORS


class Acknowledge(amp.Command):  # type: ignore[misc]
    """Acknowledge one alarm with a comment (which may be empty)."""

    arguments: ClassVar = [(b"alarm", amp.Unicode()), (b"comment", amp.Unicode()), *_WHO]
    response: ClassVar[list[Any]] = []
    errors = _ERRORS


class Interlocks(amp.Command):  # type: ignore[misc]
    """Ask what stands against moving a breaker: `conditions` is JSON [{"code", "ok", "detail"}, ...]."""

    arguments: ClassVar = [(b"breaker", amp.Unicode()), (b"position", amp.Unicode())]
    response: ClassVar = [(b"conditions", amp.Unicode())]
    errors = _ERRORS


class SelectBreaker(amp.Command):  # type: ignore[misc]
    """Select a breaker for a position ("open" | "closed"); the selection is owned by the user and times out."""

    arguments: ClassVar = [(b"breaker", amp.Unicode()), (b"position", amp.Unicode()), *_WHO]
    response: ClassVar = [(b"command", amp.Unicode()), (b"timeout_s", amp.Integer())]
    errors = _ERRORS


class OperateBreaker(amp.Command):  # type: ignore[misc]
    """Confirm a selection: all interlocks are checked again, the journal is written, the frame is sent."""

    arguments: ClassVar = [(b"command", amp.Unicode()), (b"reason", amp.Unicode()), *_WHO]
    response: ClassVar[list[Any]] = []
    errors = _ERRORS


class CancelCommand(amp.Command):  # type: ignore[misc]
    """Give a selection back before it was operated."""

    arguments: ClassVar = [(b"command", amp.Unicode()), *_WHO]
    response: ClassVar[list[Any]] = []
    errors = _ERRORS


class CommandState(amp.Command):  # type: ignore[misc]
    """Ask how far a command is: `state` is a state of scada.control, `detail` JSON with reason and times."""

    arguments: ClassVar = [(b"command", amp.Unicode())]
    response: ClassVar = [(b"state", amp.Unicode()), (b"detail", amp.Unicode())]
    errors = _ERRORS


class ReleaseCredit(amp.Command):  # type: ignore[misc]
    """Let the stops go on that the mass-trip guard holds for a person."""

    arguments: ClassVar = _WHO
    response: ClassVar[list[Any]] = []
    errors = _ERRORS


class Perform(amp.Command):  # type: ignore[misc]
    """Ask for an operation by name (scada.operations); arguments and answer are JSON objects."""

    arguments: ClassVar = [(b"operation", amp.Unicode()), (b"arguments", LongText()), *_WHO]
    response: ClassVar = [(b"answer", LongText())]
    errors = _ERRORS


COMMANDS: Final = (
    TopUp,
    Acknowledge,
    Interlocks,
    SelectBreaker,
    OperateBreaker,
    CancelCommand,
    CommandState,
    ReleaseCredit,
    Perform,
)

_BY_NAME: Final = {command.commandName: command for command in COMMANDS}

Handler = Callable[..., Awaitable[Mapping[str, Any]]]


class _Server(amp.AMP):  # type: ignore[misc]
    """One connection of another room; every command goes to the handler that run.py wired to it."""

    def __init__(self, handlers: Mapping[type[amp.Command], Handler]) -> None:
        super().__init__()
        self._handlers = handlers

    def locateResponder(self, name: bytes) -> Any:
        command = _BY_NAME.get(name)
        if command is None:
            return super().locateResponder(name)
        handler = self._handlers[command]
        return self._wrapWithSerialization(
            lambda **kw: ensureDeferred(_as_coroutine(handler(**_storable(kw)))), command
        )


def _storable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments without the character NUL, which SQL text cannot hold: the journals would lose the record."""
    return {name: value.replace("\0", "") if isinstance(value, str) else value for name, value in arguments.items()}


async def _as_coroutine(answer: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Let handlers await asyncio futures (psycopg) inside a Deferred."""
    task = asyncio.ensure_future(answer)
    result: Mapping[str, Any] = await Deferred.fromFuture(task)
    return result


class _ServerFactory(ServerFactory):  # type: ignore[misc]
    noisy = False

    def __init__(self, handlers: Mapping[type[amp.Command], Handler]) -> None:
        self._handlers = handlers

    def buildProtocol(self, addr: Any) -> _Server:
        return _Server(self._handlers)


def serve(reactor: Any, socket: Path, handlers: Mapping[type[amp.Command], Handler]) -> Any:
    """Listen for the other rooms; `handlers` must name every command of COMMANDS. Returns the listening port."""
    missing = [command.__name__ for command in COMMANDS if command not in handlers]
    if missing:
        raise ValueError(f"no handler for {', '.join(missing)}")
    socket.unlink(missing_ok=True)  # a core that was killed leaves its socket file behind
    before = os.umask(0o177)
    try:
        return reactor.listenUNIX(str(socket), _ServerFactory(handlers), mode=0o600)
    finally:
        os.umask(before)


async def stop_serving(listening: Any) -> None:
    """Close what `serve` returned; no further room can connect."""
    stopped = listening.stopListening()
    if stopped is not None:
        await stopped.asFuture(asyncio.get_running_loop())


class CoreClient:
    """A room's end of the link: reconnects by itself, fails fast with CoreAway while the core is gone."""

    def __init__(self, reactor: Any, socket: Path) -> None:
        factory = Factory.forProtocol(amp.AMP)
        factory.noisy = False
        self._reactor = reactor
        self._service = ClientService(UNIXClientEndpoint(reactor, str(socket)), factory, retryPolicy=lambda _: 0.5)
        self._service.startService()

    async def call(self, command: type[amp.Command], /, **arguments: Any) -> dict[str, Any]:
        """Send one command. Raises Refused, DatabaseAway, or CoreAway when the core does not answer in time."""
        connected = self._service.whenConnected(failAfterFailures=1)
        connected.addTimeout(CONNECT_TIMEOUT_S, self._reactor)
        try:
            protocol = await connected.asFuture(asyncio.get_running_loop())
            answer = protocol.callRemote(command, **arguments)
            answer.addTimeout(CALL_TIMEOUT_S, self._reactor)
            result: dict[str, Any] = await answer.asFuture(asyncio.get_running_loop())
        except (Refused, DatabaseAway):
            raise
        except Exception as error:
            logger.warning("core did not answer {}: {!r}", command.__name__, error)
            raise CoreAway(f"the core does not answer {command.__name__}: {error}") from error
        return result

    async def close(self) -> None:
        stopped = self._service.stopService()
        if stopped is not None:
            await stopped.asFuture(asyncio.get_running_loop())


def conditions_from_json(text: str) -> list[dict[str, Any]]:
    """Decode the answer of Interlocks."""
    decoded: list[dict[str, Any]] = json.loads(text)
    return decoded
