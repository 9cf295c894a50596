"""Reading the ledger, from any process: calls, turns, runs and statistics."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from equitrcoder import jsontext
from equitrcoder.errors import IndexBusy, LedgerError
from equitrcoder.ledger import reading, rows, views
from equitrcoder.ledger.catch_up import catch_up, open_index
from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.ledger.index import Index
from equitrcoder.ledger.queries import EVERY_CALL, JOINED, CallQuery, where
from equitrcoder.ledger.reading import Damage
from equitrcoder.ledger.stats import Stats, ToolRow, compute_stats, compute_tool_rows
from equitrcoder.records import JSON, ModelTurn, Run, RunStatus, ToolCall, format_time

T = TypeVar("T")
_PAGE = 200

_CALL_COLUMNS = (
    "call_uid",
    "provider_call_id",
    "session_id",
    "run_id",
    "parent_run_id",
    "step",
    "position",
    "ordinal",
    "provider",
    "model_requested",
    "model_answered",
    "agent_role",
    "agent_name",
    "tool_name",
    "tool_kind",
    "executed_by",
    "capture",
    "arguments",
    "arguments_raw",
    "result",
    "result_metadata",
    "result_bytes",
    "result_sha256",
    "truncated_to",
    "outcome",
    "error_type",
    "error_message",
    "requested_at",
    "started_at",
    "ended_at",
    "duration_ms",
    "duration_source",
    "approval",
    "attempt",
    "sandbox",
    "redactions",
)
_OF_RUN = frozenset(
    {
        "session_id",
        "parent_run_id",
        "provider",
        "model_requested",
        "agent_role",
        "agent_name",
        "capture",
        "attempt",
    }
)
_PLACE_COLUMNS = (
    "arguments_form",
    "arguments_raw_form",
    "result_form",
    "requested_offset",
    "requested_length",
    "finished_offset",
    "finished_length",
)
_TURN_COLUMNS = (
    "run_id",
    "step",
    "at",
    "model_answered",
    "input_tokens",
    "cached_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "finish",
    "duration_ms",
    "time_to_first_byte_ms",
    "attempts",
    "cost_nanousd",
    "price_version",
    "text",
    "calls",
)
_RUN_COLUMNS = tuple(name for name in Run.__dataclass_fields__ if name != "journal")


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
        query = self._resolved(query)
        condition, values = where(query)
        columns = ", ".join([*map(_column, _CALL_COLUMNS), *(f"c.{name}" for name in _PLACE_COLUMNS)])
        newest_first = "DESC" if query.limit is not None else ""
        sql = (
            f"SELECT {columns}, j.path {JOINED} JOIN journals AS j ON j.run_id = c.run_id {condition} "
            f"ORDER BY c.order_at {newest_first}, c.run_number {newest_first}, c.ordinal {newest_first}"
        )
        if query.limit is not None:
            sql, values = f"{sql} LIMIT ?", [*values, max(query.limit, 0)]
        found = self._ask(lambda connection: _pages(connection, sql, values, whole=query.limit is not None))
        for row in found:
            yield self._call(row, full=full)

    def _call(self, row: tuple[Any, ...], *, full: bool) -> ToolCall:
        count = len(_CALL_COLUMNS)
        fields = dict(zip(_CALL_COLUMNS, row[:count], strict=True))
        stored = dict(zip(_PLACE_COLUMNS, row[count:-1], strict=True))
        path = self.state_dir / row[-1]
        fields["arguments"] = jsontext.loads(fields["arguments"]) if fields["arguments"] is not None else None
        if rows.IN_JOURNAL in (stored["arguments_form"], stored["arguments_raw_form"]):
            event = reading.read_at(path, stored["requested_offset"], stored["requested_length"]) or {}
            fields["arguments"], fields["arguments_raw"] = event.get("arguments"), event.get("arguments_raw")
        self._put_result(fields, stored, path, full=full)
        for name in ("requested_at", "started_at", "ended_at"):
            fields[name] = _time(fields[name])
        fields["requested_at"] = fields["requested_at"] or datetime.fromtimestamp(0, UTC)
        for name in ("result_metadata", "redactions"):
            fields[name] = jsontext.loads(fields[name]) if fields[name] else None
        return ToolCall(**fields)

    def _put_result(self, fields: dict[str, Any], stored: dict[str, Any], path: Path, *, full: bool) -> None:
        form = stored["result_form"]
        if form == rows.WHOLE_JSON:
            fields["result"] = jsontext.loads(fields["result"])
        elif form in (rows.HEAD, rows.HEAD_JSON):
            event = reading.read_at(path, stored["finished_offset"], stored["finished_length"]) if full else None
            if event is not None and event.get("call_uid") == fields["call_uid"]:
                fields["result"] = event.get("result")
            else:
                fields["truncated_to"] = len(text_bytes(fields["result"]))

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
    ) -> list[Run]:
        """Runs, the newest first."""
        terms = {"status = ?": status, "started_at >= ?": since and format_time(since)}
        terms |= {"repo_path = ?": repo, "session_id = ?": session}
        chosen = {term: value for term, value in terms.items() if value is not None}
        condition = f"WHERE {' AND '.join(chosen)}" if chosen else ""
        return self._runs(
            f"{condition} ORDER BY r.number DESC LIMIT ?", [*chosen.values(), -1 if limit is None else max(limit, 0)]
        )

    def _runs(self, rest: str, values: list[Any]) -> list[Run]:
        columns = ", ".join(f"r.{name}" for name in _RUN_COLUMNS)
        sql = f"SELECT {columns}, j.path FROM agent_runs AS r JOIN journals AS j USING (run_id) {rest}"  # noqa: S608 - as above
        return [_run(row) for row in self._ask(lambda connection: connection.execute(sql, values).fetchall())]

    def run(self, which: str) -> Run:
        """One run: by its whole id, by a tail of it that no other has (as shown: "7F3K"), or "last".

        Raises:
            LedgerError: There is none, or more than one.
        """
        if which == "last":
            found = self.runs(limit=1)
        else:
            wanted = which.strip().lstrip("…").upper()
            found = self._runs(
                "WHERE substr(r.run_id, -length(?)) = ? ORDER BY r.number DESC LIMIT 5", [wanted, wanted or "-"]
            )
        if len(found) == 1:
            return found[0]
        if not found:
            what = "There is no run yet." if which == "last" else f'No run ends in "{which}".'
            raise LedgerError(what, hint="equitrcoder runs", code="E604")
        ids = ", ".join(run.run_id for run in found)
        raise LedgerError(f'More than one run ends in "{which}": {ids}.', hint="give more characters", code="E604")

    def turns(self, run_id: str) -> list[ModelTurn]:
        """The model answers of a run (whole id), in order."""
        columns = ", ".join(f"t.{name}" for name in _TURN_COLUMNS)
        sql = (
            f"SELECT {columns}, r.provider, r.model_requested FROM model_turns AS t "  # noqa: S608 - as above
            "JOIN agent_runs AS r USING (run_id) WHERE t.run_id = ? ORDER BY t.step"
        )
        names = (*_TURN_COLUMNS, "provider", "model_requested")
        return [
            _turn(dict(zip(names, row, strict=True)))
            for row in self._ask(lambda connection: connection.execute(sql, (run_id,)).fetchall())
        ]

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
        query = self._resolved(query)
        return self._ask(lambda connection: compute_stats(connection, query))

    def tool_rows(self, query: CallQuery = EVERY_CALL) -> list[ToolRow]:
        """The closed calls of a query by tool, with percentiles, the most used first."""
        query = self._resolved(query)
        return self._ask(lambda connection: compute_tool_rows(connection, query))

    def damage(self) -> list[Damage]:
        """Every place of the ledger that was found not to be as it was written."""
        sql = "SELECT path, offset, bytes, what FROM damage ORDER BY path, offset, what"
        found = self._ask(lambda connection: connection.execute(sql).fetchall())
        return [*(Damage(*row) for row in found), *self.troubles]

    def _resolved(self, query: CallQuery) -> CallQuery:
        return query if query.run is None else replace(query, run=self.run(query.run).run_id)

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer from an index that is up to date; if it turns out to be damaged, from one made anew."""
        with self._guard:
            try:
                return self._answer(question)
            except sqlite3.OperationalError as error:
                raise _busy_or_broken(error, self.state_dir) from error
            except sqlite3.DatabaseError:
                return self._answer_anew(question)
            except OSError as error:
                raise LedgerError(
                    f"Cannot read the ledger in {self.state_dir}: {(error.strerror or str(error)).lower()}.",
                    hint="check who owns the folder, or set EQUITRCODER_STATE_DIR",
                ) from error

    def _answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        self._index = open_index(self.state_dir, self._index)
        self.troubles = catch_up(self._index)
        return question(self._index.connection)

    def _answer_anew(self, question: Callable[[sqlite3.Connection], T]) -> T:
        from equitrcoder.ledger.rebuild import rebuild_index

        self.close()
        try:
            rebuild_index(self.state_dir)
            return self._answer(question)
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(
                f"The index in {self.state_dir} is damaged and cannot be made anew: {error}.",
                hint="delete index.sqlite; the journals hold everything",
            ) from error


