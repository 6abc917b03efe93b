"""The gate: every request and every websocket passes here first, NiceGUI's own included.

It finds the session behind the cookie, turns strangers away, refuses requests that another site caused, and adds the
security headers. Rule: what is open to strangers is one short list; all else needs a session.
Source: OWASP ASVS 5.0 items 3.4.x, 3.5.x, 4.4.x, 7.3.x.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from loguru import logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hmi.sessions import COOKIE, Session, Sessions

OPEN_PATHS: Final = frozenset({"/login", "/language", "/health", "/static/style.css", "/favicon.ico"})
PASSWORD_PATHS: Final = frozenset({"/password", "/logout"})  # all that a one-time password opens
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
WS_POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1
WATCH_S: Final = 2.0  # an ended session closes its sockets within this

# NiceGUI runs inline modules and compiles Vue templates in the browser; pages of strangers need none of that.
_CSP_COMMON: Final = (
    "default-src 'self'; img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'self';"
    " form-action 'self'; frame-ancestors 'none'; connect-src 'self'"
)
CSP_PAGES: Final = f"{_CSP_COMMON}; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"
CSP_STRANGERS: Final = f"{_CSP_COMMON}; script-src 'none'; style-src 'self'"

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def same_origin(headers: Headers) -> bool:
    """Tell whether the Origin of a request is the host it was sent to (a request without Origin is not)."""
    origin = urlsplit(headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc == headers.get("host", "")


def client_address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        session = self._sessions.by_token(connection.cookies.get(COOKIE))
        scope.setdefault("state", {})["session"] = session
        serve = self._http if scope["type"] == "http" else self._websocket
        await serve(scope, receive, send, connection, session)

    async def _http(
        self, scope: Scope, receive: Receive, send: Send, connection: HTTPConnection, session: Session | None
    ) -> None:
        refusal = self._refusal(scope, connection, session)
        csp = CSP_STRANGERS if scope["path"] in OPEN_PATHS | PASSWORD_PATHS else CSP_PAGES

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Content-Security-Policy"] = csp
                if not scope["path"].startswith(("/static/", "/_nicegui/")):
                    headers["Cache-Control"] = "no-store"
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        gone = False

        async def watched() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        try:
            await (refusal or self._app)(scope, watched, with_headers)
        except RuntimeError as error:
            if not gone:
                raise
            logger.debug("{} went away before the answer: {}", scope["path"], error)

    def _refusal(self, scope: Scope, connection: HTTPConnection, session: Session | None) -> Response | None:
        method, path = scope["method"], scope["path"]
        if method not in METHODS:
            return PlainTextResponse("method not allowed", 405)
        if method not in SAFE_METHODS and not same_origin(connection.headers):
            return PlainTextResponse("cross-site request refused", 403)
        if path in OPEN_PATHS:
            return None
        if session is None:
            return _send_away(method, connection, "/login")
        if session.must_change and path not in PASSWORD_PATHS:
            return _send_away(method, connection, "/password")
        return None

    async def _websocket(
        self, scope: Scope, receive: Receive, send: Send, connection: HTTPConnection, session: Session | None
    ) -> None:
        if session is None or session.must_change or not same_origin(connection.headers):
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": WS_POLICY_VIOLATION})
            return

        def alive() -> Session | None:
            """Return the session while it lives in the role it came with; a browser opens anew for another role."""
            now = self._sessions.alive(session.token_hash)
            return now if now is not None and now.role == session.role else None

        await _while_alive(self._app, scope, receive, send, alive)


def _send_away(method: str, connection: HTTPConnection, to: str) -> Response:
    """Redirect a person, tell a program."""
    if method in SAFE_METHODS and "text/html" in connection.headers.get("accept", ""):
        return RedirectResponse(to, 303)
    return PlainTextResponse("log in first", 401)


async def _while_alive(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, alive: Callable[[], Session | None]
) -> None:
    """Serve a websocket for as long as its session lives: no message is handed on after its end."""
    closed = False

    async def guarded_receive() -> MutableMapping[str, Any]:
        nonlocal closed
        while True:
            waiting = asyncio.ensure_future(receive())
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=WATCH_S)
                if alive() is None:
                    break
            if waiting.done() and (alive() is not None or waiting.result()["type"] != "websocket.receive"):
                return waiting.result()
            waiting.cancel()
            if not closed:
                closed = True
                await send({"type": "websocket.close", "code": WS_POLICY_VIOLATION})
            return {"type": "websocket.disconnect", "code": WS_POLICY_VIOLATION}

    async def guarded_send(message: Message) -> None:
        if not closed:
            await send(message)

    await app(scope, guarded_receive, guarded_send)
