"""Visitor: one person on one page, and the guard around everything they do there.

Rule: no handler of a page runs without `Visitor.guarded`: it looks the session up again, checks the role, and says in
the person's language why something was not done.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger
from nicegui import context as page_context
from nicegui import ui
from starlette.requests import Request

from hmi.context import Context
from hmi.gate import client_address
from hmi.i18n import Texts, language_of
from hmi.sessions import Session, allow, current
from hmi.switch_words import Kind
from hmi.words import refusal
from scada.errors import DatabaseAway, Refused
from scada.link import CoreAway
from scada.roles import Permission, allowed

Handler = Callable[..., Awaitable[None]]


class Visitor:
    """Who looks at a page, in which language, from where."""

    def __init__(self, context: Context, request: Request) -> None:
        self.context = context
        self._session = current(request)
        self.login = self._session.login
        self.role = self._session.role
        self.station = client_address(request.scope)
        self.texts: Texts = context.languages[language_of(request)]
        self.path = request.url.path

    @property
    def session_hash(self) -> bytes:
        return self._session.token_hash

    def may(self, permission: Permission) -> bool:
        """Tell whether a control is worth showing; the handler behind it checks again."""
        return allowed(self.role, permission)

    def check(self, permission: Permission) -> Session:
        """Return the session as it is now; Refused when it has ended or its role lacks the permission."""
        return allow(self.context.sessions.touch(self._session.token_hash), permission)

    def who(self, permission: Permission) -> dict[str, str]:
        """Return the arguments by which every request to the core says who asks."""
        session = self.check(permission)
        return {"user": session.login, "role": session.role, "station": self.station}

    def guarded(self, permission: Permission, kind: Kind = "breaker") -> Callable[[Handler], Handler]:
        """Decorate a handler: it runs only for a live session with this permission, and its refusals are shown.

        kind: of the switch that it moves, whose words a refusal takes
        """

        def decorate(handler: Handler) -> Handler:
            @functools.wraps(handler)
            async def run(*arguments: Any) -> None:
                client = page_context.client
                try:
                    self.check(permission)
                    await handler(*arguments)
                except (Refused, CoreAway, DatabaseAway) as error:
                    logger.info("{} ({}) was refused: {}", self.login, permission, error)
                    with client:
                        ui.notify(self.explain(error, kind), type="negative", position="top", timeout=8000)

            return run

        return decorate

    def explain(self, error: Exception, kind: Kind = "breaker") -> str:
        """Return the sentence a person reads for an error of the tree."""
        if isinstance(error, Refused):
            return refusal(error.code, error.detail, self.texts, kind)
        return refusal("core.away" if isinstance(error, CoreAway) else "database.away", "", self.texts)
