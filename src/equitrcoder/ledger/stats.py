"""Statistics of tool calls, in the shape of the tool logging guide."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TypedDict

from equitrcoder.errors import LedgerError
from equitrcoder.ledger.queries import CallQuery, where

_CLOSED = "c.outcome NOT IN ('requested', 'running')"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """One line of the table that `equitrcoder stats` prints. Closed calls only."""

    tool_name: str
    calls: int
    failed: int
    p50_ms: float | None
    """Of the calls whose duration is known; None when there are none."""
    p95_ms: float | None
    p99_ms: float | None
    total_ms: float


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
    total_ms = sum(row[3] for row in found)
    return Stats(
        total_calls=calls,
        successful_calls=successful,
        failed_calls=calls - successful,
        success_rate=successful / calls if calls else 0.0,
        total_duration_ms=round(total_ms, 3),
        average_duration_ms=round(total_ms / calls, 3) if calls else 0.0,
        tool_usage=usage,
    )


def compute_tool_rows(connection: sqlite3.Connection, query: CallQuery) -> list[ToolRow]:
    """The same by tool with exact percentiles (nearest rank), the most used first. Its `run` must be a whole id."""
    source, values = _closed(query)
    durations: dict[str, list[float]] = {}
    counts: dict[str, list[int]] = {}
    for name, outcome, duration_ms in connection.execute(
        f"SELECT c.tool_name, c.outcome, c.duration_ms {source}",
        values,
    ):
        known = durations.setdefault(name, [])
        if duration_ms is not None:
            known.append(duration_ms)
        count = counts.setdefault(name, [0, 0])
        count[0] += 1
        count[1] += outcome != "success"
    return sorted(
        (_tool_row(name, counts[name], sorted(known)) for name, known in durations.items()),
        key=lambda row: (-row.calls, row.tool_name),
    )


def _tool_row(name: str, counts: list[int], ordered: list[float]) -> ToolRow:
    return ToolRow(
        tool_name=name,
        calls=counts[0],
        failed=counts[1],
        p50_ms=percentile(ordered, 0.50),
        p95_ms=percentile(ordered, 0.95),
        p99_ms=percentile(ordered, 0.99),
        total_ms=round(sum(ordered), 3),
    )


def percentile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values; None of none.

    Example:
        >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
        2.0
    """
    if not ordered:
        return None
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


def _closed(query: CallQuery) -> tuple[str, list[object]]:
    if query.limit is not None:
        raise LedgerError("Statistics take no limit.", hint="choose by run, session, tool or time")
    condition, values = where(query)
    return f"FROM tool_calls AS c WHERE {condition} AND {_CLOSED}", values
