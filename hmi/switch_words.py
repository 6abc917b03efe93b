"""Words about a switch, by its kind: a breaker of a circuit or a valve of a pipe. One table a kind, the same codes.

Positions and targets are meant in the sense of a circuit for both (`scada.position`): CLOSED supplies, OPEN interrupts.
A valve that is open in a person's words is "closed" in the image, and the other way round.
Rule: a page that speaks of a switch takes its words from here by the kind and writes none of its own.
"""

from typing import Final, Literal

from hmi.i18n import N_

Kind = Literal["breaker", "valve"]

# Conditions that say nothing on a page while they hold: what is closed on the spot only is not even offered, and
# nothing is measured that would tell of a flow behind a valve or of the main before it.
UNSAID: Final[dict[Kind, frozenset[str]]] = {
    "breaker": frozenset({"interlock.gas", "interlock.local-close"}),
    "valve": frozenset({
        "interlock.gas", "interlock.local-close", "interlock.discrepancy", "interlock.feeder-dead",
    }),
}  # fmt: skip

# kind -> group -> code -> English text. Groups: position; condition, what must hold; refused, codes of
# scada.errors.Refused; panel, what the faceplate says: <target>.<what it is>, and why a target is not offered.
SWITCH_WORDS: Final[dict[Kind, dict[str, dict[str, str]]]] = {
    "breaker": {
        "position": {
            "intermediate": N_("Moving"),
            "open": N_("Open"),
            "closed": N_("Closed"),
            "bad": N_("Faulty"),
        },
        "condition": {
            "interlock.offline": N_("The device answers"),
            "interlock.quality": N_("The position is read with good quality"),
            "interlock.stale": N_("The position is fresh"),
            "interlock.position": N_("The position is open or closed"),
            "interlock.already": N_("It is not already in this position"),
            "interlock.busy": N_("No other command is under way here"),
            "interlock.protected": N_("The supply is not protected"),
            "interlock.gas": N_("Gas is let flow on the spot only"),
            "interlock.local-close": N_("It may be closed remotely"),
            "interlock.tag": N_("No lock-out tag or protection trip forbids it"),
            "interlock.discrepancy": N_("No current flows while it is open"),
            "interlock.opened-by-itself": N_("It was opened by a command"),
            "interlock.feeder-dead": N_("The feeder is live"),
        },
        "refused": {
            "breaker.unknown": N_("There is no such breaker."),
            "command.target": N_("A breaker is moved to open or closed only."),
            "command.position": N_("A breaker is moved to open or closed only."),
        },
        "panel": {
            "name": N_("Breaker"),
            "heading": N_("Switch"),
            "heading.elsewhere": N_("Switch: {name}"),
            "open.conditions": N_("Switch off: conditions"),
            "open.ask": N_("Switch off…"),
            "open.confirm": N_("Confirm switching off"),
            "open.do": N_("Switch off"),
            "open.consequence": N_("The supply stops at once."),
            "closed.conditions": N_("Switch on: conditions"),
            "closed.ask": N_("Switch on…"),
            "closed.confirm": N_("Confirm switching on"),
            "closed.do": N_("Switch on"),
            "closed.consequence": N_("The supply returns at once; machines may start."),
            "on-the-spot": N_("It is closed on the spot only."),
        },
    },
    "valve": {
        "position": {
            "intermediate": N_("Moving"),
            "open": N_("Valve shut"),
            "closed": N_("Valve open"),
            "bad": N_("Faulty"),
        },
        "condition": {
            "interlock.offline": N_("The device answers"),
            "interlock.quality": N_("The position is read with good quality"),
            "interlock.stale": N_("The position is fresh"),
            "interlock.position": N_("The valve is open or shut"),
            "interlock.already": N_("It is not already in this position"),
            "interlock.busy": N_("No other command is under way here"),
            "interlock.protected": N_("The supply through the valve is not protected"),
            "interlock.gas": N_("Gas is let flow on the spot only"),
            "interlock.local-close": N_("The valve may be opened remotely"),
            "interlock.tag": N_("No lock-out tag forbids it"),
            "interlock.discrepancy": N_("Nothing flows while the valve is shut"),
            "interlock.opened-by-itself": N_("The valve was shut by a command"),
            "interlock.feeder-dead": N_("The main is in service"),
        },
        "refused": {
            "breaker.unknown": N_("There is no such valve."),
            "command.target": N_("A valve is opened or shut only."),
            "command.position": N_("A valve is opened or shut only."),
        },
        "panel": {
            "name": N_("Valve"),
            "heading": N_("Valve"),
            "heading.elsewhere": N_("Valve: {name}"),
            "open.conditions": N_("Shut the valve: conditions"),
            "open.ask": N_("Shut the valve…"),
            "open.confirm": N_("Confirm shutting the valve"),
            "open.do": N_("Shut the valve"),
            "open.consequence": N_("The supply stops at once."),
            "closed.conditions": N_("Open the valve: conditions"),
            "closed.ask": N_("Open the valve…"),
            "closed.confirm": N_("Confirm opening the valve"),
            "closed.do": N_("Open the valve"),
            "closed.consequence": N_("The supply returns at once; what was left open begins to flow."),
            "on-the-spot": N_("The valve is opened on the spot only."),
            "on-the-spot.gas": N_("Gas is never opened from here: a person opens the valve after a leak check."),
        },
    },
}
