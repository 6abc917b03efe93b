"""The table of the alarm life cycle, cell by cell against ISA-18.2, states A to D."""

import itertools

from alarms.lifecycle import CONDITION_ON, EVENTS, STATES, TRANSITIONS

# state: raise, clear, acknowledge -> next state (upper case: with a journal entry), or the refusal
EXPECTED = {
    "normal": ("UNACKNOWLEDGED", "normal", "alarm.not-active"),
    "unacknowledged": ("unacknowledged", "RETURNED", "ACKNOWLEDGED"),
    "acknowledged": ("acknowledged", "NORMAL", "alarm.already-acknowledged"),
    "returned": ("UNACKNOWLEDGED", "returned", "NORMAL"),
}
ENTRIES = {"raise": "raised", "clear": "cleared", "acknowledge": "acknowledged"}


def test_every_cell() -> None:
    for state, cells in EXPECTED.items():
        for event, cell in zip(EVENTS, cells, strict=True):
            step = TRANSITIONS[state, event]  # type: ignore[index]
            if cell.startswith("alarm."):
                assert step == (state, None, cell)
            else:
                assert step == (cell.lower(), ENTRIES[event] if cell.isupper() else None, "")


def test_the_table_has_no_gap_and_no_stranger() -> None:
    assert set(TRANSITIONS) == set(itertools.product(STATES, EVENTS))
    assert len(set(STATES)) == len(STATES)


def test_an_entry_is_written_exactly_when_the_state_changes() -> None:
    for (state, _), step in TRANSITIONS.items():
        assert (step.entry is not None) == (step.state != state)


def test_the_condition_follows_the_state() -> None:
    for (_, event), step in TRANSITIONS.items():
        if event != "acknowledge":
            assert (step.state in CONDITION_ON) == (event == "raise")
