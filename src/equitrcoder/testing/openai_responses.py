"""Answers in the bytes of the Responses wire.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from equitrcoder.testing.faults import Rendered
from equitrcoder.testing.openai_chat import split
from equitrcoder.testing.script import Answer, Auto, Call, ProviderCall, ReceivedRequest
from equitrcoder.wires.values import Usage

PATH = "/responses"
"""A request whose path ends so is of this wire."""
AGENT_PATH = "/agent"
"""Perplexity's name for the same."""

_CREATED = 1_700_000_000  # fixed, so that the same script gives the same bytes
_INCOMPLETE = {"length": "max_output_tokens", "max_output_tokens": "max_output_tokens"} | {
    "content_filter": "content_filter"
}
"""Finish words of other wires that are reasons of an incomplete response on this one."""


def render(answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False) -> Rendered:
    """Write an answer as the request asks for it: one JSON body, or the events of a stream.

    A stream of this wire ends with its finish, so `drop_done` changes nothing.
    """
    if request.streaming:
        events = list(_events(answer, request, drop_finish=drop_finish))
        numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
        return Rendered(content_type="text/event-stream", events=[_event(event) for event in numbered])
    response = _response(answer, request, None if drop_finish else _status(answer))
    response["output"] = [item for _, item, _ in _items(answer, request)]
    if not drop_finish:
        response["usage"] = _usage(answer, request)
    return Rendered(content_type="application/json", events=[_dumps(response)])


def render_error(error: Mapping[str, Any], *, streaming: bool) -> bytes:
    """Write an error object: a body, or an event of a stream.

    Example:
        >>> render_error({"message": "no", "type": "server_error"}, streaming=True).splitlines()[1]
        b'data: {"type":"error","code":"server_error","message":"no","param":null,"sequence_number":0}'
    """
    if not streaming:
        return _dumps({"error": dict(error)})
    code, param = error.get("code") or error.get("type"), error.get("param")
    told = {"type": "error", "code": code, "message": error.get("message", ""), "param": param, "sequence_number": 0}
    return _event(told)


def chat_messages(items: list[Any]) -> list[dict[str, Any]]:
    """The input items of a request as messages: those of one answer are one, and each result is one of role `tool`.

    Example:
        >>> call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
        >>> [message["role"] for message in chat_messages([{"role": "user", "content": "Hi"}, call])]
        ['user', 'assistant']
    """
    messages: list[dict[str, Any]] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = str(item.get("type", "message"))
        if kind.endswith("_call_output"):
            wire_id, output = item.get("call_id", item.get("id")), item.get("output")
            messages.append({"role": "tool", "tool_call_id": wire_id, "content": output})
        elif kind == "message" and item.get("role") != "assistant":
            messages.append({"role": item.get("role"), "content": item.get("content")})
        else:
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            _add_item(messages[-1], kind, item)
    return messages


def _add_item(message: dict[str, Any], kind: str, item: dict[str, Any]) -> None:
    if kind == "message":
        message["content"] = item.get("content")
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        message.setdefault("tool_calls", []).append(call)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _event(value: Mapping[str, Any]) -> bytes:
    return f"event: {value['type']}\n".encode() + b"data: " + _dumps(value) + b"\n\n"


def _status(answer: Answer) -> str | None:
    if isinstance(answer.finish, Auto):
        return "completed"
    return "incomplete" if answer.finish in _INCOMPLETE else answer.finish


def _response(answer: Answer, request: ReceivedRequest, status: str | None) -> dict[str, Any]:
    asked = request.json.get("model") if isinstance(request.json, dict) else None
    reason = _INCOMPLETE.get(str(answer.finish)) if status == "incomplete" else None
    return {
        "id": f"resp_scripted_{request.number}",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": answer.model or asked or "scripted-model",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "store": False,
        "usage": None,
    }


def _items(
    answer: Answer, request: ReceivedRequest
) -> Iterator[tuple[int | None, dict[str, Any], Call | ProviderCall | None]]:
    """The output items: the index that each says it has, the item when it is done, and the call in it."""
    if answer.late:
        raise ValueError("on the openai-responses wire no call's result comes in a later answer")
    place = 0
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        own = {"id": f"rs_{request.number}", "type": "reasoning", "summary": summary}
        yield place, {**own, "encrypted_content": f"sealed-{request.number}"}, None
        place += 1
    if answer.text is not None:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{request.number}", "type": "message", "role": "assistant", "status": "completed"}
        yield place, {**message, "content": [part], **answer.extra}, None
        place += 1
    agent = request.path.partition("?")[0].endswith(AGENT_PATH)
    for number, call in enumerate(answer.calls):
        if isinstance(call, ProviderCall):
            write = _agent_item if agent else _executed_item
            yield place + number, write(call, f"{request.number}_{number}"), call
            continue
        said = place + number if isinstance(call.index, Auto) else call.index
        yield said, _call_item(call, request, number), call


def _executed_item(call: ProviderCall, number: str) -> dict[str, Any]:
    """A tool that the provider ran; one that a search or a page gave has no result on this wire.

    Source: https://platform.openai.com/docs/api-reference/responses/object
    """
    done = {"status": "completed" if call.error is None else "failed"}
    match call.name:
        case "web_search":
            return {
                **_own("web_search_call", "ws", call, number),
                **done,
                "action": {"type": "search", **call.arguments},
            }
        case "code_execution":
            outputs = None if call.result is None else [{"type": "logs", "logs": call.result}]
            ran = {"code": call.arguments.get("code"), "container_id": "cntr_scripted", "outputs": outputs}
            return {**_own("code_interpreter_call", "ci", call, number), **done, **ran}
    asked = {"server_label": "scripted", "name": call.name, "arguments": _arguments(call)}
    if call.awaits_approval:
        return {**_own("mcp_approval_request", "mcpr", call, number), **asked}
    error = None if call.error is None else {"type": "mcp_protocol_error", "code": -32000, "message": call.error}
    told = {"output": call.result if error is None else None, "error": error}
    return {**_own("mcp_call", "mcp", call, number), **done, **asked, **told}


