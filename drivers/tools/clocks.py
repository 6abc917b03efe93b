"""`meter sync-clock`: the clocks of a line or of one meter, set through the running core, which guards and records it.

Rule: there is no way past the core: without it nobody knows when a line was last set.
"""

import argparse
import json

from drivers.tools.spoken import Ports
from drivers.tools.way import core_needed
from drivers.tools.words import Words
from scada import console


def sync_clock(args: argparse.Namespace, ports: Ports, words: Words) -> int:
    """Set the clocks; return 1 when a meter refused, or one stays wrong."""
    core_socket = ports.core_socket(args)
    core_needed(core_socket, words)
    answer = console.perform(core_socket, "field.sync_clock", {"target": args.words[0]})
    good = all(outcome["kind"] == "reply" for outcome in answer["outcomes"])
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
        return 0 if good and not answer["left"] else 1
    for name, deviation_s in sorted(answer["deviations_s"].items()):
        shown = words("clock unknown") if deviation_s is None else f"{deviation_s:+.0f} s"
        print(f"{name:<20} {shown:>10}  {words('clock left') if name in answer['left'] else ''}".rstrip())
    print(words("clock sent" if good else "clock failed", scope=answer["scope"]))
    return 0 if good and not answer["left"] else 1
