"""The thread that brings the index up to the journals while runs go on. It never holds up a run."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.ledger.entries import OTHERWISE

if TYPE_CHECKING:
    from equitrcoder.ledger.index import Index
    from equitrcoder.ledger.journal import Handed, Tell, Written

_GATHER_S = 0.25
"""How long events gather before they are indexed together. Readers do not wait for it: they catch up themselves."""
_IDLE_S = 1.0
_CLOSE_S = 10.0
_HANDED_BYTES = 8_000_000
"""How much is kept for the thread; beyond it reads the journal."""


class IndexWriter:
    """Indexes the journals of this process's runs, in a thread that starts at the first event and ends when idle.

    Args:
        state_dir: Where the index is.
        tell: Hears of trouble; the journals are unharmed by any.
    """

    def __init__(self, state_dir: Path, tell: Tell) -> None:
        self._state_dir = state_dir
        self._tell = tell
        self._guard = threading.Lock()
        self._runs: dict[str, deque[Handed]] = {}
        self._handed_bytes = 0
        self._due = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._index: Index | None = None

    def add(self, run_id: str) -> None:
        """Take on a registered run; it is left again when it is finished and indexed."""
        self._runs[run_id] = deque()
        self._notify()

    def take(self, run_id: str, kind: bytes, written: Written | None, fields: dict[str, Any]) -> None:
        """Something was appended to a run's journal.

        What was written is handed over as it is, so that nobody has to read and decode it again. What is not (None, or
        too much at once, or redacted) is read from the journal: the numbers of the events show where one is missing.

        Args:
            written: Its place; None when it waits.
            fields: What it says, as `entries.compose` left it; from now on the index's own.
        """
        if written is not None and OTHERWISE not in fields and self._handed_bytes < _HANDED_BYTES:
            seq, at, offset, length, line_hash = written
            fields["seq"] = seq
            fields["at"] = at.decode()
            fields["type"] = kind.decode()
            self._handed_bytes += length
            self._runs[run_id].append((offset, length, fields, line_hash))
        if not self._due:
            self._notify()

    def _notify(self) -> None:
        self._due = True
        self._wake.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._guard:
            if self._thread is not None:
                return
            # Not a daemon, so that what it writes is never cut off; it ends itself when nothing happens.
            thread = threading.Thread(target=self._work, name="equitrcoder-index")
            try:
                thread.start()
            except RuntimeError:
                return  # no more threads, or the interpreter is ending: readers catch up
            self._thread = thread

    def close(self) -> None:
        """Index what is left, at most 10 s, and end the thread."""
        self._closing.set()
        self._notify()
        thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_S)
            if thread.is_alive():
                self._tell("index", "The index is behind; the journals are complete and it catches up when it is read.")
                return
        if self._index is not None:
            self._index.close()
            self._index = None
        self._closing.clear()

    def _work(self) -> None:
        while self._wait():
            self._wake.clear()
            self._due = False  # in this order: what is appended from here on wakes the thread again
            self._catch_up()

    def _wait(self) -> bool:
        """Wait for work and let it gather; False when the thread should end."""
        if self._wake.wait(0 if self._closing.is_set() else _IDLE_S):
            if threading.main_thread().is_alive():
                self._closing.wait(_GATHER_S)
            return True
        with self._guard:
            thread, self._thread = self._thread, None
            if self._due:  # somebody came while we were about to go
                self._thread = thread
            return self._due

    def _catch_up(self) -> None:
        try:
            self._take_in()
        except Exception as error:  # noqa: BLE001 - whatever it is, the journals are the truth and the run goes on
            fix = "Fix: make room, or give the folder to this user; equitrcoder db rebuild makes the index anew."
            self._tell("index", f"The index cannot be written ({error}); the journals are complete. {fix}")

    def _take_in(self) -> None:
        from equitrcoder.ledger.catch_up import open_index

        self._index = open_index(self._state_dir, self._index)
        for run_id, handed in list(self._runs.items()):
            self._index.take_handed(run_id, self._all_of(handed))
            with contextlib.suppress(FileNotFoundError):  # its recorder tells that the journal is gone
                if self._index.follow(run_id, verify=False):
                    self._runs.pop(run_id)

    def _all_of(self, handed: deque[Handed]) -> list[Handed]:
        taken = []
        while handed:
            taken.append(handed.popleft())
        self._handed_bytes = max(0, self._handed_bytes - sum(item[1] for item in taken))
        return sorted(taken)  # by offset; threads may have overtaken one another
