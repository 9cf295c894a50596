"""Bringing the index up to the journals: what is new in runs.jsonl and in the journals that have no end yet."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equitrcoder.ledger import files, recover
from equitrcoder.ledger.index import NAME, Index
from equitrcoder.ledger.reading import Damage

LOCK_NAME = "index.lock"


@contextmanager
def opening(state_dir: Path, *, alone: bool = False) -> Iterator[None]:
    """Hold the lock of the index's name: together while it is opened, alone while the file is exchanged."""
    fd = files.open_to_append(state_dir / LOCK_NAME, create=True)
    try:
        files.wait_for_lock(fd, shared=not alone)
        yield
    finally:
        os.close(fd)


def open_index(state_dir: Path, current: Index | None = None) -> Index:
    """Open the index, or go on with the open one while it is still the one at its place. Reads the register.

    A damaged index, or one of another version, is made anew.

    Raises:
        OSError, sqlite3.Error: It cannot be opened or made.
    """
    if current is not None and current.replaced():
        current.close()
        current = None
    try:
        return _up_to_date(current or _open(state_dir))
    except sqlite3.OperationalError:
        raise  # busy, read-only, full: making it anew would not help
    except sqlite3.DatabaseError:
        from equitrcoder.ledger.rebuild import rebuild_index

        rebuild_index(state_dir)
        return _up_to_date(_open(state_dir))


def _up_to_date(index: Index) -> Index:
    try:
        index.look_after_log()
        index.read_register()
    except BaseException:
        index.close()
        raise
    return index


def _open(state_dir: Path) -> Index:
    files.make_private_folder(state_dir)
    with opening(state_dir):
        path = state_dir / NAME
        new = not path.exists()
        index = Index(path, state_dir)
        if new:
            path.chmod(0o600)
    return index


def catch_up(index: Index, *, close_dead: bool = True) -> list[Damage]:
    """Take in all that is new; close the runs whose process is gone.

    Args:
        close_dead: False: look only.

    Returns:
        What stood in the way: journals that are gone or cannot be opened.
    """
    index.read_register()
    troubles: list[Damage] = []
    for run_id in index.unfinished():
        troubles += catch_up_run(index, run_id, close_dead=close_dead)
    return troubles


def catch_up_run(index: Index, run_id: str, *, close_dead: bool = True) -> list[Damage]:
    """The same for one run."""
    try:
        finished = index.follow(run_id)
        known_to_end = finished and index.registered(run_id)[1] is not None
        if not known_to_end and close_dead and _close(index, run_id):
            index.read_register()
            index.follow(run_id)
    except OSError as error:
        journal = index.registered(run_id)[0]
        missing = isinstance(error, FileNotFoundError)
        return [Damage(journal, 0, 0, "the journal is missing" if missing else str(error.strerror or error))]
    return []


def _close(index: Index, run_id: str) -> bool:
    journal, entries, status = index.registered(run_id)
    return recover.close_dead_run(index.state_dir, run_id, journal, entries=entries, status=status)
