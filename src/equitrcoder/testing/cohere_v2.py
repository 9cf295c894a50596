"""Answers in the bytes of Cohere's chat wire.

Source: https://docs.cohere.com/v2/docs/streaming
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from equitrcoder.testing.faults import Rendered
from equitrcoder.testing.openai_chat import split
from equitrcoder.testing.script import Answer, Auto, Call, ReceivedRequest
from equitrcoder.wires.values import Usage

PATH = "/v2/chat"
"""A request whose path ends so is of this wire."""

_DONE = b"data: [DONE]\n\n"


def render(answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False) -> Rendered:
    """Write an answer as the request asks for it: one JSON body, or the events of a stream.

    Text before calls is their plan, as this host writes it.
    """
    answer.refuse_provider_calls("cohere-v2")
    if request.streaming:
        events = list(_events(answer, request))
        if not drop_finish:
            events.append(_event("message-end", {"delta": _end(answer, request)}))
        end = [] if drop_finish or drop_done else [_DONE]
        return Rendered(content_type="text/event-stream", events=[*events, *end])
    body = {"id": _id(request), "message": _message(answer, request), **({} if drop_finish else _end(answer, request))}
    return Rendered(content_type="application/json", events=[_dumps(body)])


def render_error(error: Mapping[str, Any], *, streaming: bool) -> bytes:
    """Write an error: a body, or an event of a stream. The wire has only its words.

    Example:
        >>> render_error({"message": "no"}, streaming=False)
        b'{"message":"no"}'
    """
    words = error.get("message")
    body = {"message": words if isinstance(words, str) else str(dict(error))}
    return b"data: " + _dumps(body) + b"\n\n" if streaming else _dumps(body)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _event(kind: str, fields: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + _dumps({"type": kind, **fields}) + b"\n\n"


def _id(request: ReceivedRequest) -> str:
    return f"scripted-{request.number}"


def _end(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    finish = answer.finish
    if isinstance(finish, Auto):
        finish = "TOOL_CALL" if answer.client_calls else "COMPLETE"
    usage = _usage(answer, request)
    return {"finish_reason": finish, **({} if usage is None else {"usage": usage})}


def _usage(answer: Answer, request: ReceivedRequest) -> dict[str, Any] | None:
    usage = answer.usage
    if isinstance(usage, Auto):
        said = len(_dumps(_message(answer, request)))
        usage = Usage(input_tokens=-(-len(request.body) // 4), output_tokens=-(-said // 4))
    if isinstance(usage, Usage):
        tokens = {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
        return {"billed_units": tokens, "tokens": tokens}
    return None if usage is None else dict(usage)


def _message(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", **answer.extra}
    if answer.text and answer.client_calls:
        message["tool_plan"] = answer.text
    if answer.client_calls:
        message["tool_calls"] = [_call(call, request, place) for place, call in enumerate(answer.client_calls)]
    content = list(_content(answer))
    if content:
        message["content"] = content
    return message


def _content(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.reasoning:
        yield {"type": "thinking", "thinking": answer.reasoning}
    if answer.text is not None and not answer.client_calls:
        yield {"type": "text", "text": answer.text}


def _call(call: Call, request: ReceivedRequest, place: int) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if call.id is not None:
        given = {"id": f"{call.name}_{request.number}_{place}" if isinstance(call.id, Auto) else call.id}
    return {**given, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}


def _arguments(call: Call) -> str | None:
    if call.arguments is None or isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(dict(call.arguments), ensure_ascii=False)


def _events(answer: Answer, request: ReceivedRequest) -> Iterator[bytes]:
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield _event("message-start", {"id": _id(request), "delta": {"message": start}})
    for index, part in enumerate(_content(answer)):
        yield from _part_events(index, part, answer.text_deltas)
    for piece in split(answer.text or "", answer.text_deltas) if answer.client_calls else ():
        yield _event("tool-plan-delta", {"delta": {"message": {"tool_plan": piece}}})
    for index, call in enumerate(answer.client_calls):
        yield from _call_events(call, request, index)


def _part_events(index: int, part: dict[str, Any], pieces: int) -> Iterator[bytes]:
    kind = part["type"]
    yield _event("content-start", {"index": index, "delta": {"message": {"content": {"type": kind, kind: ""}}}})
    for piece in split(part[kind], pieces):
        yield _event("content-delta", {"index": index, "delta": {"message": {"content": {kind: piece}}}})
    yield _event("content-end", {"index": index})


def _call_events(call: Call, request: ReceivedRequest, place: int) -> Iterator[bytes]:
    number = place if isinstance(call.index, Auto) else call.index
    index = {} if number is None else {"index": number}
    whole = _call(call, request, place)
    arguments = _arguments(call)
    if call.deltas and arguments is not None:
        whole = {**whole, "function": {"name": call.name, "arguments": ""}}
    yield _event("tool-call-start", {**index, "delta": {"message": {"tool_calls": whole}}})
    for piece in split(arguments or "", call.deltas) if call.deltas else ():
        yield _event(
            "tool-call-delta", {**index, "delta": {"message": {"tool_calls": {"function": {"arguments": piece}}}}}
        )
    yield _event("tool-call-end", index)
