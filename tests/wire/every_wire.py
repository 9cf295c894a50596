"""The same answer on every wire, whole and as the events of a stream, written from each wire's specification.

An answer says `TEXT` and makes calls: pairs of a name and the arguments, an object. A stream brings each call's
arguments in pieces where the wire can do that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

TEXT = "Grüße 🔧"
Call = tuple[str, Any]
Events = list[dict[str, Any]]


class Form(NamedTuple):
    """How a wire writes an answer."""

    document: Callable[[Sequence[Call]], dict[str, Any]]
    events: Callable[[Sequence[Call], int], Events]
    """The events of a stream; arguments in pieces of so many characters."""
    pieces: bool = True
    """Whether arguments come in pieces."""
    lines: bool = False
    """Whether a stream is JSON lines, not server-sent events."""


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def _entries(calls: Sequence[Call]) -> list[dict[str, Any]]:
    return [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments) in enumerate(calls)
    ]


def _chat_document(calls: Sequence[Call]) -> dict[str, Any]:
    message = {"role": "assistant", "content": TEXT, "tool_calls": _entries(calls)}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {"id": "r", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}


def _chat_events(calls: Sequence[Call], size: int) -> Events:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"id": "r", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    made = [chunk({"role": "assistant", "content": ""})] + [chunk({"content": piece}) for piece in TEXT]
    for n, (name, arguments) in enumerate(calls):
        opened = {"index": n, "id": f"c{n}", "type": "function", "function": {"name": name, "arguments": ""}}
        made.append(chunk({"tool_calls": [opened]}))
        for piece in pieces(json.dumps(arguments), size):
            made.append(chunk({"tool_calls": [{"index": n, "function": {"arguments": piece}}]}))
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
    return [*made, chunk({}, "tool_calls"), usage]


def _items(calls: Sequence[Call]) -> Events:
    said = {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]}
    return [said] + [
        {"id": f"f{n}", "type": "function_call", "call_id": f"c{n}", "name": name, "arguments": json.dumps(arguments)}
        for n, (name, arguments) in enumerate(calls)
    ]


def _responses_document(calls: Sequence[Call]) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": 5}
    return {"id": "r", "model": "m", "status": "completed", "output": _items(calls), "usage": usage}


def _responses_events(calls: Sequence[Call], size: int) -> Events:
    made: Events = [{"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}}]
    for n, item in enumerate(_items(calls)):
        field, stem = ("arguments", "function_call_arguments") if n else ("content", "output_text")
        text = item["arguments"] if n else TEXT
        place = {"output_index": n, "item_id": item["id"]}
        made.append({"type": "response.output_item.added", "output_index": n, "item": {**item, field: "" if n else []}})
        for piece in pieces(text, size):
            made.append({"type": f"response.{stem}.delta", **place, "delta": piece})
        made.append({"type": "response.output_item.done", "output_index": n, "item": item})
    return [*made, {"type": "response.completed", "response": {"id": "r", "status": "completed"}}]


def _messages_document(calls: Sequence[Call]) -> dict[str, Any]:
    blocks: Events = [{"type": "text", "text": TEXT}]
    blocks += [
        {"type": "tool_use", "id": f"c{n}", "name": name, "input": given} for n, (name, given) in enumerate(calls)
    ]
    head = {"id": "r", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use"}
    return {**head, "content": blocks, "usage": {"input_tokens": 9, "output_tokens": 5}}


def _messages_events(calls: Sequence[Call], size: int) -> Events:
    whole = _messages_document(calls)
    made: Events = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    for n, block in enumerate(whole["content"]):
        kind, field = ("input_json_delta", "partial_json") if n else ("text_delta", "text")
        text = json.dumps(block["input"]) if n else TEXT
        opened = {**block, "input": {}} if n else {**block, "text": ""}
        made.append({"type": "content_block_start", "index": n, "content_block": opened})
        for piece in pieces(text, size):
            made.append({"type": "content_block_delta", "index": n, "delta": {"type": kind, field: piece}})
        made.append({"type": "content_block_stop", "index": n})
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}}
    return [*made, end, {"type": "message_stop"}]


def _gemini_chunk(parts: Events, finish: str | None) -> dict[str, Any]:
    candidate = {
        "index": 0,
        "content": {"role": "model", "parts": parts},
        **({"finishReason": finish} if finish else {}),
    }
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 5}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"}


def _gemini_parts(calls: Sequence[Call]) -> Events:
    return [{"functionCall": {"id": f"c{n}", "name": name, "args": given}} for n, (name, given) in enumerate(calls)]


def _gemini_document(calls: Sequence[Call]) -> dict[str, Any]:
    return _gemini_chunk([{"text": TEXT}, *_gemini_parts(calls)], "STOP")


def _gemini_events(calls: Sequence[Call], size: int) -> Events:
    chunks = [_gemini_chunk([{"text": piece}], None) for piece in TEXT]
    return [*chunks, *[_gemini_chunk([part], None) for part in _gemini_parts(calls)], _gemini_chunk([], "STOP")]


def _ollama_line(message: dict[str, Any], *, done: bool) -> dict[str, Any]:
    return {"model": "m", "message": {"role": "assistant", **message}, "done": done} | (
        {"done_reason": "stop"} if done else {}
    )


def _ollama_calls(calls: Sequence[Call]) -> Events:
    return [{"id": f"c{n}", "function": {"name": name, "arguments": given}} for n, (name, given) in enumerate(calls)]


def _ollama_document(calls: Sequence[Call]) -> dict[str, Any]:
    return _ollama_line({"content": TEXT, "tool_calls": _ollama_calls(calls)}, done=True)


def _ollama_events(calls: Sequence[Call], size: int) -> Events:
    made = [_ollama_line({"content": piece}, done=False) for piece in TEXT]
    made += [_ollama_line({"content": "", "tool_calls": [call]}, done=False) for call in _ollama_calls(calls)]
    return [*made, _ollama_line({"content": ""}, done=True)]


def _cohere_document(calls: Sequence[Call]) -> dict[str, Any]:
    message = {"role": "assistant", "tool_plan": TEXT, "tool_calls": _entries(calls)}
    return {"id": "r", "message": message, "finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 9}}}


def _cohere_events(calls: Sequence[Call], size: int) -> Events:
    made: Events = [{"type": "message-start", "id": "r", "delta": {"message": {"role": "assistant"}}}]
    made += [{"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}} for piece in TEXT]
    for n, entry in enumerate(_entries(calls)):
        arguments = entry["function"].pop("arguments")
        opened = {**entry, "function": {**entry["function"], "arguments": ""}}
        made.append({"type": "tool-call-start", "index": n, "delta": {"message": {"tool_calls": opened}}})
        for piece in pieces(arguments, size):
            delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            made.append({"type": "tool-call-delta", "index": n, "delta": delta})
        made.append({"type": "tool-call-end", "index": n})
    return [*made, {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {}}}]


FORMS: dict[str, Form] = {
    "openai-chat": Form(_chat_document, _chat_events),
    "openai-responses": Form(_responses_document, _responses_events),
    "anthropic-messages": Form(_messages_document, _messages_events),
    "gemini-generate": Form(_gemini_document, _gemini_events, pieces=False),
    "ollama-chat": Form(_ollama_document, _ollama_events, pieces=False, lines=True),
    "cohere-v2": Form(_cohere_document, _cohere_events),
    "mistral": Form(_chat_document, _chat_events),
}


def document(name: str, *calls: Call) -> bytes:
    return json.dumps(FORMS[name].document(calls), ensure_ascii=False).encode()


def event(name: str, value: Any) -> bytes:
    """One event of a stream, as the wire writes it."""
    text = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return text + b"\n" if FORMS[name].lines else b"data: " + text + b"\n\n"


def events(name: str, *calls: Call, size: int = 3) -> list[bytes]:
    """The events of a stream, one by one."""
    return [event(name, value) for value in FORMS[name].events(calls, size)]


def stream(name: str, *calls: Call, size: int = 3) -> bytes:
    return b"".join(events(name, *calls, size=size))


def body(name: str, streaming: bool, *calls: Call, size: int = 3) -> bytes:
    return stream(name, *calls, size=size) if streaming else document(name, *calls)
