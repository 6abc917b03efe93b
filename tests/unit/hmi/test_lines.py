"""The page of a line shows whatever is counted about it and about each of its meters, in both languages, with units."""

import re
from types import SimpleNamespace

import pytest

from config.tagging import COUNTER_OFFERS, GATEWAY_OFFERS
from hmi.i18n import Texts, read_languages
from hmi.lookup import Lookup
from hmi.pages import meter
from hmi.pages.lines import COLUMNS, GROUPS, PLACES, facts_of_line
from hmi.render import Renderer
from hmi.views import Views
from scada.image import Snapshot

LANGUAGES = read_languages()
LINES = ("gw-a1", "gw-b5", "gw-bw", "gw-dtu")  # one of each transport
ROWS = re.compile(r"data-row=\"(\d+)\"")


def visitor(lookup: Lookup, texts: Texts) -> SimpleNamespace:
    context = SimpleNamespace(lookup=lookup, plant=lookup.plant)
    return SimpleNamespace(context=context, texts=texts, may=lambda _: True)


def page(lookup: Lookup, line: str, texts: Texts) -> str:
    return Renderer(lookup)("line.html", texts, **facts_of_line(visitor(lookup, texts), line))


def test_the_sample_has_every_transport(lookup: Lookup) -> None:
    assert {lookup.gateways[line].transport for line in LINES} == PLACES.keys()


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("texts", LANGUAGES.values(), ids=LANGUAGES)
def test_every_counter_of_a_line_and_its_meters_is_shown(lookup: Lookup, line: str, texts: Texts) -> None:
    shown = {int(row) for row in ROWS.findall(page(lookup, line, texts))}
    for device in lookup.behind(line):
        wanted = {lookup.row("M", device, offer.name) for offer in COUNTER_OFFERS}
        wanted |= {row for row in lookup.line_rows(device).values() if row >= 0}
        assert wanted <= shown, device
    left_out = {lookup.tag(row).name for row in set(lookup.rows_of("N", line)) - shown}
    assert left_out == ({"ShortestPeriodMs"} if lookup.gateways[line].transport == "modbus-tcp" else set())


@pytest.mark.parametrize("line", LINES)
def test_what_the_page_shows_is_sent_to_it(lookup: Lookup, line: str) -> None:
    shown = {int(row) for row in ROWS.findall(page(lookup, line, LANGUAGES["zh"]))}
    assert shown <= set(Views(lookup)(f"line/{line}").rows.tolist())


def test_times_have_their_unit_and_moments_none(lookup: Lookup) -> None:
    html = page(lookup, "gw-b5", LANGUAGES["en"])
    rows = lookup.line_rows("e-b501")
    for column, unit in (("ResponseMeanMs", "ms"), ("ResponseP95Ms", "ms"), ("ResponseMaxMs", "ms"), ("clock", "s")):
        assert re.search(rf"data-row=\"{rows[column]}\"[^>]*>----</span><span class=\"wk-unit\">{unit}</span>", html)
    assert re.search(rf"data-row=\"{rows['LastGood']}\" data-as=\"moment\">----</span></td>", html)


def test_who_may_ask_the_field_is_told_where_its_frames_are(lookup: Lookup) -> None:
    engineer = visitor(lookup, LANGUAGES["zh"])
    viewer = SimpleNamespace(**{**vars(engineer), "may": lambda permission: permission == "view"})
    assert facts_of_line(engineer, "gw-b5")["frames"] == "run.py meter frames gw-b5 --follow"
    assert facts_of_line(viewer, "gw-b5")["frames"] == ""


def test_no_measure_of_a_line_stands_in_two_groups_and_none_is_invented() -> None:
    named = [name for _, names in GROUPS for name in names]
    assert sorted(named) == sorted({offer.name for offer in GATEWAY_OFFERS})
    assert {offer.name for offer in COUNTER_OFFERS} <= {column for column, *_ in COLUMNS}


@pytest.mark.parametrize("device", ["e-a101", "e-b501", "w-b401", "g-bw104"])
def test_the_page_of_a_meter_shows_its_counters_its_clock_and_its_number(lookup: Lookup, device: str) -> None:
    measured = meter.measured(visitor(lookup, LANGUAGES["zh"]), device)
    communication = [lookup.tag(row).name for row, _ in measured["communication"]]
    assert {offer.name for offer in COUNTER_OFFERS} <= set(communication)
    profile = lookup.devices[device].profile
    assert {name for name in (profile.clock, profile.identity) if name} <= set(communication)
    rows = [row for group in ("values", "communication") for row, _ in measured[group]]
    assert len(rows) == len(set(rows))


def test_a_wish_that_a_line_cannot_keep_is_marked(lookup: Lookup, snapshot: Snapshot) -> None:
    row, wished_ms = lookup.row("N", "gw-b5", "ShortestPeriodMs"), lookup.gateways["gw-b5"].period_s * 1000
    view = Views(lookup)("line/gw-b5")
    assert view.figures is not None
    for shortest_ms, marked in ((wished_ms, 0), (wished_ms + 1, 1)):
        snapshot.columns.tags.value[row] = shortest_ms
        assert view.figures(snapshot)["short/gw-b5"] == (marked, 0)
        assert Views(lookup)("lines").figures(snapshot)["short/gw-b5"] == (marked, 0)
