"""Give the simulated field an order from another process, over its control port.

Rule: blocking and light to import; for the command line and for tests.
"""

import json
import socket
from typing import Any, Final

from drivers.field.catalogue import HOST
from scada.errors import WattkeeperError

CALL_TIMEOUT_S: Final = 5.0  # an order is carried out at once; a field that needs longer is not there
ANSWER_MAX: Final = 4 * 1024 * 1024  # `list` of ten thousand devices


def call(port: int, name: str, target: str = "", value: str = "") -> dict[str, Any]:
    """Send one order from another process and return the answer; WattkeeperError when no field listens. Blocks."""
    request = json.dumps({"order": name, "target": target, "value": value}).encode() + b"\n"
    try:
        with socket.create_connection((HOST, port), CALL_TIMEOUT_S) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answers:
                line = answers.readline(ANSWER_MAX)
    except OSError as error:
        raise WattkeeperError(f"no simulated field answers on {HOST}:{port} ({error}); is it running?") from error
    if not line:
        raise WattkeeperError(f"the simulated field on {HOST}:{port} closed the connection without an answer")
    answer: dict[str, Any] = json.loads(line)
    return answer
