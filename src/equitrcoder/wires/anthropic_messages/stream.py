"""Reads one streamed answer of the Messages wire.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.anthropic_messages.assembly import MessageAssembly
from equitrcoder.wires.anthropic_messages.reading import read_message
from equitrcoder.wires.nesting import too_deep
from equitrcoder.wires.sse import SSEDecoder, SSEEvent
from equitrcoder.wires.values import Delta, Turn

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Room for an answer that came as one document although a stream was asked for."""

_BLANK = b"\r\n\t \xef\xbb\xbf"
_FIELDS = (b":", b"data", b"event", b"id", b"retry")


class _NoJSONError(BadResponseError):
    """An event's data is no JSON."""


class MessagesStreamReader:
    r"""Reads the bytes of a stream, cut anywhere.

    The end is `message_stop`, or a `message_delta` with a stop reason. A host that answers with one JSON document
    instead of events is read as that.

    Example:
        >>> reader = MessagesStreamReader()
        >>> reader.feed(b'data: {"type":"content_block_start","content_block":{"type":"text","text":"Hi"}}\n\n')
        [Delta(text='Hi', kind='text')]
        >>> reader.feed(b'data: {"type":"message_stop"}\n\n'), reader.finished, reader.finish().text
        ([], True, 'Hi')
    """

    def __init__(self) -> None:
        self._form: Literal["unknown", "events", "document"] = "unknown"
        self._decoder = SSEDecoder()
        self._document: list[bytes] = []
        self._document_bytes = 0
        self._head = b""  # the first bytes, for the message when this is no event stream
        self._events = 0
        self._begun = False
        self._stopped = False
        self._message = MessageAssembly()

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes; return the text that they completed.

        Raises:
            ProviderError: The stream carries an error, or is none of this wire; `partial` has what was read before.
        """
        if self._form == "unknown":
            start = (self._head + data).lstrip(_BLANK)[:1]
            if start:
                self._form = "document" if start in b"{[<" else "events"
        if not self._events and len(self._head) < 500:
            self._head += data[: 500 - len(self._head)]
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

    def _take_document(self, data: bytes) -> None:
        self._document_bytes += len(data)
        if self._document_bytes > MAX_DOCUMENT_BYTES:
            raise BadResponseError(f"The answer is larger than {MAX_DOCUMENT_BYTES} bytes.")
        self._document.append(data)

    def _take_event(self, event: SSEEvent, shown: list[Delta]) -> None:
        data = event.data.strip()
        if self._stopped or not data:
            return
        self._events += 1
        if data == b"[DONE]":  # no part of this wire; gateways add it
            self._stopped = self._begun
            return
        for value in _values(data):
            if not isinstance(value, dict):
                raise BadResponseError("An event of the stream is no object.")
            if too_deep(value, data):
                raise BadResponseError("An event of the stream is nested too deeply.")
            self._take(value, event.name, shown)

    def _take(self, value: dict[str, Any], name: str, shown: list[Delta]) -> None:
        match value.get("type") or name:
            case "content_block_delta":
                delta = self._message.take_delta(value.get("index"), _part(value, "delta"))
                self._begun = True
                if delta is not None:
                    shown.append(delta)
            case "content_block_start":
                shown += self._message.open_block(value.get("index"), _part(value, "content_block"))
                self._begun = True
            case "message_start":
                self._message.start(_part(value, "message"))
                self._begun = True
            case "message_delta":
                self._message.end(_part(value, "delta"))
                self._message.add_usage(value.get("usage"))
            case "message_stop":
                self._stopped = True
            case "ping" | "content_block_stop":
                pass
            case kind:
                self._refuse_error(value, is_error=kind == "error" or name == "error")

    def _refuse_error(self, value: dict[str, Any], *, is_error: bool) -> None:
        if (is_error or value.get("error")) and not self.finished:  # after its end an answer is whole
            from equitrcoder.wires.failures import error_inside

            raise error_inside(value)

    @property
    def finished(self) -> bool:
        """Whether the answer's own end has been read."""
        return self._stopped or self._message.ended

    def partial(self) -> Turn:
        """What has been read so far, finished or not. Never raises."""
        try:
            return self._whole_document() if self._form == "document" else self._turn()
        except ProviderError:
            return Turn()

    def _turn(self) -> Turn:
        return read_message(self._message.message(), usage=self._message.usage)

    def _whole_document(self) -> Turn:
        from equitrcoder.wires.anthropic_messages.answer import read_document

        return read_document(b"".join(self._document))

    def finish(self) -> Turn:
        """The whole answer, once the bytes have ended.

        Raises:
            StreamBrokenError: The stream ended without its finish; `partial` has what was read.
            ProviderError: It was no answer of this wire, or its last event was an error.
        """
        if self._form == "document":
            return self._whole_document()
        self._take_rest()
        if not self.finished:
            self._raise(self._broken())
        if not self._begun:
            self._raise(BadResponseError("The stream ended properly and held no answer.", excerpt=self._start()))
        return self._turn()

    def _take_rest(self) -> None:
        try:
            for event in self._decoder.flush():
                self._take_event(event, [])
        except _NoJSONError:
            pass  # the last event was cut: what came before it decides
        except ProviderError as error:
            self._raise(error)

    def _broken(self) -> ProviderError:
        if not self._events and not _may_be_events(self._head):
            return BadResponseError("The answer is no event stream.", hint="check the base URL", excerpt=self._start())
        return StreamBrokenError("The stream broke off before the answer was complete.", excerpt=self._start())

    def _start(self) -> str:
        return self._head.decode("utf-8", "replace")

    def _raise(self, error: ProviderError) -> NoReturn:
        if error.partial is None:
            error.partial = self.partial()
        raise error


def _part(value: dict[str, Any], key: str) -> dict[str, Any]:
    part = value.get(key)
    if not isinstance(part, dict):
        raise BadResponseError(f"An event of the stream has no {key}.")
    return part


def _may_be_events(head: bytes) -> bool:
    """Whether these first bytes are the start of an event stream: nothing yet, or one of its fields, whole or cut."""
    head = head.lstrip(_BLANK)
    return head.startswith(_FIELDS) or any(field.startswith(head) for field in _FIELDS)


def _values(data: bytes) -> list[Any]:
    """The JSON of one event. Hosts that forget the blank line between events put several on lines of their own."""
    try:
        return [jsontext.loads(data)]
    except jsontext.InvalidJSON as error:
        lines = data.split(b"\n")
        if len(lines) > 1:
            try:
                return [jsontext.loads(line) for line in lines if line.strip()]
            except jsontext.InvalidJSON:
                pass
        raise _NoJSONError(
            f"An event of the stream is no JSON: {error}.", excerpt=data[:500].decode("utf-8", "replace")
        ) from None
