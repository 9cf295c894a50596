"""Answering from what is counted already: a few sums instead of millions of calls."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

from equitrcoder.ledger import cells, days
from equitrcoder.ledger.cells import Cell
from equitrcoder.ledger.queries import CallQuery
from equitrcoder.ledger.schema import SUMS

Grouping: TypeAlias = Literal["all", "tool", "model", "provider", "agent", "role", "day"]
Source: TypeAlias = Literal["sketch", "exact"]
"""From the sums, percentiles within 1 %; or from the calls themselves."""

_ACTOR_COLUMNS = {"model": "model_requested", "provider": "provider", "agent": "agent_name", "role": "agent_role"}
_SUMS = ", ".join(f"s.{name}" for name in SUMS) + ", s.sketch"


@contextmanager
def one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything that is read inside belongs together, whatever others write meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


class _Span(NamedTuple):
    """A time in whole quarters of an hour; None: open."""

    first: int | None
    end: int | None


def can_answer(query: CallQuery) -> bool:
    """Whether the sums have what is asked for: whole days, or for a run and a session whole quarters of an hour."""
    if query.outcome is not None or query.failed or query.limit is not None:
        return False
    whole = days.whole_quarter if _few_runs(query) else days.whole_day
    return all(moment is None or whole(moment) is not None for moment in (query.since, query.until))


def _few_runs(query: CallQuery) -> bool:
    return query.run is not None or query.session is not None


def prepare(connection: sqlite3.Connection, by: Iterable[Grouping], query: CallQuery) -> None:
    """Make the sums anew where they are by the days of another time zone than ours and days matter."""
    if _few_runs(query) or not (query.since or query.until or "day" in by):
        return
    if cells.zone_of(connection) in (None, days.zone()):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        cells.unfold_all(connection)
        cells.fold(connection, cells.foldable(connection))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def gather(connection: sqlite3.Connection, by: Grouping, query: CallQuery) -> dict[str, Cell]:
    """The counts of a query that `can_answer` takes, by group; inside `one_view`."""
    span = _Span(*(None if moment is None else days.whole_quarter(moment) for moment in (query.since, query.until)))
    found: dict[str, Cell] = {}
    if _few_runs(query):
        numbers = _numbers(connection, query)
        for number in numbers:
            _add_cells(connection, f"run_statistics AS s WHERE s.run_number = {number:d}", by, query, span, found)
        return found
    unfolded = "unfolded AS u CROSS JOIN run_statistics AS s ON s.run_number = u.run_number WHERE 1"
    _add_cells(connection, unfolded, by, query, span, found)
    _add_sums(connection, by, query, found)
    return found


def _numbers(connection: sqlite3.Connection, query: CallQuery) -> list[int]:
    chosen = {"run_id": query.run, "session_id": query.session}
    terms = " AND ".join(f"{name} = ?" for name, value in chosen.items() if value is not None)
    values = [value for value in chosen.values() if value is not None]
    sql = f"SELECT number FROM agent_runs WHERE {terms} UNION SELECT number FROM tombstones WHERE {terms}"  # noqa: S608
    return [row[0] for row in connection.execute(sql, values * 2)]


def of_actors(query: CallQuery) -> tuple[list[str], list[object]]:
    """The conditions of a query on `actors AS a`, and their values."""
    chosen = {
        "a.provider = ?": query.provider,
        "(a.model_requested = ? OR a.model_answered = ?)": query.model,
        "(a.agent_name = ? OR a.agent_role = ?)": query.agent,
        "a.agent_role = ?": query.role,
    }
    terms = {term: value for term, value in chosen.items() if value is not None}
    return list(terms), [value for term, value in terms.items() for _ in range(term.count("?"))]


def _add_cells(
    connection: sqlite3.Connection, source: str, by: Grouping, query: CallQuery, span: _Span, found: dict[str, Cell]
) -> None:
    """Add the cells of single runs."""
    terms, values = of_actors(query)
    name = "s.quarter" if by == "day" else "s.tool_name" if by == "tool" else "''"
    tables, rest = source.split(" WHERE ")
    if terms or by in _ACTOR_COLUMNS:
        tables += " JOIN actors AS a ON a.id = s.actor"
    name = f"a.{_ACTOR_COLUMNS[by]}" if by in _ACTOR_COLUMNS else name
    for term, value in (("s.quarter >= ?", span.first), ("s.quarter < ?", span.end), ("s.tool_name = ?", query.tool)):
        if value is not None:
            terms.append(term)
            values.append(value)
    sql = f"SELECT {name}, {_SUMS} FROM {tables} WHERE {' AND '.join([rest, *terms])}"  # noqa: S608 - names of our own
    known: dict[int, str] = {}
    for group, *sums, data in connection.execute(sql, values):
        if by == "day":
            if group not in known:
                known[group] = days.day_of(group)
            group = known[group]
        _cell(found, group).add(sums, data)


def _add_sums(connection: sqlite3.Connection, by: Grouping, query: CallQuery, found: dict[str, Cell]) -> None:
    """Add the sums of finished runs."""
    grouping, given = _grouping(connection, by, query)
    terms, values = ["s.grouping = ?"], [grouping]
    tables = "statistics AS s"
    if grouping == "each":
        conditions, more = of_actors(query)
        tables += " JOIN actors AS a ON a.id = s.actor"
        terms += conditions
        values += more  # type: ignore[arg-type]
    if query.tool is not None and grouping == "each":
        terms.append("s.name = ?")
        values.append(query.tool)
    elif given is not None:
        terms.append("s.name = ?")
        values.append(given)
    name = "substr(s.period, 2)" if by == "day" else "s.name"
    if grouping == "each" and by in _ACTOR_COLUMNS:
        name = f"a.{_ACTOR_COLUMNS[by]}"
    elif by == "all":
        name = "''"
    sql = f"SELECT {name}, {_SUMS} FROM {tables} WHERE {' AND '.join(terms)} AND s.period >= ? AND s.period < ?"  # noqa: S608
    for first, end in _periods(by, query):
        for group, *sums, data in connection.execute(sql, (*values, first, end)):
            _cell(found, group).add(sums, data)


def _grouping(connection: sqlite3.Connection, by: Grouping, query: CallQuery) -> tuple[str, str | None]:
    """The smallest sums that tell the groups and what is chosen apart; and the one group that is chosen."""
    chosen = {name: getattr(query, name) for name in ("tool", "model", "provider", "agent", "role")}
    given = {name: value for name, value in chosen.items() if value is not None}
    if not given:
        return ("all" if by in ("day", "all") else by), None
    if len(given) > 1:
        return "each", None
    ((name, value),) = given.items()
    if name in ("model", "agent"):
        name = _only_as(connection, name, value)
    return (name, value) if by in ("day", "all", name) else ("each", None)


def _only_as(connection: sqlite3.Connection, name: str, value: str) -> str:
    """A model can be meant as requested or as answered, an agent by name or role; when all mean one of them, which."""
    meanings = {"model": ("model", "model_requested", "model_answered"), "agent": ("agent", "agent_name", "agent_role")}
    grouping, one, other = meanings[name]
    sql = f"SELECT DISTINCT {one} = ? FROM actors WHERE {one} = ? OR {other} = ?"  # noqa: S608 - names of our own
    found = [row[0] for row in connection.execute(sql, (value,) * 3)]
    if found == [1]:
        return grouping
    return "role" if found == [0] and name == "agent" else "each"


def _periods(by: Grouping, query: CallQuery) -> Iterator[tuple[str, str]]:
    """From where to where: all of the time, or days, months between, and days."""
    first = days.whole_day(query.since) if query.since else None
    end = days.whole_day(query.until) if query.until else None
    if by == "day":
        yield f"d{first or ''}", f"d{end}" if end else "d:" if first else "e"  # "dunknown" comes after the digits
        return
    if first is None and end is None:
        yield "", "a"
        return
    if first is not None and not first.endswith("-01"):
        month = days.following_month(first)
        yield f"d{first}", f"d{min(month, end) if end else month}"
        first = month
    last = None if end is None else f"{end[:7]}-01"
    if last is None or first is None or first < last:
        yield f"m{first[:7] if first else ''}", f"m{last[:7]}" if last else "n"
    if end is not None and last is not None and last < end and (first is None or first <= last):
        yield f"d{last}", f"d{end}"


def _cell(found: dict[str, Cell], name: str) -> Cell:
    cell = found.get(name)
    if cell is None:
        cell = found[name] = Cell()
    return cell
