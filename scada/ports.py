"""The ports of the core: what the scan needs from the trades, as Protocols that run.py fills.

Rule: the core calls these and imports none of the packages that fill them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from scada.image import Columns
from scada.scan import Instant


class FieldPort(Protocol):
    """The field: polls by itself, stages what it reads, carries switching commands."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def actuate(self, device_id: str, target: int) -> None: ...


class BillingPort(Protocol):
    """The billing engine: one scan of charges, and cuts of what was charged since the last."""

    def bill(self, instant: Instant, work: Columns) -> None: ...

    def cut(self) -> Any | None: ...

    def applied(self, checkpoint: Any) -> None: ...

    def credit(self, account_row: int, amount_nano: int) -> None: ...


class BooksPort(Protocol):
    """The ledger's store. Every method may raise DatabaseAway, and may then be called again with the same arguments."""

    async def commit(self, checkpoint: Any) -> Any: ...

    async def renew(self) -> Any: ...

    async def top_up(
        self, account: str, amount_minor: int, channel: str, key: str, user: str, station: str, plant_utc_ns: int
    ) -> Any: ...

    async def close(self) -> None: ...


class AlarmPort(Protocol):
    """The alarm engine."""

    def evaluate(self, instant: Instant, work: Columns) -> None: ...

    def acknowledge(self, alarm_id: str, user: str, station: str, comment: str, utc_ns: int) -> None: ...


class CreditPort(Protocol):
    """Credit control: which supplies to stop and to restore, with the reason of every wish and every refusal."""

    @property
    def held(self) -> bool: ...

    @property
    def held_count(self) -> int: ...

    @property
    def stops_held(self) -> int: ...

    @property
    def outlook(self) -> Any: ...

    def charged(self, checkpoint: Any) -> None: ...

    def release(self, user: str) -> None: ...

    def decide(self, instant: Instant, work: Columns) -> Sequence[Any]: ...

    def refused(self, wish: Any, code: str, instant: Instant) -> None: ...

    def sent(self, wish: Any, command_id: str, instant: Instant) -> None: ...


class RecordPort(Protocol):
    """The historian: chooses what to record of a scan, and hands it to the data base when there is one."""

    def record(self, instant: Instant, work: Columns) -> None: ...

    async def flush(self, database: Any) -> None: ...

    def close(self) -> None: ...

    @property
    def queue_rows(self) -> int: ...

    @property
    def lost_rows(self) -> int: ...


class JournalPort(Protocol):
    """The journal on disk that outlives data base and core."""

    def write(self, stream: str, record: Mapping[str, Any]) -> str: ...

    def write_many(self, stream: str, records: Sequence[Mapping[str, Any]]) -> None: ...
