"""Account page, level 3: live balance, meters with their charge and price, recent entries, and the counter's top-up."""

import uuid
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from nicegui import ui
from starlette.requests import Request

from billing_core.points import AccountSpec
from hmi import queries
from hmi.context import Context
from hmi.frame import admitted, fragment, frame, refreshed
from hmi.money import amount_minor, money, quantity
from hmi.visitor import Visitor
from hmi.words import symbol, word
from scada.errors import DatabaseAway
from scada.link import TopUp

CHANNELS: Final = ("cash", "transfer", "card", "wechat", "alipay")
TIME_FORM: Final = "%Y-%m-%d %H:%M:%S"
HOUR_FORM: Final = "%Y-%m-%d %H:00"
BEFORE_ALL: Final = datetime(1970, 1, 1, tzinfo=UTC)  # an opening balance was there before the first scan
SYSTEM: Final = "system"  # the core itself, as an author of transfers


def register(context: Context) -> None:
    """Add the page."""

    @ui.page("/account/{account}")
    async def account_page(request: Request, account: str) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "account.view"):
            return
        spec = context.lookup.accounts.get(account)
        if spec is None:
            with frame(visitor, account):
                ui.label(visitor.texts("There is no such account."))
            return
        with frame(visitor, visitor.texts.pick(spec), f"account/{account}"):
            fragment(visitor, "account.html", **_facts(visitor, spec))
            if visitor.may("account.topup"):
                _TopUpForm(visitor, spec).draw()
            refreshed(visitor, lambda: _statement(visitor, account))


def _facts(visitor: Visitor, account: AccountSpec) -> dict[str, object]:
    lookup, texts = visitor.context.lookup, visitor.texts
    return {
        "account": account,
        "balance": lookup.row("T", account.id, "Balance"),
        "credit": lookup.row("T", account.id, "CreditState"),
        "limits": [
            (texts("First reminder below"), money(account.alarm1_nano)),
            (texts("Last reminder below"), money(account.alarm2_nano)),
            (texts("Overdraft"), money(account.overdraft_nano)),
        ],
        "breakers": [(breaker, lookup.row("M", breaker, "Position")) for breaker in account.breakers],
        "points": [
            {
                "meter": point.meter,
                "medium": point.medium,
                "unit": symbol(point.unit),
                "billed": lookup.row("P", point.id, "Billed"),
                "charged": lookup.row("P", point.id, "Charged"),
                "price": lookup.row("P", point.id, "Price"),
                "rate": lookup.row("P", point.id, "RatePeriod"),
            }
            for point in lookup.points_of[account.id]
        ],
    }


async def _statement(visitor: Visitor, account: str) -> str:
    """Return recent entries and charges as HTML, or the note that says why there are none."""
    context = visitor.context
    zone = ZoneInfo(context.plant.site.timezone)
    try:
        async with context.reads.transaction() as cursor:
            entries = await queries.entries(cursor, account)
            charges = await queries.charges(cursor, account, context.plant.site.timezone)
    except DatabaseAway as error:
        return context.render("note.html", visitor.texts, note=visitor.explain(error))
    return context.render(
        "statement.html",
        visitor.texts,
        entries=[
            {
                "at": "–" if e.at <= BEFORE_ALL else e.at.astimezone(zone).strftime(TIME_FORM),
                "kind": e.kind,
                "text": word("channel", e.memo, visitor.texts) if e.kind == "topup" else "",
                "amount": money(e.nano),
                "user": word("role", e.who, visitor.texts) if e.who == SYSTEM else e.who,
            }
            for e in entries
        ],
        charges=[
            {
                "at": c.at.astimezone(zone).strftime(HOUR_FORM),
                "meter": c.meter,
                "quantity": quantity(c.milli),
                "unit": symbol(c.unit),
                "amount": money(c.nano, 4),
            }
            for c in charges
        ],
        currency=context.plant.site.currency,
    )


