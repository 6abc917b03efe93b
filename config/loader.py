"""Read a configuration folder: TOML and CSV into checked tables, with every fault named by file and key or line.

Rule: this file knows files, encodings and places, not meanings. A faulty table is reported and left out, and its id is
remembered, so that one slip does not come back as a hundred unknown names. Of a faulty row the sound cells are kept, so
that everything that is wrong with it is told at once.
"""

import csv
import difflib
import io
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from config import credit_schema, gateway_schema, profile_schema, schema, settle_schema, tariff_tables
from scada.errors import Fault

T = TypeVar("T", bound=schema.Table)
NAMES_SHOWN_MAX: Final = 12  # a longer list of allowed names is no help
FILE_BYTES_MAX: Final = 16 * 1024 * 1024  # 100,000 meters need about 10 MB; anything larger is not a configuration

POWER_FACTORS: Final = "power_factor.toml"
SECRETS: Final = "secrets.toml"  # its values are never shown, not even the wrong ones
UNFINISHED: Final = ".import"  # names the files that an import is replacing; config.importing goes on with it

# file -> table name -> (model, how often it may stand there). "many" is an array of tables, "map" a table keyed by id.
SECTIONS: Final[Mapping[str, Mapping[str, tuple[type[schema.Table], str]]]] = {
    "plant.toml": {
        "site": (schema.SiteTable, "one"),
        "scan": (schema.ScanTable, "one"),
        "opcua": (schema.OpcuaTable, "one"),
        "hmi": (schema.HmiTable, "one"),
        "credit": (credit_schema.CreditTable, "one"),
        "credit_class": (credit_schema.CreditClassTable, "many"),
        "history": (schema.HistoryTable, "one"),
        "ledger": (schema.LedgerTable, "one"),
        "account_class": (schema.AccountClassTable, "many"),
        "field": (schema.FieldTable, "one"),
        "building": (schema.BuildingTable, "many"),
        "gateway": (gateway_schema.GatewayTable, "many"),
        "station": (schema.StationTable, "many"),
        "rate_table": (schema.RateTable, "many"),
        "virtual": (schema.VirtualTable, "many"),
    },
    "tariffs.toml": {"tariff": (tariff_tables.TariffTable, "many")},
    POWER_FACTORS: {"power_factor": (tariff_tables.PowerFactorSteps, "many")},
    "settlement.toml": {
        "settlement": (settle_schema.SettlementTable, "one"),
        "share_group": (settle_schema.ShareGroupTable, "many"),
        "purchase": (settle_schema.PurchaseTable, "many"),
    },
    "alarms.toml": {"rule": (schema.RuleTable, "many")},
    "field.toml": {"simulation": (schema.SimulationTable, "one"), "load": (schema.LoadTable, "map")},
    SECRETS: {
        "secrets": (profile_schema.SecretsTable, "one"),
        "profile": (profile_schema.SecretTable, "map"),
        "meter": (profile_schema.SecretTable, "map"),
    },
}
# What a table is called in `Sources` when its name in the file already is that of another kind
KINDS: Final[Mapping[tuple[str, str], str]] = {
    (SECRETS, "profile"): "profile_secret",
    (SECRETS, "meter"): "meter_secret",
}
CSV_FILES: Final[Mapping[str, tuple[str, type[schema.Table]]]] = {
    "meters.csv": ("meter", schema.MeterRow),
    "supply_points.csv": ("point", schema.PointRow),
    "tenants.csv": ("tenant", schema.TenantRow),
}
REQUIRED_TABLES: Final = ("site",)
OPTIONAL_FILES: Final = ("field.toml", "alarms.toml", "settlement.toml", SECRETS)  # a real plant is not simulated


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A checked table and where it stands."""

    item: T
    file: str
    key: str  # dotted key of a TOML table, or "line 12" of a CSV

    def fault(self, name: str, wrong: str, allowed: str) -> Fault:
        """Return a fault at one key or column of this table ("" = the table as a whole)."""
        return Fault(self.file, _place(self.key, name), wrong, allowed)


@dataclass(slots=True)
class Sources:
    """Everything read from a folder. `tables[kind]` in file order; `ids[kind]` also knows the faulty ones."""

    folder: Path
    tables: dict[str, list[Placed[Any]]] = field(default_factory=dict)
    ids: dict[str, set[str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)  # kinds whose file could not be read: nothing refers to them in vain

    def many(self, kind: str) -> list[Placed[Any]]:
        return self.tables.get(kind, [])

    def one(self, kind: str) -> Any:
        """Return the only table of a kind, or None when it is missing or faulty."""
        tables = self.many(kind)
        return tables[0].item if tables else None

    def by_id(self, kind: str) -> dict[str, Any]:
        """Return id -> table; of two tables with one id the first."""
        found: dict[str, Any] = {}
        for placed in self.many(kind):
            found.setdefault(placed.item.id, placed.item)
        return found

    def keep(self, kind: str, placed: Placed[Any]) -> None:
        self.tables.setdefault(kind, []).append(placed)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the nearest known name, or "" when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def listed(known: Iterable[str]) -> str:
    """Return known names as a short list for the "allowed" part of a fault."""
    names = sorted(known)
    more = f", ... ({len(names)} in all)" if len(names) > NAMES_SHOWN_MAX else ""
    return ", ".join(names[:NAMES_SHOWN_MAX]) + more if names else "nothing, none is defined"


def read_sources(folder: Path) -> Sources:
    """Read every file of a configuration folder and its profiles; faults are collected, never raised."""
    sources = Sources(folder)
    if (folder / UNFINISHED).exists():
        wrong = "an import was ended while it replaced files: some are old and some are new"
        sources.faults.append(Fault(UNFINISHED, "file", wrong, "the same import once more, which completes it"))
    for name, sections in SECTIONS.items():
        data = _read_toml(_own_or_ours(folder, name), name, sources)
        if data is not None:
            _read_sections(name, sections, data, sources)
        elif name not in OPTIONAL_FILES or (folder / name).is_file():
            sources.unread |= {kind_of(name, key) for key in sections}
        else:
            _read_sections(name, sections, {}, sources)  # every table by its defaults
    for name, (kind, model) in CSV_FILES.items():
        if not _read_csv(folder / name, name, kind, model, sources):
            sources.unread.add(kind)
    _read_profiles(sources)
    _virtual_last(sources)
    return sources


def _virtual_last(sources: Sources) -> None:
    """Put supply points on virtual meters behind all others: they are billed last, from what the others were billed."""
    virtual = sources.by_id("virtual")
    sources.tables.get("point", []).sort(key=lambda placed: placed.item.meter in virtual)


def profile_folder(folder: Path) -> Path:
    """Return where a site's meter profiles are: its own `profiles`, or those that come with Wattkeeper."""
    own = folder / "profiles"
    return own if own.is_dir() else Path(__file__).parent / "profiles"


