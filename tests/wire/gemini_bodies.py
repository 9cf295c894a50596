"""Bodies of Gemini's generateContent, written from its specification, for the tests of the wire."""

from __future__ import annotations

import json
from typing import Any

from equitrcoder.wires import wire
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
    UserMessage,
    WireCall,
)
from tests.wire.reading import client_calls, read_body

GEMINI = wire("gemini-generate")


def chunk(*parts: Any, finish: Any = None, index: int | None = 0, **top: Any) -> dict[str, Any]:
    """One chunk with one candidate; `candidate` in `top` adds fields to that."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, **top.pop("candidate", {})}
    if finish is not None:
        candidate["finishReason"] = finish
    if index is not None:
        candidate["index"] = index
    return {"candidates": [candidate], "modelVersion": "gemini-m", "responseId": "r-1", **top}


def answer(*parts: Any, finish: Any = "STOP", **top: Any) -> bytes:
    """The body of a complete answer."""
    return json.dumps(chunk(*parts, finish=finish, **top)).encode()


def events(*chunks: Any) -> bytes:
    """The body of a stream."""
    return b"".join(b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in chunks)


def stream_of(*parts: Any, finish: Any = "STOP", **top: Any) -> bytes:
    """The same answer as a stream, one part in each chunk; the finish comes last, with an empty text."""
    return events(*[chunk(part) for part in parts], chunk({"text": ""}, finish=finish, **top))


def text(words: str, **more: Any) -> dict[str, Any]:
    """A part of text."""
    return {"text": words, **more}


def call(name: str | None, args: Any = None, wire_id: Any = None, **more: Any) -> dict[str, Any]:
    """A part with a call; what is None is left out."""
    body = {key: value for key, value in (("id", wire_id), ("name", name), ("args", args)) if value is not None}
    return {"functionCall": body, **more}


def read_stream(body: bytes, size: int | None = None) -> Turn:
    """Read a stream, in pieces of this size."""
    return read_body(GEMINI, body, streaming=True, size=size)


def both(*parts: Any, finish: Any = "STOP", **top: Any) -> list[Turn]:
    """The answer read complete and as a stream."""
    body = stream_of(*parts, finish=finish, **top)
    return [GEMINI.read_response(answer(*parts, finish=finish, **top)), read_stream(body), read_stream(body, 7)]


def told(calls: tuple[WireCall, ...]) -> list[tuple[str | None, str, Any]]:
    """Id, name and arguments of each call, in order."""
    return [(each.id, each.name, each.arguments) for each in calls]


def after(turn: Turn, origin: str = "row", is_error: bool = False) -> Conversation:
    """The conversation that goes on after an answer: its calls answered, ids as the agent makes them."""
    calls = client_calls(turn, as_given=True)
    results = tuple(
        ResultForModel(wire_id=each.wire_id, name=each.name, text="done", is_error=is_error) for each in calls
    )
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin=origin)
    return Conversation(system="S", messages=[UserMessage(text="go"), said, ToolResults(results=results)])


def sent(conversation: Conversation, model: str = "gemini-3.8-flash") -> list[dict[str, Any]]:
    """The contents of the request for a conversation."""
    body = GEMINI.request(conversation, [], RequestOptions(model=model), None, origin="row").body
    return list(body["contents"])
