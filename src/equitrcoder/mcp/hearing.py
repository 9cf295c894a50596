"""What a connection has heard from its server, and when it has heard too much. Pure."""

from __future__ import annotations

from typing import Any

from equitrcoder.mcp.words import one_line

MOST_MESSAGE_BYTES = 16_000_000
MOST_UNASKED = 10_000
"""Messages between two answers that were waited for: progress, logs, requests of its own, answers to nothing."""
_MOST_NONSENSE_LINES = 200
_MOST_NONSENSE_BYTES = 1_000_000
_LIST_CHANGED = "notifications/tools/list_changed"


class Hearing:
    """Of one connection.

    Attributes:
        trouble: Why nothing more is heard; None while all is well.
        last_words: The end of its error output.
        list_changed: Whether it said that its tools have changed.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.last_words = b""
        self.list_changed = False
        self._unasked = 0
        self._nonsense_lines = 0
        self._nonsense_bytes = 0

    def takes(self, message: Any) -> bool:
        """Whether a message goes on to the session: answers and requests do; of notices we need only one."""
        self._unasked += 1
        if self._unasked > MOST_UNASKED:
            self.broken(f"it sent {MOST_UNASKED:,} messages that nobody had asked for")
            return False
        method = getattr(message, "method", None)
        if method == _LIST_CHANGED:
            self.list_changed = True
        return method is None or getattr(message, "id", None) is not None

    def answered(self) -> None:
        """An answer came that was waited for."""
        self._unasked = 0

    def nonsense(self, line: bytes) -> None:
        """A line that is no message: some programs print one or two."""
        if not line.strip():
            return
        self._nonsense_lines += 1
        self._nonsense_bytes += len(line)
        if self._nonsense_lines > _MOST_NONSENSE_LINES or self._nonsense_bytes > _MOST_NONSENSE_BYTES:
            self.broken(f"it prints what is no message: {one_line(line[:200].decode('utf-8', 'replace'), 80)}")

    def broken(self, why: str) -> None:
        """Nothing more is heard; the first reason counts."""
        self.trouble = self.trouble or why

    def ended(self, how: str) -> None:
        """The other side has ended."""
        self.broken(how)

    def why(self) -> str:
        """What went wrong and its last words, on one line."""
        words = one_line(self.last_words.decode("utf-8", "replace")[-400:], 400)
        return (self.trouble or "the connection is closed") + (f"; its last words: {words}" if words else "")
