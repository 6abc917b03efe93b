"""The gate, called as uvicorn calls it: strangers, other sites, one-time passwords, ended sessions, headers."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hmi import gate
from hmi.gate import Gate
from hmi.sessions import COOKIE, Session

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = Session(b"x" * 32, "wang", "operator", False, NOW, NOW, NOW + timedelta(hours=1), "10.0.0.1")
HOST = (b"host", b"park:8080")
ORIGIN = (b"origin", b"http://park:8080")
LOGGED_IN = (b"cookie", f"{COOKIE}=good".encode())


class KnownSession:
    """The one question the gate asks of Sessions, answered from a variable."""

    def __init__(self, session: Session | None = SESSION) -> None:
        self.session = session

    def by_token(self, token: str | None) -> Session | None:
        return self.session if token == "good" else None

    def alive(self, token_hash: bytes) -> Session | None:
        return self.session


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers everything, and echoes a websocket."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["type"]})


def http(method: str, path: str, *headers: tuple[bytes, bytes], session: Session | None = SESSION) -> tuple[int, dict]:
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "scheme": "http", "headers": [HOST, *headers]}
    asyncio.run(Gate(inner, KnownSession(session))(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


BROWSER = (b"accept", b"text/html")


@pytest.mark.parametrize(
    "path", ["/", "/meters", "/account/x", "/_nicegui/3/static/nicegui.js", "/static/live.js", "/session"]
)
def test_strangers_see_nothing(path: str) -> None:
    assert http("GET", path)[0] == 401
    status, headers = http("GET", path, BROWSER)
    assert (status, headers["location"]) == (303, "/login")


def test_the_door_is_open_and_without_script() -> None:
    status, headers = http("GET", "/login")
    assert status == 200
    assert "script-src 'none'" in headers["content-security-policy"]


def test_a_session_opens_pages_with_headers() -> None:
    status, headers = http("GET", "/meters", LOGGED_IN)
    assert status == 200
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_a_one_time_password_opens_its_replacement_only() -> None:
    fresh = replace(SESSION, must_change=True)
    assert http("GET", "/", LOGGED_IN, BROWSER, session=fresh)[1]["location"] == "/password"
    assert http("GET", "/password", LOGGED_IN, session=fresh)[0] == 200


@pytest.mark.parametrize("origin", [None, b"http://evil", b"http://park:9999", b"null", b"http://park:8080.evil"])
def test_what_another_site_caused_is_refused(origin: bytes | None) -> None:
    headers = [LOGGED_IN] + ([(b"origin", origin)] if origin else [])
    assert http("POST", "/logout", *headers)[0] == 403
    assert http("POST", "/login", *headers)[0] == 403


def test_own_forms_pass_and_odd_methods_do_not() -> None:
    assert http("POST", "/logout", LOGGED_IN, ORIGIN)[0] == 200
    for method in ("TRACE", "PUT", "DELETE", "OPTIONS"):
        assert http(method, "/login", ORIGIN)[0] == 405


class Socket:
    """A browser's end of one websocket through the gate."""

    def __init__(self, sessions: KnownSession, *headers: tuple[bytes, bytes]) -> None:
        self.sent: list[dict] = []
        self.inbox: asyncio.Queue[dict] = asyncio.Queue()
        scope = {"type": "websocket", "path": "/live/meters", "scheme": "ws", "headers": [HOST, *headers]}
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(Gate(inner, sessions)(scope, self.inbox.get, self._send))  # type: ignore[arg-type]

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


@pytest.mark.parametrize(
    "headers",
    [(), (ORIGIN,), (LOGGED_IN,), (LOGGED_IN, (b"origin", b"http://evil"))],
    ids=["none", "stranger", "no origin", "evil"],
)
def test_sockets_need_session_and_origin(headers: tuple) -> None:
    async def scene() -> None:
        socket = Socket(KnownSession(), *headers)
        await socket.task
        assert socket.sent == [{"type": "websocket.close", "code": 1008}]

    asyncio.run(scene())


def test_a_socket_ends_with_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WATCH_S", 0.02)

    async def scene() -> None:
        sessions = KnownSession()
        socket = Socket(sessions, LOGGED_IN, ORIGIN)
        await asyncio.sleep(0.05)
        assert socket.sent == [{"type": "websocket.send", "text": "websocket.connect"}]
        sessions.session = None
        await asyncio.wait_for(socket.task, 5)
        assert socket.sent[-1] == {"type": "websocket.close", "code": 1008}

    asyncio.run(scene())


def test_no_message_passes_after_the_end_of_the_session() -> None:
    async def scene() -> None:
        sessions = KnownSession()
        socket = Socket(sessions, LOGGED_IN, ORIGIN)
        await asyncio.sleep(0.01)
        sessions.session = None
        socket.inbox.put_nowait({"type": "websocket.receive", "text": "switch it off"})
        await asyncio.wait_for(socket.task, 5)
        assert {"type": "websocket.send", "text": "websocket.receive"} not in socket.sent

    asyncio.run(scene())
