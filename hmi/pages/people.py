"""Users page, for administrators: who may log in, with which role; add, reset, disable. Small on purpose."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nicegui import ui
from starlette.requests import Request

from hmi import passwords, users
from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.visitor import Visitor
from hmi.words import word
from scada.errors import Refused


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/users")
    async def people(request: Request) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "user.manage"):
            return
        with frame(visitor, visitor.texts("Users")):
            page = _People(visitor)
            await page.draw()


class _People:
    """The list on one open page."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    async def draw(self) -> None:
        texts = self._visitor.texts
        fragment(self._visitor, "heading.html", title=texts("Users"), id="")
        self._rows = ui.element("table").classes("wk-table")
        await self._fill()
        with ui.row().style("align-items:center;gap:16px;margin-top:16px"):
            login = ui.input(texts("User name")).props("dense outlined maxlength=32")
            role = ui.select(
                {role: word("role", role, texts) for role in users.ROLES}, value="viewer", label=texts("Role")
            )
            role.props("dense outlined").style("min-width:150px")

            async def add(*_: object) -> None:
                await self._add(str(login.value).strip(), str(role.value))
                login.value = ""

            button = ui.button(texts("Add user")).props("outline no-caps color=grey-9")
            button.on_click(self._visitor.guarded("user.manage")(add))

    async def _fill(self) -> None:
        texts, own = self._visitor.texts, self._visitor.context.own
        async with own.transaction() as cursor:
            everybody = await users.everybody(cursor)
        self._rows.clear()
        with self._rows:
            with ui.element("tr"):
                for heading in (texts("User name"), texts("Role"), texts("State"), ""):
                    with ui.element("th"):
                        ui.label(heading)
            for user in everybody:
                self._row(user)

    def _row(self, user: users.User) -> None:
        texts = self._visitor.texts
        state = (
            texts("Disabled") if user.disabled else texts("One-time password") if user.must_change else texts("Enabled")
        )
        with ui.element("tr"):
            for text in (user.login, word("role", user.role, texts), state):
                with ui.element("td"):
                    ui.label(text)
            with ui.element("td"), ui.row():
                if user.login != self._visitor.login:  # nobody locks themselves out
                    self._action(texts("New one-time password"), partial(self._reset, user.login))
                    text = texts("Enable") if user.disabled else texts("Disable")
                    self._action(text, partial(self._set_disabled, user.login, not user.disabled))

    def _action(self, text: str, act: Callable[[], Awaitable[None]]) -> None:
        async def run(*_: Any) -> None:
            await act()
            await self._fill()

        ui.button(text).props("flat dense no-caps color=grey-9").on_click(self._visitor.guarded("user.manage")(run))

    async def _add(self, login: str, role: str) -> None:
        if not users.LOGIN_FORM.fullmatch(login):
            raise Refused("user.form", f"{login!r} is not a user name")
        context = self._visitor.context
        password = passwords.one_time()
        stored = await context.hashes.hash(password)
        async with context.own.transaction() as cursor:
            if not await users.add(cursor, login, stored, role):
                raise Refused("user.taken", f"{login!r} exists")
        self._show(login, password)
        await self._fill()

    async def _reset(self, login: str) -> None:
        context = self._visitor.context
        password = passwords.one_time()
        stored = await context.hashes.hash(password)
        async with context.own.transaction() as cursor:
            await users.set_password(cursor, login, stored, must_change=True)
        await context.sessions.renew()
        self._show(login, password)

    async def _set_disabled(self, login: str, disabled: bool) -> None:
        context = self._visitor.context
        async with context.own.transaction() as cursor:
            await users.set_disabled(cursor, login, disabled)
        await context.sessions.renew()

    def _show(self, login: str, password: str) -> None:
        texts = self._visitor.texts
        with ui.dialog() as dialog, ui.card().classes("wk-dialog"):
            ui.label(texts("One-time password of {login}", login=login)).style("font-weight:600")
            ui.label(password).style("font:700 20px monospace")
            ui.label(texts("It is shown once. The user must replace it at the next login.")).classes("wk-note")
            ui.button(texts("Close"), on_click=dialog.close).props("unelevated no-caps color=blue-grey-8")
        dialog.open()
