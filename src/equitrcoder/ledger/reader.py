"""Reading the ledger, from any process: calls, turns, runs and statistics."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from equitrcoder import jsontext
from equitrcoder.errors import IndexBusy, LedgerError
from equitrcoder.ledger import pages, reading, rows, shapes, views
from equitrcoder.ledger.catch_up import catch_up, open_index
from equitrcoder.ledger.index import Index
from equitrcoder.ledger.queries import EVERY_CALL, CallQuery, where
from equitrcoder.ledger.reading import Damage
from equitrcoder.ledger.stats import Stats, compute_stats
from equitrcoder.records import JSON, ModelTurn, Run, RunStatus, ToolCall, format_time

if TYPE_CHECKING:
    from equitrcoder.ledger.breakdown import Breakdown, Grouping
    from equitrcoder.ledger.summing import Source

T = TypeVar("T")
_PAGE = 500
_FEW = 10_000
"""So many calls are looked up one by one; when more are meant, all are gone through."""


class Reader:
    """The ledger of a state directory, for reading.

    Opening it and every question take in what is new since, and close the runs whose process is gone. That costs the
    new entries only, not the history. An index that is missing, damaged or of another version is made anew.

    Attributes:
        troubles: What stood in the way of the last look at the journals, such as one that is missing.

    Raises:
        IndexBusy: Another process holds the index for too long.
        LedgerError: The index can neither be read nor made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Reader(Path(folder)) as reader:
        ...     list(reader.calls())
        []
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.troubles: list[Damage] = []
        self._guard = threading.RLock()
        self._index: Index | None = None
        self._ask(lambda connection: None)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        with self._guard:
            if self._index is not None:
                self._index.close()
                self._index = None

    def calls(self, query: CallQuery = EVERY_CALL, *, full: bool = False) -> Iterator[ToolCall]:
        """The calls of a query, oldest first; with a limit the newest n, still oldest first.

        Args:
            full: Whole results, from the journals. Else results beyond 2 KB are cut: `truncated_to` then says to how
                many bytes, `result_bytes` how many there were.
        """
        for batch in self.rows(query):
            yield from (shapes.call(row, self.state_dir, full=full) for row in batch)

    def rows(
        self, query: CallQuery = EVERY_CALL, *, select: str = shapes.SELECT_CALLS_IN_ORDER
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The same as rows of `shapes.select_in_order`, some at a time."""
        query = self._resolved(query)
        if query.limit is not None:
            limit = max(query.limit, 0)
            keys = self._ask(lambda connection: pages.newest(connection, query, limit))
        elif pages.is_chosen(query):
            keys = self._ask(lambda connection: pages.newest(connection, query, _FEW, or_none=True))
        else:
            keys = None
        yield from self._in_order(query, select) if keys is None else self._at(keys[::-1], select)

    def call_at(self, key: pages.Key) -> ToolCall:
        """The call at a place, its result whole."""
        ((row,),) = self._at([key], shapes.SELECT_CALLS_IN_ORDER)
        return shapes.call(row, self.state_dir, full=True)

    def facts_of_run(self, run_id: str) -> dict[str, Any]:
        """What is the same of all calls of a run."""
        names = sorted(shapes.OF_RUN)
        sql = f"SELECT {', '.join(names)} FROM agent_runs WHERE run_id = ?"  # noqa: S608 - names of our own
        row = self._ask(lambda connection: connection.execute(sql, (run_id,)).fetchone())
        return dict(zip(names, row, strict=True))

    def _at(self, keys: list[pages.Key], select: str) -> Iterator[list[tuple[Any, ...]]]:
        """The calls at these places."""
        sql = f"{select} WHERE {' AND '.join(f'{name} = ?' for name in shapes.ORDER)}"
        for first in range(0, len(keys), _PAGE):
            page = keys[first : first + _PAGE]
            yield self._ask(lambda connection, page=page: [row for key in page for row in connection.execute(sql, key)])  # type: ignore[misc]

    def _in_order(self, query: CallQuery, select: str) -> Iterator[list[tuple[Any, ...]]]:
        """All calls of a query, looking at each that there is since its time."""
        condition, values = where(query)
        order = ", ".join(shapes.ORDER)
        sql = f"{select} WHERE {condition} AND ({order}) > (?, ?, ?) ORDER BY {order} LIMIT ?"
        last: tuple[Any, ...] = ("" if query.since is None else format_time(query.since), -1, -1)
        while page := self._ask(lambda connection: connection.execute(sql, (*values, *last, _PAGE)).fetchall()):  # noqa: B023
            yield page
            last = page[-1][: len(shapes.ORDER)]

    def full_result(self, call_uid: str) -> JSON:
        """The whole result of a call, from its journal where the index holds only the first part.

        Raises:
            LedgerError: No such call, or its journal is gone.
        """
        sql = (
            "SELECT c.result, c.result_form, c.finished_offset, c.finished_length, j.path "
            "FROM tool_calls AS c JOIN journals AS j USING (run_id) WHERE c.call_uid = ?"
        )
        row = self._ask(lambda connection: connection.execute(sql, (call_uid,)).fetchone())
        if row is None:
            raise LedgerError(f"No call has the id {call_uid}.", hint="equitrcoder calls", code="E604")
        result, form, offset, length, path = row
        if form in (rows.NONE, rows.WHOLE):
            return result  # type: ignore[no-any-return]
        if form == rows.WHOLE_JSON:
            return jsontext.loads(result)  # type: ignore[no-any-return]
        event = reading.read_at(self.state_dir / path, offset, length)
        if event is None or event.get("call_uid") != call_uid:
            raise LedgerError(f"The journal {path} no longer has the result of {call_uid}.", code="E602")
        return event.get("result")

    def runs(
        self,
        *,
        limit: int | None = None,
        status: RunStatus | None = None,
        since: datetime | None = None,
        repo: str | None = None,
        session: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        agent: str | None = None,
        until: datetime | None = None,
        before: str | None = None,
        after: str | None = None,
        offset: int = 0,
    ) -> list[Run]:
        """Runs, the newest first.

        Args:
            model: As requested or as answered.
            agent: Name or role.
            until: Started before this moment (aware).
            before: Only runs older than this one (whole id): the next page, whatever was added meanwhile.
            after: Only runs newer than this one (whole id; "": all), and the oldest first.
            offset: So many of the newest are left out.
        """
        terms: list[tuple[str, str | None]] = [
            ("r.status = ?", status),
            ("r.started_at >= ?", None if since is None else format_time(since)),
            ("r.started_at < ?", None if until is None else format_time(until)),
            ("r.repo_path = ?", repo),
            ("r.session_id = ?", session),
            ("r.provider = ?", provider),
            ("? IN (r.model_requested, r.model_answered)", model),
            ("? IN (r.agent_name, r.agent_role)", agent),
            ("r.number < (SELECT number FROM agent_runs WHERE run_id = ?)", before),
            ("r.number > (SELECT number FROM agent_runs WHERE run_id = ?)", after or None),
        ]
        chosen = [(term, value) for term, value in terms if value is not None]
        condition = " AND ".join(term for term, _ in chosen) or "1"
        order = "DESC" if after is None else "ASC"
        page = [-1 if limit is None else max(limit, 0), max(offset, 0)]
        return self._runs(
            f"WHERE {condition} ORDER BY r.number {order} LIMIT ? OFFSET ?", [*(value for _, value in chosen), *page]
        )

    def _runs(self, rest: str, values: list[Any]) -> list[Run]:
        sql = f"{shapes.SELECT_RUNS} {rest}"
        return [shapes.run(row) for row in self._ask(lambda connection: connection.execute(sql, values).fetchall())]

    def run(self, which: str) -> Run:
        """One run: by its whole id, by a tail of it that no other has (as shown: "7F3K"), or "last",
        the newest one that no supervisor started.

        Raises:
            LedgerError: There is none, or more than one.
        """
        if which == "last":
            found = self._runs("WHERE r.parent_run_id IS NULL ORDER BY r.number DESC LIMIT 1", [])
        else:
            wanted = which.strip().lstrip("…").upper()
            found = self._runs("WHERE r.run_id = ?", [wanted]) or self._runs(*_tail(wanted))
        if len(found) == 1:
            return found[0]
        if not found:
            what = "There is no run yet." if which == "last" else self._deleted(wanted) or f'No run ends in "{which}".'
            raise LedgerError(what, hint="equitrcoder runs", code="E604")
        ids = ", ".join(run.run_id for run in found)
        raise LedgerError(f'More than one run ends in "{which}": {ids}.', hint="give more characters", code="E604")

    def _deleted(self, wanted: str) -> str | None:
        sql = "SELECT run_id, why, at FROM tombstones WHERE substr(run_id, -length(?)) = ?"
        found = self._ask(lambda connection: connection.execute(sql, (wanted, wanted or "-")).fetchone())
        return f"Run {found[0]} was {found[1]} on {found[2][:10]}; its statistics are kept." if found else None

    def session(self, which: str) -> str:
        """The whole id of a session: by its id, by a tail of it that no other has, or "last", that of the last run.

        Raises:
            LedgerError: There is none, or more than one.
        """
        if which == "last":
            return self.run("last").session_id
        wanted = which.strip().lstrip("…").upper()
        sql = "SELECT DISTINCT session_id FROM agent_runs WHERE substr(session_id, -length(?)) = ? LIMIT 5"
        found = self._ask(lambda connection: connection.execute(sql, (wanted, wanted or "-")).fetchall())
        if len(found) == 1:
            return str(found[0][0])
        if not found:
            raise LedgerError(f'No session ends in "{which}".', hint="equitrcoder show names a run's", code="E604")
        ids = ", ".join(row[0] for row in found)
        raise LedgerError(f'More than one session ends in "{which}": {ids}.', hint="give more letters", code="E604")

    def turns(self, run_id: str) -> list[ModelTurn]:
        """The model answers of a run (whole id), in order."""
        sql = f"{shapes.SELECT_TURNS} WHERE t.run_id = ? ORDER BY t.step"
        return [shapes.turn(row) for row in self._ask(lambda connection: connection.execute(sql, (run_id,)).fetchall())]

    def events(self, run_id: str) -> Iterator[dict[str, Any]]:
        """The journal's events of a run (whole id), in order; damaged entries are left out (`damage` has them)."""
        for item in reading.read_events(self.state_dir / self.run(run_id).journal):
            if isinstance(item, reading.Placed):
                yield item.event

    def run_view(self, which: str) -> dict[str, JSON]:
        """A run with its calls, execution steps and token usage, results whole (design/record.md, "Run")."""
        run = self.run(which)
        calls = self.calls(CallQuery(run=run.run_id), full=True)
        return views.run_view(run, calls, self.events(run.run_id))

    def stats(self, query: CallQuery = EVERY_CALL) -> Stats:
        """Count the closed calls of a query; every key is there when there are none."""
        return self.stats_with_source(query)[0]

    def stats_with_source(self, query: CallQuery = EVERY_CALL) -> tuple[Stats, Source]:
        """The same, and whether it was counted before ("sketch") or now, call by call ("exact").

        Runs that were pruned or deleted are in what was counted before, and no longer among the calls.
        """
        query = self._resolved(query)
        return self._ask(lambda connection: compute_stats(connection, query))

    def breakdown(self, by: Grouping, query: CallQuery = EVERY_CALL) -> Breakdown:
        """The closed calls of a query and what the models cost: by tool, model, provider, agent, role or day.

        The most used first. `source` says where it comes from; percentiles of a sketch are at most 1 % off.
        """
        from equitrcoder.ledger.breakdown import compute_breakdown

        query = self._resolved(query)
        return self._ask(lambda connection: compute_breakdown(connection, by, query))

    def damage(self) -> list[Damage]:
        """Every place of the ledger that was found not to be as it was written."""
        sql = "SELECT path, offset, bytes, what FROM damage ORDER BY path, offset, what"
        found = self._ask(lambda connection: connection.execute(sql).fetchall())
        return [*(Damage(*row) for row in found), *self.troubles]

    def _resolved(self, query: CallQuery) -> CallQuery:
        return query if query.run is None else replace(query, run=self.run(query.run).run_id)

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer from an index that is up to date; made anew if it is damaged, in memory if it cannot be written."""
        with self._guard:
            try:
                return self._answer(question)
            except sqlite3.OperationalError as error:
                if "locked" in str(error) or "busy" in str(error):
                    busy = f"Another process holds the index in {self.state_dir}."
                    raise IndexBusy(busy, hint="try again") from error
                if "no such" in str(error):  # a table is gone
                    return self._answer_anew(question)
                return self._answer_from_memory(question)
            except sqlite3.DatabaseError:
                return self._answer_anew(question)
            except OSError as error:
                if self.state_dir.is_dir():
                    return self._answer_from_memory(question)
                raise _unreadable(self.state_dir, error.strerror or str(error)) from error

    def _answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        self._index = open_index(self.state_dir, self._index)
        # Where nothing can be written nothing is closed either: dead runs show as running there.
        self.troubles = catch_up(self._index, close_dead=self._index.path is not None)
        return question(self._index.connection)

    def _answer_anew(self, question: Callable[[sqlite3.Connection], T]) -> T:
        from equitrcoder.ledger.rebuild import rebuild_index

        self.close()
        try:
            rebuild_index(self.state_dir)
            return self._answer(question)
        except (sqlite3.Error, OSError):
            return self._answer_from_memory(question)

    def _answer_from_memory(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """A read-only folder, a full disk: the journals are read into an index that lives as long as this reader."""
        self.close()
        try:
            self._index = Index(None, self.state_dir)
            return self._answer(question)
        except (sqlite3.Error, OSError) as error:
            raise _unreadable(self.state_dir, str(error)) from error


def _tail(wanted: str) -> tuple[str, list[Any]]:
    """Which runs end so; four letters and more are looked up."""
    indexed = " AND substr(r.run_id, -4) = ?" if len(wanted) >= 4 else ""
    values = [wanted, wanted or "-", *([wanted[-4:]] if indexed else [])]
    return f"WHERE substr(r.run_id, -length(?)) = ?{indexed} ORDER BY r.number DESC LIMIT 5", values


def _unreadable(state_dir: Path, reason: str) -> LedgerError:
    return LedgerError(
        f"Cannot read the ledger in {state_dir}: {reason.lower()}.",
        hint="check who owns the folder, or set EQUITRCODER_STATE_DIR",
    )
