"""Making the index anew from the journals, beside the old one, which answers until the new one takes its place."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from equitrcoder.ledger import catch_up, cells, files, register, schema
from equitrcoder.ledger.cycles import without_cycles
from equitrcoder.ledger.index import NAME, Index
from equitrcoder.ledger.reading import Damage, Place, read_piece

_FOLD_RUNS = 2_000
_MADE_LAST = {
    name: statement
    for statement in schema.TABLES.split(";\n")
    for name in ("tool_calls_order", "tool_calls_chosen")
    if f"CREATE INDEX {name} " in statement
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What a rebuild found."""

    runs: int
    calls: int
    duration_ms: float
    damage: list[Damage] = field(default_factory=list)
    """Every place that is not as it was written; empty when all is well."""


def rebuild_index(state_dir: Path, *, on_progress: Callable[[int, int], None] | None = None) -> RebuildReport:
    """Make the index anew from runs.jsonl and the journals. Others go on with the old one meanwhile.

    Args:
        on_progress: Hears (runs done, runs in all) after each run.

    Raises:
        OSError, sqlite3.Error: It cannot be written.
    """
    began = time.monotonic()
    files.make_private_folder(state_dir)
    with without_cycles():
        report = _rebuilt(state_dir, on_progress)
    return replace(report, duration_ms=(time.monotonic() - began) * 1000)


def _rebuilt(state_dir: Path, on_progress: Callable[[int, int], None] | None) -> RebuildReport:
    _register_strays(state_dir)
    fresh = state_dir / f"{NAME}.new-{os.getpid()}-{time.monotonic_ns()}"
    try:
        index = Index(fresh, state_dir)
        try:
            troubles = _fill(index, on_progress)
            runs, calls = _counts(index)
            damage = [*_damage(index), *troubles]
        finally:
            index.close()
        fresh.chmod(0o600)
        _exchange(state_dir, fresh)
    finally:
        for name in (fresh.name, f"{fresh.name}-wal", f"{fresh.name}-shm"):
            with contextlib.suppress(FileNotFoundError):
                (state_dir / name).unlink()
    return RebuildReport(runs=runs, calls=calls, duration_ms=0.0, damage=damage)


def _fill(index: Index, on_progress: Callable[[int, int], None] | None) -> list[Damage]:
    connection = index.connection
    for pragma in (
        "synchronous = OFF",
        "journal_mode = MEMORY",
        "cache_size = -100000",
    ):  # nobody else has the file yet
        connection.execute(f"PRAGMA {pragma}")
    for name in _MADE_LAST:
        connection.execute(f"DROP INDEX {name}")
    index.fold_runs = _FOLD_RUNS
    index.read_register()
    runs = index.unfinished()
    troubles: list[Damage] = []
    for done, run_id in enumerate(runs, 1):
        troubles += catch_up.catch_up_run(index, run_id)
        if on_progress is not None:
            on_progress(done, len(runs))
    index.read_register()  # what was pruned meanwhile is no damage
    with index.transaction():
        cells.fold(index.connection, cells.foldable(index.connection))
    for statement in _MADE_LAST.values():  # sorted once, at a fraction of what each single entry costs
        connection.execute(statement)
    connection.execute("PRAGMA journal_mode = WAL")
    gone = {row[0] for row in index.connection.execute("SELECT path FROM tombstones")}
    return [damage for damage in troubles if damage.path not in gone]


def _counts(index: Index) -> tuple[int, int]:
    runs, calls = index.connection.execute(
        "SELECT (SELECT count(*) FROM agent_runs), (SELECT count(*) FROM tool_calls)"
    ).fetchone()
    return runs, calls


def _damage(index: Index) -> list[Damage]:
    return [
        Damage(*row)
        for row in index.connection.execute("SELECT path, offset, bytes, what FROM damage ORDER BY path, offset, what")
    ]


def _exchange(state_dir: Path, fresh: Path) -> None:
    """Put the new file in the old one's place.

    A write-ahead log belongs to a name, not to a file: the old one's is taken away first, under the lock that everybody
    holds while opening. Whoever has the old file open goes on with it until it sees the change.
    """
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    with catch_up.opening(state_dir, alone=True):
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                (state_dir / f"{NAME}{suffix}").unlink()
        fresh.replace(state_dir / NAME)


def _register_strays(state_dir: Path) -> None:
    """Journals that runs.jsonl does not name (it was deleted, or a kill came between) are entered at its end."""
    entries = [entry.fields for entry in register.read(state_dir).entries]
    known = {fields["journal"] for fields in entries if fields["type"] != "finished"}
    ends = {fields["journal"]: fields for fields in entries if fields["type"] == "finished"}
    strays = []
    for path in (state_dir / "journals").glob("*/*/*.jsonl"):
        journal = path.relative_to(state_dir).as_posix()
        if journal not in known and (started := _first_event(path)) is not None:
            strays.append((str(started["at"]), journal, started))
    for at, journal, started in sorted(strays, key=lambda stray: stray[:2]):
        register.append(state_dir, "started", _as_found(journal, started), at=at)
        if journal in ends:  # its line counts only after the one that says where the run began
            end = {name: value for name, value in ends[journal].items() if name not in ("v", "at", "type")}
            register.append(state_dir, "finished", end, at=str(ends[journal].get("at")))


def _as_found(journal: str, started: dict[str, Any]) -> dict[str, Any]:
    """What the register says of a journal that it did not know, from its first entry."""
    begun = started if started["type"] == "run_started" else {}
    run_id = begun.get("run_id")
    return {name: begun[name] for name in register.REPEATED if name in begun} | {
        "run_id": run_id if isinstance(run_id, str) else Path(journal).stem,
        "journal": journal,
        "found": True,
    }


def _first_event(path: Path) -> dict[str, Any] | None:
    """None for a journal that its process is about to enter, or was killed before it could."""
    try:
        if files.is_locked(path):
            return None
        events = read_piece(path, Place()).events
    except OSError:
        return None
    return events[0][2] if events else None
