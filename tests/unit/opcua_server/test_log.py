"""The library's log has a budget."""

import logging

from loguru import logger

from opcua_server.log import LINES_PER_MINUTE, MINUTE_NS, BudgetHandler


def test_lines_beyond_the_budget_are_counted_not_written() -> None:
    now = [0]
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    try:
        handler = BudgetHandler(lambda: now[0])
        record = logging.LogRecord("asyncua", logging.ERROR, "", 0, "bad bytes {braces}", None, None)
        for _ in range(LINES_PER_MINUTE + 30):
            handler.emit(record)
        assert len(lines) == LINES_PER_MINUTE
        now[0] = MINUTE_NS
        handler.emit(record)
    finally:
        logger.remove(sink)
    assert "30 more lines" in lines[-2]
    assert "bad bytes {braces}" in lines[-1]
