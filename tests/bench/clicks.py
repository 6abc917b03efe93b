"""Switching as a person does it, in the system's Chromium: from the last click to "verified" on the page."""

from collections.abc import Sequence

from tests.browser.pages import Hmi, browser

# Timed inside the page: Playwright itself looks only twice a second for what is not there yet.
WATCH = """() => {
  let begun = 0;
  document.querySelector(".wk-operate").addEventListener("click", () => { begun = performance.now(); });
  window.benchFinished = new Promise((resolve) => {
    new MutationObserver(() => {
      const state = document.querySelector(".wk-progress")?.dataset.state;
      if (["verified", "failed", "undetermined"].includes(state)) resolve([state, performance.now() - begun]);
    }).observe(document.body, { subtree: true, attributes: true, childList: true });
  });
}"""


def clicked_s(address: str, login: str, password: str, breakers: Sequence[str]) -> list[float]:
    """Switch off breakers one after the other; return the seconds of each. AssertionError for one that fails."""
    with browser() as chromium:
        hmi = Hmi(chromium, address)
        hmi.log_in(login, password)
        hmi.page.wait_for_url(f"{address}/")
        lasted_s = [_clicked_s(hmi, breaker, place) for place, breaker in enumerate(breakers)]
        assert not hmi.errors, hmi.errors
        return lasted_s


def _clicked_s(hmi: Hmi, breaker: str, place: int) -> float:
    hmi.open(f"/meter/{breaker}")
    hmi.page.click(".wk-open")
    hmi.page.fill(".wk-reason input", "bench")
    hmi.page.fill(".wk-typed input", breaker[-4:])
    hmi.page.wait_for_timeout(300 + 137 * place % 1000)  # the dialog has opened; then a moment that no scan sets
    hmi.page.evaluate(WATCH)
    hmi.page.click(".wk-operate")
    state, lasted_ms = hmi.page.evaluate("window.benchFinished")
    assert state == "verified", f"{breaker}: {state}"
    return float(lasted_ms) / 1e3
