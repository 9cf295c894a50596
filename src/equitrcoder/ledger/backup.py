"""A copy of the ledger that belongs together, made while runs go on.

The index is copied first, then the register, then the journals: what comes later has at least what the former knows,
and an index that is behind catches up when it is opened. A run that lives is in the copy as far as it was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import files, register
from equitrcoder.ledger.catch_up import open_index
from equitrcoder.ledger.index import NAME
from equitrcoder.ledger.reading import Damage, Place, read_piece

ARCHIVES = {".tar": "tar", ".tar.gz": "gztar", ".tgz": "gztar"}


@dataclass(slots=True, kw_only=True)
class BackupReport:
    """What was copied."""

    target: Path
    journals: int = 0
    bytes: int = 0
    damage: list[Damage] = field(default_factory=list)
    """What in the copy is not as it was written; of the original, too, unless the copy went wrong."""


def back_up(state_dir: Path, target: Path) -> BackupReport:
    """Copy a ledger to a folder that does not exist yet, or into an archive (.tar, .tar.gz), and verify the copy.

    Raises:
        LedgerError: There is no ledger, or the target is there already.
        OSError, sqlite3.Error: It cannot be read or written; nothing is left behind.
    """
    if not state_dir.is_dir():
        raise LedgerError(f"There is no ledger in {state_dir}.", hint="equitrcoder run", code="E604")
    if os.path.lexists(target):
        raise LedgerError(f"{target} is there already.", hint="name a file or folder that does not exist")
    ending = next((ending for ending in sorted(ARCHIVES, key=len, reverse=True) if target.name.endswith(ending)), None)
    folder = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        folder.mkdir(mode=0o700, parents=True)
        report = BackupReport(target=target)
        _copy(state_dir, folder, report)
        report.damage = verify(folder)
        if ending is None:
            folder.rename(target)
        else:
            _pack(folder, target, ending)
        return report
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pack(folder: Path, target: Path, ending: str) -> None:
    base = folder.with_name(f"{folder.name}.archive")
    made = Path(shutil.make_archive(str(base), ARCHIVES[ending], folder))
    try:
        made.chmod(0o600)
        made.rename(target)
    finally:
        made.unlink(missing_ok=True)


def _copy(state_dir: Path, folder: Path, report: BackupReport) -> None:
    index = open_index(state_dir)
    try:
        copied = sqlite3.connect(folder / NAME)
        try:
            index.connection.backup(copied)
        finally:
            copied.close()
    finally:
        index.close()
    (folder / NAME).chmod(0o600)
    report.bytes += (folder / NAME).stat().st_size
    done: set[str] = set()
    while True:  # what was pruned while journals were copied has its tombstone in the next copy of the register
        report.bytes += _copy_lines(state_dir / register.NAME, folder / register.NAME)
        entries = register.read(folder).entries
        gone = {entry.fields["journal"] for entry in entries if entry.fields["type"] == "deleted"}
        wanted = {entry.fields["journal"] for entry in entries} - gone - done
        if not wanted:
            return
        for journal in sorted(wanted):
            done.add(journal)
            with contextlib.suppress(FileNotFoundError):
                report.bytes += _copy_lines(state_dir / journal, folder / journal)
                report.journals += 1


def _copy_lines(source: Path, target: Path) -> int:
    """Copy a file that grows up to its last whole line; no file: nothing. Returns how much."""
    try:
        fd = files.open_to_read(source)
    except FileNotFoundError:
        if target.name == register.NAME:
            return 0
        raise
    try:
        files.make_private_folder(target.parent)
        target.unlink(missing_ok=True)
        out = files.open_to_append(target, new=True)
        try:
            files.copy(fd, out)
            size = _cut_torn_line(out)
            os.fsync(out)
            return size
        finally:
            os.close(out)
    finally:
        os.close(fd)


def _cut_torn_line(fd: int) -> int:
    size = os.fstat(fd).st_size
    end = size
    while end:
        start = max(0, end - 65_536)
        place = os.pread(fd, end - start, start).rfind(b"\n")
        if place >= 0:
            end = start + place + 1
            break
        end = start
    if end != size:
        os.ftruncate(fd, end)
    return end


def verify(folder: Path) -> list[Damage]:
    """Read a copy whole: the database's own check, every chain, and every end that runs.jsonl knows."""
    found: list[Damage] = []
    connection = sqlite3.connect(folder / NAME)
    try:
        lines = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    finally:
        connection.close()
    found += [Damage(NAME, 0, 0, str(line)) for line in lines if line != "ok"]
    ends: dict[str, tuple[object, object] | None] = {}
    for entry in register.read(folder).entries:
        fields = entry.fields
        if fields["type"] == "deleted":
            ends.pop(fields["journal"], None)
        else:
            ends[fields["journal"]] = (
                (fields.get("entries"), fields.get("last")) if fields["type"] == "finished" else None
            )
    for journal, end in ends.items():
        found += _chain(folder, journal, end)
    return found


def _chain(folder: Path, journal: str, end: tuple[object, object] | None) -> list[Damage]:
    place = Place()
    found: list[Damage] = []
    try:
        while True:
            piece = read_piece(folder / journal, place, name=journal)
            found += piece.damage
            if piece.place.offset == place.offset:
                break
            place = piece.place
    except FileNotFoundError:
        return [Damage(journal, 0, 0, "the journal is missing")]
    if end is not None and (place.seq, place.last_hash) != end:
        found.append(Damage(journal, place.offset, 0, f"it does not end as {register.NAME} says"))
    return found