def _agent_item(call: ProviderCall, number: str) -> dict[str, Any]:
    """A tool that Perplexity ran. Source: https://docs.perplexity.ai/docs/agent-api/openai-compatibility"""
    match call.name:
        case "web_search":
            found = {"id": 1, "title": call.result, "url": "https://example.com/", "snippet": call.result}
            return {"type": "search_results", "queries": [call.arguments.get("query")], "results": [found]}
        case "code_execution":
            ran = {"code": call.arguments.get("code"), "language": "python"}
            return {"type": "sandbox_results", **ran, "results": [{"stdout": call.result, "stderr": ""}]}
    raise ValueError("on Perplexity's wire the calls of the provider are web_search and code_execution")


def _own(kind: str, prefix: str, call: ProviderCall, number: str) -> dict[str, Any]:
    return {"id": f"{prefix}_{number}" if isinstance(call.id, Auto) else call.id, "type": kind}


def _call_item(call: Call, request: ReceivedRequest, number: int) -> dict[str, Any]:
    wire_id = f"call_{request.number}_{number}" if isinstance(call.id, Auto) else call.id
    return {
        "id": f"fc_{request.number}_{number}",
        "type": "function_call",
        "status": "completed",
        **({} if wire_id is None else {"call_id": wire_id}),
        "name": call.name,
        "arguments": _arguments(call),
    }


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
    given, made = usage.input_tokens or 0, usage.output_tokens or 0
    read = {"cached_tokens": usage.cached_read_tokens or 0, "cache_write_tokens": usage.cache_write_tokens or 0}
    return {
        "input_tokens": given,
        "input_tokens_details": read,
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": given + made,
    }


def _events(answer: Answer, request: ReceivedRequest, *, drop_finish: bool) -> Iterator[dict[str, Any]]:
    begun = _response(answer, request, "in_progress")
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    output = []
    for index, item, call in _items(answer, request):
        yield from _item_events({} if index is None else {"output_index": index}, item, call, answer)
        output.append(item)
    if drop_finish:
        return
    status = _status(answer)
    end = "response.incomplete" if status == "incomplete" else "response.completed"
    ended = {**_response(answer, request, status), "output": output, "usage": _usage(answer, request)}
    yield {"type": end, "response": ended}


def _item_events(
    index: dict[str, int], item: dict[str, Any], call: Call | ProviderCall | None, answer: Answer
) -> Iterator[dict[str, Any]]:
    place = {**index, "item_id": item.get("id")}
    yield {"type": "response.output_item.added", **index, "item": _begun(item)}
    if isinstance(call, Call):
        yield from _call_events(place, item, call)
    elif call is not None:
        yield from _executed_events(place, item, call)
    elif item["type"] == "message":
        yield from _message_events({**place, "content_index": 0}, item["content"][0], answer)
    else:
        numbered = {**place, "summary_index": 0}
        for piece in split(answer.reasoning, answer.text_deltas):
            yield {"type": "response.reasoning_summary_text.delta", **numbered, "delta": piece}
        yield {"type": "response.reasoning_summary_text.done", **numbered, "text": answer.reasoning}
    yield {"type": "response.output_item.done", **index, "item": item}


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """An item before its pieces."""
    empty: dict[str, Any] = {"status": "in_progress"} if "status" in item else {}
    for field, nothing in _BEFORE:
        if item.get(field) is not None:
            empty[field] = nothing
    return {**item, **empty}


_BEFORE: tuple[tuple[str, Any], ...] = (
    ("arguments", ""),
    ("content", []),
    ("summary", []),
    ("encrypted_content", ""),
    ("code", ""),
    ("output", None),
    ("outputs", None),
    ("error", None),
)
"""Fields of an item, and what they are before their pieces have come."""


def _executed_events(place: dict[str, Any], item: dict[str, Any], call: ProviderCall) -> Iterator[dict[str, Any]]:
    kind = f"response.{item['type']}"
    ended = "completed" if call.error is None else "failed"
    match item["type"]:
        case "web_search_call":
            steps = ["in_progress", "searching", "completed"]
        case "code_interpreter_call":
            yield {"type": f"{kind}.in_progress", **place}
            code = str(item["code"] or "")
            for piece in split(code, call.deltas):
                yield {"type": f"{kind}_code.delta", **place, "delta": piece}
            yield {"type": f"{kind}_code.done", **place, "code": code}
            steps = ["interpreting", "completed"]
        case "mcp_call":
            yield {"type": f"{kind}.in_progress", **place}
            for piece in split(item["arguments"], call.deltas):
                yield {"type": f"{kind}_arguments.delta", **place, "delta": piece}
            yield {"type": f"{kind}_arguments.done", **place, "arguments": item["arguments"]}
            steps = [ended]
        case _:
            steps = []  # an approval that is asked for, and what Perplexity ran, come whole
    for step in steps:
        yield {"type": f"{kind}.{step}", **place}


def _message_events(place: dict[str, Any], part: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for piece in split(answer.text or "", answer.text_deltas):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": answer.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}


def _call_events(place: dict[str, Any], item: dict[str, Any], call: Call) -> Iterator[dict[str, Any]]:
    arguments = item["arguments"]
    if arguments is None:
        return
    name = {"name": call.name} if call.repeat_name else {}
    for piece in split(arguments, call.deltas) if call.deltas else []:
        yield {"type": "response.function_call_arguments.delta", **place, **name, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **place, "name": call.name, "arguments": arguments}
