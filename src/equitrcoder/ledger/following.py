"""Following a run's journal while it grows, also that of another process, until the run has ended or its process died.

By looking at its size: journals may lie where no file system tells of changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import files, recover
from equitrcoder.ledger.journal import now_text
from equitrcoder.ledger.reading import Place, read_piece


def follow(
    state_dir: Path, run_id: str, journal: str, *, pause: Callable[[], None], wait: bool = True
) -> Iterator[list[dict[str, Any]]]:
    """The events of a run, in order, as they are written; from the first one on.

    A look costs one stat while nothing happens. A run whose process is gone is closed as `interrupted`, as every
    reader of the ledger does; where that cannot be written, a `run_finished` event that stands in no file says so.

    Args:
        journal: Its path, relative to the state directory.
        pause: Called before each further look, for waiting. What it raises ends the iteration.
        wait: False: what is there, and no more.

    Returns:
        Some events at a time; an empty list says that there are no more for now. Ends after `run_finished`.

    Raises:
        LedgerError: The journal is gone, or cannot be read.
    """
    path = state_dir / journal
    place = Place()
    while True:
        dead = not _lives(path)  # looked at before the last reading: what it wrote before it died is read first
        while True:
            events, place = _next(path, place)
            if not events:
                break
            yield events
            if events[-1]["type"] == "run_finished":
                return
        if dead and wait:
            if not _close(state_dir, run_id, journal):
                yield [_interrupted()]
                return
            continue
        yield []
        if not wait:
            return
        pause()


def _next(path: Path, place: Place) -> tuple[list[dict[str, Any]], Place]:
    """The next whole entries; none while nothing was added. Entries that cannot be read are passed over."""
    try:
        while path.stat().st_size > place.offset:
            piece = read_piece(path, place, verify=False)
            if piece.events or piece.place.offset == place.offset:
                return [event for _, _, event in piece.events], piece.place
            place = piece.place
    except OSError as error:
        raise _gone(path, error) from error
    return [], place


def _lives(path: Path) -> bool:
    try:
        return files.is_locked(path)
    except OSError as error:
        raise _gone(path, error) from error


def _close(state_dir: Path, run_id: str, journal: str) -> bool:
    """Close a dead run; False when that cannot be written, or there is nothing of it to close."""
    try:
        closed = recover.close_dead_run(state_dir, run_id, journal)
    except OSError:
        return False
    return not closed or (state_dir / journal).stat().st_size > 0


def _interrupted() -> dict[str, Any]:
    return {
        "v": 1,
        "at": now_text().decode(),
        "type": "run_finished",
        "status": "interrupted",
        "response": None,
        "error": "the process ended before the run did",
        "error_type": "process_died",
        "recovered": True,
    }


def _gone(path: Path, error: OSError) -> LedgerError:
    reason = (error.strerror or str(error)).lower()
    return LedgerError(f"Cannot read {path}: {reason}.", hint="equitrcoder show has what the index knows", code="E602")
