"""The end of terms by itself: what subsidies left goes back within a minute of plant time at ordinary speed.

Rule: asks the same operation a person may ask (`account.expire`), which is harmless to repeat.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger

from scada.errors import DatabaseAway, Refused
from scada.operations import Who

EVERY_S: Final = 10.0  # real seconds
SYSTEM: Final = Who("system", "system", "core")

Perform = Callable[[str, str, Who], Awaitable[str]]  # scada.operations.OperationDesk.perform


async def expire_subsidies(perform: Perform, ready: Callable[[], bool], every_s: float = EVERY_S) -> None:
    """Take back what ended, again and again, while the core lives. What is refused is told once and tried again."""
    told = ""
    while True:
        await asyncio.sleep(every_s)
        if not ready():
            continue
        try:
            await perform("account.expire", "{}", SYSTEM)
        except DatabaseAway as away:
            logger.debug("ended subsidies wait for the data base: {}", away)
        except Refused as refused:
            if str(refused) != told:
                told = str(refused)
                logger.error("an ended subsidy cannot be taken back: {}", told)
        else:
            told = ""
