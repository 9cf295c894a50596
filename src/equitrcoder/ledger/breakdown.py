"""Statistics of tool calls and model answers, grouped: by tool, model, provider, agent, role or day."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias

from equitrcoder.ledger import sketch
from equitrcoder.ledger.cells import Cell, microseconds
from equitrcoder.ledger.queries import CallQuery, where
from equitrcoder.ledger.schema import SUMS
from equitrcoder.ledger.stats import CLOSED, refuse_limit
from equitrcoder.ledger.summing import Source, can_answer, gather, one_view, prepare
from equitrcoder.records import JSON, format_time

Grouping: TypeAlias = Literal["tool", "model", "provider", "agent", "role", "day"]

_RUN_COLUMNS = {"model": "model_requested", "provider": "provider", "agent": "agent_name", "role": "agent_role"}
_SHARES = (0.50, 0.95, 0.99)


class GroupRow(NamedTuple):
    """One line of a grouped table. Closed calls only; durations in milliseconds."""

    name: str
    """The tool, the model as requested, the provider, ...; a day as 2026-01-31, local time."""
    calls: int
    failed: int
    """Closed and not success."""
    p50_ms: float | None
    """Of the calls whose duration is known; None when there are none."""
    p95_ms: float | None
    p99_ms: float | None
    total_ms: float
    turns: int | None
    """Model answers. None where cost is not told apart: tokens and cost belong to the answer, not to a tool."""
    cost_nanousd: int | None
    """Of the priced turns, and of attempts that failed and cost money."""
    unpriced_turns: int | None
    unpriced_requests: int | None = None
    """Requests that gave no answer and may be charged for, nobody knows how much."""


class Breakdown(NamedTuple):
    """Groups, and all of them together."""

    by: Grouping
    groups: list[GroupRow]
    """The most used first; days in their order. A group with answers and without calls is there with 0 calls."""
    all: GroupRow
    """Without percentiles; has turns and cost also where groups are tools."""
    source: Source = "exact"
    """Where it comes from: "sketch", percentiles at most 1 % off, or "exact", counted from the calls themselves."""


def compute_breakdown(connection: sqlite3.Connection, by: Grouping, query: CallQuery) -> Breakdown:
    """Group the closed calls and the model answers of a query.

    What a failed attempt cost belongs to the moment at which its run started, and to the model that was asked.

    Args:
        query: `run` must be a whole id. When it chooses single calls (by tool or outcome) there is no cost: that is
            an answer's, not a call's.

    Raises:
        LedgerError: The query has a limit.
    """
    refuse_limit(query)
    costs = not (query.tool or query.outcome or query.failed)
    if not can_answer(query):
        return _broken_down(
            by, "exact", _calls(connection, by, query), _spent(connection, by, query) if costs else None
        )
    prepare(connection, [by], query)
    with one_view(connection):
        found = gather(connection, by, query)
        everything = gather(connection, "all", query) if by == "tool" else found
    calls = {name: cell for name, cell in found.items() if cell.calls}
    spent = {name: _Spent(*_SPENT(cell.sums)) for name, cell in everything.items()}
    return _broken_down(by, "sketch", calls, _without_nothing(spent) if costs else None)


def _without_nothing(spent: dict[str, _Spent]) -> dict[str, _Spent]:
    return {name: found for name, found in spent.items() if any(found)}


def _broken_down(
    by: Grouping, source: Source, calls: Mapping[str, Cell | _Calls], spent: dict[str, _Spent] | None
) -> Breakdown:
    if by == "tool" or spent is None:
        groups = [_row(name, found, None) for name, found in calls.items()]
    else:
        names = dict.fromkeys([*calls, *spent])
        groups = [_row(name, calls.get(name) or _Calls(), spent.get(name, _NOTHING)) for name in names]
    groups.sort(key=lambda row: (0, 0, row.name) if by == "day" else (-row.calls, -(row.turns or 0), row.name))
    return Breakdown(by, groups, _all(groups, None if spent is None else _summed(spent.values())), source)


def breakdown_to_dict(breakdown: Breakdown) -> dict[str, JSON]:
    """A breakdown as plain data: {by, source, groups, turns, cost_nanousd, unpriced_turns, unpriced_requests}.

    Each group: `name calls failed failure_rate p50_ms p95_ms p99_ms total_duration_ms turns cost_nanousd
    unpriced_turns unpriced_requests`; the last four are None where groups are tools.
    """
    return {
        "by": breakdown.by,
        "source": breakdown.source,
        "groups": [_group(row) for row in breakdown.groups],
        "turns": breakdown.all.turns,
        "cost_nanousd": breakdown.all.cost_nanousd,
        "unpriced_turns": breakdown.all.unpriced_turns,
        "unpriced_requests": breakdown.all.unpriced_requests,
    }


def _group(row: GroupRow) -> dict[str, JSON]:
    return {
        "name": row.name,
        "calls": row.calls,
        "failed": row.failed,
        "failure_rate": row.failed / row.calls if row.calls else 0.0,
        "p50_ms": row.p50_ms,
        "p95_ms": row.p95_ms,
        "p99_ms": row.p99_ms,
        "total_duration_ms": row.total_ms,
        "turns": row.turns,
        "cost_nanousd": row.cost_nanousd,
        "unpriced_turns": row.unpriced_turns,
        "unpriced_requests": row.unpriced_requests,
    }


class _Calls:
    """Closed calls of one group, with all of their durations."""

    __slots__ = ("calls", "duration_us", "durations", "success")

    def __init__(self) -> None:
        self.calls = 0
        self.success = 0
        self.duration_us = 0
        self.durations: list[float] = []


class _Spent(NamedTuple):
    """What answers and failed requests cost. Named as in `schema.SUMS`."""

    turns: int = 0
    cost_nanousd: int = 0
    unpriced_turns: int = 0
    unpriced_requests: int = 0


_NOTHING = _Spent()
_SPENT = itemgetter(*map(SUMS.index, _Spent._fields))


def _calls(connection: sqlite3.Connection, by: Grouping, query: CallQuery) -> dict[str, _Calls]:
    column = "c.tool_name" if by == "tool" else _column(by, "c.requested_at")
    condition, values = where(query)
    found: dict[str, _Calls] = {}
    for name, success, duration_ms in connection.execute(
        f"SELECT {column}, c.outcome = 'success', c.duration_ms "  # noqa: S608 - columns of our own
        f"FROM tool_calls AS c JOIN agent_runs AS r ON r.run_id = c.run_id WHERE {CLOSED} AND {condition}",
        values,
    ):
        group = found.get(name)
        if group is None:
            group = found[name] = _Calls()
        group.calls += 1
        group.success += success
        if duration_ms is not None:
            group.duration_us += microseconds(duration_ms)
            group.durations.append(duration_ms)
    return found


def _spent(connection: sqlite3.Connection, by: Grouping, query: CallQuery) -> dict[str, _Spent]:
    """What answers cost by group, and what failed attempts did; by tool: all of it in one group."""
    condition, values = _where_turns(query, "t.at", "r.model_requested = ? OR t.model_answered = ?")
    found: dict[str, _Spent] = {}
    for name, *sums in connection.execute(
        f"SELECT {_column(by, 't.at')}, count(*), "  # noqa: S608 - columns of our own
        "sum(coalesce(t.cost_nanousd, 0)), sum(t.cost_nanousd IS NULL) "
        f"FROM model_turns AS t JOIN agent_runs AS r ON r.run_id = t.run_id WHERE {condition} GROUP BY 1",
        values,
    ):
        found[name] = _Spent(*sums)
    condition, values = _where_turns(query, "r.started_at", "r.model_requested = ?")
    for name, cost, unpriced in connection.execute(
        f"SELECT {_column(by, 'r.started_at')}, sum(r.cost_nanousd - "  # noqa: S608 - columns of our own
        "(SELECT coalesce(sum(t.cost_nanousd), 0) FROM model_turns AS t WHERE t.run_id = r.run_id)) AS rest, "
        f"sum(r.unpriced_requests) AS unpriced FROM agent_runs AS r WHERE {condition} "
        "GROUP BY 1 HAVING rest > 0 OR unpriced > 0",
        values,
    ):
        before = found.get(name, _NOTHING)
        found[name] = before._replace(cost_nanousd=before.cost_nanousd + cost, unpriced_requests=unpriced)
    return found


def _column(by: Grouping, time: str) -> str:
    if by == "tool":
        return "''"
    return f"local_day({time})" if by == "day" else f"r.{_RUN_COLUMNS[by]}"


def _where_turns(query: CallQuery, time: str, model: str) -> tuple[str, list[object]]:
    """The conditions of a query on answers or runs: SQL terms joined by AND, and their values."""
    chosen = {
        "r.run_id = ?": query.run,
        "r.session_id = ?": query.session,
        "r.provider = ?": query.provider,
        f"({model})": query.model,
        "(r.agent_name = ? OR r.agent_role = ?)": query.agent,
        "r.agent_role = ?": query.role,
        f"{time} >= ?": query.since and format_time(query.since),
        f"{time} < ?": query.until and format_time(query.until),
    }
    terms = {term: value for term, value in chosen.items() if value is not None}
    values: list[object] = [value for term, value in terms.items() for _ in range(term.count("?"))]
    return " AND ".join(terms) or "1", values


def _summed(spent: Iterable[_Spent]) -> _Spent:
    return _Spent(*(sum(part) for part in zip(_NOTHING, *spent, strict=True)))


def _all(groups: list[GroupRow], spent: _Spent | None) -> GroupRow:
    return GroupRow(
        name="all",
        calls=sum(row.calls for row in groups),
        failed=sum(row.failed for row in groups),
        p50_ms=None,
        p95_ms=None,
        p99_ms=None,
        total_ms=round(sum(row.total_ms for row in groups), 3),
        **_told(spent),
    )


def _told(spent: _Spent | None) -> dict[str, Any]:
    return dict(zip(_Spent._fields, spent or (None,) * len(_Spent._fields), strict=True))


def _row(name: str, calls: Cell | _Calls, spent: _Spent | None) -> GroupRow:
    if isinstance(calls, _Calls):
        ordered = sorted(calls.durations)
        points = [percentile(ordered, share) for share in _SHARES]
    else:
        points = sketch.percentiles(calls.sketch(), _SHARES)
    return GroupRow(
        name=name,
        calls=calls.calls,
        failed=calls.calls - calls.success,
        p50_ms=points[0],
        p95_ms=points[1],
        p99_ms=points[2],
        total_ms=calls.duration_us / 1000,
        **_told(spent),
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
