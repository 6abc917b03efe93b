"""The doors: login, password, language, logout. Plain forms, so that strangers reach no NiceGUI at all."""

from typing import Final

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from loguru import logger

from hmi import passwords, users
from hmi.context import Context
from hmi.gate import client_address
from hmi.i18n import COOKIE as LANGUAGE_COOKIE
from hmi.i18n import DEFAULT, LOCALES, language_of
from hmi.sessions import COOKIE, current, still_open
from hmi.words import refusal
from scada.errors import DatabaseAway, Refused

YEAR_S: Final = 365 * 24 * 3600
SEE_OTHER: Final = 303
TOO_MANY: Final = 429
UNAUTHORISED: Final = 401
BAD_REQUEST: Final = 400
UNAVAILABLE: Final = 503


def register(app: FastAPI, context: Context) -> None:
    """Add the doors to the application."""

    @app.get("/login")
    async def login_page(request: Request) -> Response:
        return _door(context, request, "/login")

    @app.post("/login")
    async def log_in(
        request: Request, login: str = Form("", max_length=64), password: str = Form("", max_length=256)
    ) -> Response:
        return await _log_in(context, request, login.strip().lower(), password)

    @app.get("/password")
    async def password_page(request: Request) -> Response:
        return _door(context, request, "/password")

    @app.post("/password")
    async def change_password(
        request: Request,
        password: str = Form("", max_length=256),
        again: str = Form("", max_length=256),
        present: str = Form("", max_length=256),
    ) -> Response:
        return await _change_password(context, request, present, password, again)

    @app.post("/logout")
    async def log_out(request: Request) -> Response:
        session = current(request)
        try:
            await context.sessions.close(session.token_hash)
        except DatabaseAway:
            logger.warning("{} logged out while the data base is away; the row goes later", session.login)
        answer = RedirectResponse("/login", SEE_OTHER)
        answer.delete_cookie(COOKIE)
        return answer

    @app.post("/language")
    async def choose_language(language: str = Form(DEFAULT), to: str = Form("/")) -> Response:
        here = to if to.startswith("/") and not to.startswith("//") and "\\" not in to else "/"
        answer = RedirectResponse(here, SEE_OTHER)
        chosen = language if language in LOCALES else DEFAULT
        answer.set_cookie(LANGUAGE_COOKIE, chosen, max_age=YEAR_S, httponly=True, samesite="strict")
        return answer

    @app.get("/session")
    async def session() -> Response:
        return Response(status_code=204)  # the gate answers 401 when there is none

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"live": context.hub.snapshot is not None}


def _door(context: Context, request: Request, action: str, error: str = "", status: int = 200) -> HTMLResponse:
    texts = context.languages[language_of(request)]
    forced = action == "/password" and current(request).must_change
    note = texts("The one-time password must be replaced. At least 8 characters; a sentence is best.")
    html = context.render(
        "door.html",
        texts,
        site=context.plant.site,
        action=action,
        title=texts("Log in") if action == "/login" else texts("New password"),
        note=note if forced else texts("At least 8 characters; a sentence is best."),
        ask_present=action == "/password" and not forced,
        error=refusal(error, "", texts) if error else "",
    )
    return HTMLResponse(html, status)


async def _log_in(context: Context, request: Request, login: str, password: str) -> Response:
    address = client_address(request.scope)
    counts = ((context.throttle, f"address {address}"), (context.logins, login))
    now_ns = context.people.mono_ns()
    if any(throttle.wait_s(key, now_ns) for throttle, key in counts):
        logger.warning("login of {!r} from {} is throttled", login, address)
        return _door(context, request, "/login", "login.wait", TOO_MANY)
    for throttle, key in counts:  # counted before the slow hash, so that many tries at once are counted too
        throttle.failed(key, now_ns)
    try:
        async with context.own.transaction() as cursor:
            user = await users.find(cursor, login)
        known = user is not None and not user.disabled
        if not await context.hashes.verify(user.password_hash if user and known else None, password):
            logger.warning("login of {!r} from {} failed", login, address)
            return _door(context, request, "/login", "login.wrong", UNAUTHORISED)
        token, session = await context.sessions.open(login, address)
        await _close_former(context, request)
    except DatabaseAway:
        return _door(context, request, "/login", "database.away", UNAVAILABLE)
    except Refused:
        return _door(context, request, "/login", "login.wrong", UNAUTHORISED)
    for throttle, key in counts:
        throttle.succeeded(key)
    logger.info("{} logged in from {} as {}, session {}", login, address, session.role, session.key)
    return _enter(request, token, "/password" if session.must_change else "/")


async def _close_former(context: Context, request: Request) -> None:
    """End the session that the browser had before: nobody could log out of it any more. Source: ASVS 7.2.4."""
    former = request.scope["state"]["session"]
    if former is not None:
        await context.sessions.close(former.token_hash)


def _enter(request: Request, token: str, to: str) -> RedirectResponse:
    answer = RedirectResponse(to, SEE_OTHER)
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/")
    return answer


async def _change_password(context: Context, request: Request, present: str, password: str, again: str) -> Response:
    """Replace the visitor's password; every session of theirs ends and a new one begins."""
    session = current(request)
    key = f"password {session.login}"
    error = passwords.fault(password, session.login) or ("" if password == again else "password.differ")
    if not error and context.throttle.wait_s(key, context.people.mono_ns()):
        error = "login.wait"
    if error:
        return _door(context, request, "/password", error, BAD_REQUEST)
    context.throttle.failed(key, context.people.mono_ns())  # before the slow hash, as at login
    try:
        async with context.own.transaction() as cursor:
            user = await users.find(cursor, session.login)
        if user is None or user.disabled:
            return RedirectResponse("/login", SEE_OTHER)
        # the session decides who need not type the present one: after a reset elsewhere, the old session must
        if not session.must_change and not await context.hashes.verify(user.password_hash, present):
            return _door(context, request, "/password", "login.wrong", UNAUTHORISED)
        if await context.hashes.verify(user.password_hash, password):
            return _door(context, request, "/password", "password.same", BAD_REQUEST)
        stored = await context.hashes.hash(password)
        async with context.own.transaction() as cursor:
            if not await still_open(cursor, session.token_hash):  # ended elsewhere; `renew` has not seen it yet
                return RedirectResponse("/login", SEE_OTHER)
            await users.set_password(cursor, session.login, stored, must_change=False)
        await context.sessions.renew()
        token, _ = await context.sessions.open(session.login, client_address(request.scope))
    except DatabaseAway:
        return _door(context, request, "/password", "database.away", UNAVAILABLE)
    except Refused:
        return RedirectResponse("/login", SEE_OTHER)
    context.throttle.succeeded(key)
    logger.info("{} has a new password", session.login)
    return _enter(request, token, "/")