def _own_or_ours(folder: Path, name: str) -> Path:
    """Return the path of a file; tables of power factors come with Wattkeeper when a site has none of its own."""
    own = folder / name
    return own if name != POWER_FACTORS or own.is_file() else Path(__file__).parent / name


def _read_profiles(sources: Sources) -> None:
    for path in sorted(profile_folder(sources.folder).glob("*.toml")):
        read_profile(path, f"profiles/{path.name}", sources)


def read_profile(path: Path, name: str, sources: Sources) -> None:
    """Read one meter profile into `sources`; faults are collected under `name`."""
    data = _read_toml(path, name, sources)
    if data is None:
        return
    sources.ids.setdefault("profile", set()).add(str(data.get("id", path.stem)))
    placed = _validate(profile_schema.ProfileTable, data, name, "", sources)
    if placed is None:
        return
    if placed.item.id != path.stem:
        sources.faults.append(placed.fault("id", f"'{placed.item.id}' in a file of another name", path.stem))
    sources.keep("profile", placed)


def _read_bytes(path: Path, name: str, sources: Sources) -> bytes | None:
    if not path.is_file():
        if name not in OPTIONAL_FILES:
            sources.faults.append(Fault(name, "file", "missing", f"a file {name} in {path.parent}"))
        return None
    if path.stat().st_size > FILE_BYTES_MAX:
        sources.faults.append(Fault(name, "file", "too large", f"at most {FILE_BYTES_MAX} bytes"))
        return None
    return path.read_bytes()


