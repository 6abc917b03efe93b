"""What a person does on the pages, for every browser test: log in, acknowledge, switch, top up.

Rule: selectors live here and nowhere else; a method ends when the page shows the effect.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS: Final = 15_000
STALE_MS: Final = 6_000  # a lost server is obvious within five seconds
RECOVER_MS: Final = 30_000  # a killed room is back within five seconds; a busy machine takes longer
FINISHED: Final = ("verified", "failed", "undetermined")
SHOWN: Final = """() => Object.fromEntries([...document.querySelectorAll("[data-row]")]
    .filter((element) => element.dataset.as !== "class").map((element) => [element.dataset.row,
        (element.querySelector(".wk-number") ?? element).textContent]))"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the system's Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


class Hmi:
    """One person's browser tab."""

    def __init__(self, chromium: Browser, address: str) -> None:
        self.address = address.rstrip("/")
        self.context = chromium.new_context(viewport={"width": 1440, "height": 900})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)

    def log_in(self, login: str, password: str) -> None:
        """Fill in the login; ends on the overview, on the forced new password, or on the refusal."""
        self.open("/login")
        self.page.fill("#login", login)
        self.page.fill("#password", password)
        self.page.click("form.box button")

    def choose_password(self, password: str, again: str | None = None) -> None:
        self.page.fill("#password", password)
        self.page.fill("#again", again if again is not None else password)
        self.page.click("form.box button")

    def log_out(self) -> None:
        self.page.click("form[action='/logout'] button")
        self.page.wait_for_url("**/login")

    def log_out_right(self) -> float:
        """Return where the button that logs out ends, pixels from the left."""
        box = self.page.locator("form[action='/logout'] button").bounding_box()
        assert box is not None
        return box["x"] + box["width"]

    def switch_language(self) -> None:
        self.page.click("button[name=language]")

    def refusal(self) -> str:
        """Return what the door says."""
        return self.page.inner_text(".wk-error")

    def live_value(self, selector: str) -> str:
        """Return a live element's text once it has one."""
        element = self.page.locator(selector).first
        expect(element).not_to_have_text("----", timeout=WAIT_MS)
        return element.inner_text()

    def is_stale(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.classList.contains('wk-stale')"))

    def wait_live(self) -> None:
        """Wait until the page's values come from the core."""
        expect(self.page.locator(".wk-stale-note")).to_be_hidden(timeout=RECOVER_MS)
        expect(self.page.locator(".wk-foot [data-clock]")).not_to_have_text("----", timeout=WAIT_MS)

    def shown(self) -> dict[str, str]:
        """Return row or figure -> text of every live value on the page, all at one instant."""
        found: dict[str, str] = self.page.evaluate(SHOWN)
        return found

    # ---- alarms

    def acknowledge(self, alarm: str, comment: str) -> None:
        """Acknowledge one alarm of the list; ends when the list no longer asks for it."""
        self.open("/alarms")
        self.page.click(f"[data-ack='{alarm}']")
        self.page.fill(".wk-comment input", comment)
        self.page.click(".wk-confirm")
        expect(self.page.locator(f"[data-ack='{alarm}']")).to_have_count(0, timeout=WAIT_MS)

    def journal(self) -> Locator:
        return self.page.locator(".wk-journal")

    # ---- breakers

    def symbol(self, device: str) -> Locator:
        """Return the symbol of a breaker on the open diagram."""
        return self.page.locator(f"a[data-breaker='{device}'] .breaker .body")

    def conditions(self, position: str) -> Locator:
        """Return what must hold to move the open faceplate's switch to "open" or "closed"."""
        return self.page.locator(f".wk-conditions-{position} li")

    def switch_panel(self) -> Locator:
        return self.page.locator(".wk-switch")

    def offered(self) -> list[str]:
        """Return the positions to which the open faceplate offers to move its switch."""
        return [position for position in ("open", "closed") if self.page.locator(f".wk-{position}").count()]

    def select(self, device: str, position: str) -> None:
        """Step 1 on a device's faceplate; ends when step 2 asks."""
        self.open(f"/meter/{device}")
        self.page.click(f".wk-{position}")
        expect(self.page.locator(".wk-operate")).to_be_visible(timeout=WAIT_MS)

    def operate(self, reason: str, typed: str = "") -> None:
        """Step 2: fill in and confirm."""
        self.page.fill(".wk-reason input", reason)
        if typed:
            self.page.fill(".wk-typed input", typed)
        self.page.click(".wk-operate")

    def command_end(self) -> str:
        """Return the final state of the command, as the page shows it."""
        finished = self.page.locator(", ".join(f".wk-progress[data-state={state}]" for state in FINISHED))
        finished.wait_for(timeout=2 * WAIT_MS)
        return finished.get_attribute("data-state") or ""

    def switch(self, device: str, position: str, reason: str) -> str:
        """Move a device's switch to "open" or "closed" through both steps; returns the final state of the command."""
        self.select(device, position)
        asked = self.page.locator(".wk-typed input").is_visible()
        self.operate(reason, device[-4:] if asked else "")
        return self.command_end()

    def release_held_stops(self) -> None:
        """Let the switch-offs go on that wait for a person; ends when the page no longer says that they wait."""
        note = self.page.locator(".wk-held")
        expect(note).to_be_visible(timeout=RECOVER_MS)
        self.page.click("[data-release]")
        self.page.click(".wk-confirm-release")
        expect(note).to_be_hidden(timeout=RECOVER_MS)

    # ---- money

    def top_up(self, account: str, amount: str) -> str:
        """Pay at the counter; returns the text of the receipt."""
        self.open(f"/account/{account}")
        self.page.fill(".wk-amount input", amount)
        self.page.click(".wk-topup")
        self.page.click(".wk-confirm")
        receipt = self.page.locator(".wk-receipt")
        receipt.wait_for()
        return receipt.inner_text()

    def close(self) -> None:
        self.context.close()
