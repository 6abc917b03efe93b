"""The frame that all pages share: alarm banner on top, navigation left, status below, and the page's own content."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nicegui import ui

from hmi.i18n import N_
from hmi.lookup import CORE
from hmi.views import BANNER_MAX, PRIORITIES
from hmi.visitor import Visitor
from scada.errors import Refused
from scada.roles import Permission

# path, English name, permission that shows it
NAVIGATION: Final[tuple[tuple[str, str, Permission], ...]] = (
    ("/", N_("Overview"), "view"),
    ("/diagram", N_("Single-line diagram"), "view"),
    ("/meters", N_("Meters"), "view"),
    ("/accounts", N_("Tenants"), "account.view"),
    ("/alarms", N_("Alarms"), "view"),
    ("/users", N_("Users"), "user.manage"),
)
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
        yield


def fragment(visitor: Visitor, template: str, **context: object) -> None:
    """Put a rendered template on the page. Templates escape every value they show."""
    ui.html(visitor.context.render(template, visitor.texts, **context), sanitize=False)


def admitted(visitor: Visitor, permission: Permission) -> bool:
    """Tell whether a page may be drawn; when not, draw the frame with the reason instead."""
    try:
        visitor.check(permission)
    except Refused as error:
        with frame(visitor, "Wattkeeper"):
            ui.label(visitor.explain(error)).classes("wk-error")
        return False
    return True
