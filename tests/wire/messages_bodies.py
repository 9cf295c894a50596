"""Bodies of the Messages wire, written from its specification, for the tests of the wire."""

from __future__ import annotations

import json
from typing import Any

from equitrcoder.wires import wire
from equitrcoder.wires.values import Turn
from tests.wire.reading import read_body

WIRE = wire("anthropic-messages")


def answer(*blocks: Any, stop: str | None = "end_turn", **top: Any) -> bytes:
    """The body of a complete answer."""
    facts = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": list(blocks)}
    return json.dumps({**facts, "stop_reason": stop, "stop_sequence": None, **top}).encode()


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(wire_id: Any, name: Any, arguments: Any, kind: str = "tool_use") -> dict[str, Any]:
    return {"type": kind, "id": wire_id, "name": name, "input": arguments}


def start(*blocks: Any, **top: Any) -> dict[str, Any]:
    facts = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": list(blocks)}
    return {"type": "message_start", "message": {**facts, "stop_reason": None, **top}}


def opened(index: int | None, block: dict[str, Any]) -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {"type": "content_block_start", **place, "content_block": block}


def delta(index: int | None, kind: str, **fields: Any) -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {"type": "content_block_delta", **place, "delta": {"type": kind, **fields}}


def json_piece(index: int | None, piece: str) -> dict[str, Any]:
    return delta(index, "input_json_delta", partial_json=piece)


def ended(stop: str | None = "end_turn", usage: Any = None, **fields: Any) -> dict[str, Any]:
    event = {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None, **fields}}
    return event if usage is None else {**event, "usage": usage}


STOP: dict[str, Any] = {"type": "message_stop"}


def events(*all_events: dict[str, Any]) -> bytes:
    """The body of a stream."""
    return b"".join(
        f"event: {each.get('type')}\n".encode() + b"data: " + json.dumps(each).encode() + b"\n\n" for each in all_events
    )


def read_stream(body: bytes, size: int | None = None) -> Turn:
    """Read a stream, in pieces of this size."""
    return read_body(WIRE, body, streaming=True, size=size)


def told(turn: Turn) -> list[tuple[str | None, str, Any]]:
    """Id, name and arguments of each call, in order."""
    return [(call.id, call.name, call.arguments) for call in turn.calls]
