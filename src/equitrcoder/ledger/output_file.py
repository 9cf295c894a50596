"""Where an export goes: a file that is replaced as a whole, or an open stream."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from equitrcoder.errors import ExportError


class OutputFile:
    """A file to write an export to, as a context manager.

    The content goes to a temporary file beside it, which takes its place at the end; after an exception nothing has
    changed. A missing folder is made. A pipe or device (`/dev/null`) is written to as it is. A symbolic link is
    refused: it may have come with a repository and lead anywhere.

    Raises:
        ExportError: It cannot be written; on entering, while writing, or at the end.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with OutputFile(Path(folder) / "calls.json") as file:
        ...         file.write(b"[]")
        ...     (Path(folder) / "calls.json").read_bytes()
        b'[]'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary: Path | None = None
        self._fd = -1

    def __enter__(self) -> OutputFile:
        try:
            self._open()
        except OSError as error:
            self._clean_up()
            raise self._error(error) from error
        return self

    def _open(self) -> None:
        before = self._status()
        flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        if before is not None and stat.S_ISLNK(before.st_mode):
            raise ExportError(
                f"Cannot write the export {self.path}: it is a symbolic link. Nothing was written.",
                hint="name the file itself, or - for standard output",
            )
        if before is not None and not stat.S_ISREG(before.st_mode):
            self._fd = os.open(self.path, flags | getattr(os, "O_NOCTTY", 0))  # a folder says that it is one
            return
        if before is not None and not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".equitrcoder-{os.urandom(8).hex()}.tmp")
        self._fd = os.open(temporary, flags | os.O_CREAT | os.O_EXCL, 0o666)
        self._temporary = temporary
        if before is not None:
            os.fchmod(self._fd, stat.S_IMODE(before.st_mode))

    def _status(self) -> os.stat_result | None:
        try:
            return self.path.lstat()
        except FileNotFoundError:
            return None

    def write(self, data: bytes) -> None:
        """Add to the new content."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BrokenPipeError:
            raise  # the reader of a pipe has had enough: that is no trouble with the file
        except OSError as error:
            raise self._error(error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as trouble:
            raise self._error(trouble) from trouble
        finally:
            self._clean_up()

    def _finish(self) -> None:
        if self._temporary is not None:
            os.fsync(self._fd)  # so that a crash leaves the old content or the new one
            self._temporary.replace(self.path)
            self._temporary = None

    def _clean_up(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()

    def _error(self, error: OSError) -> ExportError:
        reason = (error.strerror or str(error)).lower()
        return ExportError(
            f"Cannot write the export {self.path}: {reason}. What was there before is unharmed.",
            hint="name another file, or - for standard output",
        )


class StreamTarget:
    """An open stream, such as standard output, with errors that say what to do. It stays open.

    A pipe whose reader has had enough raises BrokenPipeError, as ever.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Write; raises ExportError."""
        with _told():
            self._stream.write(data)

    def flush(self) -> None:
        """Hand on what is kept; raises ExportError."""
        with _told():
            self._stream.flush()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExportError(
            f"Cannot write the export: {(error.strerror or str(error)).lower()}.", hint="--output FILE, with more room"
        ) from error
