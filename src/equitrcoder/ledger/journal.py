"""The open end of one run's journal: one write per event, chained, locked for the life of the run.

A journal is JSON Lines. Every line carries v, seq (from 1), prev (SHA-256 of the line before, without its newline), at
(UTC, microseconds) and type (DESIGN.md section 5).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

from equitrcoder.ledger import files

Durability: TypeAlias = Literal["process", "full"]
Tell: TypeAlias = Callable[[str, str], None]
"""(kind of trouble, one line for the user); told once per kind by whoever takes it."""

Written: TypeAlias = tuple[int, bytes, int, int, bytes]
"""Of an event that was written: its number, its time, its offset and length in the file, the hash of its line."""

Handed: TypeAlias = tuple[int, int, dict[str, Any], bytes]
"""An event as its recorder hands it to the index: offset, length, the event, the hash of its line.

Its long fields are texts, or JSON as bytes.
"""

_KEPT_BYTES = 8_000_000
"""Events that could not be written wait in memory up to this size."""
_LOOK_EVERY_NS = 500_000_000

_sha256 = hashlib.sha256
_second: tuple[int, bytes] = (-1, b"")


def now_text() -> bytes:
    """The present moment as `records.format_time` writes it, at a tenth of its cost.

    Example:
        >>> len(now_text())
        32
    """
    return _time_text(time.time_ns())


def _time_text(moment_ns: int) -> bytes:
    global _second
    second = moment_ns // 1_000_000_000
    known = _second
    if known[0] != second:
        known = _second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode())
    return b"%b.%06d+00:00" % (known[1], moment_ns // 1000 % 1_000_000)


class Journal:
    """One run's journal, open for appending. Thread-safe.

    Args:
        path: A file that does not exist yet.
        durability: `process` survives any kill, `full` (one fdatasync per event) survives power loss.
        tell: Hears of trouble; the run goes on.

    Raises:
        OSError: It cannot be created.
    """

    def __init__(self, path: Path, *, durability: Durability, tell: Tell) -> None:
        self.path = path
        self.lost = 0
        """Events that are in no file and never will be."""
        self._full = durability == "full"
        self._tell = tell
        self._guard = threading.Lock()
        self._waiting: deque[tuple[bytes, bytes, bytes]] = deque()
        self._waiting_bytes = 0
        self._sealed = False
        self.seq = 0
        self._size = 0
        self._last_hash = b""
        self._latest = b""
        self._looked_at_ns = time.time_ns()
        self._inherited = False
        self._fd = self._create(path)
        self._inode = os.fstat(self._fd).st_ino
        _OPEN.add(self)

    def _create(self, path: Path) -> int:
        files.make_private_folder(path.parent)
        fd = files.open_to_append(path, new=True)
        files.wait_for_lock(fd)  # somebody who looks whether it is locked has it for a moment
        if self._full:
            files.sync_folder(path.parent)
        return fd

    def append(self, kind: bytes, body: bytes, *, last: bool = False) -> Written | None:
        """Add one event.

        Never raises for what the disk does: an event that cannot be written waits for the next one, or is counted.

        Args:
            kind: The event's type.
            body: Its own fields as a JSON object, at least one.
            last: Nothing can be added after it.

        Returns:
            Where it stands; None when it waits.

        Raises:
            ValueError: The last event has been added, or this is a fork of the process that writes it.
        """
        now_ns = time.time_ns()
        at = _time_text(now_ns)
        with self._guard:
            if self._sealed:
                raise ValueError(_FORKED if self._inherited else "is finished; nothing can be added")
            self._sealed = last
            if last or not 0 <= now_ns - self._looked_at_ns < _LOOK_EVERY_NS:
                self._looked_at_ns = now_ns
                self._look_after_file()
            if self._waiting and not self._write_waiting():
                self._keep(kind, at, body)
                return None
            written = self._write(kind, at, body)
            if written is None:
                self._keep(kind, at, body)
            return written

    def close(self) -> None:
        """Write what still waits, count what cannot be written, release the lock. May be called again."""
        with self._guard:
            if self._fd < 0:
                return
            if self._waiting and not self._write_waiting():
                self.lost += len(self._waiting)
                self._waiting.clear()
            os.close(self._fd)
            self._fd = -1
            self._sealed = True
        if self.lost:
            lost = f"{self.lost} entries could not be written to {self.path} and are lost."
            self._tell("journal_lost", f"{lost} equitrcoder audit names the calls that miss them.")

    def settle(self) -> None:
        """Write what still waits.

        Raises:
            OSError: There is no room for it; it goes on waiting.
        """
        with self._guard:
            if self._waiting and not self._write_waiting():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def discard(self) -> None:
        """Close and remove a journal whose run never began."""
        with self._guard:
            self._waiting.clear()
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    @property
    def last_hash(self) -> str:
        """SHA-256 of the last line; empty before the first."""
        return self._last_hash.decode()

    @property
    def latest(self) -> str:
        """The latest time in it: no run that is registered after its end is ordered before that."""
        return self._latest.decode()

    @property
    def waiting(self) -> int:
        """How many events are in memory only."""
        return len(self._waiting)

    def _write(self, kind: bytes, at: bytes, body: bytes) -> Written | None:
        seq = self.seq + 1
        line = b'{"v":1,"seq":%d,"prev":"%b","at":"%b","type":"%b",%b\n' % (
            seq,
            self._last_hash,
            at,
            kind,
            body[1:],
        )
        line_hash = _sha256(memoryview(line)[:-1])
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                written = self._write_again(line, written)
        except OSError as error:
            self._tell("journal_write", _trouble(self.path, error))
            return None
        if self._full:
            self._sync()
        offset = os.lseek(self._fd, 0, os.SEEK_CUR) - written
        if offset != self._size:
            offset = self._after_strangers(line, offset)
        self.seq = seq
        self._size = offset + written
        self._last_hash = line_hash.hexdigest().encode()
        if at > self._latest:
            self._latest = at
        return seq, at, offset, written - 1, self._last_hash

    def _sync(self) -> None:
        """What is written stays written if this fails: it only is not safe from a loss of power."""
        try:
            files.sync_data(self._fd)
        except OSError as error:
            self._tell("journal_sync", f"{self.path} cannot be made safe from a loss of power ({error.strerror}).")

    def _write_again(self, line: bytes, written: int) -> int:
        """Cut a short write back and try once more: a write can be short for other reasons than a full disk."""
        os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
        files.append_whole(self._fd, line)
        return len(line)

    def _write_waiting(self) -> bool:
        """Write what waits, in order, with the time at which each happened."""
        while self._waiting:
            kind, at, body = self._waiting[0]
            if self._write(kind, at, body) is None:
                return False
            self._waiting.popleft()
            self._waiting_bytes -= len(body)
        return True

    def _keep(self, kind: bytes, at: bytes, body: bytes) -> None:
        if self._waiting_bytes + len(body) > _KEPT_BYTES:
            self.lost += 1
            return
        self._waiting.append((kind, at, body))
        self._waiting_bytes += len(body)

    def _look_after_file(self) -> None:
        """Is the file still ours? If it was deleted or replaced, it is made anew from the open one."""
        try:
            seen = self.path.lstat()
            if seen.st_ino == self._inode:
                return
            what = "was replaced"
        except FileNotFoundError:
            what = "was deleted"
        except OSError:
            return  # the folder cannot be looked at; writing still works or says why not
        self._restore(what)

    def _after_strangers(self, line: bytes, offset: int) -> int:
        """Somebody cut the file or wrote into it, and the line stands at another place than it should: see that it
        begins there. Returns its place.
        """
        if offset < self._size:
            lost = f"{self.path} was cut from {self._size} to {offset} bytes during the run; what stood there is lost."
            self._tell("journal_cut", f"{lost} Fix: take it from a backup; equitrcoder audit names what is missing.")
        else:
            more = f"Somebody else wrote {offset - self._size} bytes into {self.path} during the run."
            self._tell("journal_foreign", f"{more} They are passed over; equitrcoder audit names them.")
        if offset and os.pread(self._fd, 1, offset - 1) != b"\n":
            with contextlib.suppress(OSError):  # no room for it: the index knows it all the same
                files.append_whole(self._fd, line)  # once more: the first one has become part of another line
                offset += len(line)
        return offset

    def _restore(self, what: str) -> None:
        """Make the file anew under another name, locked and whole before it takes its place."""
        fresh = self.path.with_name(f"{self.path.name}.new-{time.time_ns()}")
        fd = -1
        try:
            fd = self._create(fresh)
            files.copy(self._fd, fd)
            if self._full:
                files.sync_data(fd)
            if os.path.lexists(self.path):
                self.path.rename(self.path.with_name(f"{self.path.name}.replaced-{time.time_ns()}"))
            fresh.rename(self.path)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            with contextlib.suppress(OSError):
                fresh.unlink()
            why = (error.strerror or str(error)).lower()
            fix = "make room or give the folder to this user; until then nothing of the run is safe"
            self._tell("journal_gone", f"{self.path} {what} and cannot be made anew ({why}). Fix: {fix}.")
            return
        os.close(self._fd)
        self._fd, self._inode = fd, os.fstat(fd).st_ino
        self._tell("journal_gone", f"{self.path} {what} during the run; it was made anew with all its entries.")

    def _leave_to_parent(self) -> None:
        """In the child after a fork: what this process writes is no part of the run, and it must not hold its lock."""
        self._guard = threading.Lock()  # a thread that is not here any more may have held it
        self._waiting.clear()
        self._sealed = self._inherited = True
        if self._fd >= 0:
            os.close(self._fd)  # the lock stays with the parent, who has it open
            self._fd = -1


_FORKED = "belongs to the process that started it, and this is a fork of it"
_OPEN: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_OPEN):
        journal._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _trouble(path: Path, error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    waiting = "the run goes on, entries wait in memory until there is room"
    return f"Cannot write {path} ({reason}); {waiting}. Fix: make room, or give the folder to this user."
