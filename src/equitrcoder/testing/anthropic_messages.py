"""Answers in the bytes of the Messages wire.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from equitrcoder.testing.faults import Rendered
from equitrcoder.testing.openai_chat import split
from equitrcoder.testing.script import Answer, Auto, Call, ProviderCall, ReceivedRequest
from equitrcoder.wires.values import Usage

PATH = "/messages"
"""A request whose path ends so is of this wire."""


def render(answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False) -> Rendered:
    """Write an answer as the request asks for it: one JSON body, or the events of a stream.

    The marked end of a stream (`drop_done`) is `message_stop`; the finish is in the `message_delta` before it.
    """
    if request.streaming:
        events = list(_events(answer, request, drop_finish=drop_finish))
        if not (drop_finish or drop_done):
            events.append({"type": "message_stop"})
        return Rendered(content_type="text/event-stream", events=[_event(event) for event in events])
    body = _envelope(answer, request)
    body["content"] = [_whole(block) for block in _blocks(answer, request)]
    if not drop_finish:
        body |= {"stop_reason": _finish(answer), "stop_sequence": None}
        usage = _usage(answer, request)
        if usage is not None:
            body["usage"] = usage
    return Rendered(content_type="application/json", events=[_dumps(body)])


def render_error(error: Mapping[str, Any], *, streaming: bool) -> bytes:
    """Write an error object: a body, or an event of a stream.

    Example:
        >>> render_error({"type": "overloaded_error", "message": "no"}, streaming=False)
        b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}'
    """
    body = {"type": "error", "error": dict(error)}
    return _event(body) if streaming else _dumps(body)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _event(value: Mapping[str, Any]) -> bytes:
    return f"event: {value['type']}\n".encode() + b"data: " + _dumps(value) + b"\n\n"


def _envelope(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    asked = request.json.get("model") if isinstance(request.json, dict) else None
    return {
        "id": f"msg_scripted_{request.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or asked or "scripted-model",
        "content": [],
        **answer.extra,
    }


def _finish(answer: Answer) -> str | None:
    if isinstance(answer.finish, Auto):
        return "tool_use" if answer.client_calls else "end_turn"
    return answer.finish


def _blocks(answer: Answer, request: ReceivedRequest) -> Iterator[dict[str, Any]]:
    """The content blocks; what a call's block is made of stands in it under `call`."""
    for executed in answer.late:
        yield _result_block(executed, executed.id)
    if answer.reasoning:
        yield {"type": "thinking", "thinking": answer.reasoning, "signature": f"scripted-{request.number}"}
    if answer.text:
        yield {"type": "text", "text": answer.text}
    for place, call in enumerate(answer.calls):
        if isinstance(call, Call):
            block = {"type": "tool_use", **_id(call, request, place), "name": call.name, "input": {}}
            yield {**block, "call": call}
        else:
            block = _executed_block(call, request, place)
            yield block
            if call.result is not None or call.error is not None:
                yield _result_block(call, block.get("id"))


def _id(call: Call | ProviderCall, request: ReceivedRequest, place: int, kind: str = "toolu") -> dict[str, str]:
    if call.id is None:
        return {}
    return {"id": f"{kind}_{request.number}_{place}" if isinstance(call.id, Auto) else call.id}


def _executed_block(call: ProviderCall, request: ReceivedRequest, place: int) -> dict[str, Any]:
    """A tool that the provider ran.

    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/server-tools,
    https://platform.claude.com/docs/en/agents-and-tools/mcp-connector
    """
    if call.name in _SERVER_TOOLS:
        block = {"type": "server_tool_use", **_id(call, request, place, "srvtoolu"), "name": call.name, "input": {}}
    else:
        own = {"type": "mcp_tool_use", **_id(call, request, place, "mcptoolu"), "name": call.name}
        block = {**own, "server_name": "scripted", "input": {}}
    return {**block, "call": call}


_SERVER_TOOLS = ("web_search", "code_execution")


