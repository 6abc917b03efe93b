"""Fuzz one protocol parser, guided by the branches that it takes.

Run: python -m tests.fuzz NAME [--seconds N] [--input FILE]      NAME: dlt645-2007, dlt645-1997, cjt188, modbus-rtu, ...

Ends with code 0 when nothing was found. What breaks a target is printed, with the bytes that did it, and --input plays
such bytes once more. Needs atheris: CPython older than 3.14 on Linux, x86-64.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["drivers"]):
    from tests.fuzz.targets import TARGETS, seeds_of

INPUT_BYTES_MAX = 700  # three of the longest frames
RSS_MB_MAX = 1024
INPUT_S_MAX = 5  # one input: a parser that hangs is a fault


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", choices=sorted(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--input", type=Path, help="play the bytes of this file and end")
    args = parser.parse_args()
    if args.input:
        TARGETS[args.name](args.input.read_bytes())
        return
    with tempfile.TemporaryDirectory(prefix="wattkeeper-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds_of(args.name)):
            (corpus / f"seed{number}").write_bytes(seed)
        options = [
            f"-max_total_time={args.seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={INPUT_S_MAX}",
            f"-rss_limit_mb={RSS_MB_MAX}", f"-artifact_prefix={tempfile.gettempdir()}/wattkeeper-{args.name}-",
            "-print_final_stats=1", "-verbosity=1", str(corpus),
        ]  # fmt: skip
        atheris.Setup([sys.argv[0], *options], TARGETS[args.name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