def _read_toml(path: Path, name: str, sources: Sources) -> dict[str, Any] | None:
    raw = _read_bytes(path, name, sources)
    if raw is None:
        return None
    try:
        return tomllib.loads(raw.decode("utf-8-sig"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        sources.faults.append(Fault(name, f"byte {error.start}", "not UTF-8", "TOML text in UTF-8"))
    except tomllib.TOMLDecodeError as error:
        sources.faults.append(Fault(name, "file", f"not TOML: {error}", "TOML 1.0"))
    return None


def _read_sections(
    name: str, sections: Mapping[str, tuple[type[schema.Table], str]], data: Mapping[str, Any], sources: Sources
) -> None:
    for key in data.keys() - sections.keys():
        sources.faults.append(Fault(name, key, f"unknown table{nearest(key, sections)}", listed(sections)))
    for key, (model, count) in sections.items():
        if count == "one":
            if key not in data and key in REQUIRED_TABLES:
                sources.faults.append(Fault(name, key, "missing", f"a table [{key}]"))
                continue
            items: list[tuple[str, Any]] = [(key, data.get(key, {}))]
        else:
            items = list(_elements(name, key, count, data.get(key, {} if count == "map" else []), sources))
        for place, item in items:
            kind = kind_of(name, key)
            if isinstance(item, Mapping) and "id" in item:
                sources.ids.setdefault(kind, set()).add(str(item["id"]))
            placed = _validate(model, item, name, place, sources)
            if placed is not None:
                sources.keep(kind, placed)


def kind_of(file: str, table: str) -> str:
    """Return the kind under which `Sources` keeps a table of a file."""
    return KINDS.get((file, table), table)


def _elements(name: str, key: str, count: str, value: Any, sources: Sources) -> Iterator[tuple[str, Any]]:
    """Yield (place, table) of an array of tables or of a table keyed by id."""
    if count == "many" and isinstance(value, list):
        for number, item in enumerate(value, start=1):
            label = item.get("id", item.get("name", number)) if isinstance(item, Mapping) else number
            yield f"{key}.{label}", item
    elif count == "map" and isinstance(value, Mapping):
        for label, item in value.items():
            yield f"{key}.{label}", {"id": label, **item} if isinstance(item, Mapping) else item
    else:
        wanted = f"an array of tables [[{key}]]" if count == "many" else f"a table [{key}]"
        sources.faults.append(Fault(name, key, f"a {type(value).__name__}", wanted))


def _read_csv(path: Path, name: str, kind: str, model: type[schema.Table], sources: Sources) -> bool:
    """Read a CSV with a heading and tell whether its rows could be told apart.

    Empty cells are absent; wholly empty lines and lines that begin with # are skipped.
    """
    raw = _read_bytes(path, name, sources)
    text = None if raw is None else _decode_csv(raw, name, sources)
    if text is None:
        return False
    reader = csv.reader(io.StringIO(text, newline=""))
    heading = [cell.strip() for cell in next(reader, [])]
    if not _heading_is_right(heading, name, model, sources):
        return False
    for cells in reader:
        line = f"line {reader.line_num}"
        if not any(map(str.strip, cells)) or cells[0].startswith("#"):
            continue
        row = {column: cell.strip() for column, cell in zip(heading, cells, strict=False) if cell.strip()}
        sources.ids.setdefault(kind, set()).add(row.get("id", ""))
        if len(cells) > len(heading):
            wrong = f"{len(cells)} cells under {len(heading)} headings"
            sources.faults.append(Fault(name, line, wrong, "quotes around a text with commas"))
            continue  # every cell behind the comma stands under the wrong heading
        placed = _validate(model, row, name, line, sources) or _sound_part(model, row, name, line)
        if placed is not None:
            sources.keep(kind, placed)
    return True


def _sound_part(model: type[T], row: Mapping[str, str], file: str, key: str) -> Placed[T] | None:
    """Return a faulty row without its wrong cells; None when it is none without them."""
    sound = dict(row)
    try:
        model.model_validate(row)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            sound.pop(str(detail["loc"][0]) if detail["loc"] else "", None)
    try:
        return Placed(model.model_validate(sound), file, key)
    except ValidationError:
        return None


def _decode_csv(raw: bytes, name: str, sources: Sources) -> str | None:
    """Decode UTF-8 (with or without mark), else GB 18030, which Excel writes on a Chinese Windows."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            where = error.start
    sources.faults.append(Fault(name, f"byte {where}", "neither UTF-8 nor GB 18030", "CSV text in UTF-8 or GB 18030"))
    return None


def _heading_is_right(heading: list[str], name: str, model: type[schema.Table], sources: Sources) -> bool:
    known = list(model.model_fields)
    faults = [
        Fault(name, f"line 1, column '{column}'", f"unknown column{nearest(column, known)}", listed(known))
        for column in heading
        if column not in known
    ]
    faults += [
        Fault(name, f"line 1, column '{column}'", "named twice", "each column once")
        for column in sorted({column for column in heading if heading.count(column) > 1})
    ]
    faults += [
        Fault(name, f"line 1, column '{column}'", "missing column", "a heading line with " + ", ".join(known))
        for column, info in model.model_fields.items()
        if info.is_required() and column not in heading
    ]
    sources.faults += faults
    return not faults


def _validate(model: type[T], data: Any, file: str, key: str, sources: Sources) -> Placed[T] | None:
    """Return the checked table, or None after noting every fault in it."""
    try:
        return Placed(model.model_validate(data), file, key)
    except ValidationError as error:
        sources.faults += [_fault(model, data, file, key, detail) for detail in error.errors(include_url=False)]
        return None


def _fault(model: type[schema.Table], data: Any, file: str, key: str, detail: Any) -> Fault:
    """Turn one pydantic error into a fault with a place, what is wrong and what is allowed."""
    location: tuple[str | int, ...] = detail["loc"]
    place = _place(key, ".".join(_labels(location, data)))
    name = str(location[-1]) if location else ""
    allowed = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if detail["type"] == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        return Fault(file, place, f"unknown key{nearest(name, known)}", listed(known))
    if detail["type"] == "missing":
        return Fault(file, place, "missing", f"a value for '{name}'")
    if detail["type"] == "string_pattern_mismatch":
        allowed = PATTERN_WORDS.get(detail["ctx"]["pattern"], allowed)
    wrong = "something else" if file == SECRETS else _short(detail["input"])
    if detail["type"] == "literal_error":
        wrong += nearest(str(detail["input"]), [word.strip("' ") for word in allowed.replace(" or ", ",").split(",")])
    return Fault(file, place, wrong, allowed)


PATTERN_WORDS: Final = {
    schema.ID_PATTERN: "lower-case letters, digits and hyphens, beginning with a letter or digit",
    schema.MEASURE_PATTERN: "PascalCase: letters and digits, beginning with a capital",
    schema.DATE_PATTERN: "a date YYYY-MM-DD",
    schema.MINUTE_PATTERN: "a time of day HH:MM from 00:00 to 24:00",
    profile_schema.DI_PATTERN: "four or eight hexadecimal digits in capitals, as the standard prints them",
    profile_schema.LAYOUT_PATTERN: "a letter a byte: s m h second to hour, w weekday, D M Y day to year, C century, -",
    profile_schema.PASSWORD_PATTERN: "six digits in quotes",
    profile_schema.OPERATOR_PATTERN: "eight digits in quotes",
    r"^[A-Z]{3}$": "three capital letters (ISO 4217), for example CNY",
}


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "these keys together"
    text = f"'{value}'" if isinstance(value, (str, Decimal)) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _place(key: str, name: str) -> str:
    if key.startswith("line "):
        return f"{key}, column '{name}'" if name else key
    return ".".join(filter(None, (key, name))) or "file"


def _labels(location: tuple[str | int, ...], data: Any) -> Iterator[str]:
    """Yield the dotted parts of a place inside a table: an element of an array goes by its id or measure."""
    for part in location:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
        label = data.get("id", data.get("measure")) if isinstance(part, int) and isinstance(data, Mapping) else None
        yield str(label if label else part + 1 if isinstance(part, int) else part)


def _keys_at(model: type[schema.Table], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys allowed in the table at a location inside a model."""
    for part in location:
        if isinstance(part, int):
            continue
        for name, info in model.model_fields.items():
            if part in (name, info.alias):
                model = _table_in(info.annotation) or model
    return [info.alias or name for name, info in model.model_fields.items()]


def _table_in(annotation: Any) -> type[schema.Table] | None:
    """Return the table model inside an annotation such as tuple[NodeTable, ...] or BillingTable | None."""
    if isinstance(annotation, type) and issubclass(annotation, schema.Table):
        return annotation
    inner = (_table_in(part) for part in getattr(annotation, "__args__", ()))
    return next((table for table in inner if table), None)
