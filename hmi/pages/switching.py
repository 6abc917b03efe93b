"""Switching from the faceplate: conditions, select, confirm, operate, progress until verified or failed.

Rule: "sent" is never shown as "done"; the words on the screen are those of the command's state in the core. What is
closed on the spot only, gas always, has no button and no handler here, and the core refuses it besides.
Source: select-before-operate with enhanced security, IEC 61850-7-2.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nicegui import ui

from hmi.frame import fragment
from hmi.lookup import NO_ROW, POWER, TARGETS
from hmi.switch_words import SWITCH_WORDS, UNSAID
from hmi.visitor import Handler, Visitor
from hmi.words import fact, switch_word, word
from scada.command import OPEN_STATES
from scada.errors import DatabaseAway, Refused
from scada.link import (
    CancelCommand,
    CommandState,
    CoreAway,
    Interlocks,
    OperateBreaker,
    SelectBreaker,
    conditions_from_json,
)

FOLLOW_S: Final = 0.1  # verified is to show within 2 s of the click (ISA-101: feedback within 1 s); asking takes 0.1 ms
FOLLOW_S_MAX: Final = 120.0  # longer than the slowest valve may take; then the page says that it is still undetermined
TYPED: Final = 4  # characters of the meter's id that a person types to stop a tenant
REASON_MAX: Final = 200
CONDITIONS_S: Final = 3.0


def switch_panel(visitor: Visitor, breaker: str, device: str) -> None:
    """Put the switch of a device on the page: position, conditions of both directions, buttons for who may use them."""
    _Panel(visitor, breaker, device).draw()


class _Panel:
    """The switch on one open page."""

    def __init__(self, visitor: Visitor, breaker: str, device: str) -> None:
        self._visitor = visitor
        self._breaker = breaker
        self._device = device
        self._kind = visitor.context.lookup.kind_of(breaker)
        self._targets = visitor.context.lookup.targets_of(breaker)
        self._conditions: dict[str, ui.html] = {}
        self._command = ""

    def draw(self) -> None:
        visitor, texts, lookup = self._visitor, self._visitor.texts, self._visitor.context.lookup
        names = ("Position", "CommandState", "Discrepancy")
        labels = (texts("Position"), texts("Command"), texts("Position differs from command"))
        with ui.element("section").classes("wk-panel wk-switch"):
            heading = "heading" if self._breaker == self._device else "heading.elsewhere"
            name = lookup.name(self._breaker, texts.language)
            ui.label(self._say(heading).format(name=name)).classes("wk-heading")
            live = [(label, lookup.row("M", self._breaker, name)) for label, name in zip(labels, names, strict=True)]
            fragment(visitor, "facts.html", facts=[], live_facts=live)
            for target in self._targets:
                ui.label(self._say(f"{target}.conditions")).classes("wk-note").style("margin-top:8px")
                self._conditions[target] = ui.html("", sanitize=False).classes(f"wk-conditions-{target}")
            if self._targets != TARGETS:
                ui.label(self._why_on_the_spot()).classes("wk-note wk-on-the-spot").style("margin-top:8px")
            if visitor.may("breaker.switch"):
                self._buttons()
            else:
                ui.label(texts("Your role may look, not switch.")).classes("wk-note")
            self._progress = ui.label().classes("wk-progress").style("margin-top:8px;font-weight:600")
        ui.timer(0.05, self._refresh, once=True)
        ui.timer(CONDITIONS_S, self._refresh)

    def _buttons(self) -> None:
        with ui.row().style("margin-top:10px"):
            for target in self._targets:
                button = ui.button(self._say(f"{target}.ask")).props("outline no-caps color=grey-9")
                button.classes(f"wk-{target}").on_click(self._guarded(self._selector(target)))

    def _say(self, code: str) -> str:
        """Return a text of the panel in the words of the switch's kind."""
        return switch_word(self._kind, "panel", code, self._visitor.texts)

    def _why_on_the_spot(self) -> str:
        """Return why closing is not offered; a medium may have a reason of its own."""
        own = f"on-the-spot.{self._visitor.context.lookup.breakers[self._breaker].medium}"
        return self._say(own if own in SWITCH_WORDS[self._kind]["panel"] else "on-the-spot")

    def _guarded(self, handler: Handler) -> Handler:
        return self._visitor.guarded("breaker.switch", self._kind)(handler)

    def _selector(self, target: str) -> Any:
        async def select(*_: object) -> None:
            await self._select(target)

        return select

    async def _refresh(self) -> None:
        """Show what stands against each direction; while the core is away the list says so."""
        visitor = self._visitor
        for target, element in self._conditions.items():
            try:
                visitor_session = visitor.context.sessions.alive(visitor.session_hash)
                if visitor_session is None:
                    return
                answer = await visitor.context.core.call(Interlocks, breaker=self._breaker, position=target)
                conditions = self._worded(conditions_from_json(answer["conditions"]))
                html = visitor.context.render("conditions.html", visitor.texts, conditions=conditions)
            except (Refused, CoreAway, DatabaseAway) as error:
                html = visitor.context.render("note.html", visitor.texts, note=visitor.explain(error, self._kind))
            if element.content != html:
                element.content = html

    def _worded(self, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the conditions as the list shows them."""
        kind, texts = self._kind, self._visitor.texts
        return [
            {
                "ok": condition["ok"],
                "text": switch_word(kind, "condition", condition["code"], texts),
                "fact": fact(condition["code"], condition["detail"], kind, texts),
            }
            for condition in found
            if not (condition["ok"] and condition["code"] in UNSAID[kind])
        ]

    async def _select(self, target: str) -> None:
        """Step 1: the core reserves the breaker for this person; step 2, the dialog, follows."""
        answer = await self._visitor.context.core.call(
            SelectBreaker, breaker=self._breaker, position=target, **self._visitor.who("breaker.switch")
        )
        self._command = answer["command"]
        self._confirm(target, int(answer["timeout_s"]))

    def _confirm(self, target: str, timeout_s: int) -> None:
        """Step 2: say what will happen to whom, and ask for the reason and the end of the meter's number."""
        visitor, texts, lookup = self._visitor, self._visitor.texts, self._visitor.context.lookup
        stops_tenant = target == "open" and lookup.account_of(self._device) is not None
        with ui.dialog().props("persistent") as dialog, ui.card().classes("wk-dialog"):
            ui.label(self._say(f"{target}.confirm")).classes("wk-title")
            fragment(visitor, "facts.html", facts=self._facts(target), live_facts=self._load())
            reason = ui.input(texts("Reason")).props(f"maxlength={REASON_MAX}").classes("w-full wk-reason")
            typed = ui.input(texts("Last {count} characters of {id}", count=TYPED, id=self._device)).classes(
                "w-full wk-typed"
            )
            typed.set_visibility(stops_tenant)
            problem = ui.label().classes("wk-error")
            with ui.row():
                cancel = ui.button(texts("Cancel")).props("unelevated no-caps autofocus color=blue-grey-8")
                operate = ui.button(self._say(f"{target}.do")).props("outline no-caps color=grey-9")
                operate.classes("wk-operate")
            ui.label(texts("The selection ends after {seconds} s.", seconds=timeout_s)).classes("wk-note")

        async def give_back(*_: object) -> None:
            dialog.close()
            await visitor.context.core.call(CancelCommand, command=self._command, **visitor.who("breaker.switch"))

        async def go(*_: object) -> None:
            if not str(reason.value).strip():
                problem.text = texts("A reason is needed.")
            elif stops_tenant and str(typed.value).strip().lower() != self._device[-TYPED:]:
                problem.text = texts("The typed characters do not fit the meter.")
            else:
                dialog.close()
                await self._operate(str(reason.value).strip())

        cancel.on_click(self._guarded(give_back))
        operate.on_click(self._guarded(go))
        ui.timer(timeout_s, dialog.close, once=True)
        dialog.open()

    def _facts(self, target: str) -> list[tuple[str, str]]:
        texts, lookup = self._visitor.texts, self._visitor.context.lookup
        account = lookup.account_of(self._device)
        return [
            (texts("Tenant"), texts.pick(account) if account else "–"),
            (texts("Meter"), f"{lookup.name(self._device, texts.language)} ({self._device})"),
            (texts("Meter number"), self._visitor.context.plant.serials.get(self._device, "–")),
            (self._say("name"), f"{lookup.name(self._breaker, texts.language)} ({self._breaker})"),
            (texts("Consequence"), self._say(f"{target}.consequence")),
        ]

    def _load(self) -> list[tuple[str, int]]:
        row = self._visitor.context.lookup.row("M", self._device, *POWER)
        return [(self._visitor.texts("Load now"), row)] if row != NO_ROW else []

    async def _operate(self, reason: str) -> None:
        """Step 3: confirm to the core; then follow the command until its end."""
        visitor = self._visitor
        await visitor.context.core.call(
            OperateBreaker, command=self._command, reason=reason[:REASON_MAX], **visitor.who("breaker.switch")
        )
        waited_s = 0.0
        state = "sent"
        while waited_s < FOLLOW_S_MAX:
            answer = await visitor.context.core.call(CommandState, command=self._command)
            state = answer["state"]
            self._show(state, answer["detail"])
            if state not in OPEN_STATES:
                return
            await asyncio.sleep(FOLLOW_S)
            waited_s += FOLLOW_S

    def _show(self, state: str, detail: str) -> None:
        text = word("command", state, self._visitor.texts)
        # what the device said is in English: an English page shows it, others keep to the state
        why = json.loads(detail).get("detail", "") if detail and self._visitor.texts.language == "en" else ""
        self._progress.text = f"{text}: {why}" if why and state in ("failed", "undetermined") else text
        self._progress.props(f"data-state={state}")
