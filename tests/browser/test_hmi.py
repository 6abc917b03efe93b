"""The room in the system's Chromium: first login, languages, refusals, live values and their end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect

from tests.browser.pages import STALE_MS, Hmi, browser
from tests.browser.served import Served, serve_hmi

pytestmark = pytest.mark.browser

NEW_PASSWORD = "seven green turbines"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def served(postgres_dsn: str, tmp_path: Path) -> Iterator[Served]:
    with serve_hmi(tmp_path, postgres_dsn) as room:
        yield room


@pytest.fixture
def hmi(chromium: Browser, served: Served) -> Iterator[Hmi]:
    tab = Hmi(chromium, served.address)
    yield tab
    tab.close()
    assert not tab.errors


@pytest.fixture
def inside(hmi: Hmi, served: Served) -> Hmi:
    """A tab with an administrator logged in."""
    hmi.log_in("admin", served.password)
    hmi.choose_password(NEW_PASSWORD)
    return hmi


def test_first_login_forces_a_new_password(hmi: Hmi, served: Served) -> None:
    hmi.log_in("admin", "wrong")
    assert hmi.refusal() == "用户名或密码错误。"
    hmi.log_in("admin", served.password)
    hmi.open("/meters")
    assert hmi.page.url.endswith("/password")
    hmi.choose_password("password123")
    assert hmi.refusal() == "该密码过于常见。"
    hmi.choose_password(NEW_PASSWORD, "something else")
    assert hmi.refusal() == "两次输入的密码不一致。"
    hmi.choose_password(NEW_PASSWORD)
    expect(hmi.page.locator("h1")).to_have_text("总览")
    hmi.log_out()
    hmi.log_in("admin", served.password)  # it worked once
    assert hmi.refusal() == "用户名或密码错误。"
    hmi.log_in("admin", NEW_PASSWORD)
    expect(hmi.page.locator("h1")).to_have_text("总览")


def test_login_gets_a_new_token_and_hides_it_from_scripts(inside: Hmi) -> None:
    def token() -> dict:
        return next(dict(c) for c in inside.context.cookies() if c["name"] == "wattkeeper_session")

    first = token()
    assert first["httpOnly"]
    assert first["sameSite"] == "Strict"
    inside.log_out()
    inside.context.add_cookies([{**first, "value": "planted"}])  # type: ignore[list-item]
    inside.log_in("admin", NEW_PASSWORD)
    inside.page.wait_for_url(inside.address + "/")
    assert token()["value"] not in ("planted", first["value"])


def test_languages_switch_and_stay(inside: Hmi) -> None:
    inside.switch_language()
    expect(inside.page.locator("h1")).to_have_text("Overview")
    inside.open("/meters")
    expect(inside.page.locator("h1")).to_have_text("Meters")
    inside.switch_language()
    expect(inside.page.locator("h1")).to_have_text("表计")


def test_live_values_arrive_move_and_are_marked_when_they_stop(inside: Hmi, served: Served) -> None:
    inside.open("/meters")
    first = inside.live_value("td.right .wk-value")
    expect(inside.page.locator("td.right .wk-value").first).not_to_have_text(first)
    assert not inside.is_stale()
    (served.data / "freeze").touch()
    expect(inside.page.locator(".wk-stale-note")).to_be_visible(timeout=STALE_MS)
    assert inside.is_stale()
    (served.data / "freeze").unlink()
    expect(inside.page.locator(".wk-stale-note")).to_be_hidden(timeout=STALE_MS)


OPEN_SOCKET = """(address) => new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.onmessage = () => resolve("message");
    socket.onclose = (event) => resolve("closed " + event.code);
})"""


def test_the_websocket_is_refused_without_a_session(hmi: Hmi, inside: Hmi) -> None:
    address = inside.address.replace("http", "ws") + "/live/meters"
    inside.open("/meters")
    assert inside.page.evaluate(OPEN_SOCKET, address) == "message"
    inside.page.evaluate("fetch('/logout', {method: 'POST'})")
    inside.open("/login")
    assert inside.page.evaluate(OPEN_SOCKET, address) == "closed 1006"


def test_an_open_page_leaves_when_its_session_ends(inside: Hmi) -> None:
    inside.open("/meters")
    inside.live_value("td.right .wk-value")
    inside.page.evaluate("fetch('/logout', {method: 'POST'})")
    inside.page.wait_for_url("**/login")


def test_every_page_draws_and_says_that_the_core_is_away(inside: Hmi) -> None:
    for path in (
        "/",
        "/diagram",
        "/meters",
        "/accounts",
        "/alarms",
        "/lines",
        "/line/gw-a1",
        "/users",
        "/account/t-s01",
        "/nowhere",
    ):
        inside.open(path)
        if path != "/nowhere":
            expect(inside.page.locator(".wk-main")).to_be_visible()
    inside.open("/meter/e-a101")
    inside.page.click(".wk-open")
    expect(inside.page.locator(".q-notification")).to_contain_text("核心暂无应答")


def test_many_wrong_passwords_are_slowed_down(hmi: Hmi) -> None:
    for _ in range(6):
        hmi.log_in("admin", "wrong")
    hmi.log_in("admin", "wrong")
    assert hmi.refusal() == "尝试次数过多,请稍候。"


def test_another_origin_cannot_read_the_socket(chromium: Browser, inside: Hmi) -> None:
    inside.page.goto("data:text/html,<p>another site")
    address = inside.address.replace("http", "ws") + "/live/meters"
    try:
        answer = inside.page.evaluate(OPEN_SOCKET, address)
    except Error:
        answer = "closed"
    assert answer.startswith("closed")
