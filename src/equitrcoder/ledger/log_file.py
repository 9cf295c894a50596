"""The tool log: a line of JSON for every call when it is closed, and the same in words beside it.

Source: tool logging guide, "Log File Format"; design/record.md, "Log file". See docs/export.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from equitrcoder import jsontext
from equitrcoder.errors import ToolLogError
from equitrcoder.ledger import readable, rows, views
from equitrcoder.ledger.batch import added_up
from equitrcoder.ledger.encoding import encode
from equitrcoder.ledger.journal import Durability, Journal, Tell, Written, now_text
from equitrcoder.ledger.shared_file import SharedFile, reason
from equitrcoder.records import ToolCall

_OF_RUN = (
    "session_id",
    "run_id",
    "parent_run_id",
    "provider",
    "model_requested",
    "agent_role",
    "agent_name",
    "capture",
    "attempt",
)
_OF_ROW = tuple(name for name in views.CALL_FIELDS if name not in _OF_RUN)
_TIMES = ("requested_at", "started_at", "ended_at")


class ToolLog:
    """The log file of a session and its readable copy, both open for appending to. Thread-safe.

    A call is written once, when it is closed, with the values that stand in the journal: redacted, results whole.
    Several sessions, also of several processes, may share a file. What a disk does never ends a run: trouble is told
    once per kind; lines that could not be written wait, and are in the ledger in any case.

    Args:
        path: Relative to the current folder; `~` is the home folder. Missing folders are made.
        on_trouble: Hears one line per kind of trouble, once. Its own exceptions are ignored.

    Attributes:
        path: The log file, absolute.
        paths: It, and the readable copy: the same name with `.txt` added.

    Raises:
        ToolLogError: One of them cannot be written (E301).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = ToolLog(Path(folder) / "logs" / "tools.log")
        ...     [path.name for path in log.paths]
        ['tools.log', 'tools.log.txt']
    """

    def __init__(self, path: Path | str, *, on_trouble: Callable[[str], None] | None = None) -> None:
        self.path = _absolute(Path(path))
        self.paths = (self.path, Path(f"{self.path}.txt"))
        self._on_trouble = on_trouble
        self._told: set[str] = set()
        self._entries, self._lines = (SharedFile(path, self._tell) for path in self.paths)
        self._check()

    def _check(self) -> None:
        for file in (self._entries, self._lines):
            try:
                file.check()
            except (OSError, ValueError) as error:  # ValueError: a NUL in the name
                why = reason(error) if isinstance(error, OSError) else str(error)
                raise ToolLogError(
                    f"Cannot write the tool log {file.path}: {why}. Nothing was run.",
                    hint="--tool-log-file ./tools.log",
                ) from error

    def journal(self, path: Path, *, durability: Durability, tell: Tell) -> Journal:
        """A journal for a run whose calls are logged: what is appended to it is followed here.

        Raises:
            OSError: It cannot be created.
        """
        return _LoggedJournal(path, durability=durability, tell=tell, follower=_Follower(self))

    def write(self, call: ToolCall) -> None:
        """Write a closed call."""
        self._entries.append(encode(views.log_entry(call)) + b"\n")
        self._lines.append(readable.log_line(call).encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Write what still waits; tell what could not be written. The log can be used on."""
        self._entries.close()
        self._lines.close()

    def _tell(self, kind: str, line: str) -> None:
        if kind in self._told:
            return
        self._told.add(kind)
        if self._on_trouble is not None:
            with contextlib.suppress(Exception):  # a listener must never end a run
                self._on_trouble(line)


def _absolute(path: Path) -> Path:
    """A relative path stays what it is when the current folder changes."""
    with contextlib.suppress(RuntimeError):  # nobody's home: then it is a name like any other
        path = path.expanduser()
    return Path.cwd() / path


class _LoggedJournal(Journal):
    """A journal that shows each entry to the log when it stands."""

    def __init__(self, path: Path, *, durability: Durability, tell: Tell, follower: _Follower) -> None:
        super().__init__(path, durability=durability, tell=tell)
        self._follower = follower

    def append(self, kind: bytes, body: bytes, *, last: bool = False) -> Written | None:
        written = super().append(kind, body, last=last)
        self._follower.take(kind, written[1] if written else now_text(), body)
        return written


class _Follower:
    """One run's open calls, made up from its entries in the same way as the index's rows are."""

    def __init__(self, log: ToolLog) -> None:
        self._log = log
        self._run: dict[str, Any] = {}
        self._answered: tuple[int, str | None] = (0, None)  # the last answer's step and model
        self._open: dict[str, dict[str, Any]] = {}

    def take(self, kind: bytes, at: bytes, body: bytes) -> None:
        """Take an entry: its type, its time, and its own fields as JSON, redacted. Never raises."""
        handler = _HANDLERS.get(kind)
        if handler is None:
            return
        try:
            event = jsontext.loads(body)
            event["at"] = at.decode()
            handler(self, event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the ledger has the call and the run goes on
            self._log._tell("log_entry", f"A call is missing in {self._log.path}: {type(error).__name__}: {error}.")

    def _run_started(self, event: dict[str, Any]) -> None:
        self._run = {name: event.get(name) for name in _OF_RUN}

    def _turn(self, event: dict[str, Any]) -> None:
        self._answered = (event["step"], rows.text(event.get("model_answered")))

    def _requested(self, event: dict[str, Any]) -> None:
        row = self._open[event["call_uid"]] = rows.CALL_COLUMNS.copy()
        rows.put_requested(row, event)
        step, model = self._answered
        row["call_uid"] = event["call_uid"]
        row["model_answered"] = model if step == row["step"] else None
        # The index's row holds JSON, and not all of it: here the values stand as they are.
        arguments, raw = event.get("arguments"), event.get("arguments_raw")
        row["arguments"] = arguments if isinstance(arguments, dict) else None
        row["arguments_raw"] = raw if isinstance(raw, str) else None

    def _started(self, event: dict[str, Any]) -> None:
        rows.put_started(self._open[event["call_uid"]], event)

    def _approval(self, event: dict[str, Any]) -> None:
        self._open[event["call_uid"]]["approval"] = event["decision"]

    def _finished(self, event: dict[str, Any]) -> None:
        row = self._open.pop(event["call_uid"])
        rows.put_finished(row, event)
        row["result"] = event.get("result")
        row["result_metadata"] = event.get("result_metadata") or None
        found = added_up(row["redactions"], event.get("redactions") or {})
        fields = {name: row[name] for name in _OF_ROW}
        for name in _TIMES:
            fields[name] = datetime.fromisoformat(row[name]) if row[name] else None
        fields["redactions"] = found or None
        self._log.write(ToolCall(**self._run, **fields))


_HANDLERS: dict[bytes, Callable[[_Follower, dict[str, Any]], None]] = {
    b"run_started": _Follower._run_started,
    b"turn": _Follower._turn,
    b"call_requested": _Follower._requested,
    b"call_started": _Follower._started,
    b"approval": _Follower._approval,
    b"call_finished": _Follower._finished,
}
