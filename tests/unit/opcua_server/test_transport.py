"""Hostile bytes end their own connection and disturb nobody."""

import asyncio
import contextlib
from pathlib import Path

from opcua_server.transport import UNPARSED_BYTES_MAX
from tests.unit.opcua_server.harness import Site, make_plant, serve

HOSTILE = {
    "a chunk of four gigabytes": b"MSGF" + b"\xff\xff\xff\xff" + b"x" * (UNPARSED_BYTES_MAX + 1),
    "no message of the protocol": b"GETF" + (64).to_bytes(4, "little") + bytes(56),
    "a service before any channel": b"MSGF" + (64).to_bytes(4, "little") + bytes(56),
    "a size below the header's": b"HELF" + (3).to_bytes(4, "little"),
}


def test_hostile_bytes_end_their_connection_and_nobody_elses(tmp_path: Path, pki: Path) -> None:
    async def attack(site: Site, data: bytes) -> None:
        port = int(site.url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        with contextlib.suppress(ConnectionResetError):  # closed with our bytes unread: an end as well
            await asyncio.wait_for(reader.read(), 10)
        writer.close()

    async def run() -> None:
        async with serve(tmp_path, pki, make_plant()) as site, site.client() as client:
            for data in HOSTILE.values():
                await attack(site, data)
            assert len(await client.get_namespace_array()) == 4

    asyncio.run(run())
