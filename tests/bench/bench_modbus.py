"""Modbus polls a second over 500 connections: our engine against pymodbus and against libmodbus, in turn.

One simulator (modbus_simulator.py), compiled and on a core of its own, answers all of them; a line of figures says how
busy it was. A pair is two runs of each client in the order ours, theirs, theirs, ours (ABBA). pymodbus runs as
installed (the standard library's loop) and on uvloop; libmodbus is a C program that reads one connection after the
other. Ours has one transaction in flight per connection, as they have, and eight. Every value delivered is compared.

Run: python -m tests.bench.bench_modbus [pairs] [seconds per run]
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.bench.modbus_ours import ours, run_with_reactor
from tests.bench.modbus_peers import build_libmodbus, libmodbus, pymodbus_as_installed, pymodbus_here
from tests.bench.modbus_simulator import Simulator, cores, simulator

CONNECTIONS = 500
METERS = 32  # on a connection: what one RS-485 segment carries behind a gateway
IN_FLIGHT = 8
PAIRS = 5
RUN_S = 1.5

Peer = Callable[[int, int, int, float], Awaitable[float]]


async def compare(
    reactor: Any, sim: Simulator, name: str, peer: Peer, in_flight: int, pairs: int, run_s: float
) -> None:
    """Run the pairs with one peer and print the figures."""
    ratios, a_rates, b_rates = [], [], []
    begun, busy_before, mine_before = time.perf_counter(), sim.cpu_s(), time.process_time()
    for _ in range(pairs):
        a = await ours(reactor, sim.port, CONNECTIONS, METERS, run_s, in_flight)
        b = await peer(sim.port, CONNECTIONS, METERS, run_s) + await peer(sim.port, CONNECTIONS, METERS, run_s)
        a += await ours(reactor, sim.port, CONNECTIONS, METERS, run_s, in_flight)
        ratios.append(a / b)
        a_rates.append(a / 2)
        b_rates.append(b / 2)
    spent = time.perf_counter() - begun
    print(
        f"{name}, ours {in_flight} in flight: x {statistics.median(ratios):.1f}, worst {min(ratios):.1f}; "
        f"ours {statistics.median(a_rates):,.0f}/s, theirs {statistics.median(b_rates):,.0f}/s; "
        f"simulator {(sim.cpu_s() - busy_before) / spent:.0%} and this process "
        f"{(time.process_time() - mine_before) / spent:.0%} of a core, load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )


async def compare_all(reactor: Any, sim: Simulator, program: Path | str, pairs: int, run_s: float) -> None:
    """Run the pairs with every peer."""
    peers: list[tuple[str, Peer]] = [
        ("pymodbus on asyncio", pymodbus_as_installed),
        ("pymodbus on uvloop", pymodbus_here),
    ]
    if isinstance(program, Path):
        peers.append(("libmodbus in C", lambda *arguments: libmodbus(program, *arguments)))
    else:
        print(f"libmodbus in C: NOT COMPARED, {program}", flush=True)
    for name, peer in peers:
        for in_flight in (1, IN_FLIGHT):
            await compare(reactor, sim, name, peer, in_flight, pairs, run_s)
    assert sim.strange() == 0, f"{sim.strange()} reads of the simulator were no whole number of right requests"
    print(f"the simulator was asked {sim.asked():,} times, nothing strange among them", flush=True)


def main(pairs: int = PAIRS, run_s: float = RUN_S) -> None:
    """Start the simulator, compare, end the simulator."""
    mine, its = cores()
    with tempfile.TemporaryDirectory() as folder, simulator(its) as sim:
        os.sched_setaffinity(0, {mine})
        program = build_libmodbus(Path(folder))
        run_with_reactor(lambda reactor: compare_all(reactor, sim, program, pairs, run_s))


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
