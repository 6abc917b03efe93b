"""Live values: a delta is the difference, a page is encoded once, a slow reader gets a whole frame."""

import json
from dataclasses import replace

import numpy as np
import pytest

from config.plant import Plant
from hmi.live import GONE, MAILBOX_MAX, Encoder, Hub, Mailbox
from hmi.lookup import Lookup
from hmi.views import Views
from scada.image import ImageReader, Snapshot
from scada.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE


@pytest.fixture
def views(lookup: Lookup) -> Views:
    return Views(lookup)


@pytest.fixture
def hub(plant: Plant, views: Views, tmp_path) -> Hub:
    return Hub(ImageReader(tmp_path / "image", plant.layout), views, 1.0)


def cells(message: bytes) -> dict:
    return {key: (value, quality) for key, value, quality in json.loads(message)["d"]}


def later(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, scan=snapshot.scan + 1)


def test_delta_holds_what_changed_and_nothing_else(views: Views, snapshot: Snapshot) -> None:
    view = views("meters")
    encoder = Encoder("meters", view)
    assert len(cells(encoder.delta(snapshot))) == len(view.rows)
    assert cells(encoder.delta(later(snapshot))) == {}
    first, second = view.rows[:2].tolist()
    snapshot.columns.tags.value[first] = 1.0
    snapshot.columns.tags.quality[second] = UNCERTAIN_LAST_USABLE
    assert cells(encoder.delta(snapshot)) == {first: (1, 0), second: (0, 1)}


def test_deltas_add_up_to_the_whole_frame(views: Views, snapshot: Snapshot) -> None:
    view = views("meters")
    encoder = Encoder("meters", view)
    random = np.random.default_rng(7)
    seen: dict = {}
    for _ in range(20):
        rows = random.choice(view.rows, 15)
        snapshot.columns.tags.value[rows] = random.normal(0, 100, 15)
        snapshot.columns.tags.quality[rows] = random.choice([0, UNCERTAIN_LAST_USABLE, BAD_NO_COMMUNICATION], 15)
        seen.update(cells(encoder.delta(snapshot)))
    assert seen == cells(encoder.full())


def test_a_change_that_nobody_can_see_is_not_sent(views: Views, lookup: Lookup, snapshot: Snapshot) -> None:
    view = views("meters")
    row = next(row for row in view.rows.tolist() if lookup.tag(row).unit == "kW")
    encoder = Encoder("meters", view)
    encoder.delta(snapshot)
    snapshot.columns.tags.value[row] = 0.01  # shown with one decimal
    assert cells(encoder.delta(snapshot)) == {}


def test_what_is_not_a_number_is_sent_as_null(views: Views, snapshot: Snapshot) -> None:
    view = views("meters")
    row = int(view.rows[0])
    snapshot.columns.tags.value[row] = np.nan
    encoder = Encoder("meters", view)
    assert cells(encoder.delta(snapshot))[row] == (None, 0)
    assert row not in cells(encoder.delta(snapshot))  # NaN equals NaN here


def test_a_page_is_encoded_once_for_all_its_browsers(hub: Hub, snapshot: Snapshot) -> None:
    boxes = [Mailbox() for _ in range(50)]
    for box in boxes:
        hub.join(box, ["overview"])
    hub.publish(snapshot)
    for box in boxes:
        hub.take(box)
    before = hub._encoders["overview"].encoded
    hub.publish(later(snapshot))
    messages = [hub.take(box) for box in boxes]
    assert hub._encoders["overview"].encoded == before + 1
    assert len({id(message) for (message,) in messages}) == 1


def test_a_new_browser_gets_a_whole_frame_first(hub: Hub, snapshot: Snapshot) -> None:
    first, second = Mailbox(), Mailbox()
    hub.join(first, ["meters"])
    hub.publish(snapshot)
    hub.publish(later(snapshot))
    hub.join(second, ["meters"])
    (message,) = hub.take(second)
    assert json.loads(message)["full"]
    assert len(cells(message)) == len(hub._encoders["meters"]._view.rows)


def test_a_slow_reader_is_bounded_and_catches_up_with_a_whole_frame(hub: Hub, snapshot: Snapshot) -> None:
    slow = Mailbox()
    hub.join(slow, ["frame", "meters"])
    hub.publish(snapshot)
    hub.take(slow)
    row = int(hub._encoders["meters"]._view.rows[0])
    for scan in range(2, 100):
        snapshot.columns.tags.value[row] = scan
        hub.publish(replace(snapshot, scan=scan))
        assert len(slow.waiting) <= MAILBOX_MAX
    messages = [json.loads(message) for message in hub.take(slow)]
    assert messages[-1]["s"] == 99
    newest = next(m for m in reversed(messages) if m["p"] == "meters")
    assert newest["full"]
    assert [row, 99, 0] in newest["d"]


