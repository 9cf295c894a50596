"""`equitrcoder audit`: proves that the ledger balances, or says at which place it does not.

Three things are held against each other: the register, the journals (their chain; the calls in the stored answers, read
again; the entries of the calls; their ends) and the index. A line at a time, so that memory does not grow with a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path
from typing import Any

from equitrcoder.ledger import files, register
from equitrcoder.ledger.audit_index import IndexAudit
from equitrcoder.ledger.audit_report import AuditReport, Difference
from equitrcoder.ledger.audit_run import Line, RunAudit, read_lines
from equitrcoder.ledger.audit_values import agree
from equitrcoder.ledger.index import NAME
from equitrcoder.ledger.reader import Reader

Progress = Callable[[int, int, int], None]


def audit(
    state_dir: Path,
    *,
    runs: Collection[str] | None = None,
    session: str | None = None,
    on_progress: Progress | None = None,
) -> AuditReport:
    """Audit a ledger. Nothing in it is changed, but that runs whose process is gone are closed, as by every reader.

    Runs of other processes may go on meanwhile: they are looked at as far as they have come.

    Args:
        runs: Only these (whole ids); None: all, and whether the register and the journals name the same runs.
        session: Only the runs of this session.
        on_progress: Hears (runs done, runs in all, calls so far) now and then.

    Returns:
        What was found; of an empty ledger that it balances.

    Raises:
        LedgerError: The ledger cannot be read.
        OSError: There is no room for what the index is compared with.
    """
    with Reader(state_dir) as reader:
        return _Audit(reader, on_progress).run(runs, session)


class _Registered:
    """What the register says of one run."""

    __slots__ = ("clock", "end", "ends_at", "entry", "line")

    def __init__(self) -> None:
        self.entry: register.Entry | None = None
        self.line: Line | None = None
        self.clock = ""  # the latest time in the register before it
        self.end: dict[str, Any] | None = None
        self.ends_at: int | None = None


class _Register:
    """The register, read to its end; and again, for what was added meanwhile."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / register.NAME
        self.runs: dict[str, _Registered] = {}
        self.unreadable: list[Line] = []
        self.torn: Line | None = None
        self._clock = ""
        self._last = Line(0, 0, b"", True)

    def read(self) -> None:
        """Take in what is new."""
        last = self._last
        offset = last.offset + len(last.data) + 1 if last.number else 0
        self.torn = None
        try:
            for line in read_lines(self._path, number=last.number, offset=offset):
                if not line.whole:  # somebody is writing it, or was killed while doing so
                    self.torn = line
                    break
                self._take(line)
                self._last = line._replace(data=line.data)
        except FileNotFoundError:
            pass

    def _take(self, line: Line) -> None:
        fields = register.parse_line(line.data)
        if fields is None:
            self.unreadable.append(line)
            return
        run = self.runs.setdefault(fields["run_id"], _Registered())
        if fields["type"] == "started":
            if run.entry is None:
                run.entry, run.line, run.clock = (
                    register.Entry(line.offset, fields),
                    line._replace(data=b""),
                    self._clock,
                )
                self._step_clock(fields.get("at"))
        elif fields["type"] == "finished":
            run.end, run.ends_at = fields, line.number
            self._step_clock(fields.get("clock"))
        else:  # taken out of the ledger: `db prune`, `runs delete`
            run.end, run.ends_at = fields, line.number

    def _step_clock(self, at: Any) -> None:
        self._clock = max(self._clock, at if isinstance(at, str) else "")

    def gone(self, run_id: str) -> bool:
        """Whether a run was taken out of the ledger on purpose."""
        end = self.runs[run_id].end
        return end is not None and end["type"] not in ("started", "finished")


