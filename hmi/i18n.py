"""Languages: the gettext catalogues, read from their .po files at start, and the words of the codes.

Rule: every text that a person reads is English in the source, marked with _() or N_(), and looked up here. What a
configuration names (tenants, meters) carries its own Chinese and English and is chosen by `Texts.pick`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from babel.messages.pofile import read_po
from starlette.requests import HTTPConnection

LOCALES: Final = {"zh": "zh_CN", "en": "en"}
DEFAULT: Final = "zh"
COOKIE: Final = "wattkeeper_language"
FOLDER: Final = Path(__file__).parent / "locale"


def N_(text: str) -> str:
    """Mark a text for translation that is looked up later."""
    return text


@dataclass(frozen=True)
class Texts:
    """One language: callable on an English text; `format` arguments are put in after the look-up."""

    language: str
    catalogue: Mapping[str, str]

    def __call__(self, text: str, **arguments: Any) -> str:
        found = self.catalogue.get(text) or text
        return found.format(**arguments) if arguments else found

    def pick(self, named: Any) -> str:
        """Return the name of something that has name_zh and name_en, or zh and en."""
        for attribute in (f"name_{self.language}", self.language):
            if hasattr(named, attribute):
                return str(getattr(named, attribute))
        raise AttributeError(f"{named!r} has no name in two languages")


def read_catalogue(language: str) -> dict[str, str]:
    """Return msgid -> msgstr of one language."""
    path = FOLDER / LOCALES[language] / "LC_MESSAGES" / "wattkeeper.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=LOCALES[language])
    return {str(message.id): str(message.string) for message in catalogue if message.id and message.string}


def read_languages() -> dict[str, Texts]:
    return {language: Texts(language, read_catalogue(language)) for language in LOCALES}


def language_of(request: HTTPConnection) -> str:
    """Return the language a browser chose, or the default."""
    chosen = request.cookies.get(COOKIE, DEFAULT)
    return chosen if chosen in LOCALES else DEFAULT
