"""The core: the six phases of a scan over its ports, and the two tasks that carry its results into the data base.

Rule: everything that decides is called from the scan, in one thread and one instant; everything that waits (commits,
copies, drains) is a task that repeats its work until it succeeded. `run.py` fills the ports.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from loguru import logger

from scada.clock import NS_PER_S
from scada.control import ControlDesk
from scada.derived import DerivedTags, Health
from scada.errors import DatabaseAway, Refused, WattkeeperError
from scada.image import Columns, ImageWriter
from scada.ports import AlarmPort, BillingPort, BooksPort, CreditPort, FieldPort, RecordPort
from scada.room import Room
from scada.scan import Instant, Phase, Scan
from scada.stage import Stage

PASSIVE_RETRY_S: Final = 5.0  # how often a second core asks whether the first has gone
RETRY_S: Final = 1.0  # how often work that waits for the data base tries again
FOLLOW_S: Final = 0.1  # a verified switching is known within 2 s of the click; the mechanism alone takes one of them
FLUSH_S: Final = 1.0  # how often history and journal go to the data base
ALARM_PATIENCE_S: Final = 10.0  # a data base that is away at the start must not keep alarms from people for longer
DRAIN_S: Final = (
    1.5  # the last commit of an ending core may take so long; what misses it is billed after the next start
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Who fills the core."""

    field: FieldPort
    billing: BillingPort
    books: BooksPort
    alarms: AlarmPort
    credit: CreditPort
    historian: RecordPort
    desk: ControlDesk
    history: Any  # scada.database.Database of the historian
    open_books: Callable[[], Awaitable[None]]  # read balances, alarms and commands back; DatabaseAway when not yet
    keep_stops: Callable[[], Awaitable[None]]  # write credit's stops, reconnections, notices and states into the books
    drain: Callable[[], Awaitable[None]]  # move the journal on disk into the data base


T = TypeVar("T")


