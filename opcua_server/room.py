"""The OPC UA room: shows every tag of the process image to OPC UA clients, read-only.

    image --Feed.step--> DataValues --ItemService--> subscriptions
                                    \\--value callbacks--> reads

Rule: this room never writes anything but its own certificate, and a client can at most end its own connection.
"""

import asyncio
import contextlib
from typing import Any, Final

from loguru import logger

from opcua_server.feed import POLL_S, ConfigurationOutdated, Feed
from opcua_server.log import adopt_library_log
from opcua_server.security import Gate, SqlUsers
from opcua_server.server import PlantServer, make_server
from scada.database import Database
from scada.image import ImageReader
from scada.room import Room

DEFAULT_HOST: Final = "127.0.0.1"
USERS_CHECK_S: Final = 30.0  # a disabled user's open sessions end within this


async def run_opcua(room: Room, plant: Any, port: int, host: str = DEFAULT_HOST) -> None:
    """Serve `plant.tags` at opc.tcp://<host>:<port>/wattkeeper until the room is stopped.

    Returns early, for the supervisor to start it again, when the core runs on another configuration.
    """
    adopt_library_log()
    database = Database(room.database_url, "read")
    gate = Gate(SqlUsers(database), plant.opcua.anonymous, room.clock.mono_ns)
    feed = Feed(ImageReader(room.data.image, plant.layout), plant.tags, room.clock)
    server = await make_server(plant, feed, gate, room.data.pki, host, port)
    try:
        feed.look()  # so that the first client reads the truth
        await server.start()
        logger.info("opcua: {} tags at {}", len(plant.tags), server.endpoint.geturl())
        checks = asyncio.create_task(_expel(room.stop, server, gate))
        try:
            await _follow(room.stop, server, feed)
        finally:
            checks.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await checks
            await server.stop()
    finally:
        await database.close()


async def _follow(stop: asyncio.Event, server: PlantServer, feed: Feed) -> None:
    """Follow the image until the room is stopped or the configuration is another one."""
    shown: bool | None = None
    while not await _wait(stop, POLL_S):
        try:
            await feed.step(with_times=server.services.subscription_service.stamped > 0)
        except ConfigurationOutdated as outdated:
            logger.warning("opcua: ending, to be started with the core's configuration: {}", outdated)
            return
        if feed.alive is not shown:
            shown = feed.alive
            await server.show_service_level(shown)


async def _expel(stop: asyncio.Event, server: PlantServer, gate: Gate) -> None:
    """Close the sessions of users who were disabled or removed since they logged in."""
    while not await _wait(stop, USERS_CHECK_S):
        for session in server.services.clients:
            login = session.user.name
            if session.is_activated() and login and not await gate.still_admitted(login):
                logger.warning("opcua: closing the session of {!r}, who may no longer log in", login)
                await session.close_session()


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep; return True as soon as the room is stopped."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