def _result_block(call: ProviderCall, wire_id: Any) -> dict[str, Any]:
    said = call.result if call.error is None else call.error
    if call.name not in _SERVER_TOOLS:
        told = {"tool_use_id": wire_id, "is_error": call.error is not None}
        return {"type": "mcp_tool_result", **told, "content": [{"type": "text", "text": said}]}
    kind = f"{call.name}_tool_result"
    content: Any = {"type": f"{kind}_error", "error_code": said}
    if call.error is None and call.name == "web_search":
        found = {"type": "web_search_result", "title": said, "url": "https://example.com/"}
        content = [{**found, "encrypted_content": "sealed", "page_age": None}]
    elif call.error is None:
        printed: dict[str, Any] = {"stdout": said, "stderr": "", "return_code": 0, "content": []}
        content = {"type": "code_execution_result", **printed}
    return {"type": kind, "tool_use_id": wire_id, "content": content}


def _whole(block: dict[str, Any]) -> dict[str, Any]:
    call = block.pop("call", None)
    if call is not None:
        block["input"] = _input(call)
    return block


def _input(call: Call | ProviderCall) -> Any:
    """The arguments; text that is no JSON object stands in the place of the object, as some hosts do it."""
    if not isinstance(call.arguments, str):
        return None if call.arguments is None else dict(call.arguments)
    try:
        value = json.loads(call.arguments)
    except ValueError:
        return call.arguments
    return value if isinstance(value, dict) else call.arguments


def _usage(answer: Answer, request: ReceivedRequest) -> dict[str, Any] | None:
    if isinstance(answer.usage, Auto):
        said = len(answer.text or "") + len(answer.reasoning)
        said += sum(len(call.name) + len(_arguments(call) or "") for call in answer.calls)
        return _usage_object(Usage(input_tokens=-(-len(request.body) // 4), output_tokens=-(-said // 4)))
    if isinstance(answer.usage, Usage):
        return _usage_object(answer.usage)
    return None if answer.usage is None else dict(answer.usage)


def _usage_object(usage: Usage) -> dict[str, Any]:
    """Cached tokens are counted beside the input on this wire."""
    read, written = usage.cached_read_tokens or 0, usage.cache_write_tokens or 0
    found: dict[str, Any] = {
        "input_tokens": max((usage.input_tokens or 0) - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.reasoning_tokens is not None:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return found


def _arguments(call: Call | ProviderCall) -> str | None:
    if call.arguments is None or isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(dict(call.arguments), ensure_ascii=False)


def _events(answer: Answer, request: ReceivedRequest, *, drop_finish: bool) -> Iterator[dict[str, Any]]:
    message = {**_envelope(answer, request), "stop_reason": None, "stop_sequence": None}
    usage = _usage(answer, request)
    if usage is not None:
        message["usage"] = {**usage, "output_tokens": 1}
    yield {"type": "message_start", "message": message}
    for number, block in enumerate(_blocks(answer, request)):
        yield from _block_events(number, block, answer)
    if not drop_finish:
        last = {"type": "message_delta", "delta": {"stop_reason": _finish(answer), "stop_sequence": None}}
        yield last if usage is None else {**last, "usage": usage}


def _block_events(number: int, block: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    call: Call | ProviderCall | None = block.pop("call", None)
    index: dict[str, Any] = {"index": number}
    if isinstance(call, Call) and not isinstance(call.index, Auto):
        index = {} if call.index is None else {"index": call.index}
    started = {**block, "signature": ""} if "signature" in block else dict(block)
    for field in ("text", "thinking"):
        if field in started:
            started[field] = ""
    if call is not None and call.arguments is None:
        started["input"] = None
    yield {"type": "content_block_start", **index, "content_block": started}
    for delta in _deltas(block, call, answer):
        yield {"type": "content_block_delta", **index, "delta": delta}
    yield {"type": "content_block_stop", **index}


def _deltas(block: Mapping[str, Any], call: Call | ProviderCall | None, answer: Answer) -> Iterator[dict[str, Any]]:
    if call is not None:
        for piece in split(_arguments(call) or "", call.deltas or 1):
            yield {"type": "input_json_delta", "partial_json": piece}
    elif block["type"] == "thinking":
        for piece in split(block["thinking"], answer.text_deltas):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "text":
        for piece in split(block["text"], answer.text_deltas):
            yield {"type": "text_delta", "text": piece}
