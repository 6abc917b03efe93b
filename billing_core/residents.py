"""Who pays for what right now: the accounts a site knows, configured or opened while running, and their supply points.

    start: config + tables (account_store.Opened) + terms in the books -> Residents
    later: open, transfer of ownership, move-out -> Residents -> credit control

Rule: memory of the running core only; the books say the same, and a restart reads it there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from billing_core.account_rules import CLOSED, OPEN, STANDARD, AccountClass
from billing_core.account_store import Opened
from billing_core.points import AccountSpec, PointSpec
from scada.errors import Refused

Adopt = Callable[[AccountSpec, int, Sequence[int]], None]  # (spec, row, rows of its points): what it is from now on
Leave = Callable[[str], None]

NOBODY: Final[Adopt] = lambda spec, row, points: None  # noqa: E731


@dataclass(slots=True)
class Residents:
    """Accounts by id, in the order of their image rows, and who pays for each supply point."""

    points: Sequence[PointSpec]
    classes: Mapping[str, AccountClass]
    house: str  # account of vacant rooms, "" where there is none
    switches: frozenset[str]  # devices that credit may switch: breakers of electricity, not protected
    specs: dict[str, AccountSpec] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    payers: list[str] = field(default_factory=list)  # account id by row of the point
    adopt: Adopt = NOBODY
    leave: Leave = lambda account: None
    spare: int = 0  # rows of the image that are free

    @classmethod
    def configured(
        cls,
        points: Sequence[PointSpec],
        accounts: Sequence[AccountSpec],
        classes: Mapping[str, AccountClass] | None = None,
        house: str = "",
        switches: Iterable[str] = (),
        spare: int = 0,
    ) -> "Residents":
        """Return what the configuration alone says."""
        found = cls(tuple(points), classes or {STANDARD.id: STANDARD}, house, frozenset(switches), spare=spare)
        for account in accounts:
            found._enter(account, OPEN)
        found.payers = [accounts[point.account].id for point in points]
        return found

    def restore(self, opened: Iterable[Opened]) -> list[AccountSpec]:
        """Take over what was opened before a restart; return the accounts that take a spare row now, in their order.

        An account that is closed pays for nothing and takes none. Doing it again changes nothing. Refused
        "account.no-room" before anything was taken when there are too few rows.
        """
        taken = []
        opened = tuple(opened)
        rows = sum(found.account not in self.specs and found.state != CLOSED for found in opened)
        if rows > self.spare:
            detail = (
                f"{rows} accounts of the books need a spare row, {self.spare} are free; raise [ledger] spare_accounts"
            )
            raise Refused("account.no-room", detail)
        for found in opened:
            if found.account in self.specs:  # configured, or known from an earlier try: only its state is news
                self.states[found.account] = found.state
            elif found.state != CLOSED:
                self._enter(found.spec, found.state)
                self.spare -= 1
                taken.append(found.spec)
        return taken

    def pay(self, payers: Mapping[int, str]) -> None:
        """Take over who pays by the books (row of a point -> account), and tell credit control of all concerned."""
        concerned = {name for row, account in payers.items() for name in (account, self.payers[row])}
        for row, account in payers.items():
            self.payers[row] = account
        for account in sorted(concerned):
            self.tell(account)

    def accounts(self) -> tuple[AccountSpec, ...]:
        """Return every account in the order of its row."""
        return tuple(self.specs[account] for account in sorted(self.rows, key=self.rows.__getitem__))

    def account_of_breaker(self) -> dict[str, str]:
        """Return breaker -> the account whose supply it carries and credit may stop."""
        return {breaker: account for account in self.specs for breaker in self._breakers(account)}

    # ---- questions

    def spec(self, account: str) -> AccountSpec:
        """Return an account with the breakers it has now. Refused "account.unknown"."""
        if account not in self.specs:
            raise Refused("account.unknown", f"there is no account {account!r}; `tenant list` names them")
        return replace(self.specs[account], breakers=self._breakers(account))

    def limits(self, account: str, account_class: str = "") -> AccountClass:
        """Return what an account may do; a class that the configuration no longer names counts as standard."""
        spec = self.specs.get(account)
        name = account_class or (spec.account_class if spec is not None else STANDARD.id)
        return self.classes.get(name, self.classes.get(STANDARD.id, STANDARD))

    def points_of(self, account: str) -> list[int]:
        """Return the rows of the supply points that an account pays for."""
        return [row for row, payer in enumerate(self.payers) if payer == account]

    def row_of_point(self, point: str) -> int:
        """Return the row of a supply point. Refused "point.unknown"."""
        for row, spec in enumerate(self.points):
            if spec.id == point:
                return row
        raise Refused("point.unknown", f"there is no supply point {point!r}; `tenant points` names them")

    def vacant(self, point: str) -> int:
        """Return the row of a vacant supply point. Refused "tenancy.occupied", "tenancy.house"."""
        self.require_house()
        row = self.row_of_point(point)
        if self.payers[row] != self.house:
            detail = f"{point} is paid for by {self.payers[row]}; move that tenant out first"
            raise Refused("tenancy.occupied", detail)
        return row

    def require_house(self) -> str:
        """Return the account of vacant rooms. Refused "tenancy.house" when the configuration names none."""
        if not self.house:
            raise Refused("tenancy.house", "name the account of vacant rooms: [ledger] house in plant.toml")
        return self.house

    # ---- changes

    def opened(self, spec: AccountSpec, row: int) -> None:
        """Enter an account that took a spare row; it pays for nothing yet."""
        self._enter(spec, OPEN, row)
        self.spare -= 1

    def moved(self, point_rows: Iterable[int], account: str) -> None:
        """Note that points are paid for by another account from now on, and tell credit control of all concerned."""
        concerned = {account}
        for row in point_rows:
            concerned.add(self.payers[row])
            self.payers[row] = account
        for name in sorted(concerned):
            self.tell(name)

    def tell(self, account: str) -> None:
        """Hand an account's present breakers and points to credit control."""
        self.adopt(self.spec(account), self.rows[account], self.points_of(account))

    def closed(self, account: str) -> None:
        self.states[account] = CLOSED
        self.leave(account)

    def _enter(self, spec: AccountSpec, state: str, row: int | None = None) -> None:
        self.rows[spec.id] = len(self.specs) if row is None else row
        self.specs[spec.id] = spec
        self.states[spec.id] = state

    def _breakers(self, account: str) -> tuple[str, ...]:
        if account == self.house or self.specs[account].protected:
            return ()
        meters = (self.points[row].meter for row in self.points_of(account))
        return tuple(meter for meter in meters if meter in self.switches)
