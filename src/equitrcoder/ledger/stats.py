"""Statistics of tool calls, in the shape of the tool logging guide."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TypeAlias, TypedDict

from equitrcoder.errors import LedgerError
from equitrcoder.ledger.cells import MICROSECONDS_SQL
from equitrcoder.ledger.queries import CallQuery, where
from equitrcoder.ledger.summing import Source, can_answer, gather, one_view, prepare

CLOSED = "c.outcome NOT IN ('requested', 'running')"
"""Condition on `tool_calls AS c`."""

_Tool: TypeAlias = tuple[str, int, int, int]
"""(name, closed calls, successful ones, microseconds)"""


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


def compute_stats(connection: sqlite3.Connection, query: CallQuery) -> tuple[Stats, Source]:
    """Count the closed calls of a query, and tell from what. Its `run` must be a whole id.

    Raises:
        LedgerError: The query has a limit.
    """
    refuse_limit(query)
    if not can_answer(query):
        return _shaped(_exact(connection, query)), "exact"
    prepare(connection, ["tool"], query)
    with one_view(connection):
        found = gather(connection, "tool", query)
    return _shaped((name, cell.calls, cell.success, cell.duration_us) for name, cell in found.items()), "sketch"


def refuse_limit(query: CallQuery) -> None:
    """Raise LedgerError for a query with a limit."""
    if query.limit is not None:
        raise LedgerError("Statistics take no limit.", hint="choose by run, session, tool or time")


def _exact(connection: sqlite3.Connection, query: CallQuery) -> list[_Tool]:
    condition, values = where(query)
    sums = f"count(*), sum(c.outcome = 'success'), coalesce(sum({MICROSECONDS_SQL}), 0)"
    chosen = f"WHERE {condition} AND {CLOSED} GROUP BY c.tool_name"
    sql = f"SELECT c.tool_name, {sums} FROM tool_calls AS c {chosen}"  # noqa: S608 - terms of our own
    return connection.execute(sql, values).fetchall()


def _shaped(found: Iterable[_Tool]) -> Stats:
    tools = sorted((tool for tool in found if tool[1]), key=lambda tool: (-tool[1], tool[0]))
    usage = {
        name: ToolUsage(count=count, success_count=success, total_duration_ms=duration_us / 1000)
        for name, count, success, duration_us in tools
    }
    calls = sum(tool[1] for tool in tools)
    successful = sum(tool[2] for tool in tools)
    total_us = sum(tool[3] for tool in tools)
    return Stats(
        total_calls=calls,
        successful_calls=successful,
        failed_calls=calls - successful,
        success_rate=successful / calls if calls else 0.0,
        total_duration_ms=total_us / 1000,
        average_duration_ms=round(total_us / 1000 / calls, 3) if calls else 0.0,
        tool_usage=usage,
    )
