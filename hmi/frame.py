"""The frame that all pages share: alarm banner on top, navigation left, status below, and the page's own content."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from nicegui import ui

from hmi.i18n import N_
from hmi.lookup import CORE
from hmi.views import BANNER_MAX, PRIORITIES
from hmi.visitor import Visitor
from scada.errors import Refused
from scada.link import ReleaseCredit
from scada.roles import Permission

# path, English name, permission that shows it
NAVIGATION: Final[tuple[tuple[str, str, Permission], ...]] = (
    ("/", N_("Overview"), "view"),
    ("/diagram", N_("Single-line diagram"), "view"),
    ("/meters", N_("Meters"), "view"),
    ("/accounts", N_("Tenants"), "account.view"),
    ("/alarms", N_("Alarms"), "view"),
    ("/lines", N_("Lines"), "view"),
    ("/users", N_("Users"), "user.manage"),
)
REFRESH_S: Final = 5.0  # lists out of SQL; live values come by websocket
HEAD: Final = '<link rel="stylesheet" href="/static/style.css"><script src="/static/live.js" defer></script>'


@contextmanager
def frame(visitor: Visitor, title: str, live: str = "none") -> Iterator[None]:
    """Draw the frame; what is made inside the block is the page's content.

    live: key of the page's view, which decides what its websocket brings
    """
    texts, lookup = visitor.texts, visitor.context.lookup
    site = visitor.context.plant.site
    ui.page_title(f"{title} – {texts.pick(site)}")
    ui.add_head_html(HEAD)
    html = visitor.context.render(
        "frame.html",
        texts,
        title=title,
        page=live,
        site=site,
        login=visitor.login,
        role=visitor.role,
        path=visitor.path,
        navigation=[(path, name) for path, name, permission in NAVIGATION if visitor.may(permission)],
        banner_max=BANNER_MAX,
        priorities=PRIORITIES,
        scan_row=lookup.row("X", CORE, "ScanMs"),
        database_row=lookup.row("X", CORE, "DatabaseConnected"),
    )
    ui.html(html, sanitize=False)
    with ui.element("div").classes("wk-main"):
        _held_stops(visitor)
        yield


def _held_stops(visitor: Visitor) -> None:
    """Put the note that switch-offs wait for a person on the page; it shows itself while the core says that some do."""
    texts = visitor.texts
    held = visitor.context.lookup.row("X", CORE, "CreditHeld")
    may = visitor.may("breaker.switch")
    fragment(visitor, "held.html", held=held, may_release=may)
    if not may:
        return
    with ui.dialog() as dialog, ui.card().classes("wk-dialog"):
        ui.label(texts("Release the held switch-offs?")).classes("wk-title")
        ui.label(
            texts(
                "Many tenants ran out of credit at once. That may be a fault of prices or readings: look at the tenants"
                " first. Once released, their supplies are switched off one after another."
            )
        )
        with ui.row():
            ui.button(texts("Cancel"), on_click=dialog.close).props("unelevated no-caps autofocus color=blue-grey-8")
            confirm = ui.button(texts("Release")).props("outline no-caps color=grey-9").classes("wk-confirm-release")

    @visitor.guarded("breaker.switch")
    async def release(*_: object) -> None:
        dialog.close()
        await visitor.context.core.call(ReleaseCredit, **visitor.who("breaker.switch"))
        ui.notify(texts("Released"), position="top")

    confirm.on_click(release)
    ui.on("release", dialog.open)


def refreshed(visitor: Visitor, make: Callable[[], Awaitable[str]], every_s: float = REFRESH_S) -> ui.html:
    """Put HTML on the page that is made anew every so often, for as long as the visitor's session lives."""
    shown = ui.html("", sanitize=False)

    async def refresh() -> None:
        if visitor.context.sessions.alive(visitor.session_hash) is None:
            return
        html = await make()
        if shown.content != html:
            shown.content = html

    ui.timer(0.0, refresh, once=True)
    ui.timer(every_s, refresh)
    return shown


def fragment(visitor: Visitor, template: str, **context: object) -> ui.html:
    """Put a rendered template on the page. Templates escape every value they show."""
    return ui.html(visitor.context.render(template, visitor.texts, **context), sanitize=False)


def admitted(visitor: Visitor, permission: Permission) -> bool:
    """Tell whether a page may be drawn; when not, draw the frame with the reason instead."""
    try:
        visitor.check(permission)
    except Refused as error:
        with frame(visitor, "Wattkeeper"):
            ui.label(visitor.explain(error)).classes("wk-error")
        return False
    return True
