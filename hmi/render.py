"""Render: fragments of HTML from templates, every value escaped, every text translated.

Rule: no template decides what somebody may do; the page hands in what may be shown, and handlers check again.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hmi.i18n import Texts
from hmi.lookup import MOMENTS, NO_ROW, Lookup
from hmi.words import of_tag, switch_word, symbol, word

TEMPLATES: Final = Path(__file__).parent / "templates"


class Renderer:
    """Templates over one plant."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def __call__(self, template: str, texts: Texts, **context: Any) -> str:
        """Render a template. It sees `_` (texts), `word`, `live`, `figure`, `name` and what the page hands in."""
        helpers: dict[str, Callable[..., Any]] = {
            "word": lambda group, code: word(group, code, texts),
            "switch_word": lambda kind, group, code: switch_word(kind, group, code, texts),
            "live": lambda row, tag="span", unit=True: self._live(row, texts, tag, unit),
            "attributes": lambda row: self._attributes(row, texts),
            "figure": _figure,
            "symbol": symbol,
            "name": lambda owner: self._lookup.name(owner, texts.language),
            "pick": texts.pick,
        }
        return self._environment.get_template(template).render(_=texts, language=texts.language, **helpers, **context)

    def _live(self, row: int, texts: Texts, tag: str, unit: bool) -> Markup:
        """Return an element that shows a tag's live value with its unit and quality."""
        if row == NO_ROW:
            return Markup('<span class="wk-note">–</span>')
        shown = self._lookup.tag(row)
        written = "" if shown.name in MOMENTS else shown.currency or symbol(shown.unit)
        after = Markup('<span class="wk-unit">{}</span>').format(written) if unit and written else Markup("")
        return Markup("<{0} class='wk-value' {1}>----</{0}>{2}").format(
            Markup(escape(tag)), self._attributes(row, texts), after
        )

    def _attributes(self, row: int, texts: Texts) -> Markup:
        """Return the data- attributes by which static/live.js shows a tag."""
        shown = self._lookup.tag(row)
        if shown.kind in ("enum", "boolean"):
            return Markup('data-row="{}" data-as="words" data-words="{}"').format(
                row, _json(of_tag(shown.name, shown.states, self._lookup.kind_of_row(row), texts))
            )
        if shown.name in MOMENTS:
            return Markup('data-row="{}" data-as="moment"').format(row)
        if self._lookup.is_name(row):
            return Markup('data-row="{}" data-as="digits"').format(row)
        return Markup('data-row="{}" data-decimals="{}"').format(row, self._lookup.decimals(row))


def _figure(key: str, decimals: int = 0) -> Markup:
    return Markup('<span class="wk-value" data-row="{}" data-decimals="{}">----</span>').format(key, decimals)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
