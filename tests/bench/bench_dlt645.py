"""DL/T 645 replies parsed and decoded a second on one core: our scanner and judgement against the parser of `dlt645`.

Both get the same replies, 4 FE before each, in turn (ABBA); every value is compared in the same run. The peer's frame
parser is called as its own client does, without any transport; it gives a frame, whose value is then taken from its
data bytes. Ours scans, judges direction, address, function, identifier and length, and decodes.

Run: python -m tests.bench.bench_dlt645 [--quick]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from dlt645.common.transform import bcd_to_string
from dlt645.protocol.protocol import DLT645Protocol

from drivers import dlt645
from drivers.bcd import decode_bcd, encode_bcd
from drivers.dlt645_frame import encode_frame
from drivers.outcome import Reply
from tests.bench.figures import Figure, report

METERS = 200
PAIRS = 5
FRAMES = 20_000
BAR_PER_S = 5_000  # frames a second on one core
DI = 0x0001_0000

ADDRESSES = [f"{n * 7919:012d}" for n in range(1, METERS + 1)]
COUNTS = [n * 314_159 % 100_000_000 for n in range(METERS)]
REQUESTS = [dlt645.read(address, DI, 4) for address in ADDRESSES]
REPLIES = [
    encode_frame(request.address, 0x91, request.lead + encode_bcd(count, 4), 4)
    for request, count in zip(REQUESTS, COUNTS, strict=True)
]


def ours(frames: int) -> int:
    """Parse, judge and decode; return how many values were wrong."""
    wrong = 0
    for number in range(frames):
        meter = number % METERS
        request = REQUESTS[meter]
        (frame,) = request.scanner().feed(REPLIES[meter])
        judged = request.judge(frame)
        wrong += not (isinstance(judged, Reply) and decode_bcd(judged.payload) == COUNTS[meter])
    return wrong


def theirs(frames: int) -> int:
    """The same with the peer's parser."""
    wrong = 0
    for number in range(frames):
        meter = number % METERS
        frame = DLT645Protocol.deserialize(REPLIES[meter])
        wrong += int(bcd_to_string(bytearray(frame.data[4:]), "little")) != COUNTS[meter]
    return wrong


def rate(run: Callable[[int], int], frames: int) -> float:
    """Return frames a second of processor time; AssertionError when a value is wrong."""
    begun = time.process_time()
    wrong = run(frames)
    spent_s = time.process_time() - begun
    if wrong:
        raise AssertionError(f"{wrong} of {frames} values are wrong")
    return frames / spent_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the frames")
    frames = FRAMES // 10 if parser.parse_args().quick else FRAMES
    pairs = []
    for _ in range(PAIRS):
        a1, b1, b2, a2 = (rate(run, frames) for run in (ours, theirs, theirs, ours))
        pairs.append(((a1 + a2) / 2, (b1 + b2) / 2))
    ratios = [a / b for a, b in pairs]
    return report(
        [
            Figure("replies parsed and decoded", statistics.median(a for a, _ in pairs), "/s", at_least=BAR_PER_S),
            Figure("the same, dlt645 of PyPI", statistics.median(b for _, b in pairs), "/s"),
            Figure("ratio, median", statistics.median(ratios)),
            Figure("ratio, worst pair", min(ratios)),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