class Core:
    """One core. `run` lives until the room is told to stop or a phase raises."""

    def __init__(
        self,
        room: Room,
        ports: Ports,
        work: Columns,
        stage: Stage,
        derived: DerivedTags,
        image: ImageWriter,
        accounts: Sequence[str],
        scan_period_s: float,
        checkpoint_s: float,
    ) -> None:
        self._room = room
        self.ports = ports
        self.work = work
        self._stage = stage
        self._derived = derived
        self._image = image
        self.account_rows: Mapping[str, int] = {account: row for row, account in enumerate(accounts)}
        self._checkpoint_s = checkpoint_s
        self.books_open = False
        self.also: list[Callable[[], Coroutine[Any, Any, None]]] = []  # further tasks, alive as long as the core
        self._outlook: Any = None
        self._committed_mono_ns = room.clock.mono_ns()
        self._alarms_from_ns = self._committed_mono_ns + int(ALARM_PATIENCE_S * NS_PER_S)
        self._commit_lock = asyncio.Lock()
        self._begin_again = False  # the books refused what billing has in memory of some point
        self._cut: Any = None  # the checkpoint that is under way, and when it was cut
        self._cut_mono_ns = 0
        phases: list[tuple[str, Phase]] = [
            ("publish", self._publish),
            ("bill", self._bill),
            ("alarm", self._alarm),
            ("decide", self._decide),
            ("act", ports.desk.step),
            ("record", self._record),
        ]
        self.scan = Scan(room.clock, phases, work, image, scan_period_s, room.reactor)

    # ---- the phases

    def _publish(self, instant: Instant) -> None:
        self._stage.publish(self.work, instant.scan, instant.utc_ns)
        self._derived.network(instant)
        behind_s = self._behind_s()
        connected = self.books_open and behind_s < 3 * self._checkpoint_s
        historian, credit = self.ports.historian, self.ports.credit
        held = credit.held_count if credit.held else 0
        health = Health(behind_s, connected, historian.queue_rows, historian.lost_rows, held, credit.stops_held)
        self._derived.system(instant, self.scan.figures, health)

    def _bill(self, instant: Instant) -> None:
        if self.books_open:
            self.ports.billing.bill(instant, self.work)

    def _alarm(self, instant: Instant) -> None:
        """Evaluate alarms; a new core waits a moment for the states it had, so that it raises none of them again."""
        self._derived.money(instant, self.books_open)
        if self.books_open or instant.mono_ns >= self._alarms_from_ns:
            self.ports.alarms.evaluate(instant, self.work)

    def _decide(self, instant: Instant) -> None:
        """Let credit control act; a wish that an interlock refuses is logged by its reason, and comes again."""
        if not self.books_open:
            return
        wishes = self.ports.credit.decide(instant, self.work)
        if self.ports.credit.outlook is not self._outlook:  # a new forecast, once a minute of plant time
            self._outlook = self.ports.credit.outlook
            self._derived.forecast(instant, self._outlook)
        for wish in wishes:
            try:
                command = self.ports.desk.automatic(wish.breaker, wish.target, "credit", wish.reason)
            except Refused as refused:
                self.ports.credit.refused(wish, refused.code, instant)
            else:
                self.ports.credit.sent(wish, command, instant)

    def _record(self, instant: Instant) -> None:
        self.ports.historian.record(instant, self.work)

    # ---- the tasks that wait for the data base

    async def _keep_books(self) -> None:
        """Open the books, then commit what was charged, every checkpoint period."""
        while not self.books_open:
            try:
                await self.ports.open_books()
                self.books_open = True
                logger.info("books are open")
            except DatabaseAway as away:
                logger.debug("books cannot be opened yet: {}", away)
                await asyncio.sleep(RETRY_S)
            except Refused as refused:  # another core writes them: this one polls and publishes, and waits its turn
                logger.warning("books are not ours: {}", refused.detail)
                await asyncio.sleep(PASSIVE_RETRY_S)
        while True:
            await asyncio.sleep(max(0.0, self._checkpoint_s - self._behind_s()))
            async with self._commit_lock:
                await self._commit()

    def _behind_s(self) -> float:
        """Return how old the newest scan is that the books contain, real seconds."""
        return (self._room.clock.mono_ns() - self._committed_mono_ns) / NS_PER_S

    async def _commit(self) -> None:
        """Cut and commit until the data base has it. The same cut is repeated, so nothing is charged twice."""
        while True:
            try:
                self._committed_mono_ns = await self._commit_once()
            except DatabaseAway as away:
                logger.debug("checkpoint waits for the data base: {}", away)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _commit_once(self) -> int:
        """Commit one cut; return the monotonic time at which it was made."""
        if self._begin_again:
            await self.ports.open_books()
            self._begin_again = False
            self._cut = None
        await self.ports.keep_stops()
        checkpoint, now_ns = self.ports.billing.cut(), self._room.clock.mono_ns()
        if checkpoint is None:
            self._credit_late(await self.ports.books.renew())
            return now_ns
        if checkpoint is not self._cut:
            self._cut, self._cut_mono_ns = checkpoint, now_ns
        committed = await self.ports.books.commit(checkpoint)
        if committed.quarantined:
            logger.error("billing of {} is not to be believed; begins again from the books", committed.quarantined)
            self._begin_again = True
            return await self._commit_once()
        self.ports.billing.applied(checkpoint)
        self.ports.credit.charged(checkpoint)
        self._credit_late(committed)
        self._cut = None
        return self._cut_mono_ns

    def _credit_late(self, committed: Any) -> None:
        """Let top-ups count that were posted although their answer was lost."""
        for account, nano in committed.late_credits:
            self.ports.billing.credit(self.account_rows[account], nano)

    async def _keep_records(self) -> None:
        """Move history and journal into the data base."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.ports.historian.flush(self.ports.history)
                await self.ports.drain()
            except DatabaseAway as away:
                logger.debug("records wait for the data base: {}", away)
                await asyncio.sleep(RETRY_S)
            except OSError as failed:  # losing history is bad, stopping the scan is worse
                logger.error("records wait for the disk: {}", failed)
                await asyncio.sleep(RETRY_S)

    async def _follow_commands(self) -> None:
        """Look for the read-back of commands between the scans."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            self.ports.desk.look()

    # ---- requests that change money

    async def top_up(self, account: str, amount_minor: int, channel: str, key: str, user: str, station: str) -> Any:
        """Post a top-up and let it count from the next scan. Refused: account.unknown, or the books' own reasons."""
        row = self.account_rows.get(account)
        if row is None:
            raise Refused("account.unknown", f"there is no account {account!r}")
        if not self.books_open:
            raise DatabaseAway("the books are not open yet; nothing was taken, try again")
        receipt = await self.ports.books.top_up(
            account, amount_minor, channel, key, user, station, self._room.clock.utc_ns()
        )
        self.ports.billing.credit(row, receipt.credit_now_nano)
        return receipt

    async def change(self, make: Callable[[], T]) -> T:
        """Carry out a change of registers, terms or tariffs between two scans, in one transaction with all before it.

        make: applies the change to the billing engine, so that its next cut carries it; Refused leaves all untouched.
        It runs when everything charged before is in the books, and returns what the caller shall have. When the data
        base goes away in between, the change waits with its checkpoint, and so does the caller.
        """
        if not self.books_open:
            raise DatabaseAway("the books are not open yet; nothing was changed, try again")
        async with self._commit_lock:
            await self._commit_before()
            made = make()
            self.ports.billing.cut()  # in the same instant: no scan lies between the change and its checkpoint
            await self._commit()
        return made

    async def quietly(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something with the books while everything charged before is in them and no checkpoint is cut."""
        if not self.books_open:
            raise DatabaseAway("the books are not open yet; nothing was changed, try again")
        async with self._commit_lock:
            await self._commit_before()
            return await work()

    async def _commit_before(self) -> None:
        """Commit everything charged until now, or raise DatabaseAway with nothing changed.

        A cut that an earlier request left behind when the data base went away holds only what was charged until then.
        """
        if self._cut is not None:
            self._committed_mono_ns = await self._commit_once()
        self._committed_mono_ns = await self._commit_once()

    # ---- life

    async def run(self) -> None:
        """Scan until the room is told to stop; an error of a phase or a task ends the core with it."""
        self.ports.field.start()
        scanning = self.scan.start().asFuture(asyncio.get_running_loop())
        tasks = [
            asyncio.create_task(self._room.stop.wait(), name="stop"),
            asyncio.create_task(self._keep_books(), name="books"),
            asyncio.create_task(self._keep_records(), name="records"),
            asyncio.create_task(self._follow_commands(), name="commands"),
            *(asyncio.create_task(task()) for task in self.also),
        ]
        try:
            done, _ = await asyncio.wait([*tasks, scanning], return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                finished.result()  # raises what the scan or a task raised
        finally:
            self.scan.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()

    async def _end(self) -> None:
        """Drain: commit the last charges and records if the data base answers in time, then let go of everything."""
        await self.ports.desk.close()
        await self.ports.field.stop()
        try:
            async with asyncio.timeout(DRAIN_S):
                if self.books_open:
                    await self._commit()
                await self.ports.historian.flush(self.ports.history)
                await self.ports.drain()
        except (TimeoutError, WattkeeperError) as late:  # away, or no longer ours
            logger.warning("the core ends before its last records are in the data base: {!r}", late)
        self.ports.historian.close()  # what is still in memory goes to its spool
        await self.ports.books.close()
        await self.ports.history.close()
        self._image.close()
