"""How values and frames look on a terminal: columns that fit Chinese, frames with every field named.

Rule: text out of data; nothing here asks a meter.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from drivers import cjt188_explain, dlt645_explain, modbus_words
from drivers.explain import HIDDEN, Field, shown
from drivers.frame_log import Entry
from drivers.profile import Protocol
from drivers.tools.values import Value
from drivers.tools.words import Words
from scada.quality import name as quality_name

Explain = Callable[[bytes, bool], list[Field]]
NS_PER_MS: Final = 1_000_000
NAME_MAX: Final = 36  # columns of a name

EXPLAINERS: Final[dict[tuple[Protocol, bool], Explain]] = {
    ("modbus", True): modbus_words.explain_tcp,
    ("modbus", False): modbus_words.explain_rtu,
    ("dlt645-2007", False): lambda frame, sent: dlt645_explain.explain(frame),
    ("dlt645-1997", False): lambda frame, sent: dlt645_explain.explain(frame),
    ("cjt188", False): lambda frame, sent: cjt188_explain.explain(frame),
}


def width(text: str) -> int:
    """Return how many columns a text takes: wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def pad(text: str, columns: int, right: bool = False) -> str:
    """Fill a text up with spaces."""
    spaces = " " * max(columns - width(text), 0)
    return spaces + text if right else text + spaces


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Yield the lines of a table; `right`: columns that are aligned to the right."""
    if not rows:
        return
    columns = [max(width(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [pad(cell, columns[i], i in right) for i, cell in enumerate(row)]
        yield "  ".join(cells).rstrip()


def values(found: Sequence[Value], words: Words, changed: frozenset[str] | None = None) -> Iterator[str]:
    """Yield the lines of a table of values; changed: measures that carry a mark."""
    head = [words("quantity"), words("register"), words("value"), words("unit"), words("quality"), words("raw")]
    rows = [head] + [
        [words.pick(v.zh, v.en), v.measure, v.text or "-", v.unit, quality_name(v.quality), v.raw] for v in found
    ]
    if changed is not None:
        rows = [
            ["", *head],
            *(["*" if v.measure in changed else "", *row] for v, row in zip(found, rows[1:], strict=True)),
        ]
    yield from table(rows, right=(2,) if changed is None else (3,))


def value_json(value: Value) -> dict[str, Any]:
    """Return a value as plain data."""
    return {
        "measure": value.measure, "zh": value.zh, "en": value.en, "value": value.text, "unit": value.unit,
        "quality": quality_name(value.quality), "raw": value.raw,
    }  # fmt: skip


def explain(protocol: Protocol, framed: bool, frame: bytes, sent: bool) -> list[Field]:
    """Explain what went over a line, field by field; noise is a field too."""
    return EXPLAINERS[protocol, framed](frame, sent)


def entry_lines(entry: Entry, protocol: Protocol, framed: bool, words: Words) -> Iterator[str]:
    """Yield the lines of one transaction: both directions in hexadecimal, then every field."""
    yield f"  -> {words('sent')}      {shown(entry.sent, entry.hidden)}"
    yield from _fields(explain(protocol, framed, entry.sent, True), entry.sent, entry.hidden, words)
    answer = shown(entry.received, entry.hidden_received) if entry.received else words("nothing")
    yield f"  <- {words('received')}  {answer}   [{entry.elapsed_ns / NS_PER_MS:.1f} ms, {entry.outcome}]"
    if entry.received:
        yield from _fields(_heard(entry, protocol, framed), entry.received, entry.hidden_received, words)


def _heard(entry: Entry, protocol: Protocol, framed: bool) -> list[Field]:
    """Explain what was received. A Modbus frame does not tell requests from replies, so an echo is cut off first."""
    echo = len(entry.sent) if entry.sent and entry.received.startswith(entry.sent) else 0
    if protocol != "modbus" or framed or len(entry.received) <= echo:
        return explain(protocol, framed, entry.received, False)
    fields = explain(protocol, framed, entry.sent, True) if echo else []
    reply = explain(protocol, framed, entry.received[echo:], False)
    return [*fields, *(replace(field, at=field.at + echo) for field in reply)]


def _fields(fields: Sequence[Field], frame: bytes, hidden: Sequence[int], words: Words) -> Iterator[str]:
    rows = []
    for field in fields:
        at = range(field.at, field.at + field.size)
        secret = bool(set(at) & set(hidden))
        octets = shown(frame[field.at : field.at + field.size], [place - field.at for place in hidden if place in at])
        says = HIDDEN if secret else words.pick(field.value_zh, field.value) if field.value_zh else field.value
        rows.append(
            [f"       {octets}", words.pick(field.zh, field.en), says, "!" if field.wrong and not secret else ""]
        )
    yield from table(rows)


def entry_json(entry: Entry, protocol: Protocol, framed: bool) -> dict[str, Any]:
    """Return one transaction with its explanation as plain data."""
    heard = _heard(entry, protocol, framed) if entry.received else []
    return {
        "sent": shown(entry.sent, entry.hidden),
        "received": shown(entry.received, entry.hidden_received),
        "elapsed_ms": round(entry.elapsed_ns / NS_PER_MS, 1),
        "outcome": entry.outcome,
        "utc_ns": entry.utc_ns,
        "sent_fields": [_field_json(f, entry.hidden) for f in explain(protocol, framed, entry.sent, True)],
        "received_fields": [_field_json(f, entry.hidden_received) for f in heard],
    }


def _field_json(field: Field, hidden: Sequence[int] = ()) -> Mapping[str, Any]:
    secret = any(field.at <= place < field.at + field.size for place in hidden)
    return {
        "at": field.at, "size": field.size, "zh": field.zh, "en": field.en,
        "wrong": field.wrong and not secret,
        "value": HIDDEN if secret else field.value, "value_zh": HIDDEN if secret else field.value_zh or field.value,
    }  # fmt: skip
