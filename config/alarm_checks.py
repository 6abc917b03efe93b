"""Checks of alarm rules: every rule watches something, and its texts can be written.

Rule: what a rule can name is asked of `config.alarming`, which expands it.
"""

import string
from collections.abc import Callable, Iterator
from typing import Any, Final

from config.alarming import LETTERS, REFERENCES, WORDS, measures_of
from config.loader import Placed, Sources, listed, nearest
from scada.errors import Fault


def rules(sources: Sources) -> Iterator[Fault]:
    known = {on: measures_of(sources, on) for on in LETTERS}
    for placed in sources.many("rule"):
        rule = placed.item
        for measure in rule.measures:
            if measure not in known[rule.on]:
                wrong = f"unknown measure '{measure}' on {rule.on}{nearest(measure, known[rule.on])}"
                yield placed.fault("measures", wrong, listed(known[rule.on]))
        if rule.of not in REFERENCES[rule.on]:
            allowed = listed(filter(None, REFERENCES[rule.on])) if any(REFERENCES[rule.on]) else "an absolute limit"
            yield placed.fault("of", f"'{rule.of}' does not exist on {rule.on}", allowed)
        for key in ("text_zh", "text_en"):
            yield from _text(placed, key)


def _text(placed: Placed[Any], key: str) -> Iterator[Fault]:
    try:
        words = {word for _, word, _, _ in string.Formatter().parse(getattr(placed.item, key)) if word is not None}
    except ValueError as error:
        yield placed.fault(key, f"braces that do not match: {error}", listed(f"{{{word}}}" for word in WORDS))
        return
    for word in sorted(words - WORDS):
        wrong = f"unknown word '{{{word}}}'{nearest(word, WORDS)}"
        yield placed.fault(key, wrong, listed(f"{{{word}}}" for word in WORDS))


def collisions(sources: Sources) -> Iterator[Fault]:
    """Two rules of one name on one kind of thing and measure would make two alarms with one id."""
    seen: dict[tuple[str, str, str], list[Any]] = {}
    for placed in sources.many("rule"):
        rule = placed.item
        for measure in rule.measures:
            others = seen.setdefault((rule.on, measure, rule.name), [])
            if any(_meet(rule, other) for other in others):
                wrong = f"a second rule '{rule.name}' for {measure} on {rule.on}"
                yield placed.fault("name", wrong, "a name of its own, or profiles that differ")
            others.append(rule)


def _meet(one: Any, other: Any) -> bool:
    """Tell whether two rules can apply to the same device."""
    if one.profiles and other.profiles and not set(one.profiles) & set(other.profiles):
        return False
    return one.medium is None or other.medium is None or one.medium == other.medium


ALARM_CHECKS: Final[tuple[Callable[[Sources], Iterator[Fault]], ...]] = (rules, collisions)
