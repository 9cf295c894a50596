"""runs.jsonl: one line when a run starts, one when it ends, one when it is deleted, in the order in which it happened.

It names each journal and, at the end, how many entries it has and the hash of the last one, so that a missing file or a
cut tail shows. The place of a run's first line is its number: an order that no clock can change.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from equitrcoder import jsontext
from equitrcoder.ledger import files
from equitrcoder.ledger.encoding import encode
from equitrcoder.ledger.journal import now_text

NAME = "runs.jsonl"
_HEAD = b'{"v":1,"at":"'
_TAIL_BYTES = 256
_LINE_BYTES = 65_536

REPEATED = (
    "run_id",
    "session_id",
    "parent_run_id",
    "previous_run_id",
    "agent_role",
    "agent_name",
    "attempt",
    "provider",
    "model_requested",
    "capture",
)
"""What runs.jsonl repeats of run_started, so that a run shows even if that entry is damaged."""


class Entry(NamedTuple):
    """One line of the register."""

    offset: int
    fields: dict[str, Any]


class RegisterReading(NamedTuple):
    """What was read of the register."""

    entries: list[Entry]
    offset: int
    """Where the next reading starts."""
    unreadable: list[int]
    """Offsets of lines that are none."""


def append(state_dir: Path, kind: str, fields: dict[str, Any], *, at: str | None = None) -> int:
    """Add one line (`kind` is started, finished or deleted; `at` None: now). Returns its offset. Raises OSError.

    The file is locked for the moment of writing: a line cut short is taken back, one left torn by a kill is ended.
    """
    moment = at.encode() if at else now_text()
    line = b'%b%b","type":"%b",%b\n' % (_HEAD, moment, kind.encode(), encode(fields)[1:])
    fd = files.open_to_append(state_dir / NAME, create=True)
    try:
        files.wait_for_lock(fd)
        size = os.fstat(fd).st_size
        lead = b"\n" if size and os.pread(fd, 1, size - 1) != b"\n" else b""
        files.append_whole(fd, lead + line)
        return size + len(lead)
    finally:
        os.close(fd)


def read(state_dir: Path, offset: int = 0) -> RegisterReading:
    """Read the whole lines from an offset on; no file: nothing. Lines that cannot be read are passed over and told."""
    entries: list[Entry] = []
    unreadable: list[int] = []
    try:
        with (state_dir / NAME).open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                fields = parse_line(line)
                if fields is not None:
                    entries.append(Entry(offset, fields))
                else:
                    unreadable.append(offset)
                offset += len(line)
    except FileNotFoundError:
        pass
    return RegisterReading(entries, offset, unreadable)


def tail_hash(state_dir: Path, offset: int) -> str:
    """What stands before a place in the register, so that it can be known again; empty when nothing does."""
    try:
        fd = files.open_to_read(state_dir / NAME)
    except OSError:
        return ""
    try:
        begin = max(0, offset - _TAIL_BYTES)
        data = os.pread(fd, offset - begin, begin)
    finally:
        os.close(fd)
    return hashlib.sha256(data).hexdigest() if data else ""


def names(state_dir: Path, offset: int, run_id: str) -> bool:
    """Whether the line at a place is still the one that says where a run began."""
    try:
        fd = files.open_to_read(state_dir / NAME)
    except OSError:
        return False
    try:
        line, end, _ = os.pread(fd, _LINE_BYTES, offset).partition(b"\n")
    finally:
        os.close(fd)
    fields = parse_line(line) if end else None
    return fields is not None and (fields["type"], fields["run_id"]) == ("started", run_id)


def parse_line(line: bytes) -> dict[str, Any] | None:
    """What a line says; None when it is none of this file."""
    try:
        value = jsontext.loads(line)
    except jsontext.InvalidJSON:
        return None
    well_formed = (
        isinstance(value, dict)
        and value.get("type") in {"started", "finished", "deleted"}
        and isinstance(value.get("run_id"), str)
        and isinstance(value.get("journal"), str)
    )
    return value if well_formed else None


def is_cut(line: bytes) -> bool:
    """Whether it is the first part of a line (or all but its newline), as a kill in the middle of writing leaves it."""
    begins = line.startswith(_HEAD) or _HEAD.startswith(line)
    return begins and (not line.endswith(b"}") or parse_line(line) is not None)
