"""The anchor: heads of the hash chain, written beside the data base, so that books which lost their end cannot hide it.

data/anchor/heads.jsonl, one line for a head, only ever appended and flushed to the disk:

    {"hash": "9f…", "seq": 4711, "utc": "2026-11-23T21:00:00+00:00"}

A line with "reason" and "who" was written by `run.py ledger reanchor`: what stands before it is kept as evidence and no
longer compared. Rule: this file knows nothing of the data base.
"""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from billing_core.ledger import Head
from scada.errors import Refused, WattkeeperError

FILE: Final = "heads.jsonl"
SPACING_S: Final = 1.0  # a flush of the disk for each of many commits a second would say little more
LINES_MOST: Final = 20_000  # 3 MB; a checkpoint every ten seconds fills it in two days
LINES_RECENT: Final = 5_000  # of which so many stay whole when older ones are thinned to every second


@dataclass(frozen=True, slots=True)
class Mark:
    """One line."""

    seq: int
    hash: bytes
    utc: str
    reason: str = ""  # why the books were anchored anew
    who: str = ""

    def line(self) -> str:
        fields = {"seq": self.seq, "hash": self.hash.hex(), "utc": self.utc}
        if self.reason:
            fields |= {"reason": self.reason, "who": self.who}
        return json.dumps(fields, sort_keys=True) + "\n"


class Anchor:
    """The anchor of one data directory."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._last_mono_s = -SPACING_S
        self._lines: int | None = None

    def note(self, head: Head) -> None:
        """Append the head of the chain unless one was appended just now; blocking. OSError when the disk refuses."""
        now_s = time.monotonic()
        if head.seq == 0 or now_s - self._last_mono_s < SPACING_S:
            return
        self._append(Mark(head.seq, head.hash, _now()))
        self._last_mono_s = now_s

    def begin_anew(self, head: Head, reason: str, who: str) -> Mark:
        """Append a head that is right although the anchor says otherwise; return the line."""
        mark = Mark(head.seq, head.hash, _now(), reason, who)
        self._append(mark)
        return mark

    def marks(self) -> list[Mark]:
        """Return every line. A last one that was torn by a crash is left out; WattkeeperError names any other fault."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        whole, _, _ = text.rpartition("\n")
        return [_parsed(line, number, self.path) for number, line in enumerate(whole.split("\n"), 1) if line]

    def _append(self, mark: Mark) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._lines is None:
            self._lines = self._mend()
        if self._lines >= LINES_MOST:
            self._lines = self._thin()
        made = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(mark.line())
            file.flush()
            os.fsync(file.fileno())
        if made:
            _sync_folder(self.path.parent)
        self._lines += 1

    def _mend(self) -> int:
        """Cut a line that a crash tore; return how many there are."""
        marks = self.marks()
        if self.path.exists() and not self.path.read_bytes().endswith(b"\n"):
            self._write(marks)
        return len(marks)

    def _thin(self) -> int:
        """Leave out every second of the older lines; reasons stay."""
        marks = self.marks()
        older, recent = marks[:-LINES_RECENT], marks[-LINES_RECENT:]
        kept = [mark for number, mark in enumerate(older) if number % 2 == 0 or mark.reason] + recent
        self._write(kept)
        return len(kept)

    def _write(self, marks: Iterable[Mark]) -> None:
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.writelines(mark.line() for mark in marks)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        _sync_folder(self.path.parent)


def in_force(marks: Iterable[Mark]) -> list[Mark]:
    """Return the lines that the books are compared with: from the last new beginning on."""
    found: list[Mark] = []
    for mark in marks:
        if mark.reason:
            found = []
        found.append(mark)
    return found


def behind(last: Mark | None, head_seq: int, hash_there: bytes | None) -> Refused | None:
    """Return why books must not be opened, None when they hold the last anchored head.

    hash_there: hash of the books' transfer with the anchored number, None when there is none
    """
    if last is None or hash_there == last.hash:
        return None
    if head_seq < last.seq:
        found = f"end with transfer {head_seq}; transfer {last.seq} was anchored at {last.utc}"
    else:
        found = f"hold another transfer {last.seq} than the one that was anchored at {last.utc}"
    return Refused(
        "ledger.behind-anchor",
        f"the books {found}: they were restored from an older copy, truncated or exchanged. Bring the right data base"
        ' back, or accept this one with: run.py ledger reanchor --reason "..."',
    )


def key_of(mark: Mark) -> str:
    """Return the idempotency key under which a new beginning is journalled in the books."""
    return f"anchor:{mark.seq}:{mark.utc}"


def _parsed(line: str, number: int, path: Path) -> Mark:
    try:
        fields = json.loads(line)
        return Mark(
            int(fields["seq"]), bytes.fromhex(fields["hash"]), str(fields["utc"]),
            str(fields.get("reason", "")), str(fields.get("who", "")),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise WattkeeperError(f"{path}, line {number}: no head of the chain ({error}); somebody wrote here") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
