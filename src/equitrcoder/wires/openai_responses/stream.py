"""Reads one streamed answer of the Responses wire.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.nesting import too_deep
from equitrcoder.wires.openai_responses.assembly import ItemList, field_of, take_piece, untold_text
from equitrcoder.wires.openai_responses.reading import failed, read_turn, refuse_failed
from equitrcoder.wires.sse import SSEDecoder, SSEEvent
from equitrcoder.wires.values import Delta, Turn

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Room for an answer that came as one document although a stream was asked for."""

_BLANK = b"\r\n\t \xef\xbb\xbf"
_ENDS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
    "response.requires_action": "requires_action",
}
"""Events that end an answer, and the status they stand for where the response object names none."""


class _NoJSONError(BadResponseError):
    """An event's data is no JSON."""


class ResponsesStreamReader:
    r"""Reads the bytes of a stream, cut anywhere.

    The end is `response.completed`, `response.incomplete` or `response.failed`; `[DONE]` alone is none. A host that
    answers with one JSON document instead of events is read as that.

    Example:
        >>> reader = ResponsesStreamReader()
        >>> reader.feed(b'data: {"type":"response.output_text.delta","output_index":0,"delta":"Hi"}\n\n')
        [Delta(text='Hi', kind='text')]
        >>> reader.feed(b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n')
        []
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
        self._items = ItemList()
        self._response: dict[str, Any] = {}
        self._ended = False
        self._done = False
        self._spoken: object = None  # the message item that was shown last

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
        if self.finished:
            return
        self._events += 1
        data = event.data.strip()
        if data == b"[DONE]":
            self._done = True
        elif data:
            for value in _values(data):
                if too_deep(value, data):
                    raise BadResponseError("An event of the stream is nested too deeply.")
                if not isinstance(value, dict):
                    raise BadResponseError("An event of the stream is no object.")
                self._take(value, value.get("type") or event.name, shown)

    def _take(self, event: dict[str, Any], kind: Any, shown: list[Delta]) -> None:
        if self._ended or not isinstance(kind, str):
            self._refuse_error(event, kind)
            return
        stem, field, end = field_of(kind)
        if stem:
            held, text = take_piece(self._items, event, stem, field, end)
            self._show(held, field, text, shown)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._take_item(event, shown, done=kind.endswith(".done"))
        elif kind in _ENDS:
            self._take_end(event, kind)
        else:
            self._refuse_error(event, kind)
            self._take_facts(event.get("response"))

    def _refuse_error(self, event: dict[str, Any], kind: Any) -> None:
        """Refuse an `error` event, in any of the forms that hosts give it; after its end an answer is whole."""
        error = event.get("error")
        if self._ended or not (kind == "error" or (error and not event.get("response"))):
            return
        raise failed(error or event)

    def _take_item(self, event: dict[str, Any], shown: list[Delta], *, done: bool) -> None:
        item = event.get("item")
        if not isinstance(item, dict):
            raise BadResponseError("An output item of the stream is no object.")
        if not done:
            self._items.added(event, item)
            return
        held = self._items.done(event, item)
        self._show(held, "text", untold_text(held), shown)

    def _show(self, held: Any, field: str, text: str, shown: list[Delta]) -> None:
        if not text or field not in ("text", "content", "summary"):
            return
        if field == "text":
            if self._spoken is not None and self._spoken is not held:
                text = "\n\n" + text
            self._spoken = held
        held.shown = True
        shown.append(Delta(text=text, kind="text" if field == "text" else "reasoning"))

    def _take_facts(self, response: Any) -> None:
        if isinstance(response, dict):
            self._response.update((key, value) for key, value in response.items() if value is not None)

    def _take_end(self, event: dict[str, Any], kind: str) -> None:
        self._response.pop("status", None)  # of response.created: in_progress
        self._take_facts(event.get("response"))
        self._response.setdefault("status", _ENDS[kind])
        if event.get("error"):  # Perplexity
            self._response.setdefault("error", event["error"])
        self._ended = True

    @property
    def finished(self) -> bool:
        """Whether the answer's own end has been read; `[DONE]` without one ends the stream, but not in good order."""
        return self._ended or self._done

    def partial(self) -> Turn:
        """What has been read so far, finished or not. Never raises."""
        try:
            return self._whole_document() if self._form == "document" else self._turn()
        except ProviderError as error:
            return error.partial or Turn()

    def _turn(self) -> Turn:
        response = self._response if self._ended else {**self._response, "status": None}
        return read_turn(self._items.output(self._response.get("output")), response)

    def _whole_document(self) -> Turn:
        from equitrcoder.wires.openai_responses.answer import read_document

        return read_document(b"".join(self._document))

    def finish(self) -> Turn:
        """The whole answer, once the bytes have ended.

        Raises:
            StreamBrokenError: The stream ended without its end; `partial` has what was read.
            ProviderError: It was no answer of this wire, or it failed.
        """
        if self._form == "document":
            return self._whole_document()
        self._take_rest()
        if not self._ended:
            self._raise(self._broken())
        turn = self._turn()
        refuse_failed(self._response, turn)
        return turn

    def _take_rest(self) -> None:
        try:
            for event in self._decoder.flush():
                self._take_event(event, [])
        except _NoJSONError:
            pass  # the last event was cut: what came before it decides
        except ProviderError as error:
            self._raise(error)

    def _broken(self) -> ProviderError:
        excerpt = self._head.decode("utf-8", "replace")
        if not self._events and not _may_be_events(self._head):
            return BadResponseError("The answer is no event stream.", hint="check the base URL", excerpt=excerpt)
        return StreamBrokenError("The stream broke off before the answer was complete.", excerpt=excerpt)

    def _raise(self, error: ProviderError) -> NoReturn:
        if error.partial is None:
            error.partial = self.partial()
        raise error


def _may_be_events(head: bytes) -> bool:
    """Whether these first bytes are the start of an event stream: nothing yet, or one of its fields, whole or cut."""
    head = head.lstrip(_BLANK)
    fields = (b":", b"data", b"event", b"id", b"retry")
    return head.startswith(fields) or any(field.startswith(head) for field in fields)


def _values(data: bytes) -> list[Any]:
    """The JSON of one event. Hosts that forget the blank line between events put several on lines of their own."""
    try:
        return [jsontext.loads(data)]
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