def _busy_or_broken(error: sqlite3.OperationalError, state_dir: Path) -> LedgerError:
    if "locked" in str(error) or "busy" in str(error):
        return IndexBusy(f"Another process holds the index in {state_dir}.", hint="try again")
    return LedgerError(f"Cannot use the index in {state_dir}: {error}.", hint="make room, or delete index.sqlite")


def _pages(
    connection: sqlite3.Connection, sql: str, values: list[Any], *, whole: bool
) -> Iterator[tuple[Any, ...]] | list[tuple[Any, ...]]:
    cursor = connection.execute(sql, values)
    if whole:
        return cursor.fetchall()[::-1]
    first = cursor.fetchmany(_PAGE)
    return _all_of(first, cursor) if len(first) == _PAGE else first


def _all_of(first: list[tuple[Any, ...]], cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    page = first
    while page:
        yield from page
        page = cursor.fetchmany(_PAGE)


def _column(name: str) -> str:
    table = "r" if name in _OF_RUN else "t" if name == "model_answered" else "c"
    return f"{table}.{name}"


def _time(value: Any) -> datetime | None:
    """A stored time; None for none, and for what damage left of one."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _run(row: tuple[Any, ...]) -> Run:
    fields = dict(zip(_RUN_COLUMNS, row[:-1], strict=True))
    fields["started_at"] = _time(fields["started_at"]) or datetime.fromtimestamp(0, UTC)
    fields["completed_at"] = _time(fields["completed_at"])
    return Run(**fields, journal=row[-1])


def _turn(fields: dict[str, Any]) -> ModelTurn:
    fields["at"] = _time(fields["at"]) or datetime.fromtimestamp(0, UTC)
    return ModelTurn(**fields)
