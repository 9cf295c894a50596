"""The agent never waits for the index: whatever holds the index up, recording goes on, and nothing is missing after."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.ledger import CallQuery, Ledger, Reader, rebuild_index, writer
from equitrcoder.ledger.checking import check_index
from equitrcoder.ledger.index import NAME, Index
from tests.ledger_runs import dump, one_call, start

CALLS = 2_000
RESULT = "x" * 8_000  # together twice of what is kept for the index
LONG_S = 60.0


@contextmanager
def locked(state: Path) -> Iterator[Callable[[], bool]]:
    """Somebody else writes into the index, and does not come to an end."""
    other = sqlite3.connect(state / NAME, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield lambda: other.in_transaction
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def slow_disk(state: Path) -> Iterator[Callable[[], bool]]:
    """A commit that does not come back."""
    stuck, go_on = threading.Event(), threading.Event()
    usual = Index.transaction

    @contextmanager
    def transaction(index: Index) -> Iterator[None]:
        with usual(index):
            yield
            if threading.current_thread().name == "equitrcoder-index":
                stuck.set()
                go_on.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Index, "transaction", transaction)
        try:
            yield lambda: stuck.wait(LONG_S) and not go_on.is_set()
        finally:
            go_on.set()


@contextmanager
def rebuilding(state: Path) -> Iterator[Callable[[], bool]]:
    """The index is being made anew."""
    stuck, go_on = threading.Event(), threading.Event()

    def progress(done: int, runs: int) -> None:
        stuck.set()
        go_on.wait()

    thread = threading.Thread(target=lambda: rebuild_index(state, on_progress=progress))
    thread.start()
    try:
        assert stuck.wait(LONG_S)
        yield lambda: not go_on.is_set()
    finally:
        go_on.set()
        thread.join()


@pytest.mark.parametrize("trouble", [locked, slow_disk, rebuilding], ids=lambda trouble: trouble.__name__)
def test_recording_goes_on_while_the_index_is_held_up(trouble: Any, tmp_path: Path) -> None:
    with Ledger(tmp_path) as before:
        one_call(start(before))
    kept: list[int] = []
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        done = threading.Event()

        def record() -> None:
            for step in range(1, CALLS + 1):
                one_call(run, step=step, result=RESULT)
                kept.append(sum(item[1] for item in list(ledger._writer._runs.get(run.run_id, ()))))
            done.set()

        with trouble(tmp_path) as still_held:
            thread = threading.Thread(target=record, daemon=True)
            thread.start()
            assert done.wait(LONG_S), "the recorder waits for the index"
            assert still_held()
            entries = run.journal_path.read_bytes().count(b"\n")
            assert entries == 1 + 4 * CALLS  # on the disk already
        thread.join()
        assert max(kept) < writer._HANDED_BYTES + 3 * len(RESULT)
        if trouble is not rebuilding:
            assert max(kept) > writer._HANDED_BYTES / 2  # it was held up, and what came was let go
        run.finish(status="completed")
    with Reader(tmp_path) as reader:
        assert [call.ordinal for call in reader.calls(CallQuery(run=run.run_id))] == list(range(1, CALLS + 1))
        assert reader.stats()["total_calls"] == CALLS + 1
    assert check_index(tmp_path) == []
    found = dump(tmp_path)
    rebuild_index(tmp_path)
    assert dump(tmp_path) == found
