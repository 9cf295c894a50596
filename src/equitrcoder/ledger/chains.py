"""Which runs belong together, by the register alone, and who may go on with them.

The runs of a session share a conversation: its tasks one after the other, a model that stood in for another, runs that
went on after a kill. Who wants to go on takes the lock of the newest one's journal, looks at the register once more,
and enters a new run before letting go: so of several, one does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from equitrcoder.errors import LedgerError, UsageError
from equitrcoder.ledger import files, recover, register
from equitrcoder.ledger.reading import Damage, read_events

_LOOK_AGAIN_S = 0.01
_LOOKS = 100
"""Readers hold a dead run's lock for a moment while they close it; a run that lives holds it on and on."""


class Known(NamedTuple):
    """A run as the register has it."""

    run_id: str
    session_id: str
    parent_run_id: str | None
    attempt: int
    journal: str
    """Relative to the state directory."""
    status: str | None = None
    """How it ended; None: nothing says that it did."""
    deleted: bool = False

    @property
    def short_id(self) -> str:
        """As it is shown to a person, and taken from one."""
        return self.run_id[-4:]


class Claim:
    """The right to go on with a session, until it is released. The newest run is dead or ended, and stays so.

    Attributes:
        asked: The run that was named.
        runs: The runs of its session, the oldest first.
    """

    def __init__(self, asked: Known, runs: tuple[Known, ...], fd: int) -> None:
        self.asked = asked
        self.runs = runs
        self._fd = fd

    @property
    def newest(self) -> Known:
        """The run to go on from."""
        return self.runs[-1]

    def release(self) -> None:
        """Let others look; after the new run is registered. A second time changes nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def claim(state_dir: Path, which: str) -> Claim:
    """Take the right to go on with a run: with the newest of its session.

    Args:
        which: A whole id, a tail of it that no other has, or "last": the newest that no supervisor started.

    Raises:
        LedgerError: There is no such run, or its journal is gone.
        UsageError: It, or one that went on with it, still lives; or it was started by a supervisor.
    """
    while True:
        runs = _known(register.read(state_dir).entries)
        asked = _pick(runs, which)
        if asked.parent_run_id is not None:
            raise UsageError(
                f"Run {asked.short_id} is a worker's: it ends with its supervisor's.",
                hint=f"go on with that one: equitrcoder resume {asked.parent_run_id[-4:]}",
                code="E125",
            )
        session = _session(runs, asked)
        fd = _locked(state_dir, asked, session[-1])
        now = _session(_known(register.read(state_dir).entries), asked)
        if [run.run_id for run in now] == [run.run_id for run in session]:
            return Claim(asked, now, fd)
        os.close(fd)  # somebody was faster: look who


def _known(entries: Iterable[register.Entry]) -> dict[str, Known]:
    """The runs by their ids, in the order in which they began."""
    runs: dict[str, Known] = {}
    for entry in entries:
        fields = entry.fields
        run_id, kind = fields["run_id"], fields["type"]
        if kind == "started" and run_id not in runs:
            runs[run_id] = _begun(fields)
        elif run_id in runs:
            change = {"deleted": True} if kind == "deleted" else {"status": str(fields.get("status"))}
            runs[run_id] = runs[run_id]._replace(**change)
    return runs


def _begun(fields: dict[str, Any]) -> Known:
    attempt, parent = fields.get("attempt"), fields.get("parent_run_id")
    return Known(
        run_id=fields["run_id"],
        session_id=str(fields.get("session_id")),
        parent_run_id=None if parent is None else str(parent),
        attempt=attempt if isinstance(attempt, int) else 1,
        journal=fields["journal"],
    )


def _session(runs: dict[str, Known], asked: Known) -> tuple[Known, ...]:
    return tuple(run for run in runs.values() if run.session_id == asked.session_id and run.parent_run_id is None)


def _pick(runs: dict[str, Known], which: str) -> Known:
    if which == "last":
        found = [run for run in runs.values() if run.parent_run_id is None and not run.deleted][-1:]
    else:
        wanted = which.strip().lstrip("…").upper() or "-"
        found = [run for run in runs.values() if run.run_id.endswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        what = "There are no runs yet." if which == "last" else f'No run ends in "{which}".'
        raise LedgerError(what, hint="equitrcoder runs", code="E604")
    ids = ", ".join(run.run_id for run in found[-5:])
    raise LedgerError(f'More than one run ends in "{which}": {ids}.', hint="give more characters", code="E604")


def _locked(state_dir: Path, asked: Known, newest: Known) -> int:
    """The open journal of the newest run, locked; that run is closed as interrupted if it died."""
    path = state_dir / newest.journal
    try:
        for _ in range(_LOOKS):
            if newest.status is not None or recover.close_dead_run(state_dir, newest.run_id, newest.journal):
                fd = files.open_to_append(path)
                if files.try_lock(fd):
                    return fd
                os.close(fd)
            time.sleep(_LOOK_AGAIN_S)
    except OSError as error:
        reason = "it was deleted" if newest.deleted else (error.strerror or str(error)).lower()
        raise LedgerError(
            f"The journal of run {newest.short_id} cannot be used: {reason}.", hint="start a new run", code="E602"
        ) from error
    ended = _known(register.read(state_dir).entries)[newest.run_id].status is not None
    raise _busy(newest) if ended else _lives(path, asked, newest)


def _busy(newest: Known) -> UsageError:
    who = f"Somebody else is going on with run {newest.short_id} at this moment."
    return UsageError(who, hint="look who in a second: equitrcoder runs", code="E122")


def _lives(path: Path, asked: Known, newest: Known) -> UsageError:
    begun = next((item.event for item in read_events(path) if not isinstance(item, Damage)), {})
    where = f"in process {begun.get('process_id')}, in {begun.get('repo_path')}"
    who = f"Run {asked.short_id} still goes on {where}."
    if newest.run_id != asked.run_id:
        who = f"Run {asked.short_id} is gone on with already: run {newest.short_id} lives {where}."
    return UsageError(who, hint=f"watch it: equitrcoder tail {newest.short_id}", code="E122")