class _TopUpForm:
    """The counter's form on one open page. Its key is new for each payment and kept over repeated clicks."""

    def __init__(self, visitor: Visitor, account: AccountSpec) -> None:
        self._visitor = visitor
        self._account = account
        self._key = _new_key()

    def draw(self) -> None:
        visitor, texts = self._visitor, self._visitor.texts
        channels = {channel: word("channel", channel, texts) for channel in CHANNELS}
        with ui.element("section").classes("wk-panel").style("margin-top:12px"):
            ui.label(texts("Top up at the counter")).classes("wk-heading")
            with ui.row().style("align-items:center;gap:16px"):
                self._amount = (
                    ui.input(texts("Amount ({currency})", currency=self._account.currency))
                    .props("dense outlined inputmode=decimal maxlength=14")
                    .classes("wk-amount")
                )
                self._channel = (
                    ui.select(channels, value=CHANNELS[0], label=texts("Paid by"))
                    .props("dense outlined")
                    .style("min-width:150px")
                    .classes("wk-channel")
                )
                button = ui.button(texts("Top up…")).props("outline no-caps color=grey-9").classes("wk-topup")
        button.on_click(visitor.guarded("account.topup")(self._ask))

    async def _ask(self, *_: object) -> None:
        texts, visitor = self._visitor.texts, self._visitor
        minor = amount_minor(str(self._amount.value or ""), visitor.context.plant.site.currency_exponent)
        shown = money(minor * 10 ** (9 - visitor.context.plant.site.currency_exponent))
        channel = str(self._channel.value)
        with ui.dialog() as dialog, ui.card().classes("wk-dialog"):
            ui.label(texts("Confirm the payment")).classes("wk-title")
            facts = [
                (texts("Tenant"), texts.pick(self._account)),
                (texts("Account"), self._account.id),
                (texts("Amount"), f"{shown} {self._account.currency}"),
                (texts("Paid by"), word("channel", channel, texts)),
            ]
            fragment(visitor, "facts.html", facts=facts, live_facts=[])
            with ui.row():
                ui.button(texts("Cancel"), on_click=dialog.close).props("outline no-caps autofocus color=grey-9")
                confirm = (
                    ui.button(texts("Book the payment"))
                    .props("unelevated no-caps color=blue-grey-8")
                    .classes("wk-confirm")
                )

        async def book(*_: object) -> None:
            confirm.disable()
            try:
                await self._book(minor, shown, channel)
            finally:
                dialog.close()

        confirm.on_click(visitor.guarded("account.topup")(book))
        dialog.open()

    async def _book(self, minor: int, shown: str, channel: str) -> None:
        """Ask the core to book the payment. After CoreAway the key stays, so that trying again books it once."""
        visitor = self._visitor
        answer = await visitor.context.core.call(
            TopUp,
            account=self._account.id,
            amount_minor=minor,
            channel=channel,
            key=self._key,
            **visitor.who("account.topup"),
        )
        self._key = _new_key()
        self._amount.value = ""
        self._receipt(answer, shown, channel)

    def _receipt(self, answer: dict[str, object], shown: str, channel: str) -> None:
        texts, visitor = self._visitor.texts, self._visitor
        zone = ZoneInfo(visitor.context.plant.site.timezone)
        posted = queries.utc_of(int(str(answer["posted_utc_ns"]))).astimezone(zone).strftime(TIME_FORM)
        lines = [
            (texts("Site"), texts.pick(visitor.context.plant.site)),
            (texts("Receipt number"), answer["receipt"]),
            (texts("Time"), posted),
            (texts("Tenant"), texts.pick(self._account)),
            (texts("Account"), self._account.id),
            (texts("Amount"), f"{shown} {self._account.currency}"),
            (texts("Paid by"), word("channel", channel, texts)),
            (texts("Balance after"), f"{money(int(str(answer['balance_nano'])))} {self._account.currency}"),
            (texts("Received by"), visitor.login),
        ]
        with ui.dialog() as dialog, ui.card():
            fragment(visitor, "receipt.html", lines=lines, repeated=bool(answer["repeated"]))
            with ui.row():
                ui.button(texts("Print"), on_click=lambda: ui.run_javascript("window.print()")).props(
                    "outline no-caps color=grey-9"
                )
                ui.button(texts("Close"), on_click=dialog.close).props("unelevated no-caps color=blue-grey-8")
        dialog.open()


def _new_key() -> str:
    return f"counter-{uuid.uuid4()}"
