"""A file that several processes append to, a line at a time, without mixing lines."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from collections import deque
from pathlib import Path

from equitrcoder.ledger import files
from equitrcoder.ledger.journal import Tell

_FLAGS = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not wait for its reader
    | getattr(os, "O_NOCTTY", 0)
)
_PATIENCE_S = 0.2
_LOOK_AGAIN_S = 0.001
_KEPT_BYTES = 8_000_000
"""Lines that could not be written wait in memory up to this size."""


class SharedFile:
    """A file to append lines to. Thread-safe.

    It is opened anew for every line, so that it may be removed, renamed or rotated at any time. A line goes out in one
    write, under the file's lock; what a killed process left of a line gets an end of its own first.

    Args:
        path: Made when it is missing (for this user only), and so are the folders above it. A link is refused.
        tell: Hears of trouble, which never reaches the caller.
    """

    def __init__(self, path: Path, tell: Tell) -> None:
        self.path = path
        self.lost = 0
        """Lines that are not in the file and never will be."""
        self._tell = tell
        self._guard = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._seen = (-1, 0)  # inode, and how long the file was at least

    def check(self) -> None:
        """Open the file once, which creates it.

        Raises:
            OSError: It cannot be written.
        """
        os.close(self._open())

    def append(self, line: bytes) -> None:
        """Add a line. One that cannot be written waits for the next, or is counted as lost."""
        with self._guard:
            if self._waiting_bytes + len(line) > _KEPT_BYTES and self._waiting:
                self.lost += 1
            else:
                self._waiting.append(line)
                self._waiting_bytes += len(line)
            self._write_waiting()

    def close(self) -> None:
        """Write what still waits; tell what is lost."""
        with self._guard:
            if self._waiting:
                self._write_waiting()
            self.lost += len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            lost, self.lost = self.lost, 0
        if lost:
            self._tell(
                "log_lost",
                f"{lost} lines could not be written to {self.path}; the ledger has them: equitrcoder export calls",
            )

    def _write_waiting(self) -> None:
        try:
            fd = self._open()
        except OSError as error:
            self._tell_trouble(error)
            return
        try:
            locked = _lock(fd)
            while self._waiting:
                size = _append(fd, self._waiting[0], locked=locked)
                self._seen = (self._seen[0], size)
                self._waiting_bytes -= len(self._waiting.popleft())
        except OSError as error:
            self._tell_trouble(error)
        finally:
            os.close(fd)

    def _open(self) -> int:
        try:
            fd = os.open(self.path, _FLAGS, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, _FLAGS, 0o600)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is not a regular file")
        self._compare(status)
        return fd

    def _compare(self, status: os.stat_result) -> None:
        """See whether it is the file of the time before, with all that it had."""
        inode, size = self._seen
        if inode not in (-1, status.st_ino) or status.st_size < size:
            self._tell("log_gone", f"{self.path} was removed, replaced or emptied during the run, which goes on in it.")
        self._seen = (status.st_ino, status.st_size)

    def _tell_trouble(self, error: OSError) -> None:
        self._tell("log_write", f"Cannot write the tool log {self.path}: {reason(error)}. The run goes on.")


def reason(error: OSError) -> str:
    """Why a log file cannot be opened or written, in words."""
    if error.errno == errno.ELOOP:
        return "it is a symbolic link, which is never followed"
    return (error.strerror or str(error)).lower()


def _lock(fd: int) -> bool:
    """Take the file's lock; False when somebody keeps it for too long, or the file system has none.

    A single write at the end of a file does not mix with others without it either; a stopped process that holds it must
    not stop this one.
    """
    give_up_at = time.monotonic() + _PATIENCE_S
    with contextlib.suppress(OSError):
        while not files.try_lock(fd):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(_LOOK_AGAIN_S)
        return True
    return False


def _append(fd: int, line: bytes, *, locked: bool) -> int:
    """Append a line; returns how long the file is then, at least."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        line = b"\n" + line
    if locked:
        files.append_whole(fd, line)
    elif os.write(fd, line) != len(line):  # nobody may cut it back: the next line begins with an end for this one
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return size + len(line)
