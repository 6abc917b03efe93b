"""The anchor and the books together: compare them at a start, note heads, journal a new beginning.

Rule: `anchor.py` knows no data base, `audit.py` no file; the steps that need both are here.
"""

import asyncio
from pathlib import Path

from loguru import logger

from billing_core import anchor, books, ledger, postbook, sql
from billing_core.anchor import Anchor
from billing_core.books import Book
from billing_core.ledger import Head, Transfer
from billing_core.pages import Accounts
from scada.database import Cursor
from scada.errors import Refused


async def compare(cursor: Cursor, anchored: Anchor, head_seq: int) -> None:
    """Raise Refused "ledger.behind-anchor" unless the books hold the last anchored head."""
    marks = await asyncio.to_thread(anchored.marks)
    if not marks:
        return
    await cursor.execute(sql.HASH_OF, {"seq": marks[-1].seq})
    row = await cursor.fetchone()
    refused = anchor.behind(marks[-1], head_seq, bytes(row[0]) if row is not None else None)
    if refused is not None:
        raise refused


async def journal(cursor: Cursor, anchored: Anchor, accounts: Accounts, book: Book, site: str) -> Head:
    """Enter every new beginning of the anchor into the chain, with its reason, once; return the head."""
    head = book.head
    for mark in await asyncio.to_thread(anchored.marks):
        if not mark.reason or await postbook.find(cursor, anchor.key_of(mark)) is not None:
            continue
        document = {"seq": mark.seq, "hash": mark.hash.hex(), "utc": mark.utc}
        transfer = Transfer(
            anchor.key_of(mark), "anchor", site, book.plant_time_s, mark.who, "console", mark.reason, (),
            document_hash=ledger.document_hash(document),
        )  # fmt: skip
        head = await books.post(cursor, accounts, head, transfer, book.now_us, document)
    return head


async def note(anchored: Anchor, head: Head) -> None:
    """Write the head beside the data base. A disk that refuses stops no billing, and is told."""
    try:
        await asyncio.to_thread(anchored.note, head)
    except OSError as error:
        logger.error("the head of the ledger could not be anchored in {}: {}", anchored.path, error)


def begin_anew(dsn: str, folder: Path, reason: str, who: str) -> anchor.Mark | None:
    """Accept the books as they are now, blocking; return the new line, None when the anchor agrees with them.

    Refused "ledger.reason" without a reason. The core enters it into the chain at its next start.
    """
    from billing_core.reader import open_books

    if not reason.strip() or not reason.isprintable():
        raise Refused("ledger.reason", "say why these books are the right ones, in one line")
    anchored = Anchor(folder)
    with open_books(dsn) as stored:
        seq, hashed = stored.head()
        marks = anchored.marks()
        if not marks or anchor.behind(marks[-1], seq, stored.hash_of(marks[-1].seq)) is None:
            return None
    return anchored.begin_anew(Head(seq, hashed), reason.strip(), who)
