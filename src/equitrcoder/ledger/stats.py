"""Statistics of tool calls, in the shape of the tool logging guide."""

from __future__ import annotations

import sqlite3
from typing import TypedDict

from equitrcoder.errors import LedgerError
from equitrcoder.ledger.queries import CallQuery, where

CLOSED = "c.outcome NOT IN ('requested', 'running')"
"""Condition on `tool_calls AS c`."""


class ToolUsage(TypedDict):
    """The calls of one tool."""

    count: int
    success_count: int
    total_duration_ms: float


class Stats(TypedDict):
    """Closed calls, counted. Every key is there when there are none: counts 0, `success_rate` 0.0.

    Source: tool logging guide, "Tool Call Statistics".
    """

    total_calls: int
    successful_calls: int
    failed_calls: int
    """Closed and not success."""
    success_rate: float
    """0 to 1."""
    total_duration_ms: float
    average_duration_ms: float
    """Total duration / total calls."""
    tool_usage: dict[str, ToolUsage]
    """By tool, the most used first; of equally used ones by name."""


def compute_stats(connection: sqlite3.Connection, query: CallQuery) -> Stats:
    """Count the closed calls of a query. Its `run` must be a whole id."""
    source, values = _closed(query)
    found = connection.execute(
        f"SELECT c.tool_name, count(*), sum(c.outcome = 'success'), total(c.duration_ms) {source} "
        "GROUP BY c.tool_name ORDER BY count(*) DESC, c.tool_name",
        values,
    ).fetchall()
    usage = {
        name: ToolUsage(count=count, success_count=success, total_duration_ms=round(total, 3))
        for name, count, success, total in found
    }
    calls = sum(tool["count"] for tool in usage.values())
    successful = sum(tool["success_count"] for tool in usage.values())
    total_ms: float = sum((row[3] for row in found), 0.0)
    return Stats(
        total_calls=calls,
        successful_calls=successful,
        failed_calls=calls - successful,
        success_rate=successful / calls if calls else 0.0,
        total_duration_ms=round(total_ms, 3),
        average_duration_ms=round(total_ms / calls, 3) if calls else 0.0,
        tool_usage=usage,
    )


def _closed(query: CallQuery) -> tuple[str, list[object]]:
    if query.limit is not None:
        raise LedgerError("Statistics take no limit.", hint="choose by run, session, tool or time")
    condition, values = where(query)
    return f"FROM tool_calls AS c WHERE {condition} AND {CLOSED}", values
