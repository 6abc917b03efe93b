"""What a person does on the pages, for every browser test: log in, acknowledge, switch, top up.

Rule: selectors live here and nowhere else; a method ends when the page shows the effect.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

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

    def acknowledge_first_alarm(self, comment: str) -> str:
        """Acknowledge the first alarm of the list; returns its id when the list no longer asks for it."""
        self.open("/alarms")
        button = self.page.locator("[data-ack]").first
        alarm = button.get_attribute("data-ack") or ""
        button.click()
        self.page.fill(".wk-comment input", comment)
        self.page.click(".wk-confirm")
        expect(self.page.locator(f"[data-ack='{alarm}']")).to_have_count(0, timeout=WAIT_MS)
        return alarm

    def switch(self, device: str, position: str, reason: str) -> str:
        """Move a device's switch to "open" or "closed"; returns the final state of the command."""
        self.open(f"/meter/{device}")
        self.page.click(f".wk-{position}")
        self.page.fill(".wk-reason input", reason)
        typed = self.page.locator(".wk-typed input")
        if typed.is_visible():
            typed.fill(device[-4:])
        self.page.click(".wk-operate")
        finished = self.page.locator(
            ".wk-progress[data-state=verified], .wk-progress[data-state=failed], .wk-progress[data-state=undetermined]"
        )
        finished.wait_for(timeout=2 * WAIT_MS)
        return finished.get_attribute("data-state") or ""

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
