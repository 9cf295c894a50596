"""Files as the ledger needs them: private, never through a link, locked, appended to whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: importing never fails; using it says what to do
    fcntl = None  # type: ignore[assignment]

_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

sync_data = getattr(os, "fdatasync", os.fsync)
"""Wait until an open file's data is on the disk."""


def open_to_append(path: Path, *, new: bool = False, create: bool = False) -> int:
    """Open a file for reading and appending, never through a link; `new`: it must not exist yet. Raises OSError."""
    flags = os.O_RDWR | os.O_APPEND | _SAFE
    if new or create:
        flags |= os.O_CREAT | (os.O_EXCL if new else 0)
    return os.open(path, flags, 0o600)


def open_to_read(path: Path) -> int:
    """Open a file for reading, never through a link. Raises OSError."""
    return os.open(path, os.O_RDONLY | _SAFE)


def try_lock(fd: int) -> bool:
    """Take the lock of an open file without waiting; False when another holds it. Closing the file releases it."""
    _need_locks()
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(fd: int, *, shared: bool = False) -> None:
    """Take the lock of an open file, waiting for whoever holds it. For locks that are held for a moment only."""
    _need_locks()
    fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def _need_locks() -> None:
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "this system has no file locks; use WSL2")


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of a file. Raises OSError."""
    fd = open_to_read(path)
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def append_whole(fd: int, data: bytes) -> None:
    """Append in one write; a short one is cut back, so that there is all of it or nothing.

    Raises:
        OSError: There is no room, or it cannot be written.
    """
    written = os.write(fd, data)
    if written != len(data):
        os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def copy(source: int, target: int) -> None:
    """Append all of an open file to another."""
    offset = 0
    while piece := os.pread(source, 1_000_000, offset):
        offset += len(piece)
        while piece:
            piece = piece[os.write(target, piece) :]


def make_private_folder(folder: Path) -> None:
    """Create a folder and what is missing above it, for this user only. Raises OSError."""
    if folder.is_dir():
        return
    make_private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
