"""Take imported rows into a configuration folder: check the whole of what would be, and replace files all at once.

Rule: nothing in the folder changes unless every check passed on exactly the text that is then written, and every file
that is replaced stays beside the new one as a copy.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from config.checks import check_all
from config.import_merge import COMMENT, CsvText, Merged, merge, parse
from config.import_sheets import Sheet, Workbook, place
from config.import_words import COLUMNS, KINDS
from config.loader import UNFINISHED, read_sources
from scada.errors import Fault, WattkeeperError

LINE: Final = re.compile(r"^line (\d+)(?:, column '(.*)')?$")


@dataclass(slots=True)
class Prepared:
    """What an import would make of a folder."""

    folder: Path
    files: dict[str, Merged] = field(default_factory=dict)  # name of a CSV file -> what becomes of it
    sheets: dict[str, Sheet] = field(default_factory=dict)  # name of a CSV file -> the sheet that brings its rows
    read: dict[str, bytes] = field(default_factory=dict)  # as the files were when they were compared
    texts: dict[str, bytes] = field(default_factory=dict)  # as they would be
    faults: list[Fault] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        return any(merged.differs for merged in self.files.values())


def prepare(folder: Path, book: Workbook, remove: bool) -> Prepared:
    """Merge the sheets into the folder's files and check the whole. remove: rows that a sheet does not name go."""
    if not folder.is_dir():
        raise WattkeeperError(f"there is no configuration folder {folder}")
    found = Prepared(folder, faults=list(book.faults))
    for sheet in book.sheets:
        name = KINDS[sheet.kind]
        path = folder / name
        raw = path.read_bytes() if path.is_file() else b""
        try:
            old = parse(raw, tuple(COLUMNS[sheet.kind]))
        except UnicodeDecodeError:
            found.faults.append(Fault(name, "file", "neither UTF-8 nor GB 18030", "CSV text in UTF-8 or GB 18030"))
            continue
        merged = merge(old, sheet, remove)
        found.read[name], found.files[name], found.sheets[name] = raw, merged, sheet
        found.texts[name] = _encoded(merged.text, old)
        found.faults += [
            place(sheet, row.number, "id", f"'{row.cells['id']}' stands twice in this sheet", "each id once")
            for row in merged.doubled
        ]
        found.faults += _comments(sheet, merged, old)
    found.faults += _check(found)
    return found


def _encoded(text: str, old: CsvText) -> bytes:
    """Encode as the old file was; GB 18030 holds every character that UTF-8 does."""
    return text.encode(old.encoding)


def _comments(sheet: Sheet, merged: Merged, old: CsvText) -> list[Fault]:
    """A row whose first cell begins with # would be taken for a comment and vanish."""
    column = old.heading[0]
    rows = [row for row in merged.origin.values() if row.cells.get(column, "").startswith(COMMENT)]
    return [place(sheet, row.number, column, f"begins with {COMMENT}, which marks a comment", "a text") for row in rows]


def _check(found: Prepared) -> list[Fault]:
    """Return what the checks of a configuration say about the folder as it would be, at the cells of the import."""
    with tempfile.TemporaryDirectory(prefix="wattkeeper-import-") as name:
        shadow = Path(name)
        for entry in found.folder.iterdir():
            if entry.name not in found.texts:
                (shadow / entry.name).symlink_to(entry.resolve())
        for file, raw in found.texts.items():
            (shadow / file).write_bytes(raw)
        sources = read_sources(shadow)
        return [_translated(fault, found) for fault in [*sources.faults, *check_all(sources)]]


def _translated(fault: Fault, found: Prepared) -> Fault:
    """Return a fault of a line that the import brought as one of its cell; every other fault as it is."""
    match = LINE.match(fault.place)
    if match is None or fault.file not in found.files:
        return fault
    merged, sheet = found.files[fault.file], found.sheets[fault.file]
    row = merged.origin.get(int(match[1]))
    if row is None:
        return fault
    wrong = re.sub(r"\bline (\d+)\b", lambda line: _row_of(int(line[1]), merged), fault.wrong)
    return place(sheet, row.number, match[2] or "id", wrong, fault.allowed)


def _row_of(line: int, merged: Merged) -> str:
    row = merged.origin.get(line)
    return f"row {row.number}" if row else f"line {line}"


def write(found: Prepared) -> list[Path]:
    """Replace the files that differ; return the copies of the old ones. WattkeeperError when nothing could be written.

    New files are complete on the disk before the first old one goes. Should a replacement fail, those before it are
    taken back; should the process or the machine end between two, `finish` completes it.
    """
    assert not found.faults  # the caller has looked
    changed = {name: found.texts[name] for name, merged in found.files.items() if merged.differs}
    for name in changed:
        path = found.folder / name
        if (path.read_bytes() if path.is_file() else b"") != found.read[name]:
            raise WattkeeperError(f"{path} was changed by someone else in the meantime; nothing was written, try again")
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    copies = {name: _copy(found.folder / name, found.read[name], stamp) for name in changed if found.read[name]}
    fresh = {name: _stored(_fresh(found.folder, name), raw, found.folder / name) for name, raw in changed.items()}
    mark = found.folder / UNFINISHED
    _stored(mark.with_suffix(".part"), "\n".join(fresh).encode(), mark).replace(mark)
    _to_disk(found.folder)
    _replace(found, fresh)
    return list(copies.values())


def finish(folder: Path) -> list[str]:
    """Complete an import that was ended between two of its files; return their names, none when there was no such."""
    mark = folder / UNFINISHED
    if not mark.is_file():
        return []
    names = mark.read_text(encoding="utf-8").splitlines()
    for name in names:
        if _fresh(folder, name).is_file():
            _fresh(folder, name).replace(folder / name)
    _to_disk(folder)
    mark.unlink()
    return names


def _fresh(folder: Path, name: str) -> Path:
    return folder / f".{name}.new"


def _copy(path: Path, raw: bytes, stamp: str) -> Path:
    """Keep a copy under a name that is free."""
    for number in range(1000):
        copy = path.with_name(f"{path.name}.{stamp}{f'-{number}' if number else ''}.bak")
        if not copy.exists():
            return _stored(copy, raw, path)
    raise WattkeeperError(f"a thousand copies of {path} within one second")


def _stored(path: Path, raw: bytes, like: Path) -> Path:
    """Write a file and see it on the disk, with the rights of another."""
    try:
        with path.open("wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        if like.exists():
            path.chmod(like.stat().st_mode & 0o7777)
    except OSError as error:
        raise WattkeeperError(f"{path}: {error.strerror}; nothing was changed") from error
    return path


def _replace(found: Prepared, fresh: Mapping[str, Path]) -> None:
    done: list[str] = []
    try:
        for name, path in fresh.items():
            path.replace(found.folder / name)
            done.append(name)
    except OSError as error:
        _take_back(found, done)
        for path in (*fresh.values(), found.folder / UNFINISHED):
            path.unlink(missing_ok=True)
        raise WattkeeperError(f"{found.folder}: {error.strerror}; the old files are back") from error
    _to_disk(found.folder)
    (found.folder / UNFINISHED).unlink(missing_ok=True)


def _to_disk(folder: Path) -> None:
    """See the names in a folder on the disk."""
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the files themselves are safe
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_back(found: Prepared, names: Sequence[str]) -> None:
    for name in names:
        path = found.folder / name
        if found.read[name]:
            _stored(path, found.read[name], path)
        else:
            path.unlink()
