"""Which calls a query means, found without looking at those that it does not mean.

`tool_calls_chosen` has the calls of each tool, outcome and actor in their order. There are some hundred of those
combinations however many calls there are; the newest calls of a query are the newest of its combinations.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

from equitrcoder.ledger.queries import CallQuery, where
from equitrcoder.ledger.summing import of_actors
from equitrcoder.records import CLOSED_OUTCOMES, OPEN_OUTCOMES, format_time

Key: TypeAlias = tuple[str, int, int]
"""(order_at, run_number, ordinal): the place of a call among all."""

_OUTCOMES = sorted(CLOSED_OUTCOMES | OPEN_OUTCOMES)
_NEWEST = "ORDER BY c.order_at DESC, c.run_number DESC, c.ordinal DESC LIMIT ?"
_MOST_COMBINATIONS = 5_000
_LATEST = 2_000
"""So many of the latest calls are gone through first: they have what is common, the combinations what is rare."""


def is_chosen(query: CallQuery) -> bool:
    """Whether a query chooses by more than time."""
    return query != CallQuery(since=query.since, until=query.until, limit=query.limit)


def newest(connection: sqlite3.Connection, query: CallQuery, limit: int, *, or_none: bool = False) -> list[Key] | None:
    """The places of the newest calls of a query, the newest first.

    Args:
        query: `run` must be a whole id; its own limit is not looked at.
        or_none: None when there are more.
    """
    found: list[Key] = []  # a heap, the oldest in front
    for part in _parts(connection, query, limit + or_none, found):
        for key in part:
            if len(found) < limit:
                heapq.heappush(found, key)
            elif or_none:
                return None
            elif limit:
                heapq.heappushpop(found, key)
    return sorted(set(found), reverse=True)


def _parts(connection: sqlite3.Connection, query: CallQuery, limit: int, found: list[Key]) -> Iterator[list[Key]]:
    """The newest calls of each part of a query, whose parts have no call in common; none older than all in `found`."""
    if query.run is not None:
        yield _of(connection, "tool_calls_run", query, [], limit)
    elif query.session is not None:
        yield from _of_session(connection, query, limit, found)
    else:
        combinations = _combinations(connection, query)
        if combinations is None:
            yield _of(connection, "tool_calls_order", query, [], limit)
            return
        among_latest = _among_latest(connection, query, limit)
        if len(among_latest) >= limit:
            yield among_latest
            return
        others = CallQuery(since=query.since, until=query.until)
        for tool, outcome, actor in combinations:
            terms: list[tuple[str, object]] = [
                ("c.tool_name = ?", tool),
                ("c.outcome = ?", outcome),
                ("c.actor = ?", actor),
            ]
            yield _of(connection, "tool_calls_chosen", others, terms, limit)


def _of(
    connection: sqlite3.Connection, index: str, query: CallQuery, more: list[tuple[str, object]], limit: int
) -> list[Key]:
    condition, values = where(query)
    if query.since is not None:
        more = [*more, ("c.order_at >= ?", format_time(query.since))]  # never before the request
    terms = " AND ".join([condition, *(term for term, _ in more)])
    sql = (
        f"SELECT c.order_at, c.run_number, c.ordinal FROM tool_calls AS c INDEXED BY {index} "  # noqa: S608 - names of our own
        f"WHERE {terms} {_NEWEST}"
    )
    return connection.execute(sql, (*values, *(value for _, value in more), limit)).fetchall()


def _among_latest(connection: sqlite3.Connection, query: CallQuery, limit: int) -> list[Key]:
    first = connection.execute(
        "SELECT order_at FROM tool_calls ORDER BY order_at DESC, run_number DESC, ordinal DESC LIMIT 1 OFFSET ?",
        (_LATEST,),
    ).fetchone()
    latest: list[tuple[str, object]] = [("c.order_at > ?", first[0])] if first else []
    return _of(connection, "tool_calls_order", query, latest, limit)


def _of_session(connection: sqlite3.Connection, query: CallQuery, limit: int, found: list[Key]) -> Iterator[list[Key]]:
    """Run by run, those first that were active last, until the others can have none that is newer."""
    runs = connection.execute(
        "SELECT j.run_id, j.clock FROM agent_runs AS r JOIN journals AS j ON j.run_id = r.run_id "
        "WHERE r.session_id = ? ORDER BY j.clock DESC",
        (query.session,),
    ).fetchall()
    for run_id, clock in runs:
        if found and len(found) >= limit and found[0][0] > clock:
            return
        yield _of(connection, "tool_calls_run", replace(query, run=run_id, session=None), [], limit)


def _combinations(connection: sqlite3.Connection, query: CallQuery) -> list[tuple[str, str, int]] | None:
    """The tools, outcomes and actors that are meant; None when all are, or far too many."""
    if not is_chosen(query):
        return None
    terms, values = of_actors(query)
    condition = " AND ".join(terms) or "1"
    actors = [row[0] for row in connection.execute(f"SELECT a.id FROM actors AS a WHERE {condition}", values)]  # noqa: S608
    tools = _tools(connection) if query.tool is None else [query.tool]
    outcomes = [outcome for outcome in _OUTCOMES if _means(query, outcome)]
    if len(tools) * len(outcomes) * len(actors) > _MOST_COMBINATIONS:
        return None
    return [(tool, outcome, actor) for tool in tools for outcome in outcomes for actor in actors]


def _means(query: CallQuery, outcome: str) -> bool:
    if query.failed and (outcome == "success" or outcome in OPEN_OUTCOMES):
        return False
    return query.outcome is None or query.outcome == outcome


def _tools(connection: sqlite3.Connection) -> list[str]:
    """All tools that were ever called, one look at the index each."""
    found: list[str] = []
    next_one = "SELECT min(tool_name) FROM tool_calls"
    name = connection.execute(next_one).fetchone()[0]
    while name is not None and len(found) <= _MOST_COMBINATIONS:
        found.append(name)
        (name,) = connection.execute(f"{next_one} WHERE tool_name > ?", (name,)).fetchone()
    return found
