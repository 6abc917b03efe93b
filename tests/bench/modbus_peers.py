"""The peers of bench_modbus: pymodbus' asynchronous client, and libmodbus in a small C program compiled on the spot.

Each reads every meter of every connection and compares every value; it returns polls a second or fails.
"""

import asyncio
import shutil
import struct
import subprocess
from pathlib import Path

from tests.bench.modbus_simulator import REGISTERS, expected

SOURCE = Path(__file__).with_name("libmodbus_peer.c")


async def pymodbus_here(port: int, connections: int, meters: int, run_s: float) -> float:
    """Poll with pymodbus, one coroutine a connection, on the loop that runs this."""
    from pymodbus.client import AsyncModbusTcpClient

    words = [list(struct.unpack(f">{REGISTERS}H", expected(unit))) for unit in range(256)]
    loop = asyncio.get_running_loop()
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(connections)]
    for client in clients:
        await client.connect()
    polls = 0
    begun = loop.time()
    end = begun + run_s

    async def poll(client: AsyncModbusTcpClient) -> None:
        nonlocal polls
        while True:
            for unit in range(1, meters + 1):
                reply = await client.read_holding_registers(0, count=REGISTERS, device_id=unit)
                if reply.registers != words[unit]:
                    raise AssertionError(f"unit {unit}: {reply}")
                polls += 1
                if loop.time() >= end:
                    return

    await asyncio.gather(*map(poll, clients))
    rate = polls / (loop.time() - begun)
    for client in clients:
        client.close()
    return rate


async def pymodbus_as_installed(port: int, connections: int, meters: int, run_s: float) -> float:
    """The same on the standard library's loop, in a thread while our loop idles."""

    def run() -> float:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(pymodbus_here(port, connections, meters, run_s))

    return await asyncio.to_thread(run)


def build_libmodbus(folder: Path) -> Path | str:
    """Compile the C client; return the program, or why there is none."""
    if shutil.which("gcc") is None:
        return "gcc is not installed"
    program = folder / "libmodbus_peer"
    command = ["gcc", "-O2", "-Wall", "-o", str(program), str(SOURCE), "-lmodbus"]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if built.returncode:
        return f"libmodbus and its headers (Debian: libmodbus-dev) are not installed: {built.stderr.strip()[:200]}"
    return program


async def libmodbus(program: Path, port: int, connections: int, meters: int, run_s: float) -> float:
    """Poll with libmodbus, in a process of its own on our core."""
    arguments = [str(number) for number in (port, connections, meters, run_s)]
    process = await asyncio.create_subprocess_exec(str(program), *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise AssertionError(f"the libmodbus client ended with {process.returncode}")
    polls, spent_s = output.split()
    return int(polls) / float(spent_s)
