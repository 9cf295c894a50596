"""Whether the index says of a run what its journal says: its rows are made anew from the journal, and compared.

A writer may go on meanwhile: the index knows how far it has read each journal, and so far only it is compared.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from equitrcoder.ledger import register
from equitrcoder.ledger.audit_report import AuditReport, Difference
from equitrcoder.ledger.encoding import encode
from equitrcoder.ledger.index import NAME, Index
from equitrcoder.ledger.reading import Place, read_piece
from equitrcoder.ledger.schema import SUMS

_TABLES = {
    "journals": ("run_id", "path, number, offset, seq, last_hash, finished"),
    "agent_runs": ("run_id", "*"),
    "model_turns": ("step", "*"),
    "tool_calls": ("ordinal, call_uid", "*"),
    "run_statistics": ("quarter, tool_name, actor", "*"),
}
"""Per table its order within a run, and what of it follows from the run's journal alone."""


_FOLDED = "run_number NOT IN (SELECT run_number FROM unfolded)"
_ALWAYS = "period = '' AND grouping = ?"


class _Anew(Index):
    """A small index for one run after the other."""

    def fill(self, entry: register.Entry, clock: str, end: int) -> None:
        """Take in a run: its line in the register and its journal up to a place."""
        with self.transaction():
            for (table,) in self.connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
                self.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
            self._set_progress("clock", 0, clock)
            self._add_run(entry.fields, entry.offset)
        path = self.state_dir / entry.fields["journal"]
        while self._take_up_to(entry.fields["run_id"], path, end):
            pass

    def _take_up_to(self, run_id: str, path: Path, end: int) -> bool:
        state = self._journal(run_id)
        assert state is not None
        if state["offset"] >= end:
            return False
        place = Place(state["offset"], state["seq"], state["last_hash"])
        piece = read_piece(path, place, name=state["path"], verify=False, end=end)  # it was verified before
        if piece.place.offset == place.offset:
            return False
        with self.transaction():
            self._apply_piece(run_id, state, piece)
        return True


