"""Bodies of Chat Completions, written from its specification, for the tests of the wire."""

from __future__ import annotations

import json
from typing import Any

from equitrcoder.wires import wire
from equitrcoder.wires.values import Turn, WireCall
from tests.wire.reading import read_body

CHAT = wire("openai-chat")


def answer(message: dict[str, Any] | None = None, finish: str | None = "stop", **top: Any) -> bytes:
    """The body of a complete answer with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **(message or {})}, "finish_reason": finish}
    facts = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1"}
    return json.dumps({**facts, "choices": [choice], **top}).encode()


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, choice: int = 0, **top: Any
) -> dict[str, Any]:
    """One event of a stream."""
    choices = [] if delta is None else [{"index": choice, "delta": delta, "finish_reason": finish}]
    facts = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    return {**facts, "choices": choices, **top}


def events(*chunks: dict[str, Any], done: bool = True) -> bytes:
    """The body of a stream."""
    lines = [b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


def piece(
    index: int | None = 0, wire_id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    """A delta with one piece of one call; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    entry = {"index": index, "id": wire_id, "function": function}
    return {"tool_calls": [{key: value for key, value in entry.items() if value is not None}]}


def call(wire_id: str | None, name: str, arguments: Any) -> dict[str, Any]:
    """An entry of `tool_calls`."""
    return {"id": wire_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def read_stream(body: bytes, size: int | None = None) -> Turn:
    """Read a stream, in pieces of this size."""
    return read_body(CHAT, body, streaming=True, size=size)


def told(calls: tuple[WireCall, ...]) -> list[tuple[str | None, str, Any]]:
    """Id, name and arguments of each call, in order."""
    return [(call.id, call.name, call.arguments) for call in calls]
