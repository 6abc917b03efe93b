"""Lists: every meter with its live reading, every tenant with its live balance."""

from nicegui import ui
from starlette.requests import Request

from hmi.context import Context
from hmi.frame import admitted, fragment, frame
from hmi.lookup import ENERGY, POWER
from hmi.visitor import Visitor


def register(context: Context) -> None:
    """Add the pages."""

    @ui.page("/meters")
    async def meters(request: Request) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "view"):
            return
        with frame(visitor, visitor.texts("Meters"), "meters"):
            fragment(visitor, "meters.html", meters=[_meter(visitor, device) for device in context.lookup.devices])

    @ui.page("/accounts")
    async def accounts(request: Request) -> None:
        visitor = Visitor(context, request)
        if not admitted(visitor, "account.view"):
            return
        lookup = context.lookup
        with frame(visitor, visitor.texts("Tenants"), "accounts"):
            fragment(
                visitor,
                "accounts.html",
                accounts=context.plant.accounts,
                counts={account: len(lookup.points_of[account]) for account in lookup.accounts},
                credit={account: lookup.row("T", account, "CreditState") for account in lookup.accounts},
                balance={account: lookup.row("T", account, "Balance") for account in lookup.accounts},
            )


def _meter(visitor: Visitor, device: str) -> dict[str, object]:
    lookup, language = visitor.context.lookup, visitor.texts.language
    account = lookup.account_of(device) if visitor.may("account.view") else None
    return {
        "id": device,
        "name": lookup.name(device, language),
        "medium": lookup.devices[device].profile.medium,
        "place": place(visitor, device),
        "tenant": account.id if account else "",
        "tenant_name": visitor.texts.pick(account) if account else "",
        "power": lookup.row("M", device, *POWER),
        "energy": lookup.row("M", device, *ENERGY),
        "position": lookup.row("M", device, "Position"),
        "online": lookup.row("M", device, "Online"),
    }


def place(visitor: Visitor, device: str) -> str:
    """Return building, floor and room of a device."""
    found = visitor.context.plant.device_places.get(device)
    if found is None:
        return ""
    building = visitor.context.lookup.name(found.building, visitor.texts.language)
    return " ".join(part for part in (building, found.floor, found.room) if part)