def test_a_lost_image_is_told_and_the_next_message_is_whole(hub: Hub, snapshot: Snapshot) -> None:
    box = Mailbox()
    hub.join(box, ["meters"])
    hub.publish(snapshot)
    hub.take(box)
    hub.lose()
    assert hub.snapshot is None
    assert hub.take(box) == [GONE]
    hub.publish(later(snapshot))
    hub.join(box, ["meters"])
    assert any(json.loads(message).get("full") for message in hub.take(box))


def test_a_page_nobody_looks_at_costs_nothing(hub: Hub, snapshot: Snapshot) -> None:
    box = Mailbox()
    hub.join(box, ["frame", "overview"])
    hub.leave(box)
    hub.publish(snapshot)
    assert hub.browsers == 0
    assert not hub._encoders


def test_unknown_pages_are_refused(hub: Hub) -> None:
    for page in ("nothing", "meter/nobody", "diagram/none", "account/none"):
        with pytest.raises(KeyError):
            hub.join(Mailbox(), [page])


def test_every_page_of_the_plant_has_a_view(views: Views, plant: Plant, snapshot: Snapshot) -> None:
    pages = ["frame", "overview", "meters", "accounts", "alarms", "none"]
    pages += [f"diagram/{network.id}" for network in plant.networks]
    pages += [f"meter/{device.id}" for device in plant.devices]
    pages += [f"account/{account.id}" for account in plant.accounts]
    for page in pages:
        Encoder(page, views(page)).delta(snapshot)


def test_urgent_alarms_come_first(views: Views, plant: Plant, snapshot: Snapshot) -> None:
    alarms = snapshot.columns.alarms
    alarms.priority[:] = [definition.priority for definition in plant.alarms]
    alarms.state[:] = 2  # acknowledged
    low = next(row for row, definition in enumerate(plant.alarms) if definition.priority > 1)
    alarms.state[low] = 1  # unacknowledged
    listed = json.loads(Encoder("alarms", views("alarms")).delta(snapshot))["a"]
    assert listed[0][0] == plant.alarms[low].id
    priorities = [alarm[2] for alarm in listed[1:]]
    assert priorities == sorted(priorities)
    banner = json.loads(Encoder("frame", views("frame")).delta(snapshot))["a"]
    assert [alarm[0] for alarm in banner] == [plant.alarms[low].id]


def test_a_sum_over_bad_values_is_not_good(views: Views, snapshot: Snapshot) -> None:
    rows = next(rows for rows in views.buildings.values() if len(rows) > 1)
    building = next(key for key, value in views.buildings.items() if value is rows)
    snapshot.columns.tags.value[rows] = 2.0
    snapshot.columns.tags.quality[rows[0]] = BAD_NO_COMMUNICATION
    figures = views("overview").figures
    assert figures is not None
    assert figures(snapshot)[f"power/{building}"] == (2.0 * (len(rows) - 1), 1)
    snapshot.columns.tags.quality[rows] = BAD_NO_COMMUNICATION
    assert figures(snapshot)[f"power/{building}"] == (None, 2)


def test_tenants_are_counted_by_credit_state_without_spare_rows(views: Views, plant: Plant, snapshot: Snapshot) -> None:
    states = snapshot.columns.accounts.credit_state
    snapshot.columns.accounts.credit_state = np.append(states, np.zeros(5, dtype=states.dtype))
    figures = views("overview").figures
    assert figures is not None
    counted = [value for name, (value, _) in figures(snapshot).items() if name.startswith("credit/")]
    assert sum(value or 0 for value in counted) == len(plant.accounts)


def test_an_alarm_shows_a_measured_value_and_no_number_of_a_state(
    views: Views, plant: Plant, snapshot: Snapshot
) -> None:
    kinds = [plant.tags.tags[each.tag_row].kind for each in plant.alarms]
    measured, state = kinds.index("double"), kinds.index("boolean")
    snapshot.columns.alarms.state[[measured, state]] = 1
    snapshot.columns.alarms.value[[measured, state]] = 7.0
    listed = json.loads(Encoder("alarms", views("alarms")).delta(snapshot))["a"]
    shown = {alarm[0]: alarm[5] for alarm in listed}
    assert shown == {plant.alarms[measured].id: 7, plant.alarms[state].id: None}
