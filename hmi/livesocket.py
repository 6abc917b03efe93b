"""The websocket `/live/<page>`: carries a page's messages to one browser. The gate has checked session and origin."""

import asyncio
from typing import Final

from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from hmi.live import Hub, Mailbox
from hmi.sessions import current
from scada.roles import allowed

FRAME: Final = "frame"  # the alarm banner and status line that every page has
SOCKETS_MAX: Final = 2000  # twice the browsers of the load target
# Kinds of pages that show money of tenants -> the kind that a role without "account.view" gets instead.
WITHOUT_MONEY: Final = {"accounts": "", "account": "", "meter": "device"}
TRY_LATER: Final = 1013
NOT_FOUND: Final = 4404


def serve_live(app: FastAPI, hub: Hub) -> None:
    """Add the websocket to the application."""

    @app.websocket("/live/{page:path}")
    async def live(socket: WebSocket, page: str) -> None:
        mailbox = Mailbox()
        if hub.browsers >= SOCKETS_MAX:
            await socket.close(TRY_LATER)
            return
        page = page_for(current(socket).role, page)
        try:
            hub.join(mailbox, [FRAME] if page == FRAME else [FRAME, page])
        except KeyError:
            hub.leave(mailbox)
            await socket.close(NOT_FOUND)
            return
        await socket.accept()
        sending = asyncio.ensure_future(_send(socket, hub, mailbox))
        try:
            while True:
                await socket.receive_bytes()  # browsers say nothing; this ends when they go
        except (WebSocketDisconnect, KeyError, RuntimeError):
            pass  # gone, or talks although it has nothing to say
        finally:
            hub.leave(mailbox)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def page_for(role: str, page: str) -> str:
    """Return the key of what a role is sent for a page; one that no view has when it may see nothing of it."""
    kind, slash, key = page.partition("/")
    return page if allowed(role, "account.view") else WITHOUT_MONEY.get(kind, kind) + slash + key


async def _send(socket: WebSocket, hub: Hub, mailbox: Mailbox) -> None:
    while True:
        await mailbox.ready.wait()
        for message in hub.take(mailbox):
            await socket.send_bytes(message)
