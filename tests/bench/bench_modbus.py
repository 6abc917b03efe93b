"""Modbus polls a second: our line and poll plan against pymodbus's asynchronous client, in turn, on one simulator.

The simulator is a process of its own that answers reads of 20 registers for 100 meters per port with a register map
that both clients know, so that every value delivered is compared in the same run. A pair is two runs of each client in
the order ours, theirs, theirs, ours (ABBA), CONNECTIONS connections each. The peer runs as installed (the standard
library's loop) and on uvloop; ours with one transaction in flight per connection, as the peer, and with eight.

Run: python -m tests.bench.bench_modbus [pairs] [seconds per run]
"""

import asyncio
import multiprocessing
import random
import statistics
import struct
import sys
from collections.abc import Callable
from typing import Any

METERS = 100  # per connection
CONNECTIONS = 5
REGISTERS = 20
IN_FLIGHT = 8
PAIRS = 5
RUN_S = 2.0

_LOOKUP = [
    struct.pack(f">{REGISTERS}H", *((unit * 251 + i * 7) & 0xFFFF for i in range(REGISTERS))) for unit in range(256)
]


def expected(unit: int) -> bytes:
    """Return the payload that a read of a meter must deliver."""
    return _LOOKUP[unit]


class Simulator(asyncio.Protocol):
    """The leanest honest server: it must not be what limits the clients."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        replies = []
        for at in range(0, len(data), 12):
            unit = data[at + 6]
            replies.append(data[at : at + 4] + bytes((0, 3 + 2 * REGISTERS, unit, 3, 2 * REGISTERS)) + expected(unit))
        self._transport.write(b"".join(replies))


def simulate(ready: Any) -> None:
    """Serve until killed."""
    import uvloop

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Simulator, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


async def ours(reactor: Any, port: int, run_s: float, in_flight: int = 1) -> float:
    """Poll as fast as the line allows; return polls a second. Every payload is compared."""
    from drivers.modbus import Reply, read_request
    from drivers.modbus_tcp import Line
    from scada.clock import SystemClock

    requests = [read_request(unit, 3, 0, REGISTERS) for unit in range(1, METERS + 1)]
    payloads = [Reply(expected(unit)) for unit in range(1, METERS + 1)]
    loop = asyncio.get_running_loop()
    polls, wrong, ending = 0, 0, False

    def keep_asking(line: Line, meter: int) -> None:
        def done(outcome: Any, _: int) -> None:
            nonlocal polls, wrong
            polls += 1
            wrong += outcome != payloads[meter]
            if not ending:
                keep_asking(line, (meter + in_flight) % METERS)

        line.ask(requests[meter], done)

    lines = [
        Line(reactor, SystemClock(), "127.0.0.1", port, in_flight, 5.0, random.Random(1)) for _ in range(CONNECTIONS)
    ]
    for line in lines:
        line.open()
        for meter in range(in_flight):
            keep_asking(line, meter)
    await asyncio.sleep(0.2)
    begun, first = loop.time(), polls
    await asyncio.sleep(run_s)
    rate = (polls - first) / (loop.time() - begun)
    ending = True
    await asyncio.sleep(0.1)
    await asyncio.gather(*(line.close().asFuture(loop) for line in lines))
    if wrong:
        raise AssertionError(f"{wrong} of {polls} replies are wrong")
    return rate


async def theirs(port: int, run_s: float) -> float:
    """The same with pymodbus, one coroutine per connection, on the loop that runs this."""
    from pymodbus.client import AsyncModbusTcpClient

    words = [list(struct.unpack(f">{REGISTERS}H", expected(unit))) for unit in range(256)]
    loop = asyncio.get_running_loop()
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(CONNECTIONS)]
    for client in clients:
        await client.connect()
    polls = 0
    end = loop.time() + run_s

    async def poll(client: AsyncModbusTcpClient) -> None:
        nonlocal polls
        while loop.time() < end:
            for unit in range(1, METERS + 1):
                reply = await client.read_holding_registers(0, count=REGISTERS, device_id=unit)
                if reply.registers != words[unit]:
                    raise AssertionError(f"unit {unit}: {reply}")
                polls += 1

    begun = loop.time()
    await asyncio.gather(*map(poll, clients))
    rate = polls / (loop.time() - begun)
    for client in clients:
        client.close()
    return rate


async def theirs_as_installed(port: int, run_s: float) -> float:
    """The same with pymodbus on the standard library's loop, in a thread while our loop idles."""
    return await asyncio.to_thread(_run_on_selectors, port, run_s)


def _run_on_selectors(port: int, run_s: float) -> float:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(theirs(port, run_s))


async def compare(reactor: Any, port: int, pairs: int, run_s: float, say: Callable[[str], None]) -> None:
    """Run the pairs and print the figures."""
    for peer, run_peer in (("pymodbus on asyncio", theirs_as_installed), ("pymodbus on uvloop", theirs)):
        for in_flight in (1, IN_FLIGHT):
            ratios = []
            for _ in range(pairs):
                a = await ours(reactor, port, run_s, in_flight)
                b = await run_peer(port, run_s) + await run_peer(port, run_s)
                a += await ours(reactor, port, run_s, in_flight)
                ratios.append(a / b)
            figures = f"ratio median {statistics.median(ratios):.2f}, worst {min(ratios):.2f}"
            say(f"{peer}, ours {in_flight} in flight: {figures}; last pair {a / 2:,.0f}/s and {b / 2:,.0f}/s")


def main(pairs: int = PAIRS, run_s: float = RUN_S) -> None:
    """Start the simulator, compare, end the simulator."""
    context = multiprocessing.get_context("spawn")
    ours_end, simulators_end = context.Pipe()
    simulator = context.Process(target=simulate, args=(simulators_end,), daemon=True)
    simulator.start()
    try:
        port = ours_end.recv()
        from scada.room import install_loop

        loop, reactor = install_loop()

        async def live() -> None:
            try:
                await compare(reactor, port, pairs, run_s, lambda line: print(line, flush=True))
            finally:
                reactor.stop()

        tasks = []
        reactor.callWhenRunning(lambda: tasks.append(loop.create_task(live())))
        reactor.run()
        tasks[0].result()
    finally:
        simulator.terminate()
        simulator.join()


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
