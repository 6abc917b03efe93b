"""The control port of the simulated field: one JSON object per line in, one per line out, on loopback only.

Request {"order": "weld", "target": "q-7", "value": "open"}; answer {"ok": true, ...} or {"ok": false, "error": "..."}.
Rule: it carries orders and answers; what an order means is the fault desk's matter.
"""

import asyncio
import json
from typing import Any

from loguru import logger

from drivers.field.catalogue import HOST, LINE_MAX
from drivers.field.faults import FaultDesk
from scada.errors import WattkeeperError


class ControlPort:
    """The server side."""

    def __init__(self, desk: FaultDesk, port: int) -> None:
        self._desk = desk
        self._port = port
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen; WattkeeperError when the port is not free."""
        try:
            self._server = await asyncio.start_server(self._greet, HOST, self._port, limit=LINE_MAX)
        except OSError as error:
            raise WattkeeperError(
                f"control port {HOST}:{self._port} of the simulated field: {error.strerror}; is it in use?"
            ) from error

    async def stop(self) -> None:
        """Close the port and every connection, and wait until they are gone."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._clients.values():
            writer.close()
        if self._clients:
            await asyncio.wait(self._clients)
        await self._server.wait_closed()
        self._server = None

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients[task] = writer
        task.add_done_callback(self._clients.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                await writer.drain()
        except ValueError:
            logger.warning("control port: a line longer than {} bytes; connection closed", LINE_MAX)
        except ConnectionError as error:
            logger.debug("control port: client gone: {}", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            name, target, value = _parse(line)
            answer = {"ok": True} | await self._desk.order(name, target, value)
        except WattkeeperError as error:
            return {"ok": False, "error": str(error)}
        if name not in ("list", "show", "first-asked"):
            logger.info("order: {} {} {}", name, target, value)
        return answer


def _parse(line: bytes) -> tuple[str, str, str]:
    """Read one request; WattkeeperError says what it should look like."""
    try:
        request = json.loads(line)
    except ValueError as error:
        raise WattkeeperError(f"not JSON: {error}") from error
    if not isinstance(request, dict) or set(request) - {"order", "target", "value"} or "order" not in request:
        raise WattkeeperError('a request is {"order": name, "target": id, "value": text}')
    return str(request["order"]), str(request.get("target", "")), str(request.get("value", ""))
