"""Answers in the bytes of the Chat Completions wire.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from equitrcoder.testing.faults import Rendered
from equitrcoder.testing.script import Answer, Auto, Call, ProviderCall, ReceivedRequest
from equitrcoder.wires.values import Usage

PATH = "/chat/completions"
"""A request whose path ends so is of this wire."""

_CREATED = 1_700_000_000  # fixed, so that the same script gives the same bytes
_DONE = b"data: [DONE]\n\n"


def render(answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False) -> Rendered:
    """Write an answer as the request asks for it: one JSON body, or the events of a stream.

    Calls of the provider's are `executed_tools`, as Groq's compound systems write them: begun in one piece of a stream,
    done in another.

    Source: https://console.groq.com/docs/compound/built-in-tools
    """
    if answer.late:
        raise ValueError("on the openai-chat wire no call's result comes in a later answer")
    if request.streaming:
        chunks = list(_chunks(answer, request, drop_finish=drop_finish))
        end = [] if drop_finish or drop_done else [_DONE]
        return Rendered(content_type="text/event-stream", events=[*map(_event, chunks), *end])
    body = _envelope(answer, request, "chat.completion")
    finish = None if drop_finish else _finish(answer)
    body["choices"] = [{"index": 0, "message": _message(answer, request), "logprobs": None, "finish_reason": finish}]
    usage = None if drop_finish else _usage(answer, request)
    if usage is not None:
        body["usage"] = usage
    return Rendered(content_type="application/json", events=[_dumps(body)])


def render_error(error: Mapping[str, Any], *, streaming: bool) -> bytes:
    """Write an error object: a body, or an event of a stream.

    Example:
        >>> render_error({"message": "no"}, streaming=True)
        b'data: {"error":{"message":"no"}}\\n\\n'
    """
    return _event({"error": dict(error)}) if streaming else _dumps({"error": dict(error)})


def render_models(names: Sequence[str]) -> bytes:
    """Write the list of models."""
    rows = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "scripted"} for name in names]
    return _dumps({"object": "list", "data": rows})


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _event(value: Any) -> bytes:
    return b"data: " + _dumps(value) + b"\n\n"


def _envelope(answer: Answer, request: ReceivedRequest, kind: str) -> dict[str, Any]:
    asked = request.json.get("model") if isinstance(request.json, dict) else None
    return {
        "id": f"chatcmpl-scripted-{request.number}",
        "object": kind,
        "created": _CREATED,
        "model": answer.model or asked or "scripted-model",
    }


def _finish(answer: Answer) -> str | None:
    if isinstance(answer.finish, Auto):
        return "tool_calls" if answer.client_calls else "stop"
    return answer.finish


def _message(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, **answer.extra}
    if answer.reasoning:
        message[answer.reasoning_field] = answer.reasoning
    if answer.client_calls:
        message["tool_calls"] = [_whole_call(call, request, place) for place, call in enumerate(answer.client_calls)]
    if answer.provider_calls:
        message["executed_tools"] = [_executed(call, place) for place, call in enumerate(answer.provider_calls)]
    return message


def _whole_call(call: Call, request: ReceivedRequest, place: int) -> dict[str, Any]:
    return {
        **_id(call, request, place),
        "type": "function",
        "function": {"name": call.name, "arguments": _arguments(call)},
    }


def _id(call: Call, request: ReceivedRequest, place: int) -> dict[str, str]:
    if call.id is None:
        return {}
    return {"id": f"call_{request.number}_{place}" if isinstance(call.id, Auto) else call.id}


def _executed(call: ProviderCall, place: int) -> dict[str, Any]:
    kind = {"web_search": "search", "code_execution": "python"}.get(call.name, call.name)
    begun = {"index": place, "type": kind, "arguments": _arguments(call)}
    if call.error is not None:
        return {**begun, "output": "", "error": call.error}
    return begun if call.result is None else {**begun, "output": call.result}


def _arguments(call: Call | ProviderCall) -> str | None:
    if call.arguments is None or isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(dict(call.arguments), ensure_ascii=False)


def _usage(answer: Answer, request: ReceivedRequest) -> dict[str, Any] | None:
    if isinstance(answer.usage, Auto):
        said = len(answer.text or "") + len(answer.reasoning)
        said += sum(len(call.name) + len(_arguments(call) or "") for call in answer.calls)
        return _usage_object(Usage(input_tokens=-(-len(request.body) // 4), output_tokens=-(-said // 4)))
    if isinstance(answer.usage, Usage):
        return _usage_object(answer.usage)
    return None if answer.usage is None else dict(answer.usage)


def _usage_object(usage: Usage) -> dict[str, Any]:
    given = usage.input_tokens or 0
    made = usage.output_tokens or 0
    found: dict[str, Any] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    if usage.cached_read_tokens is not None:
        found["prompt_tokens_details"] = {"cached_tokens": usage.cached_read_tokens}
    if usage.reasoning_tokens is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return found


def _chunks(answer: Answer, request: ReceivedRequest, *, drop_finish: bool) -> Iterator[dict[str, Any]]:
    envelope = _envelope(answer, request, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**envelope, "choices": [choice]}

    for delta in _deltas(answer, request):
        yield chunk(delta)
    if drop_finish:
        return
    last = chunk({}, _finish(answer))
    usage = _usage(answer, request)
    if usage is not None and answer.usage_in_stream == "with_finish":
        last["usage"] = usage
    yield last
    if usage is not None and (answer.usage_in_stream == "always" or _wants_usage(answer, request)):
        yield {**envelope, "choices": [], "usage": usage}


def _wants_usage(answer: Answer, request: ReceivedRequest) -> bool:
    options = request.json.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    return asked and answer.usage_in_stream == "asked"


def _deltas(answer: Answer, request: ReceivedRequest) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if answer.text is not None else None, **answer.extra}
    if answer.reasoning:
        for piece in split(answer.reasoning, answer.text_deltas):
            yield {answer.reasoning_field: piece}
    for place, executed in enumerate(answer.provider_calls):
        yield {"executed_tools": [_executed(replace(executed, result=None, error=None), place)]}
        yield {"executed_tools": [_executed(executed, place)]}
    for piece in split(answer.text or "", answer.text_deltas):
        yield {"content": piece}
    for place, call in enumerate(answer.client_calls):
        for call_piece in _call_pieces(call, request, place):
            yield {"tool_calls": [call_piece]}


def _call_pieces(call: Call, request: ReceivedRequest, place: int) -> Iterator[dict[str, Any]]:
    number = place if isinstance(call.index, Auto) else call.index
    index = {} if number is None else {"index": number}
    whole = _whole_call(call, request, place)
    arguments = _arguments(call)
    if not call.deltas or arguments is None:
        yield {**index, **whole}
        return
    yield {**index, **whole, "function": {"name": call.name, "arguments": ""}}
    for piece in split(arguments, call.deltas):
        if call.repeat_name:
            yield {**index, **whole, "function": {"name": call.name, "arguments": piece}}
        else:
            yield {**index, "function": {"arguments": piece}}


def split(text: str, pieces: int) -> list[str]:
    """Cut a text into at most so many pieces of about the same length, none of them empty.

    Example:
        >>> split("abcde", 2), split("", 3)
        (['abc', 'de'], [])
    """
    size = max(1, -(-len(text) // max(1, pieces)))
    return [text[start : start + size] for start in range(0, len(text), size)]
