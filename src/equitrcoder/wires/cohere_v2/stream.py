"""Reads one streamed answer of Cohere's chat.

Source: https://docs.cohere.com/v2/docs/streaming
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.arguments import MAX_CALLS
from equitrcoder.wires.cohere_v2.reading import read_document, read_turn, refuse_failed_finish
from equitrcoder.wires.documents import BLANK
from equitrcoder.wires.openai_chat.callpieces import CallPieces, piece_of
from equitrcoder.wires.shortcuts import Said
from equitrcoder.wires.streaming import EventStreamReader
from equitrcoder.wires.values import Delta, Turn


def _plan_in(event: Any) -> Any:
    return event["delta"]["message"]["tool_plan"]


def _text_in(event: Any) -> Any:
    return event["delta"]["message"]["content"]["text"]


def _thinking_in(event: Any) -> Any:
    return event["delta"]["message"]["content"]["thinking"]


def _arguments_in(event: Any) -> Any:
    return event["delta"]["message"]["tool_calls"]["function"]["arguments"]


class _Part:
    """One part of the content while it arrives."""

    __slots__ = ("extra", "kind", "pieces")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.extra: dict[str, Any] = {}

    def whole(self) -> dict[str, Any]:
        return {"type": self.kind, self.kind: "".join(self.pieces), **self.extra}


class CohereStreamReader(EventStreamReader):
    r"""Reads the bytes of a stream, cut anywhere. The end is `message-end`.

    Example:
        >>> reader = CohereStreamReader()
        >>> reader.feed(b'data: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I will"}}}\n\n')
        [Delta(text='I will', kind='text')]
        >>> reader.feed(b'data: {"type":"message-end","delta":{"finish_reason":"COMPLETE"}}\n\n'), reader.finished
        ([], True)
    """

    def __init__(self) -> None:
        super().__init__()
        self._form = "events"  # until a document begins
        self._known_events = 0
        self._done = False
        self._plan: list[str] = []
        self._parts: list[_Part] = []
        self._part_at: dict[Any, _Part] = {}
        self._calls: list[CallPieces] = []
        self._call_at: dict[Any, CallPieces] = {}
        self._citations: list[Any] = []
        self._facts: dict[str, Any] = {}

    def _recognise(self, data: bytes) -> None:
        if len(self._head) < 500:
            if not self._head.lstrip(BLANK) and data.lstrip(BLANK)[:1] in (b"{", b"[", b"<"):
                self._form = "document"
            self._head += data[: 500 - len(self._head)]

    def _take_event(self, name: str, data: bytes, shown: list[Delta]) -> None:
        data = data.strip()
        if self._done or not data or data == b"[DONE]":
            return
        self._events += 1
        for value in self._values(data):
            if not isinstance(value, dict):
                raise BadResponseError("An event of the stream is no object.", excerpt=self._start())
            self._take_object(value, name, shown)

    def _take_object(self, value: dict[str, Any], name: str, shown: list[Delta]) -> None:
        kind = value.get("type") or name
        if kind == "error" or value.get("error") or (not kind and isinstance(value.get("message"), str)):
            from equitrcoder.wires.failures import error_inside

            raise error_inside(value)
        self._take(str(kind), value, shown)

    def _take(self, kind: str, event: dict[str, Any], shown: list[Delta]) -> None:
        delta = _object(event.get("delta"))
        message = _object(delta.get("message"))
        self._known_events += 1
        match kind:
            case "message-start":
                self._facts["id"] = event.get("id")
            case "content-start" | "content-delta":
                self._take_content(event, message.get("content"), shown, opens=kind == "content-start")
                if self._shortcut.wanted and kind == "content-delta":
                    self._said = self._said_part(event, message.get("content"))
            case "tool-plan-delta":
                self._take_plan(message.get("tool_plan"), shown)
                if self._shortcut.wanted and isinstance(message.get("tool_plan"), str):
                    self._said = Said(self._plan, b"tool_plan", _plan_in, "text")
            case "tool-call-start" | "tool-call-delta":
                calls = message.get("tool_calls")  # an object; a list only by analogy with the whole answer
                for call in calls if isinstance(calls, list) else [calls]:
                    self._take_call(event, call, opens=kind == "tool-call-start")
                if self._shortcut.wanted and kind == "tool-call-delta" and isinstance(calls, dict):
                    self._said = self._said_call(event, calls)
            case "citation-start":
                citations = message.get("citations")
                self._citations += citations if isinstance(citations, list) else [citations] if citations else []
            case "message-end":
                self._facts |= {key: delta.get(key) for key in ("finish_reason", "usage", "error")}
                self._done = True
            case _:
                self._known_events -= 1

    def _take_plan(self, plan: Any, shown: list[Delta]) -> None:
        piece = piece_of(plan)
        if piece:
            self._plan.append(piece)
            shown.append(Delta(text=piece))

    def _take_content(self, event: dict[str, Any], content: Any, shown: list[Delta], *, opens: bool) -> None:
        if content is None:
            return
        fields = {"text": content} if isinstance(content, str) else _object(content)
        kind = "thinking" if fields.get("type") == "thinking" or "thinking" in fields else "text"
        place = _place(event)
        part = None if opens else self._part_at.get(place)
        if part is None or part.kind != kind:
            if len(self._parts) >= MAX_CALLS:
                raise BadResponseError(f"The answer holds more than {MAX_CALLS} parts.")
            part = self._part_at[place] = _Part(kind)
            self._parts.append(part)
        piece = piece_of(fields.get(kind))
        part.extra.update((key, value) for key, value in fields.items() if key not in ("type", kind) and value)
        if piece:
            part.pieces.append(piece)
            shown.append(Delta(text=piece, kind="reasoning" if kind == "thinking" else "text"))

    def _take_call(self, event: dict[str, Any], entry: Any, *, opens: bool) -> None:
        if not isinstance(entry, dict):
            raise BadResponseError(f"A tool call of the stream is no object but {type(entry).__name__}.")
        place = _place(event)
        call = None if opens else self._call_at.get(place)
        if call is None and not opens and place is None and self._calls:
            call = self._calls[-1]
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
            call = self._call_at[place] = CallPieces()
            self._calls.append(call)
        function = _object(entry.get("function"))
        call.id = piece_of(entry.get("id")) if call.id is None else call.id
        call.add_name(piece_of(function.get("name")))
        call.add_arguments(piece_of(function.get("arguments")))

    def _said_part(self, event: dict[str, Any], content: Any) -> Said | None:
        """What a piece of the content did, where that was only to add a text."""
        part = self._part_at.get(_place(event))
        if part is None or not isinstance(content, dict) or list(content) != [part.kind]:
            return None
        thinks = part.kind == "thinking"
        return Said(
            part.pieces, part.kind.encode(), _thinking_in if thinks else _text_in, "reasoning" if thinks else "text"
        )

    def _said_call(self, event: dict[str, Any], entry: dict[str, Any]) -> Said | None:
        """What a piece of a call did, where that was only to add to its arguments."""
        call = self._call_at.get(_place(event))
        function = _object(entry.get("function"))
        if call is None or call.arguments is None or list(entry) != ["function"] or list(function) != ["arguments"]:
            return None
        return Said(call.arguments, b"arguments", _arguments_in, None)

    @property
    def finished(self) -> bool:
        """Whether `message-end` has been read."""
        return self._done

    def _events_turn(self) -> Turn:
        message: dict[str, Any] = {"role": "assistant"}
        if self._plan:
            message["tool_plan"] = "".join(self._plan)
        if self._calls:
            message["tool_calls"] = [call.entry() for call in self._calls]
        if self._parts:
            message["content"] = [part.whole() for part in self._parts]
        if self._citations:
            message["citations"] = list(self._citations)
        return read_turn(message, self._facts)

    def _document_turn(self, body: bytes) -> Turn:
        return read_document(body)

    def _whole(self) -> Turn:
        turn = self._events_turn()
        refuse_failed_finish(turn, self._facts.get("error"))
        return turn

    def _broken(self) -> ProviderError:
        if not self._known_events and (self._events or not self._may_be_events()):
            return BadResponseError(
                "The answer is no stream of Cohere's.", hint="check the base URL", excerpt=self._start()
            )
        return StreamBrokenError("The stream broke off before the answer was complete.", excerpt=self._start())


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _place(event: dict[str, Any]) -> int | None:
    index = event.get("index")
    return index if isinstance(index, int) else None