class _Audit:
    def __init__(self, reader: Reader, on_progress: Progress | None) -> None:
        self._reader = reader
        self._state_dir = reader.state_dir
        self._on_progress = on_progress
        self._report = AuditReport()
        self._register = _Register(self._state_dir)
        self._index = IndexAudit(self._state_dir, self._report)
        self._done = self._all = 0
        self._without_end: list[tuple[str, str, Line]] = []
        self._missing: list[tuple[str, str]] = []

    def run(self, runs: Collection[str] | None, session: str | None) -> AuditReport:
        try:
            self._register.read()
            chosen = list(self._chosen(runs, session))
            self._all = len(chosen)
            for run_id in chosen:
                self._audit_run(run_id)
                self._done += 1
                self._tell_progress()
            if runs is None and session is None:
                self._look_for_strays()
                self._compare_sums()
            self._settle(whole=runs is None and session is None)
        finally:
            self._index.close()
        if not self._index.compared and self._report.runs:
            self._report.notes.append(f"There is no {NAME} that can be read: nothing was compared with it.")
        return self._report

    def _chosen(self, runs: Collection[str] | None, session: str | None) -> list[str]:
        known = self._register.runs
        return [
            run_id
            for run_id in known
            if (runs is None or run_id in runs)
            and (session is None or _session(known[run_id]) == session)
            and known[run_id].entry is not None
            and not self._register.gone(run_id)
        ]

    def _tell_progress(self, calls: int = 0) -> None:
        if self._on_progress is not None:
            self._on_progress(self._done, self._all, self._report.calls + calls)

    # One run.

    def _audit_run(self, run_id: str) -> None:
        known = self._register.runs[run_id]
        assert known.entry is not None
        looked_at = self._read_journal(run_id, known.entry.fields["journal"], known)
        if looked_at is None:
            return
        self._compare_with_register(looked_at, known)
        if looked_at.damaged:
            self._report.count(self._report.not_kept, {"index": 1})
        else:
            self._compare_with_index(run_id, known)

    def _read_journal(self, run_id: str, journal: str, known: _Registered) -> RunAudit | None:
        self._report.runs += 1
        ended = known.end is not None
        looked_at = RunAudit(self._state_dir, run_id, journal, self._report, ended=ended, on_calls=self._tell_progress)
        try:
            looked_at.run()
        except FileNotFoundError:
            self._missing.append((run_id, journal))
            return None
        except OSError as error:
            self._tell("journal_missing", run_id, journal, f"it cannot be read: {(error.strerror or error)}")
            return None
        return looked_at

    def _compare_with_register(self, looked_at: RunAudit, known: _Registered) -> None:
        assert known.entry is not None
        fields, started = known.entry.fields, looked_at.started
        for name in register.REPEATED if started else ():
            said, stands = fields.get(name), started.get(name)
            if not fields.get("found") and not agree(said, stands):
                told = {"expected": f"{name} {stands}", "found": f"{name} {said}"}
                what = "the line of the run says something else than run_started"
                self._tell("register_differs", looked_at.run_id, register.NAME, what, known.line, **told)
        end = known.end
        if end is None:
            if looked_at.finished:
                self._without_end.append((looked_at.run_id, looked_at.path, looked_at.last_line))
            return
        numbers = {"expected": f"{end.get('entries')} entries", "found": f"{looked_at.entries} entries"}
        if looked_at.entries != end.get("entries") or not looked_at.finished:
            what = "it has not as many entries as runs.jsonl says"
            self._tell_tail("tail_missing", looked_at, what, **numbers)
        elif looked_at.last_hash != end.get("last"):
            hashes = {"expected": f"sha256 {end.get('last')}", "found": f"sha256 {looked_at.last_hash}"}
            what = f"the last entry is not the one that line {known.ends_at} of runs.jsonl names"
            self._tell_tail("last_entry_changed", looked_at, what, **hashes)

    def _tell_tail(self, kind: str, looked_at: RunAudit, what: str, **told: str) -> None:
        looked_at.damaged = True
        self._tell(kind, looked_at.run_id, looked_at.path, what, looked_at.last_line, **told)

    def _compare_with_index(self, run_id: str, known: _Registered) -> None:
        if not self._index.open or known.entry is None:
            return
        try:
            if not self._index.knows(run_id):
                self._reader.runs(limit=0)  # registered after the index was brought up to date
            self._index.compare(known.entry, known.clock)
        except sqlite3.DatabaseError as error:
            self._tell("index_row_missing", run_id, NAME, f"it cannot be read: {error}")
            self._index.give_up()

    def _compare_sums(self) -> None:
        try:
            self._index.compare_sums()
        except sqlite3.DatabaseError as error:
            self._tell("index_row_missing", None, NAME, f"it cannot be read: {error}")
            self._index.give_up()

    # The register as a whole.

    def _look_for_strays(self) -> None:
        """Journals that the register does not name, or of which it names the end only."""
        named = {run.entry.fields["journal"] for run in self._register.runs.values() if run.entry is not None}
        found = []
        for path in sorted((self._state_dir / "journals").glob("*/*/*.jsonl")):
            journal = path.relative_to(self._state_dir).as_posix()
            if journal in named or (entries := _first_entries(path)) is None:
                continue
            if entries > 1:
                found.append((path.stem, journal))
            else:  # nothing happens before the register knows the run
                self._report.notes.append(f"{journal}: its process was killed before the run began")
        self._register.read()  # a run may have begun meanwhile
        for run_id, journal in found:
            known = self._register.runs.get(run_id, _Registered())
            if known.entry is None and not (known.end and self._register.gone(run_id)):
                self._tell("journal_unregistered", run_id, journal, "runs.jsonl has no line that says where it began")
                self._read_journal(run_id, journal, known)

    def _settle(self, *, whole: bool) -> None:
        self._register.read()
        for run_id, journal in self._missing:
            if not self._register.gone(run_id):
                line = self._register.runs[run_id].line
                self._tell("journal_missing", run_id, journal, _named_in(line), expected="a journal", found="nothing")
        for run_id, journal, line in self._without_end:
            if self._register.runs[run_id].end is None and not _locked(self._state_dir / journal):
                self._tell("register_end_missing", run_id, journal, "runs.jsonl does not say that it ended", line)
        if not whole:
            return
        torn = [self._register.torn] if self._register.torn else []
        for line in (*self._register.unreadable, *torn):
            if register.is_cut(line.data):  # if a run misses what it said, that was told
                self._report.notes.append(f"{register.NAME}: line {line.number} is cut off, as a kill leaves it")
            else:
                self._tell("register_unreadable", None, register.NAME, "the line cannot be read", line)

    def _tell(self, kind: str, run_id: str | None, path: str, what: str, line: Line | None = None, **told: str) -> None:
        self._report.add(
            Difference(
                kind=kind,
                run_id=run_id,
                path=path,
                line=line.number if line else None,
                byte=line.offset if line else None,
                what=what,
                expected=told.get("expected"),
                found=told.get("found"),
            )
        )


def _session(known: _Registered) -> Any:
    return known.entry.fields.get("session_id") if known.entry else None


def _named_in(line: Line | None) -> str:
    return f"line {line.number} of runs.jsonl names it" if line else "runs.jsonl names it"


def _first_entries(path: Path) -> int | None:
    """How many entries a journal has, 2 standing for more; None when its process is about to enter it."""
    try:
        if path.stat().st_size == 0 or files.is_locked(path):
            return None
        return sum(line.whole for line in islice(read_lines(path), 2))
    except OSError:
        return None


def _locked(path: Path) -> bool:
    try:
        return files.is_locked(path)
    except OSError:
        return False
