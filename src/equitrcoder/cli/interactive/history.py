"""The lines a person typed, kept for the arrow keys: one JSON string per line in the state directory, secrets out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit.history import History

from equitrcoder import jsontext

FILE_NAME = "history"
KEPT_BYTES = 262_144
"""When the file is twice as long, it is cut to its last lines of so many bytes together."""


class LineHistory(History):
    """Lines of all sessions of this user.

    A line that starts with a space is not kept. A file that cannot be read or written is no trouble: then there is
    none.

    Args:
        folder: The state directory.
        redact: Takes secrets out of a line before it is written.
    """

    def __init__(self, folder: Path, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._path = folder / FILE_NAME
        self._redact = redact

    def load_history_strings(self) -> Iterable[str]:
        """The lines, newest first."""
        lines = self._tail().splitlines()
        for line in reversed(lines):
            try:
                entry = jsontext.loads(line)
            except jsontext.InvalidJSON:  # the file was cut, or is somebody else's
                continue
            if isinstance(entry, str):
                yield entry

    def append_string(self, string: str) -> None:
        """Keep a line, unless it starts with a space."""
        if not string.startswith(" "):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Write a line."""
        from equitrcoder.ledger import files

        try:
            files.make_private_folder(self._path.parent)
            descriptor = files.open_to_append(self._path, create=True)
            try:
                files.append_whole(descriptor, jsontext.dumps(self._redact(string)) + b"\n")
                if os.fstat(descriptor).st_size > 2 * KEPT_BYTES:
                    self._shorten()
            finally:
                os.close(descriptor)
        except OSError:  # the history is a convenience; the line itself is on its way
            return

    def _tail(self) -> bytes:
        from equitrcoder.ledger import files

        try:
            descriptor = files.open_to_read(self._path)
        except OSError:
            return b""
        try:
            size = os.fstat(descriptor).st_size
            return os.pread(descriptor, KEPT_BYTES, max(size - KEPT_BYTES, 0))
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def _shorten(self) -> None:
        """Keep the last lines only; another session may lose a line that it writes at this moment."""
        from equitrcoder.ledger import files

        fresh = self._path.with_name(f"{FILE_NAME}.{os.getpid()}")
        _, _, whole_lines = self._tail().partition(b"\n")
        descriptor = files.open_to_append(fresh, new=True)
        try:
            files.append_whole(descriptor, whole_lines)
        finally:
            os.close(descriptor)
        fresh.replace(self._path)
