"""Reads one streamed answer of streamGenerateContent.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.gemini_generate.assembly import AnswerAssembly
from equitrcoder.wires.nesting import too_deep
from equitrcoder.wires.sse import SSEDecoder, SSEEvent
from equitrcoder.wires.values import Delta, Turn

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Room for an answer that came as one document although events were asked for."""

_BLANK = b"\r\n\t \xef\xbb\xbf"


class _NoJSONError(BadResponseError):
    """An event's data is no JSON."""


class GeminiStreamReader:
    r"""Reads the bytes of a stream, cut anywhere.

    The end is a finish reason for every candidate, or a blocked prompt; the wire has no mark of its own. One JSON
    document, or a list of chunks, in place of events is read as that.

    Example:
        >>> reader = GeminiStreamReader()
        >>> reader.feed(b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}\n\n')
        [Delta(text='Hi', kind='text')]
        >>> reader.finished, reader.finish().text
        (True, 'Hi')
    """

    def __init__(self) -> None:
        self._form: Literal["unknown", "events", "document"] = "unknown"
        self._decoder = SSEDecoder()
        self._document: list[bytes] = []
        self._document_bytes = 0
        self._head = b""  # the first bytes, for the message when this is no event stream
        self._events = 0
        self._answer = AnswerAssembly()

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes; return the text that they completed.

        Raises:
            ProviderError: The stream carries an error, or is none of this wire; `partial` has what was read before.
        """
        if self._form == "unknown":
            start = data.lstrip(_BLANK)[:1]
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
        self._events += 1
        data = event.data.strip()
        if not data or data == b"[DONE]":  # gateways add it
            return
        for chunk in _chunks(data):
            if too_deep(chunk, data):
                raise BadResponseError("An event of the stream is nested too deeply.")
            shown += self._answer.take(chunk)

    @property
    def finished(self) -> bool:
        """Whether the answer's end has been read: a finish reason for every candidate, or a blocked prompt."""
        return self._answer.finished

    def partial(self) -> Turn:
        """What has been read so far, finished or not. Never raises."""
        if self._form != "document":
            return self._answer.turn()
        try:
            return self._whole_document()
        except ProviderError as error:
            return error.partial if isinstance(error.partial, Turn) else Turn()

    def _whole_document(self) -> Turn:
        from equitrcoder.wires.gemini_generate.answer import read_document

        return read_document(b"".join(self._document))

    def finish(self) -> Turn:
        """The whole answer, once the bytes have ended.

        Raises:
            StreamBrokenError: The stream ended without its finish; `partial` has what was read.
            ProviderError: It was no answer of this wire, its last event was an error, or its finish says it failed.
        """
        if self._form == "document":
            return self._whole_document()
        self._take_rest()
        if not self.finished:
            self._raise(self._broken())
        try:
            return self._answer.whole()
        except ProviderError as error:
            self._raise(error)

    def _take_rest(self) -> None:
        try:
            for event in self._decoder.flush():
                self._take_event(event, [])
        except _NoJSONError:
            pass  # the last event was cut: what came before it decides
        except ProviderError as error:
            self._raise(error)

    def _broken(self) -> ProviderError:
        start = self._head.decode("utf-8", "replace")
        if not self._events and not _may_be_events(self._head):
            return BadResponseError("The answer is no event stream.", hint="check the base URL", excerpt=start)
        return StreamBrokenError("The stream broke off before the answer was complete.", excerpt=start)

    def _raise(self, error: ProviderError) -> NoReturn:
        if error.partial is None:
            error.partial = self.partial()
        raise error


def _may_be_events(head: bytes) -> bool:
    """Whether these first bytes are the start of an event stream: nothing yet, or one of its fields, whole or cut."""
    head = head.lstrip(_BLANK)
    fields = (b":", b"data", b"event", b"id", b"retry")
    return head.startswith(fields) or any(field.startswith(head) for field in fields)


def _chunks(data: bytes) -> list[Any]:
    """The JSON of one event: a chunk, or a list of them (errors come so). Hosts that forget the blank line between
    events put several on lines of their own."""
    try:
        chunk = jsontext.loads(data)
        return chunk if isinstance(chunk, list) else [chunk]
    except jsontext.InvalidJSON as error:
        lines = data.split(b"\n")
        if len(lines) > 1:
            try:
                return [jsontext.loads(line) for line in lines if line.strip() not in (b"", b"[DONE]")]
            except jsontext.InvalidJSON:
                pass
        raise _NoJSONError(
            f"An event of the stream is no JSON: {error}.", excerpt=data[:500].decode("utf-8", "replace")
        ) from None
