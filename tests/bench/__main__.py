"""Run the benches one after the other, each in a process of its own, and say at the end which of them failed.

Run: python -m tests.bench [--quick] [NAME ...]       NAME: park, modbus, billing, ...; all of them when none is named

A bench fails when a value it delivers is wrong, when a bar of its own is missed, or when it does not end. Figures with
their bars and dates are in docs/benchmarks.md.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
LIMIT_S: Final = 900  # the longest takes four minutes on two cores
EXIT_LATE: Final = 124  # as timeout(1) answers


@dataclass(frozen=True, slots=True)
class Bench:
    """One module bench_<name>.py and the arguments that make it short."""

    name: str
    measures: str
    quick: tuple[str, ...]


BENCHES: Final = (
    Bench("park", "the demonstration park, whole", ("--quick",)),
    Bench("livesocket", "browsers on one page against stock NiceGUI", ("--quick",)),
    Bench("modbus", "Modbus polls against pymodbus and libmodbus", ("1", "0.5")),
    Bench("modbus_scan", "scans of 3,000 meters, and their CPU", ("20",)),
    Bench("dlt645", "DL/T 645 replies parsed against the dlt645 package", ("--quick",)),
    Bench("scale", "10,000 meters of 20 values through the whole chain", ("--meters", "1000", "--seconds", "20")),
    Bench("opcua", "OPC UA room with 1,500 monitored tags", ("1500", "3")),
    Bench("billing", "billing kernel against numpy and Decimal", ("--scans", "40")),
    Bench("ledger", "durable postings against plain transactions", ("--seconds", "1")),
    Bench("replay", "a year of charges computed again, against Decimal", ("--points", "200", "--days", "60")),
    Bench("alarms", "alarm evaluation and flood", ()),
    Bench("credit", "credit control and forecasts of 10,000 accounts", ("--quick",)),
    Bench("historian", "history rows against executemany", ("--pairs", "1")),
)


def run(bench: Bench, quick: bool) -> tuple[int, float]:
    """Run one bench; return its exit code and how long it took, s."""
    print(f"\n=== {bench.name}: {bench.measures}  (load average {os.getloadavg()[0]:.2f})", flush=True)
    begun = time.monotonic()
    command = [sys.executable, "-m", f"tests.bench.bench_{bench.name}", *(bench.quick if quick else ())]
    try:
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=LIMIT_S).returncode
    except subprocess.TimeoutExpired:
        code = EXIT_LATE
    return code, time.monotonic() - begun


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short runs: does it work, not how fast is it")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(bench.name for bench in BENCHES))
    args = parser.parse_args()
    unknown = set(args.names) - {bench.name for bench in BENCHES}
    if unknown:
        parser.error(f"no bench is called {', '.join(sorted(unknown))}")
    results = [(bench, *run(bench, args.quick)) for bench in BENCHES if not args.names or bench.name in args.names]
    print("\n" + "=" * 72)
    for bench, code, lasted_s in results:
        print(f"{bench.name:<12} {bench.measures:<44} {lasted_s:>5.0f} s  {f'FAILED ({code})' if code else 'ok'}")
    return int(any(code for _, code, _ in results))


if __name__ == "__main__":
    sys.exit(main())
