"""Switching as a person does it, in the system's Chromium: from the last click to "verified" on the page."""

import time
from collections.abc import Sequence

from tests.browser.pages import WAIT_MS, Hmi, browser

FINISHED = ", ".join(f".wk-progress[data-state={state}]" for state in ("verified", "failed", "undetermined"))


def clicked_s(address: str, login: str, password: str, breakers: Sequence[str]) -> list[float]:
    """Switch off breakers one after the other; return the seconds of each. AssertionError for one that fails."""
    with browser() as chromium:
        hmi = Hmi(chromium, address)
        hmi.log_in(login, password)
        hmi.page.wait_for_url(f"{address}/")
        lasted_s = [_clicked_s(hmi, breaker) for breaker in breakers]
        assert not hmi.errors, hmi.errors
        return lasted_s


def _clicked_s(hmi: Hmi, breaker: str) -> float:
    hmi.open(f"/meter/{breaker}")
    hmi.page.click(".wk-open")
    hmi.page.fill(".wk-reason input", "bench")
    hmi.page.fill(".wk-typed input", breaker[-4:])
    hmi.page.wait_for_timeout(300)  # the dialog has opened: its animation is not the system's time
    begun = time.monotonic()
    hmi.page.click(".wk-operate")
    finished = hmi.page.locator(FINISHED)
    finished.wait_for(timeout=WAIT_MS)
    lasted_s = time.monotonic() - begun
    state = finished.get_attribute("data-state")
    assert state == "verified", f"{breaker}: {state}"
    return lasted_s
