"""Server-sent events, decoded piece by piece.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import NamedTuple

from equitrcoder.errors import BadResponseError

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Room for one event. Answers come in many small ones; without a bound a line that never ends would fill the memory."""

_LINE_BYTES = 50  # what a line costs in memory beside its text: many short ones must not pass under the bound
_BOM = b"\xef\xbb\xbf"


class SSEEvent(NamedTuple):
    """One event: its name (empty when there was none) and its data, lines joined with a newline."""

    name: str
    data: bytes


class SSEDecoder:
    r"""Turns bytes, cut anywhere, into events.

    Takes all three line ends, comments, several `data:` lines per event and a byte order mark. `id:` and `retry:` are
    passed over: an answer of a model is never resumed. Time and memory are linear in what is fed.

    Example:
        >>> decoder = SSEDecoder()
        >>> decoder.feed(b'data: {"a"'), decoder.feed(b':1}\r\n\r')
        ([], [SSEEvent(name='', data=b'{"a":1}')])
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line: list[bytes] = []  # pieces of the line that is not ended yet
        self._data: list[bytes] = []  # data lines of the event that is not ended yet
        self._held_bytes = 0  # both together
        self._name = ""
        self._head: bytes | None = b""  # the first bytes, until it is known whether they are a BOM
        self._after_cr = False  # the last line ended with CR: a LF next belongs to it

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Take the next bytes; return the events that they completed, in order.

        Raises:
            BadResponseError: One event is larger than the bound.
        """
        if self._head is not None:
            data = self._without_bom(data)
        if not data:
            return []
        *ended, rest = self._lines(data)
        events: list[SSEEvent] = []
        for line in ended:
            if self._line:
                line = self._ended_line(line)
            if line:
                self._take_line(line)
            else:
                self._dispatch(events)
        if rest:
            self._line.append(rest)
            self._hold(len(rest))
        return events

    @property
    def between_events(self) -> bool:
        """Whether nothing is held of an event, so that the next byte begins a line of the next one."""
        return not (self._line or self._data or self._name or self._after_cr) and self._head is None

    def flush(self) -> list[SSEEvent]:
        """Say that the bytes have ended; return the event that had no blank line after it, if there is one."""
        events: list[SSEEvent] = []
        line = self._ended_line(b"")
        if line:
            self._take_line(line)
        self._dispatch(events)
        return events

    def _without_bom(self, data: bytes) -> bytes:
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _lines(self, data: bytes) -> list[bytes]:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def _ended_line(self, end: bytes) -> bytes:
        self._held_bytes -= sum(map(len, self._line))
        line = b"".join([*self._line, end])
        self._line.clear()
        return line

    def _take_line(self, line: bytes) -> None:
        colon = line.find(b":")
        field = line if colon < 0 else line[:colon]
        start = len(line) if colon < 0 else colon + 1 + (line[colon + 1 : colon + 2] == b" ")
        if field == b"data":
            self._data.append(line[start:])
            self._hold(len(line) - start + _LINE_BYTES)
        elif field == b"event":
            self._name = line[start : start + 100].decode("utf-8", "replace")

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        if self._held_bytes > self._max_event_bytes:
            raise BadResponseError(f"One event of the stream is larger than {self._max_event_bytes} bytes.")

    def _dispatch(self, events: list[SSEEvent]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(SSEEvent(self._name, data))
            self._data.clear()
        self._name = ""
        self._held_bytes = 0
