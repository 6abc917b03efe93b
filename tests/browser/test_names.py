"""Names out of the configuration are text on the page, whatever characters they have."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.pages import Hmi, browser
from tests.browser.served import serve_hmi

pytestmark = pytest.mark.browser

NAME = '<img src=x onerror="window.wkHit=1">"onmouseover="window.wkHit=1" x="'
ALARM = ["a", 1, 1, 1, 1, None, 0, "", [NAME, NAME], [NAME, NAME], "/alarms"]  # FIELDS in static/live.js
FRAME = {"p": "frame", "s": 1, "t": 0, "x": 1, "full": True, "d": [], "a": [ALARM]}


@pytest.fixture
def hmi(postgres_dsn: str, tmp_path: Path) -> Iterator[Hmi]:
    with browser() as chromium, serve_hmi(tmp_path, postgres_dsn) as room:
        tab = Hmi(chromium, room.address)
        tab.log_in("admin", room.password)
        tab.choose_password("seven green turbines")
        yield tab
        tab.close()


def test_a_hostile_name_in_the_banner_is_text(hmi: Hmi) -> None:
    def answer(socket: WebSocketRoute) -> None:
        socket.send(json.dumps(FRAME).encode())

    hmi.page.route_web_socket("**/live/**", answer)
    hmi.open("/meters")
    urgent = hmi.page.locator(".wk-urgent")
    expect(urgent.locator("b")).to_have_text(NAME)
    assert urgent.get_attribute("title") == f"{NAME} – {NAME}"
    assert urgent.get_attribute("onmouseover") is None
    assert hmi.page.evaluate("window.wkHit") is None
