"""One state directory, open for writing: starts runs, looks after the index."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import files, register
from equitrcoder.ledger.entries import compose
from equitrcoder.ledger.journal import Durability, Journal
from equitrcoder.ledger.recorder import RunRecorder
from equitrcoder.ledger.redaction import Redactor
from equitrcoder.ledger.writer import IndexWriter
from equitrcoder.records import new_ulid

if TYPE_CHECKING:
    from equitrcoder.ledger.content import Content
    from equitrcoder.ledger.journal import Written
    from equitrcoder.ledger.log_file import ToolLog
    from equitrcoder.ledger.spilled import Spills
    from equitrcoder.records import JSON, AgentRole, Capture, RunStatus


class Ledger:
    """A state directory, open for writing.

    Args:
        state_dir: Created for this user only when it is missing.
        redactor: What is taken out before anything is written; None: nothing.
        durability: `process`: survives any kill. `full`: survives power loss, at one fdatasync per event.
        on_trouble: Hears one line per kind of trouble, once. Its own exceptions are ignored.
        content: What is kept of arguments and results; None: everything.
        spill: Write results that their tools cut to files of their own: at most so many bytes each, and all together.
        tool_log: Gets a line for every call of its runs when the call is closed; closed with the ledger.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder)) as ledger:
        ...     run = ledger.start_run(
        ...         provider="groq", model_requested="groq/x", repo_path=".", task="hi", capture="middleware"
        ...     )
        ...     run.finish(status="completed", response="hello")
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        redactor: Redactor | None = None,
        durability: Durability = "process",
        on_trouble: Callable[[str], None] | None = None,
        tool_log: ToolLog | None = None,
        content: Content | None = None,
        spill: tuple[int, int] | None = None,
    ) -> None:
        self.state_dir = state_dir
        self._tool_log = tool_log
        self._content = content
        self._redactor = redactor or Redactor()
        self._durability: Durability = durability
        self._on_trouble = on_trouble
        self._told: set[str] = set()
        self._guard = threading.Lock()
        self._recorders: dict[str, RunRecorder] = {}
        self._registered: dict[str, tuple[int, dict[str, Any]]] = {}  # by run, where its line is and what it says
        self._writer = IndexWriter(state_dir, self._tell)
        self._spills = None if spill is None else self._make_spills(*spill)
        _OPEN.add(self)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_run(
        self,
        *,
        provider: str,
        model_requested: str,
        repo_path: str,
        task: str,
        capture: Capture,
        session_id: str | None = None,
        parent_run_id: str | None = None,
        previous_run_id: str | None = None,
        agent_role: AgentRole = "single",
        agent_name: str = "single",
        attempt: int = 1,
        system: str = "",
        wire: str | None = None,
        settings: Mapping[str, JSON] = {},
    ) -> RunRecorder:
        """Open a run's journal, lock it, register it. Nothing of the run may happen before this returns.

        Args:
            session_id: None: a new session.
            parent_run_id: The supervisor's run, for a worker.
            previous_run_id: The attempt before this one, for a resumed run.
            wire: The message format in which answers come: by it the calls in the stored messages can be read again.

        Raises:
            LedgerError: The state directory cannot be written.
        """
        run_id = new_ulid()
        fields: dict[str, Any] = {
            "run_id": run_id,
            "session_id": session_id or new_ulid(),
            "parent_run_id": parent_run_id,
            "previous_run_id": previous_run_id,
            "agent_role": agent_role,
            "agent_name": agent_name,
            "attempt": attempt,
            "provider": provider,
            "model_requested": model_requested,
            "capture": capture,
            "repo_path": repo_path,
            "task": task,
            "system": system,
            "process_id": os.getpid(),
        }
        if wire is not None:
            fields["wire"] = wire
        journal, written = self._open_journal(run_id, fields, settings)
        recorder = RunRecorder(
            run_id,
            fields["session_id"],
            journal,
            self._redactor,
            on_event=partial(self._writer.take, run_id),
            on_finish=self._finished,
            content=self._content,
            spills=self._spills,
            previous_run_id=previous_run_id,
        )
        with self._guard:
            self._recorders[run_id] = recorder
        self._writer.add(run_id)
        self._writer.take(run_id, b"run_started", written, fields)
        return recorder

    def _make_spills(self, limit_bytes: int, total_bytes: int) -> Spills:
        from equitrcoder.ledger.spilled import Spills

        return Spills(self.state_dir, limit_bytes=limit_bytes, total_bytes=total_bytes, tell=self._tell)

    def _open_journal(
        self, run_id: str, fields: dict[str, Any], settings: Mapping[str, JSON]
    ) -> tuple[Journal, Written | None]:
        path = self.state_dir / "journals" / time.strftime("%Y/%m", time.gmtime()) / f"{run_id}.jsonl"
        journal = None
        try:
            files.make_private_folder(self.state_dir)
            new_journal = Journal if self._tool_log is None else self._tool_log.journal
            journal = new_journal(path, durability=self._durability, tell=self._tell)
            body = compose(self._redactor, fields, {"settings": dict(settings)})
            written = journal.append(b"run_started", body)
            journal.settle()
            facts = {name: fields[name] for name in register.REPEATED}
            self._registered[run_id] = self._register("started", journal, facts), facts
        except OSError as error:
            if journal is not None:
                journal.discard()
            raise LedgerError(
                f"Cannot write the ledger in {self.state_dir}: {(error.strerror or str(error)).lower()}. "
                "Nothing was run.",
                hint="make room or give the folder to this user, or set EQUITRCODER_STATE_DIR to another folder",
            ) from error
        return journal, written

    def _register(self, kind: str, journal: Journal, fields: dict[str, Any]) -> int:
        redacted, _ = self._redactor.json(fields)
        return register.append(self.state_dir, kind, {**redacted, "journal": self._relative(journal)})

    def _relative(self, journal: Journal) -> str:
        return journal.path.relative_to(self.state_dir).as_posix()

    def _finished(self, recorder: RunRecorder, status: RunStatus) -> None:
        journal = recorder.journal
        with self._guard:
            self._recorders.pop(recorder.run_id, None)
        with contextlib.suppress(OSError):  # told when it happened; `close` counts what is lost
            journal.settle()
        try:
            self._look_after_register(recorder.run_id, journal)
            self._register(
                "finished",
                journal,
                {
                    "run_id": recorder.run_id,
                    "status": status,
                    "entries": journal.seq,
                    "last": journal.last_hash,
                    "clock": journal.latest,
                },
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            healed = "the next command that reads the ledger enters the run's end there"
            fix = "Fix: make room, or give the folder to this user."
            self._tell("register", f"Cannot write {self.state_dir / register.NAME} ({why}); {healed}. {fix}")
        journal.close()

    def _look_after_register(self, run_id: str, journal: Journal) -> None:
        """Does it still say where the run began? If it was deleted, replaced or cut, the run is entered again."""
        place, facts = self._registered.pop(run_id)
        if register.names(self.state_dir, place, run_id):
            return
        self._register("started", journal, {**facts, "found": True})
        what = f"{self.state_dir / register.NAME} was deleted, replaced or cut during the run, which is in it again."
        self._tell("register_gone", f"{what} Fix: equitrcoder db rebuild enters what else it had.")

    def close(self) -> None:
        """Wait until the index has everything (10 s at most) and end its thread.

        Runs that are still open end as `interrupted`: nobody is left who could finish them.
        """
        with self._guard:
            left = list(self._recorders.values())
        for recorder in left:
            recorder.finish(status="interrupted", error="the ledger was closed while the run was open")
        self._writer.close()
        if self._tool_log is not None:
            self._tool_log.close()

    def _after_fork(self) -> None:
        """In the child: the runs, the thread and the open index are the parent's. What is started here is new."""
        _LEFT_TO_PARENTS.append(self._writer)  # it has the index open, which must not be closed here
        self._guard = threading.Lock()
        self._recorders.clear()
        self._registered.clear()
        self._told.clear()
        self._writer = IndexWriter(self.state_dir, self._tell)

    def _tell(self, kind: str, line: str) -> None:
        with self._guard:
            if kind in self._told:
                return
            self._told.add(kind)
        if self._on_trouble is not None:
            with contextlib.suppress(Exception):  # a listener must never end a run
                self._on_trouble(line)


_OPEN: weakref.WeakSet[Ledger] = weakref.WeakSet()
_LEFT_TO_PARENTS: list[IndexWriter] = []


def _after_fork() -> None:
    for ledger in list(_OPEN):
        ledger._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
