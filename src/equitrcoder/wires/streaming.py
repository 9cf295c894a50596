"""What reading a stream has in common on every wire: cutting it into events, telling its end from a break, failing.

A wire's reader says how an event changes its assembly, when the answer is finished, and what the turn is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NoReturn

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.documents import BLANK
from equitrcoder.wires.sse import SSEDecoder, SSEEvent
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

    @abstractmethod
    def _take_event(self, event: SSEEvent, shown: list[Delta]) -> None:
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
            for event in self._decoder.feed(data):
                self._take_event(event, shown)
        except ProviderError as error:
            self._raise(error)
        return shown

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
            for event in self._decoder.flush():
                self._take_event(event, [])
        except NoJSONError:
            pass  # the last event was cut: what came before it decides
        except ProviderError as error:
            self._raise(error)

    def _broken(self) -> ProviderError:
        if not self._events and not self._may_be_events():
            return BadResponseError("The answer is no event stream.", hint="check the base URL", excerpt=self._start())
        return super()._broken()

    def _may_be_events(self) -> bool:
        """Whether the first bytes are the start of an event stream: nothing yet, or one of its fields, whole or cut."""
        head = self._head.lstrip(BLANK)
        return head.startswith(_FIELDS) or any(field.startswith(head) for field in _FIELDS)


def event_values(data: bytes, *, skipped: tuple[bytes, ...] = (b"", b"[DONE]"), spread: bool = False) -> list[Any]:
    r"""The JSON of one event. Hosts that forget the blank line between events put several on lines of their own.

    Args:
        data: The event's data.
        skipped: Lines of such an event that stand for nothing.
        spread: Whether an event that is one list stands for its entries.

    Raises:
        NoJSONError: It is no JSON.

    Example:
        >>> event_values(b'{"a":1}'), event_values(b'{"a":1}\n[DONE]')
        ([{'a': 1}], [{'a': 1}])
    """
    try:
        value = jsontext.loads(data)
        return value if spread and isinstance(value, list) else [value]
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
