"""A copy of the demonstration configuration that a test may break."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.plant import load
from scada.errors import ConfigurationError, Fault

CONFIG = Path(__file__).parents[3] / "config"


@dataclass(frozen=True)
class Copy:
    """A configuration folder with the demonstration in it."""

    folder: Path

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the first `old` in a file; it must be there."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def append(self, file: str, text: str) -> None:
        with (self.folder / file).open("a", encoding="utf-8") as stream:
            stream.write(text)

    def faults(self) -> list[Fault]:
        """Return what is wrong with it, [] when it loads."""
        try:
            load(self.folder)
        except ConfigurationError as error:
            return error.faults
        return []


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    folder = tmp_path / "site"
    shutil.copytree(CONFIG / "demo", folder)
    shutil.copytree(CONFIG / "profiles", folder / "profiles")
    return Copy(folder)


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    return CONFIG / "demo"
