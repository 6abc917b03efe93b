"""Programs without a browser against the running room: what one person must not get from another's page or money."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
import socketio
from argon2 import PasswordHasher

from config.plant import Plant, load
from tests.browser.served import ROOT, Served, serve_hmi

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
USERS = {"boss": "admin", "looker": "viewer", "teller": "finance", "victim": "viewer"}
MONEY = ("/T/", "/P/")
HOUSE, STREET = "10.0.0.1", "10.9.9.9"  # what a proxy says about where somebody is


@pytest.fixture(scope="module")
def plant() -> Plant:
    return load(ROOT / "config" / "demo")


@pytest.fixture
def served(postgres_dsn: str, tmp_path: Path) -> Iterator[Served]:
    with serve_hmi(tmp_path, postgres_dsn) as room:
        with psycopg.connect(postgres_dsn) as connection:
            for login, role in USERS.items():
                connection.execute(
                    "INSERT INTO wattkeeper.app_user (login, password_hash, role, must_change)"
                    " VALUES (%s, %s, %s, false)",
                    (login, CHEAP.hash(PASSWORD), role),
                )
        yield room


@asynccontextmanager
async def browser(served: Served, address: str = HOUSE) -> Any:
    """Yield a browser without a login, which comes from an address."""
    headers = {"Origin": served.address, "X-Forwarded-For": address}
    jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of an address without a name
    async with aiohttp.ClientSession(served.address, headers=headers, cookie_jar=jar) as session:
        yield session


async def send(who: aiohttp.ClientSession, path: str, **form: str) -> int:
    async with who.post(path, data=form, allow_redirects=False) as answer:
        return answer.status


@asynccontextmanager
async def logged_in(served: Served, login: str) -> Any:
    async with browser(served) as who:
        assert await send(who, "/login", login=login, password=PASSWORD) == 303
        yield who


async def heard(who: aiohttp.ClientSession, page: str) -> set[Any] | None:
    """Return the keys of the first frame of a page; None when the socket is refused."""
    try:
        socket = await who.ws_connect(f"/live/{page}")
    except aiohttp.WSServerHandshakeError:
        return None
    async with socket:
        while True:
            frame = (await socket.receive(10)).json()
            if frame.get("p") not in (None, "frame"):
                return {key for key, _, _ in frame["d"]}


@pytest.mark.parametrize("login", ["looker", "teller"])
def test_live_money_needs_the_permission(served: Served, plant: Plant, login: str) -> None:
    async def scene() -> None:
        async with logged_in(served, login) as who:
            device = plant.points[0].meter
            account = plant.accounts[plant.points[0].account].id
            meter = await heard(who, f"meter/{device}")
            assert meter
            money = {row for row in meter if any(letter in plant.tags.tags[row].id for letter in MONEY)}
            assert bool(money) == (login == "teller")
            for page in ("accounts", f"account/{account}"):
                assert (await heard(who, page) is not None) == (login == "teller")

    asyncio.run(scene())


def test_the_ids_of_somebody_elses_page_open_nothing(served: Served) -> None:
    """A viewer who got hold of an administrator's page can neither join it nor press its buttons."""

    async def scene() -> None:
        async with logged_in(served, "boss") as boss, logged_in(served, "looker") as looker:
            async with boss.get("/users") as answer:
                page = (await answer.text()).replace("&quot;", '"').replace('\\"', '"')
            client = re.search(r"client_?id\W+([0-9a-f-]{36})", page, re.IGNORECASE)
            elements = re.findall(r'"(\d+)":\{"tag"(.*?)(?="\d+":\{"tag"|$)', page, re.DOTALL)
            assert client
            pressed = [
                {"client_id": client[1], "id": int(number), "listener_id": found[1], "args": []}
                for number, body in elements
                if '"label":"停用"' in body and (found := re.search(r'"listener_id":"([^"]+)"', body))
            ]
            hello = {"client_id": client[1], "tab_id": "t", "document_id": "d", "next_message_id": 0}
            own, thief = await socket_of(boss), await socket_of(looker)
            try:
                assert await own.call("handshake", hello)
                assert not await thief.call("handshake", hello | {"document_id": "e"})
                await thief.emit("event", pressed[-1])
                assert not await thief.call("handshake", hello | {"document_id": "f"})  # the event is through
                await asyncio.sleep(1)
                assert disabled(served) == set()
                await own.emit("event", pressed[-1])
                await own.call("handshake", hello)
                await asyncio.sleep(1)
                assert disabled(served) == {"victim"}
            finally:
                await own.disconnect()
                await thief.disconnect()
            with pytest.raises(socketio.exceptions.ConnectionError):
                await socket_of(looker, f"?implicit_handshake=true&client_id={client[1]}&tab_id=t&document_id=g")

    asyncio.run(scene())


async def socket_of(who: aiohttp.ClientSession, query: str = "") -> socketio.AsyncClient:
    """Open NiceGUI's socket as a browser's page does."""
    cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in who.cookie_jar)
    headers = {"Cookie": cookies, "Origin": who.headers["Origin"]}
    socket = socketio.AsyncClient(reconnection=False)
    await socket.connect(
        who.headers["Origin"] + query, headers=headers, socketio_path="/_nicegui_ws/socket.io", transports=["websocket"]
    )
    return socket


def disabled(served: Served) -> set[str]:
    with psycopg.connect(served.dsn) as connection:
        return {login for (login,) in connection.execute("SELECT login FROM wattkeeper.app_user WHERE disabled")}


def test_a_stranger_does_not_lock_out_who_comes_from_elsewhere(served: Served) -> None:
    async def scene() -> None:
        async with browser(served, STREET) as stranger:
            tries = [await send(stranger, "/login", login="boss", password=f"guess {k}") for k in range(12)]
            assert tries[-1] == 429
        async with browser(served, HOUSE) as honest:
            assert await send(honest, "/login", login="boss", password=PASSWORD) == 303

    asyncio.run(scene())


def test_the_present_password_cannot_be_guessed_in_a_burst(served: Served) -> None:
    async def scene() -> None:
        async with logged_in(served, "looker") as who:
            new = {"password": "nine quiet transformers", "again": "nine quiet transformers"}
            answers = await asyncio.gather(*(send(who, "/password", present=f"guess {k}", **new) for k in range(20)))
            assert Counter(answers)[401] <= 6

    asyncio.run(scene())


def test_a_new_login_ends_the_session_that_the_browser_had(served: Served) -> None:
    async def scene() -> None:
        async with logged_in(served, "looker") as who:
            former = {cookie.key: cookie.value for cookie in who.cookie_jar}
            assert await send(who, "/login", login="teller", password=PASSWORD) == 303
            async with aiohttp.ClientSession(served.address, cookies=former) as left, left.get("/session") as answer:
                assert answer.status == 401

    asyncio.run(scene())


def test_a_reset_elsewhere_leaves_an_old_session_no_way_to_choose_the_password(served: Served) -> None:
    """Between a reset on the command line and the room's next look, the old session must not set a password."""

    async def scene() -> None:
        async with logged_in(served, "looker") as who:
            with psycopg.connect(served.dsn) as connection:
                connection.execute("UPDATE wattkeeper.app_user SET must_change = true WHERE login = 'looker'")
                connection.execute("DELETE FROM wattkeeper.app_session WHERE login = 'looker'")
            await send(who, "/password", password="nine quiet transformers", again="nine quiet transformers")
        async with browser(served) as thief:
            assert await send(thief, "/login", login="looker", password="nine quiet transformers") == 401

    asyncio.run(scene())
