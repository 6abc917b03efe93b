"""Ownership: a page's socket.io messages count only when they come from the session that the page was made for.

NiceGUI takes the id of a page (its client id) as proof of being that page: whoever holds it may join the page's room,
read what is pushed there and fire its events. Here the session behind the socket must be the session behind the page.
Source: CVE-2025-21618 (one login served other browsers), OWASP ASVS 5.0 item 4.4.3.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

from loguru import logger
from nicegui import Client

from hmi.sessions import Session

NAMESPACE: Final = "/"
MESSAGES: Final = ("handshake", "event", "javascript_response", "ack", "log")  # each names its page in "client_id"


def bind(sockets: Any) -> None:
    """Put the check in front of NiceGUI's own handlers. sockets: its socketio.AsyncServer"""
    handlers = sockets.handlers[NAMESPACE]
    handlers["connect"] = _checked_connect(handlers["connect"])
    for name in MESSAGES:
        handlers[name] = _checked(sockets, name, handlers[name])


def _checked_connect(handler: Callable[..., Any]) -> Callable[..., Any]:
    async def connect(sid: str, environ: dict[str, Any], *more: Any) -> Any:
        pages = parse_qs(environ.get("QUERY_STRING", "")).get("client_id", [])
        if not all(_owns(environ, page) for page in pages):
            logger.warning("a socket asked for a page of another session")
            return False  # socket.io refuses the connection
        return await handler(sid, environ, *more)

    return connect


def _checked(sockets: Any, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    async def checked(sid: str, message: Any = None) -> Any:
        page = message.get("client_id") if isinstance(message, dict) else None
        if not _owns(sockets.get_environ(sid), page):
            logger.warning("{} for a page of another session", name)
            return False
        answer = handler(sid, message)
        return await answer if inspect.isawaitable(answer) else answer

    return checked


def _owns(environ: dict[str, Any] | None, page: Any) -> bool:
    """Tell whether the session behind a socket is the one that a page was made for. A page that is gone is nobody's."""
    client = Client.instances.get(page) if isinstance(page, str) else None
    if environ is None or client is None or client.request is None:
        return False
    asker = environ.get("asgi.scope", {}).get("state", {}).get("session")
    owner = client.request.scope.get("state", {}).get("session")
    return isinstance(asker, Session) and isinstance(owner, Session) and asker.token_hash == owner.token_hash
