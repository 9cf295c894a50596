"""Reads one streamed answer of the Responses wire.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.openai_responses.assembly import ItemList, field_of, take_piece, untold_text
from equitrcoder.wires.openai_responses.reading import failed, read_turn, refuse_failed
from equitrcoder.wires.streaming import EventStreamReader
from equitrcoder.wires.values import Delta, Turn

_ENDS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
    "response.requires_action": "requires_action",
}
"""Events that end an answer, and the status they stand for where the response object names none."""


class ResponsesStreamReader(EventStreamReader):
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

    keeps_failed_turn = True

    def __init__(self) -> None:
        super().__init__()
        self._items = ItemList()
        self._response: dict[str, Any] = {}
        self._ended = False
        self._done = False
        self._spoken: object = None  # the message item that was shown last

    def _take_event(self, name: str, data: bytes, shown: list[Delta]) -> None:
        if self._ended or self._done:
            return
        self._events += 1
        data = data.strip()
        if data == b"[DONE]":
            self._done = True
        elif data:
            for value in self._values(data):
                if not isinstance(value, dict):
                    raise BadResponseError("An event of the stream is no object.")
                self._take(value, value.get("type") or name, shown)

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

    def _events_turn(self) -> Turn:
        response = self._response if self._ended else {**self._response, "status": None}
        return read_turn(self._items.output(self._response.get("output")), response)

    def _ended_well(self) -> bool:
        return self._ended

    def _whole(self) -> Turn:
        turn = self._events_turn()
        refuse_failed(self._response, turn)
        return turn

    def _document_turn(self, body: bytes) -> Turn:
        from equitrcoder.wires.openai_responses.answer import read_document

        return read_document(body)
