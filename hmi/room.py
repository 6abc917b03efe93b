"""The hmi room: FastAPI and NiceGUI under one gate, served by uvicorn on the room's loop.

Rule: read only towards the plant. Live values come from the image, lists from SQL, and whatever changes something is a
request to the core; the room writes its own two tables, users and sessions.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI
from loguru import logger
from nicegui import core, ui
from starlette.staticfiles import StaticFiles

from config.plant import Plant
from hmi.context import Context
from hmi.first import ensure_administrator
from hmi.gate import Gate
from hmi.i18n import read_languages
from hmi.live import Hub
from hmi.livesocket import serve_live
from hmi.lookup import Lookup
from hmi.ownership import bind
from hmi.pages import account, alarms, diagram, doors, lines, lists, meter, overview, people
from hmi.passwords import PasswordHashes
from hmi.render import Renderer
from hmi.sessions import Sessions
from hmi.throttle import LOGIN_REFILL_NS, LOGIN_TRIES, Throttle
from hmi.today import RENEW_S as TODAY_S
from hmi.today import Today
from hmi.views import Views
from scada.clock import SystemClock
from scada.database import Database
from scada.errors import DatabaseAway
from scada.image import ImageReader
from scada.link import CoreClient
from scada.room import Room

HOST: Final = "127.0.0.1"  # a site puts its TLS proxy in front
RENEW_S: Final = 5.0  # a session ended by another process ends here within this
GRACE_S: Final = 1  # open sockets at the end of the room
STATIC: Final = Path(__file__).parent / "static"
PAGES: Final = (overview, diagram, lists, meter, account, alarms, lines, people)


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to the room."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run_hmi(room: Room, plant: Plant, port: int, host: str = HOST) -> None:
    """Serve the HMI until the room is asked to stop."""
    context = build_context(room, plant)
    server = _Server(
        uvicorn.Config(
            build_app(context),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws_per_message_deflate=False,  # a delta is small, and compressing it for each browser costs more
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    tasks = [
        asyncio.ensure_future(context.hub.run()),
        asyncio.ensure_future(_keep(context.sessions.renew, RENEW_S)),
        asyncio.ensure_future(_keep(context.today.renew, TODAY_S)),
        asyncio.ensure_future(ensure_administrator(context.own, context.hashes, f"http://{host}:{port}/")),
    ]
    serving = asyncio.ensure_future(server.serve())
    stopping = asyncio.ensure_future(room.stop.wait())
    logger.info("HMI on http://{}:{}/", host, port)
    try:
        done, _ = await asyncio.wait({serving, stopping, *tasks[:3]}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()  # a programmer's error ends the room, and the supervisor starts it again
    finally:
        server.should_exit = True
        await asyncio.wait({serving})
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
        await close_context(context)


def build_context(room: Room, plant: Plant) -> Context:
    """Make the services of the room."""
    lookup = Lookup(plant)
    reads = Database(room.database_url, "read")
    today = Today(lookup, reads, room.clock)
    views = Views(lookup, today)
    own = Database(room.database_url, "users")
    people_clock = SystemClock()
    return Context(
        plant=plant,
        lookup=lookup,
        views=views,
        render=Renderer(lookup),
        languages=read_languages(),
        hub=Hub(ImageReader(room.data.image, plant.layout), views, plant.scan_period_s),
        core=CoreClient(room.reactor, room.data.core_socket),
        own=own,
        reads=reads,
        today=today,
        sessions=Sessions(own, people_clock),
        hashes=PasswordHashes(),
        throttle=Throttle(),
        logins=Throttle(LOGIN_TRIES, LOGIN_REFILL_NS),
        clock=room.clock,
        people=people_clock,
    )


async def close_context(context: Context) -> None:
    """Close what build_context opened."""
    await context.core.close()
    await context.own.close()
    await context.reads.close()
    context.hashes.close()


def build_app(context: Context) -> FastAPI:
    """Make the application: our routes first, NiceGUI below them, the gate around all of it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=STATIC))
    doors.register(app, context)
    serve_live(app, context.hub)
    for page in PAGES:
        page.register(context)
    ui.run_with(app, title="Wattkeeper", language="en-US", tailwind=False, show_welcome_message=False, favicon="⚡")
    bind(core.sio)
    app.add_middleware(Gate, sessions=context.sessions)
    return app


async def _keep(renew: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Keep a copy of the room in step with SQL; while the data base is away it stays as it is."""
    while True:
        with contextlib.suppress(DatabaseAway):
            await renew()
        await asyncio.sleep(every_s)