class IndexAudit:
    """Compares the index with the journals, run by run.

    Args:
        state_dir: Where the index is. It may be missing, or unreadable: then `open` is False, and nothing is compared.
        report: Gets what is found.

    Raises:
        OSError, sqlite3.Error: There is no room for rows to compare with.
    """

    def __init__(self, state_dir: Path, report: AuditReport) -> None:
        self._report = report
        self._folder = tempfile.TemporaryDirectory(prefix="equitrcoder-audit-")
        self._anew: _Anew | None = None
        self._live: sqlite3.Connection | None = None
        self.compared = 0
        """Runs whose rows were compared."""
        try:
            self._anew = _Anew(Path(self._folder.name) / NAME, state_dir)
            self._anew.connection.execute("PRAGMA synchronous = OFF")
            if (state_dir / NAME).exists():
                self._live = _opened(state_dir.resolve() / NAME)
        except BaseException:
            self.close()
            raise

    @property
    def open(self) -> bool:
        """Whether there is an index to compare with."""
        return self._live is not None

    def close(self) -> None:
        """Close both, and remove what was made."""
        for index in (self._live, self._anew):
            if index is not None:
                index.close()
        self._folder.cleanup()

    def give_up(self) -> None:
        """Compare no further: the index cannot be read."""
        if self._live is not None:
            self._live.close()
            self._live = None

    def knows(self, run_id: str) -> bool:
        """Whether the run is in the index."""
        assert self._live is not None
        return self._live.execute("SELECT 1 FROM journals WHERE run_id = ?", (run_id,)).fetchone() is not None

    def compare(self, entry: register.Entry, clock: str) -> None:
        """Compare the rows of a run.

        Args:
            entry: Its first line in the register.
            clock: The latest time in the register up to and with the line before.
        """
        assert self._live is not None and self._anew is not None
        run_id = entry.fields["run_id"]
        self._live.execute("BEGIN")  # what it says from here on is of one moment
        try:
            found = self._live.execute("SELECT offset FROM journals WHERE run_id = ?", (run_id,)).fetchone()
            if found is None:
                self._tell("index_row_missing", "journals", run_id, "it does not know the run")
                return
            self._anew.fill(entry, clock, found[0])
            for table in _TABLES:
                self._compare_table(table, run_id)
            self.compared += 1
        finally:
            if self._live.in_transaction:
                self._live.execute("COMMIT")

    def compare_sums(self) -> None:
        """Whether the sums over all finished runs are those of the single runs."""
        if self._live is None:
            return
        sums = ", ".join(f"total({name})" for name in SUMS)
        self._live.execute("BEGIN")
        try:
            for grouping, name, of_run in (("all", "''", "''"), ("tool", "name", "tool_name")):
                expected = f"SELECT {of_run} AS name, {sums} FROM run_statistics WHERE {_FOLDED} GROUP BY 1"  # noqa: S608
                found = f"SELECT {name} AS name, {sums} FROM statistics WHERE {_ALWAYS} GROUP BY 1"  # noqa: S608
                self._compare_sums(grouping, self._live.execute(expected), self._live.execute(found, (grouping,)))
        finally:
            self._live.rollback()

    def _compare_sums(self, grouping: str, runs: sqlite3.Cursor, sums: sqlite3.Cursor) -> None:
        # Answers stand in rows without a tool: they are in the sums over all only.
        expected = {row[0]: row[1:] for row in runs if any(row[1:]) and (row[0] or grouping == "all")}
        found = {row[0]: row[1:] for row in sums if any(row[1:])}
        for name in sorted({*expected, *found}):
            one, other = expected.get(name), found.get(name)
            if one != other:
                what = f"sums by {grouping}: {name or 'all'}"
                told = {"expected": _figures(one), "found": _figures(other)}
                self._tell("statistics_differ", "statistics", None, what, None, **told)

    def _compare_table(self, table: str, run_id: str) -> None:
        assert self._live is not None and self._anew is not None
        names, expected = _rows(self._anew.connection, table, run_id)
        _, found = _rows(self._live, table, run_id)
        one, other = expected.fetchone(), found.fetchone()
        while one is not None or other is not None:
            if one == other:
                one, other = expected.fetchone(), found.fetchone()
                continue
            ours, theirs = _named(names, one), _named(names, other)
            if theirs is None or (ours is not None and _key(table, ours) < _key(table, theirs)):
                self._tell("index_row_missing", table, run_id, "a row is missing", ours)
                one = expected.fetchone()
            elif ours is None or _key(table, ours) > _key(table, theirs):
                self._tell("index_row_extra", table, run_id, "a row too many", theirs)
                other = found.fetchone()
            else:
                self._tell_columns(table, run_id, ours, theirs)
                one, other = expected.fetchone(), found.fetchone()

    def _tell_columns(self, table: str, run_id: str, one: dict[str, Any], other: dict[str, Any]) -> None:
        for name in one:
            if one[name] != other.get(name):
                told = {"expected": _short(one[name]), "found": _short(other.get(name))}
                self._tell("index_row_differs", table, run_id, f"column {name}", one, **told)

    def _tell(
        self, kind: str, table: str, run_id: str | None, what: str, row: dict[str, Any] | None = None, **told: str
    ) -> None:
        row = row or {}
        if table.endswith("statistics"):
            kind = "statistics_differ"
        self._report.add(
            Difference(
                kind=kind,
                run_id=run_id,
                step=row.get("step"),
                call_uid=row.get("call_uid"),
                ordinal=row.get("ordinal"),
                path=NAME,
                what=f"{table}: {what}",
                expected=told.get("expected"),
                found=told.get("found"),
            )
        )


def _opened(path: Path) -> sqlite3.Connection | None:
    """An index, for reading only; None when it cannot be opened."""
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.OperationalError:
        return None
    try:
        connection.execute("SELECT count(*) FROM progress").fetchone()
    except sqlite3.Error:
        connection.close()
        return None
    return connection


def _rows(connection: sqlite3.Connection, table: str, run_id: str) -> tuple[list[str], sqlite3.Cursor]:
    """The names of the columns, and the rows of a run in their order."""
    order, columns = _TABLES[table]
    of_run = "run_id = ?"
    if table == "run_statistics":
        of_run = "run_number = (SELECT number FROM agent_runs WHERE run_id = ?)"
    sql = f"SELECT {columns} FROM {table} WHERE {of_run} ORDER BY {order}"  # noqa: S608 - names of our own
    cursor = connection.execute(sql, (run_id,))
    return [column[0] for column in cursor.description], cursor


def _named(names: list[str], row: tuple[Any, ...] | None) -> dict[str, Any] | None:
    return None if row is None else dict(zip(names, row, strict=True))


def _key(table: str, row: dict[str, Any]) -> Any:
    if table == "tool_calls":
        return row["ordinal"], row["call_uid"]
    if table == "run_statistics":
        return row["quarter"], row["tool_name"], row["actor"]
    return row["step"] if table == "model_turns" else 0


def _figures(row: tuple[Any, ...] | None) -> str:
    counts = zip(SUMS, row or (), strict=False)
    return ", ".join(f"{name} {count:.0f}" for name, count in counts if count) or "nothing"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}…"
