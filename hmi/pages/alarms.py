"""Alarms: the live list with acknowledgement of one or of all shown, and the journal with who and why."""

import json
from typing import Final
from zoneinfo import ZoneInfo

from nicegui import events, ui
from starlette.requests import Request

from alarms.lifecycle import STATES
from alarms.store import recent
from hmi import queries
from hmi.context import Context
from hmi.frame import admitted, fragment, frame, refreshed
from hmi.views import ALARMS_MAX, NORMAL, PRIORITIES, without_name
from hmi.visitor import Visitor
from hmi.words import words
from scada.errors import DatabaseAway, Refused
from scada.link import Acknowledge

COMMENT_MAX: Final = 200
JOURNAL_MAX: Final = 100
TIME_FORM: Final = "%Y-%m-%d %H:%M:%S"


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/alarms")
    async def alarms(request: Request) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "view"):
            return
        with frame(visitor, visitor.texts("Alarms"), "alarms"):
            _list(visitor)
            refreshed(visitor, lambda: _journal(visitor))
        if visitor.may("alarm.acknowledge"):
            _acknowledgement(visitor)


def _list(visitor: Visitor) -> None:
    texts = visitor.texts
    states = words("alarm", STATES, texts)
    may = visitor.may("alarm.acknowledge")
    list_words = {"states": states, "ack": texts("Acknowledge") if may else "", "none": texts("No alarms")}
    fragment(
        visitor,
        "alarms.html",
        priorities=PRIORITIES,
        state_words=states,
        shown_states=[k for k in range(len(STATES)) if k != NORMAL],
        may_acknowledge=may,
        list_words=json.dumps(list_words, ensure_ascii=False),
    )


def _acknowledgement(visitor: Visitor) -> None:
    """Make the dialog that asks for a comment, and the handler of the list's buttons."""
    texts = visitor.texts
    chosen: list[str] = []
    with ui.dialog() as dialog, ui.card().classes("wk-dialog"):
        question = ui.label()
        comment = ui.input(texts("Comment")).props(f"autofocus maxlength={COMMENT_MAX}").classes("w-full wk-comment")
        with ui.row():
            ui.button(texts("Cancel"), on_click=dialog.close).props("outline no-caps color=grey-9")
            confirm = (
                ui.button(texts("Acknowledge")).props("unelevated no-caps color=blue-grey-8").classes("wk-confirm")
            )

    def ask(event: events.GenericEventArguments) -> None:
        chosen[:] = [str(alarm) for alarm in event.args["alarms"]][:ALARMS_MAX]
        question.text = texts("Acknowledge {count} alarms", count=len(chosen))
        comment.value = ""
        if chosen:
            dialog.open()

    @visitor.guarded("alarm.acknowledge")
    async def acknowledge(*_: object) -> None:
        refused: list[Refused] = []
        dialog.close()
        for alarm in list(chosen):
            try:
                await visitor.context.core.call(
                    Acknowledge,
                    alarm=alarm,
                    comment=str(comment.value)[:COMMENT_MAX],
                    **visitor.who("alarm.acknowledge"),
                )
            except Refused as error:
                refused.append(error)
        if refused:
            raise refused[0]
        ui.notify(texts("Acknowledged"), position="top")

    confirm.on_click(acknowledge)
    ui.on("acknowledge", ask)


async def _journal(visitor: Visitor) -> str:
    """Return the newest lines of the journal as HTML, or the note that says why there are none."""
    context = visitor.context
    zone = ZoneInfo(context.plant.site.timezone)
    try:
        async with context.reads.transaction() as cursor:
            found = await recent(cursor, lines=JOURNAL_MAX)
    except DatabaseAway as error:
        return context.render("note.html", visitor.texts, note=visitor.explain(error))
    lines = []
    for line in found:
        source = context.lookup.name(line.source, visitor.texts.language)
        text = line.text_zh if visitor.texts.language == "zh" else line.text_en
        lines.append(
            {
                "at": queries.utc_of(line.plant_time_ns).astimezone(zone).strftime(TIME_FORM),
                "entry": line.event,
                "source": source,
                "text": without_name(text, source),
                "user": line.user,
                "comment": line.comment,
            }
        )
    return context.render("journal.html", visitor.texts, entries=lines)
