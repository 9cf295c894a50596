"""Answers in the bytes of Ollama's chat wire.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equitrcoder.testing.faults import Rendered
from equitrcoder.testing.openai_chat import split
from equitrcoder.testing.script import Answer, Auto, Call, ReceivedRequest
from equitrcoder.wires.values import Usage

PATH = "/api/chat"
"""A request whose path ends so is of this wire."""

_CREATED = "2026-01-01T00:00:00Z"  # fixed, so that the same script gives the same bytes


def render(answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False) -> Rendered:
    """Write an answer as the request asks for it: one JSON body, or a line for each piece.

    A call's pieces, `index` and `repeat_name` mean nothing here: calls come whole. Neither does `drop_done`.
    """
    answer.refuse_provider_calls("ollama-chat")
    end = {} if drop_finish else _end(answer, request)
    if request.streaming:
        lines = [_line(answer, request, message) for message in _pieces(answer)]
        if not drop_finish:
            lines.append(_line(answer, request, {"role": "assistant", "content": ""}, end))
        return Rendered(content_type="application/x-ndjson", events=lines)
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or "", **answer.extra}
    if answer.reasoning:
        message["thinking"] = answer.reasoning
    if answer.client_calls:
        message["tool_calls"] = list(map(_call, answer.client_calls))
    return Rendered(content_type="application/json", events=[_line(answer, request, message, end)])


def render_error(error: Mapping[str, Any], *, streaming: bool) -> bytes:
    """Write an error: a body, or a line of a stream. The wire has only its words.

    Example:
        >>> render_error({"message": "no"}, streaming=True)
        b'{"error":"no"}\\n'
    """
    words = error.get("message")
    return _dumps({"error": words if isinstance(words, str) else str(dict(error))}) + (b"\n" if streaming else b"")


def render_tags(names: Sequence[str]) -> bytes:
    """Write the list of models, as `GET /api/tags` gives it."""
    return _dumps({"models": [{"name": name, "model": name, "size": 1} for name in names]})


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _line(answer: Answer, request: ReceivedRequest, message: Mapping[str, Any], end: Mapping[str, Any] = {}) -> bytes:
    asked = request.json.get("model") if isinstance(request.json, dict) else None
    facts = {"model": answer.model or asked or "scripted-model", "created_at": _CREATED}
    return _dumps({**facts, "message": dict(message), **(end or {"done": False})}) + b"\n"


def _end(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    finish = "stop" if isinstance(answer.finish, Auto) else answer.finish
    return {"done": True, **({} if finish is None else {"done_reason": finish}), **_usage(answer, request)}


def _usage(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    usage = answer.usage
    if isinstance(usage, Auto):
        said = (
            len(answer.text or "")
            + len(answer.reasoning)
            + sum(len(_dumps(_call(call))) for call in answer.client_calls)
        )
        usage = Usage(input_tokens=-(-len(request.body) // 4), output_tokens=-(-said // 4))
    if isinstance(usage, Usage):
        return {"prompt_eval_count": usage.input_tokens or 0, "eval_count": usage.output_tokens or 0}
    return {} if usage is None else dict(usage)


def _call(call: Call) -> dict[str, Any]:
    given = {} if call.id is None or isinstance(call.id, Auto) else {"id": call.id}
    arguments = dict(call.arguments) if isinstance(call.arguments, Mapping) else call.arguments
    return {**given, "function": {"name": call.name, "arguments": arguments}}


def _pieces(answer: Answer) -> Iterator[dict[str, Any]]:
    for piece in split(answer.reasoning, answer.text_deltas):
        yield {"role": "assistant", "content": "", "thinking": piece}
    for piece in split(answer.text or "", answer.text_deltas):
        yield {"role": "assistant", "content": piece}
    for call in answer.client_calls:
        yield {"role": "assistant", "content": "", "tool_calls": [_call(call)], **answer.extra}
