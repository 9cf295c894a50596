"""Put a whole new content in a file's place, at once.

Where the system can, the content is written into a file without a name, so that a kill leaves nothing behind; a name
it has only between two calls to the kernel.

Source: https://man7.org/linux/man-pages/man2/open.2.html (O_TMPFILE)
"""

from __future__ import annotations

import contextlib
import os
import stat

from equitrcoder.tools.guarding import temporary_name

_NAMELESS = os.O_WRONLY | getattr(os, "O_TMPFILE", 0) | os.O_CLOEXEC
_NAMED = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def put_in_place(folder: int, name: str, data: bytes, before: os.stat_result | None) -> None:
    """Give `name` in an open folder this content; whoever reads sees the old one or the new one.

    Args:
        folder: Descriptor of the folder.
        name: One name, no path.
        data: The whole content.
        before: What is there now, whose owner and mode are kept (but set-user-id and set-group-id); None: nothing.

    Raises:
        OSError: It cannot be written; what was there is unharmed, and nothing else is left.
    """
    temporary = temporary_name(os.urandom(8))
    if not _link_nameless(folder, temporary, data, before):
        _write_named(folder, temporary, data, before)
    try:
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(folder, temporary)
        raise


def _link_nameless(folder: int, temporary: str, data: bytes, before: os.stat_result | None) -> bool:
    """Write a file without a name, then name it; False when this file system or kernel cannot."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        descriptor = os.open(".", _NAMELESS, _first_mode(before), dir_fd=folder)
    except OSError:
        return False
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  (a descriptor)
        _fill(file.fileno(), data, before)
        try:
            os.link(f"/proc/self/fd/{file.fileno()}", temporary, dst_dir_fd=folder, follow_symlinks=True)
        except OSError:  # no /proc, or links are not for us
            return False
    return True


def _write_named(folder: int, temporary: str, data: bytes, before: os.stat_result | None) -> None:
    descriptor = os.open(temporary, _NAMED, _first_mode(before), dir_fd=folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  (a descriptor)
            _fill(file.fileno(), data, before)
    except BaseException:
        _remove(folder, temporary)
        raise


def _first_mode(before: os.stat_result | None) -> int:
    return 0o666 if before is None else 0o600


def _remove(folder: int, temporary: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(temporary, dir_fd=folder)


def _fill(descriptor: int, data: bytes, before: os.stat_result | None) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    if before is not None:
        _take_over(descriptor, before)


def _take_over(descriptor: int, before: os.stat_result) -> None:
    """Give the new file the old one's owner and mode; never the right to run as its owner: the content is new."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(OSError):  # only root may; else the file becomes the user's, as with most editors
            os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
