"""Taking runs out of the ledger for good: whole journals, never of a run that lives, and their statistics stay."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import files, register, spilled, tombstones
from equitrcoder.ledger.catch_up import catch_up, open_index
from equitrcoder.ledger.index import Index
from equitrcoder.records import format_time

Why: TypeAlias = Literal["pruned", "deleted"]
_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A run that can be taken out."""

    run_id: str
    calls: int
    bytes: int
    """Of its journal and its spilled results."""


@dataclass(slots=True, kw_only=True)
class PruneReport:
    """What was taken out."""

    removed: list[Doomed] = field(default_factory=list)
    living: list[str] = field(default_factory=list)
    """Ids of runs that still run: they stay."""

    @property
    def bytes(self) -> int:
        """Of the removed journals."""
        return sum(run.bytes for run in self.removed)

    @property
    def calls(self) -> int:
        """Of the removed runs."""
        return sum(run.calls for run in self.removed)


def ended_before(state_dir: Path, moment: datetime) -> list[Doomed]:
    """The runs that ended before a moment (aware), oldest first. Runs that live are not among them."""
    with _index(state_dir) as index:
        found = index.connection.execute(
            "SELECT run_id, calls FROM agent_runs AS r JOIN journals USING (run_id) "
            "WHERE finished = 1 AND coalesce(completed_at, started_at) < ? ORDER BY r.number",
            (format_time(moment),),
        ).fetchall()
        return [_doomed(index, run_id, calls) for run_id, calls in found]


def these(state_dir: Path, run_ids: Sequence[str]) -> list[Doomed]:
    """Single runs, by their whole ids."""
    with _index(state_dir) as index:
        sql = "SELECT run_id, calls FROM agent_runs WHERE run_id = ?"
        found = [row for run_id in run_ids for row in index.connection.execute(sql, (run_id,))]
        return [_doomed(index, run_id, calls) for run_id, calls in found]


def remove(state_dir: Path, runs: Sequence[Doomed], why: Why) -> PruneReport:
    """Take runs out: first a tombstone for each, safe on the disk, then their journals and rows.

    A kill in between is finished by whoever opens the ledger next.

    Raises:
        LedgerError, OSError, sqlite3.Error: It cannot be written; what was removed until then stays removed.
    """
    report = PruneReport()
    with _index(state_dir) as index:
        for first in range(0, len(runs), _AT_ONCE):
            with contextlib.ExitStack() as locks:
                for run in runs[first : first + _AT_ONCE]:
                    if _take_hold(locks, index, run):
                        register.append(
                            state_dir,
                            "deleted",
                            tombstones.entry_of(index.connection, run.run_id, why=why, size=run.bytes),
                        )
                        report.removed.append(run)
                    else:
                        report.living.append(run.run_id)
                _sync(state_dir)
                index.read_register()
    return report


def _take_hold(locks: contextlib.ExitStack, index: Index, run: Doomed) -> bool:
    """Lock a run's journal and index all of it; False when somebody else holds it, or it has no end."""
    path = index.state_dir / index.registered(run.run_id)[0]
    try:
        fd = files.open_to_append(path)
    except FileNotFoundError:
        return True  # what is known of it is in the index
    locks.callback(os.close, fd)
    return files.try_lock(fd) and index.follow(run.run_id)


def _sync(state_dir: Path) -> None:
    """A tombstone must be on the disk before a journal goes from it."""
    fd = files.open_to_append(state_dir / register.NAME)
    try:
        files.sync_data(fd)
    finally:
        os.close(fd)


def _doomed(index: Index, run_id: str, calls: int) -> Doomed:
    try:
        size = (index.state_dir / index.registered(run_id)[0]).stat().st_size
    except OSError:
        size = 0
    size += spilled.size_of(index.state_dir / spilled.FOLDER / run_id)
    return Doomed(run_id=run_id, calls=calls, bytes=size)


@contextlib.contextmanager
def _index(state_dir: Path) -> Iterator[Index]:
    if not state_dir.is_dir():
        raise LedgerError(f"There is no ledger in {state_dir}.", hint="equitrcoder run", code="E604")
    index = open_index(state_dir)
    try:
        catch_up(index)
        yield index
    finally:
        index.close()
