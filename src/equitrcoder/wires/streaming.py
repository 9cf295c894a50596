"""What reading a stream has in common on every wire: cutting it into events, telling its end from a break, failing.

A wire's reader says how an event changes its assembly, when the answer is finished, and what the turn is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NoReturn

import orjson

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.documents import BLANK
from equitrcoder.wires.nesting import MAX_LEVELS, too_deep
from equitrcoder.wires.shortcuts import Said, Shortcut
from equitrcoder.wires.sse import MAX_EVENT_BYTES, SSEDecoder
from equitrcoder.wires.values import Delta, Turn

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Room for an answer that came as one document although a stream was asked for."""

_FIELDS = (b":", b"data", b"event", b"id", b"retry")


class NoJSONError(BadResponseError):
    """An event's data is no JSON."""


class StreamReader(ABC):
    """Reads the bytes of a stream, cut anywhere."""

    keeps_failed_turn: ClassVar[bool] = False
    """Whether `partial` gives what an error in reading the turn carries; else it gives an empty turn then."""

    def __init__(self) -> None:
        self._head = b""  # the first bytes, for the message when this is no stream of the wire

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether the answer's own end has been read."""

    @abstractmethod
    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes; return the text that they completed.

        Raises:
            ProviderError: The stream carries an error, or is none of this wire; `partial` has what was read before.
        """

    @abstractmethod
    def finish(self) -> Turn:
        """The whole answer, once the bytes have ended.

        Raises:
            StreamBrokenError: The stream ended without its finish; `partial` has what was read.
            ProviderError: It was no answer of this wire, it failed, or its last event was an error.
        """

    @abstractmethod
    def _turn(self) -> Turn:
        """What has been read so far."""

    def partial(self) -> Turn:
        """What has been read so far, finished or not. Never raises."""
        try:
            return self._turn()
        except ProviderError as error:
            kept = error.partial if self.keeps_failed_turn else None
            return kept if isinstance(kept, Turn) else Turn()

    def _start(self) -> str:
        return self._head.decode("utf-8", "replace")

    def _raise(self, error: ProviderError) -> NoReturn:
        if error.partial is None:
            error.partial = self.partial()
        raise error

    def _broken(self) -> ProviderError:
        return StreamBrokenError("The stream broke off before the answer was complete.", excerpt=self._start())


class EventStreamReader(StreamReader):
    """Reads server-sent events. A host that answers with one JSON document instead of events is read as that."""

    def __init__(self) -> None:
        super().__init__()
        self._form: Literal["unknown", "events", "document"] = "unknown"
        self._decoder = SSEDecoder()
        self._document: list[bytes] = []
        self._document_bytes = 0
        self._events = 0
        self._loads: Callable[[bytes], Any] = jsontext.loads
        self._shortcut = Shortcut()
        self._said: Said | None = None  # set by an event that did nothing but add a text

    @abstractmethod
    def _take_event(self, name: str, data: bytes, shown: list[Delta]) -> None:
        """Let one event change what has been read, and add the text to show."""

    @abstractmethod
    def _events_turn(self) -> Turn:
        """What the events so far amount to."""

    @abstractmethod
    def _document_turn(self, body: bytes) -> Turn:
        """What a document in place of events says."""

    def _whole(self) -> Turn:
        """The turn of a stream that has come to its end; refuses one that failed."""
        return self._events_turn()

    def _ended_well(self) -> bool:
        return self.finished

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes; see `StreamReader.feed`."""
        self._recognise(data)
        if self._form != "events":
            self._take_document(data)
            return []
        shown: list[Delta] = []
        try:
            self._take_events(data, shown)
        except ProviderError as error:
            self._raise(error)
        return shown

    def _take_events(self, data: bytes, shown: list[Delta]) -> None:
        """Take the next bytes: event by event between blank lines, line by line where those cannot be told."""
        if not self._decoder.between_events:
            end = data.find(b"\n\n") + 2
            begun, data = (data, b"") if end < 2 else (data[:end], data[end:])
            self._take_lines(begun, shown)
        if b"\r" in data or len(data) > MAX_EVENT_BYTES or not self._decoder.between_events:
            self._take_lines(data, shown)
            return
        *blocks, rest = data.split(b"\n\n")
        if len(data) <= jsontext.MAX_FAST_BYTES and jsontext.is_ordinary(data):
            self._loads = orjson.loads
        shortcut = self._shortcut
        try:
            for block in blocks:
                if not (shortcut.known and shortcut.take(block, shown)):
                    self._take_block(block, shown)
        finally:
            self._loads = jsontext.loads
        if rest:
            self._take_lines(rest, shown)

    def _take_block(self, block: bytes, shown: list[Delta]) -> None:
        """Take the lines of an event, the blank line after them left out."""
        line, _, data = block.rpartition(b"\n")
        if not data.startswith(b"data: ") or not (not line or (line.startswith(b"event: ") and b"\n" not in line)):
            self._take_lines(block + b"\n\n", shown)
            return
        data = data[6:]
        self._said = None
        self._shortcut.known = False
        self._take_event(line[7:107].decode("utf-8", "replace"), data, shown)
        if self._said is not None:
            self._shortcut.learn(block, data, self._said)

    def _take_lines(self, data: bytes, shown: list[Delta]) -> None:
        for name, text in self._decoder.feed(data):
            self._shortcut.known = False
            self._take_event(name, text, shown)

    def _recognise(self, data: bytes) -> None:
        """Tell events from a document by the first byte that is neither blank nor part of a byte order mark."""
        if self._form == "unknown":
            start = data.lstrip(BLANK)[:1]
            if start:
                self._form = "document" if start in b"{[<" else "events"
        if not self._events and len(self._head) < 500:
            self._head += data[: 500 - len(self._head)]

    def _take_document(self, data: bytes) -> None:
        self._document_bytes += len(data)
        if self._document_bytes > MAX_DOCUMENT_BYTES:
            raise BadResponseError(f"The answer is larger than {MAX_DOCUMENT_BYTES} bytes.")
        self._document.append(data)

    def _turn(self) -> Turn:
        return self._document_turn(b"".join(self._document)) if self._form == "document" else self._events_turn()

    def finish(self) -> Turn:
        """The whole answer; see `StreamReader.finish`."""
        if self._form == "document":
            return self._turn()
        self._take_rest()
        if not self._ended_well():
            self._raise(self._broken())
        return self._whole()

    def _take_rest(self) -> None:
        try:
            for name, data in self._decoder.flush():
                self._take_event(name, data, [])
        except NoJSONError:
            pass  # the last event was cut: what came before it decides
        except ProviderError as error:
            self._raise(error)

    def _values(self, data: bytes, *, skipped: tuple[bytes, ...] = (b"", b"[DONE]")) -> Sequence[Any]:
        """The JSON of one event; see `event_values`.

        Raises:
            BadResponseError: It is no JSON, or nested too deeply.
        """
        values: Sequence[Any]
        try:
            values = (self._loads(data),)
        except ValueError:
            values = event_values(data, skipped=skipped)
        if len(data) > 2 * MAX_LEVELS and any(too_deep(value, data) for value in values):
            raise BadResponseError("An event of the stream is nested too deeply.")
        return values

    def _broken(self) -> ProviderError:
        if not self._events and not self._may_be_events():
            return BadResponseError("The answer is no event stream.", hint="check the base URL", excerpt=self._start())
        return super()._broken()

    def _may_be_events(self) -> bool:
        """Whether the first bytes are the start of an event stream: nothing yet, or one of its fields, whole or cut."""
        head = self._head.lstrip(BLANK)
        return head.startswith(_FIELDS) or any(field.startswith(head) for field in _FIELDS)


def event_values(data: bytes, *, skipped: tuple[bytes, ...] = (b"", b"[DONE]")) -> list[Any]:
    r"""The JSON of one event. Hosts that forget the blank line between events put several on lines of their own.

    Args:
        data: The event's data.
        skipped: Lines of such an event that stand for nothing.

    Raises:
        NoJSONError: It is no JSON.

    Example:
        >>> event_values(b'{"a":1}'), event_values(b'{"a":1}\n[DONE]')
        ([{'a': 1}], [{'a': 1}])
    """
    try:
        return [jsontext.loads(data)]
    except jsontext.InvalidJSON as error:
        lines = data.split(b"\n")
        if len(lines) > 1:
            try:
                return [jsontext.loads(line) for line in lines if line.strip() not in skipped]
            except jsontext.InvalidJSON:
                pass
        raise NoJSONError(
            f"An event of the stream is no JSON: {error}.", excerpt=data[:500].decode("utf-8", "replace")
        ) from None
