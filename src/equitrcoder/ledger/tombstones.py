"""What is left of a run that was pruned or deleted: a line of runs.jsonl that says so and has its statistics.

The line comes first, then the journal goes: whoever reads the line finishes what a kill left undone. An index that is
made anew takes the statistics from it.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from equitrcoder.ledger import cells, register, rows, sketch, spilled
from equitrcoder.ledger.schema import SUMS
from equitrcoder.records import JSON

_JOURNAL = re.compile(r"journals/[^/]+/[^/]+/[^/]+\.jsonl")


class Tombstone(NamedTuple):
    """A run that is no more."""

    run_id: str
    journal: str
    """Its path, relative to the state directory: that it is gone is no damage."""
    at: str
    why: str
    """pruned or deleted."""
    calls: int
    entries: int
    last: str
    """Hash of its last entry."""


def tombstones(state_dir: Path) -> Iterator[Tombstone]:
    """The runs that were pruned or deleted, as runs.jsonl has them."""
    for entry in register.read(state_dir).entries:
        if entry.fields["type"] == "deleted":
            yield Tombstone(*_facts(entry.fields))


def _facts(fields: dict[str, Any]) -> tuple[str, str, str, str, int, int, str]:
    words = (fields["run_id"], fields["journal"], *(rows.text(fields.get(name)) or "" for name in ("at", "why")))
    numbers = (rows.whole_number(fields.get(name)) or 0 for name in ("calls", "entries"))
    return (*words, *numbers, rows.text(fields.get("last")) or "")


def entry_of(connection: sqlite3.Connection, run_id: str, *, why: str, size: int) -> dict[str, JSON]:
    """The fields of a finished run's line, from an index that has all of it."""
    journal, number, entries, last, session_id, calls = connection.execute(
        "SELECT j.path, j.number, j.seq, j.last_hash, r.session_id, r.calls "
        "FROM journals AS j JOIN agent_runs AS r USING (run_id) WHERE run_id = ?",
        (run_id,),
    ).fetchone()
    found = cells.of_run(connection, number)
    actors = sorted({actor for _, _, actor in found})
    words = [
        connection.execute(f"SELECT {', '.join(cells.Actor._fields)} FROM actors WHERE id = ?", (actor,)).fetchone()  # noqa: S608
        for actor in actors
    ]
    return {
        "run_id": run_id,
        "journal": journal,
        "session_id": session_id,
        "why": why,
        "calls": calls,
        "entries": entries,
        "last": last,
        "bytes": size,
        "number": number,
        "actors": [list(word) for word in words],
        "statistics": [_cell_to_json(key, cell, actors) for key, cell in sorted(found.items())],
    }


def _cell_to_json(key: cells.Key, cell: cells.Cell, actors: list[int]) -> JSON:
    quarter, tool, actor = key
    sums: dict[str, JSON] = {name: value for name, value in zip(SUMS, cell.sums, strict=True) if value}
    durations: list[JSON] = [list(pair) for pair in sketch.pairs(cell.sketch())]
    return [quarter, tool, actors.index(actor), sums, durations]


def take(connection: sqlite3.Connection, state_dir: Path, entry: register.Entry, *, keep_file: bool = False) -> None:
    """Enter a tombstone: the run's rows go, its statistics come from the line, and the journal is removed."""
    fields = entry.fields
    run_id, journal, at, why, calls, entries, last = _facts(fields)
    known = connection.execute("SELECT number FROM journals WHERE run_id = ?", (run_id,)).fetchone()
    number = known[0] if known else rows.whole_number(fields.get("number"))
    number = entry.offset if number is None else number
    connection.execute(
        "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(run_id, number, rows.text(fields.get("session_id")) or "", journal, at, why, calls, entries, last),
            rows.whole_number(fields.get("bytes")) or 0,
        ),
    )
    if not known:
        connection.execute("INSERT OR IGNORE INTO unfolded VALUES (?)", (number,))
    cells.replace_run(connection, number, _cells_of(connection, fields))
    for table in ("tool_calls", "model_turns", "agent_runs", "journals"):
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608 - names of our own
    connection.execute("DELETE FROM damage WHERE path = ?", (journal,))
    if not keep_file and _JOURNAL.fullmatch(journal) and ".." not in journal:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (state_dir / journal).unlink()
        spilled.remove(state_dir, run_id)


def _cells_of(connection: sqlite3.Connection, fields: dict[str, Any]) -> cells.Cells:
    """The statistics of a line, as far as they make sense."""
    found: cells.Cells = {}
    try:
        actors = [cells.enter_actor(connection, cells.Actor(*map(str, words))) for words in fields["actors"]]
        for quarter, tool, actor, sums, durations in fields["statistics"]:
            cell = found.setdefault((int(quarter), str(tool), actors[actor]), cells.Cell())
            buckets = {int(number): int(count) for number, count in durations}
            cell.add([rows.whole_number(sums.get(name)) or 0 for name in SUMS], sketch.to_bytes(buckets))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, struct.error):
        return {}
    return found
