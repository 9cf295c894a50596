"""Bodies of the Responses wire, written from its specification, for the tests of the wire."""

from __future__ import annotations

import json
from typing import Any

from equitrcoder.wires import wire
from equitrcoder.wires.values import Turn, WireCall
from tests.wire.reading import read_body

RESPONSES = wire("openai-responses")


def answer(*output: Any, status: str | None = "completed", **top: Any) -> bytes:
    """The body of a complete answer."""
    return json.dumps(response(*output, status=status, **top)).encode()


def response(*output: Any, status: str | None = "completed", **top: Any) -> dict[str, Any]:
    """A response object."""
    return {"id": "resp_1", "object": "response", "model": "m-1", "status": status, "output": list(output), **top}


def message(text: str = "Hi", wire_id: str = "msg_1", **more: Any) -> dict[str, Any]:
    """A message item with one part of text."""
    part = {"type": "output_text", "text": text, "annotations": []}
    told = {"id": wire_id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {**told, **more}


def reasoning(text: str = "Hm", sealed: str | None = "sealed", wire_id: str = "rs_1", **more: Any) -> dict[str, Any]:
    """A reasoning item."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    item = {"id": wire_id, "type": "reasoning", "summary": summary, **more}
    return item if sealed is None else {**item, "encrypted_content": sealed}


def call(wire_id: Any, name: str = "read_file", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    """A function call item."""
    told = {"id": f"fc_{wire_id}", "type": "function_call", "status": "completed", "name": name}
    return {**told, "arguments": arguments, "call_id": wire_id, **more}


def added(index: int | None, item: Any) -> dict[str, Any]:
    """The event of an item that begins."""
    place = {} if index is None else {"output_index": index}
    return {"type": "response.output_item.added", **place, "item": item}


def done(index: int | None, item: Any) -> dict[str, Any]:
    """The event of an item that is whole."""
    return {**added(index, item), "type": "response.output_item.done"}


def delta(kind: str, index: int | None, text: Any, **more: Any) -> dict[str, Any]:
    """A piece of a field; `kind` as in `function_call_arguments`."""
    place = {} if index is None else {"output_index": index}
    return {"type": f"response.{kind}.delta", **place, "delta": text, **more}


def arguments(index: int | None, text: Any, **more: Any) -> dict[str, Any]:
    """A piece of a function call's arguments."""
    return delta("function_call_arguments", index, text, **more)


def completed(*output: Any, **top: Any) -> dict[str, Any]:
    """The event of the end."""
    return {"type": "response.completed", "response": response(*output, **top)}


def events(*told: Any) -> bytes:
    """The body of a stream."""
    lines = [f"event: {each.get('type')}\ndata: ".encode() + json.dumps(each).encode() + b"\n\n" for each in told]
    return b"".join(lines)


def stream_of(*output: Any, status: str = "completed", **top: Any) -> bytes:
    """An answer as the stream that OpenAI would send: every item begun, in pieces, and done; and all at the end."""
    told: list[Any] = [{"type": "response.created", "response": response(status="in_progress")}]
    for index, item in enumerate(output):
        told.append(
            added(index, {**item, **{key: "" for key in ("arguments", "input") if isinstance(item.get(key), str)}})
        )
        for field, kind in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
            text = item.get(field)
            if isinstance(text, str) and text:
                told += [delta(kind, index, text[:3]), delta(kind, index, text[3:])]
        told.append(done(index, item))
    told.append({"type": f"response.{status}", "response": response(*output, status=status, **top)})
    return events(*told)


def read_stream(body: bytes, size: int | None = None) -> Turn:
    """Read a stream, in pieces of this size."""
    return read_body(RESPONSES, body, streaming=True, size=size)


def told(calls: tuple[WireCall, ...]) -> list[tuple[str | None, str, Any]]:
    """Id, name and arguments of each call, in order."""
    return [(each.id, each.name, each.arguments) for each in calls]
