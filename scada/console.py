"""The command line's end of the link: one operation asked of the running core, blocking, without an event loop.

Rule: whoever may open the core's socket (mode 0600) already owns the process, so the console is an administrator.
"""

import getpass
import json
import platform
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.protocols import amp

from scada.errors import DatabaseAway, Refused, WattkeeperError
from scada.link import Perform

PATIENCE_S: Final = 60.0  # an operation waits for a checkpoint, which waits for the data base
TAG: Final = b"1"


def console_user() -> str:
    """Return the name under which the console's acts are recorded."""
    return f"console:{getpass.getuser()}"


def perform(
    core_socket: Path, operation: str, arguments: Mapping[str, Any], user: str = "", role: str = "admin"
) -> dict[str, Any]:
    """Ask the running core for an operation; return its answer.

    Raises Refused with the core's code, DatabaseAway, or WattkeeperError when no core answers on the socket.
    """
    words = {"operation": operation, "arguments": json.dumps(arguments, ensure_ascii=False)}
    decoded: dict[str, Any] = json.loads(call(core_socket, Perform, words, user, role)["answer"])
    return decoded


def call(
    core_socket: Path, command: type[amp.Command], words: Mapping[str, Any], user: str = "", role: str = "admin"
) -> dict[str, Any]:
    """Send one command of the link, signed by the console where it wants to know who asks; return its answer.

    Raises as `perform` does.
    """
    signature = {"user": user or console_user(), "role": role, "station": platform.node() or "console"}
    signed = words if b"user" not in dict(command.arguments) else {**words, **signature}
    box = amp.Box(command.makeArguments(signed, None))
    box[amp.ASK], box[amp.COMMAND] = TAG, command.commandName
    answer = _ask(core_socket, box.serialize())
    if amp.ERROR in answer:
        raise _failure(answer[amp.ERROR_CODE], answer[amp.ERROR_DESCRIPTION].decode())
    parsed: dict[str, Any] = command.parseResponse(answer, None)
    return parsed


def answers(core_socket: Path) -> bool:
    """Tell whether a core listens on its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(PATIENCE_S)
        try:
            line.connect(str(core_socket))
        except OSError:
            return False
    return True


def _ask(core_socket: Path, question: bytes) -> Any:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE_S)
            line.connect(str(core_socket))
            line.sendall(question)
            with line.makefile("rb") as stream:
                return _read_box(stream)
    except OSError as error:
        raise WattkeeperError(f"the core does not answer on {core_socket} ({error}); is it running?") from error


def _read_box(stream: Any) -> Any:
    """Read one AMP box: pairs of length-prefixed key and value up to an empty key (AMP wire format, 16-bit lengths)."""
    box = amp.Box()
    while True:
        key = _read(stream, int.from_bytes(_read(stream, 2), "big"))
        if not key:
            return box
        box[key] = _read(stream, int.from_bytes(_read(stream, 2), "big"))


def _read(stream: Any, size: int) -> bytes:
    found: bytes = stream.read(size)
    if len(found) != size:
        raise ConnectionResetError("the core ended the conversation")
    return found


def _failure(code: bytes, text: str) -> WattkeeperError:
    if code == b"REFUSED":
        return Refused(text)
    if code == b"DATABASE_AWAY":
        return DatabaseAway(text)
    return WattkeeperError(f"the core could not do it: {text}")
