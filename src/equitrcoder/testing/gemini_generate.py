"""Answers in the bytes of Gemini's generateContent wire.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from equitrcoder.testing.faults import Rendered
from equitrcoder.testing.openai_chat import split
from equitrcoder.testing.script import Answer, Auto, Call, ProviderCall, ReceivedRequest
from equitrcoder.wires.values import Usage

PATH = ":generateContent"
STREAM_PATH = ":streamGenerateContent"
"""A request whose path (without its query) ends so is of this wire."""


def render(answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False) -> Rendered:
    """Write an answer as the request asks for it: one JSON body, or the events of a stream.

    The wire has no end mark, so `drop_done` changes nothing. Arguments are never split on it: `Call.deltas` and
    `Call.index` mean nothing here. The first call carries a thought signature, as those of Gemini 3 do.
    """
    last = {} if drop_finish else _last(answer)
    usage = {} if drop_finish else _usage(answer, request)
    parts = list(_parts(answer, request, streaming=request.streaming))
    if not request.streaming:
        content = {"parts": parts, "role": "model"}
        body = {"candidates": [{"content": content, **last, "index": 0}], **usage, **_envelope(answer, request)}
        return Rendered(content_type="application/json; charset=UTF-8", events=[_dumps(body)])
    chunks = [_chunk(answer, request, part) for part in parts]
    if not drop_finish:
        chunks.append(_chunk(answer, request, {"text": ""}, last, usage))
    return Rendered(
        content_type="text/event-stream", events=[b"data: " + _dumps(chunk) + b"\r\n\r\n" for chunk in chunks]
    )


def render_error(error: Mapping[str, Any], *, streaming: bool) -> bytes:
    """Write an error object: a body, or an event of a stream.

    Example:
        >>> render_error({"message": "no"}, streaming=True)
        b'data: {"error":{"message":"no"}}\\r\\n\\r\\n'
    """
    body = _dumps({"error": dict(error)})
    return b"data: " + body + b"\r\n\r\n" if streaming else body


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _chunk(
    answer: Answer,
    request: ReceivedRequest,
    part: dict[str, Any],
    last: Mapping[str, Any] = {},
    usage: Mapping[str, Any] = {},
) -> dict[str, Any]:
    candidate = {"content": {"parts": [part], "role": "model"}, **last, "index": 0}
    return {"candidates": [candidate], **usage, **_envelope(answer, request)}


def _envelope(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    asked = request.path.partition("/models/")[2].partition(":")[0]
    model = answer.model or asked or "scripted-model"
    return {"modelVersion": model, "responseId": f"scripted-{request.number}"}


def _last(answer: Answer) -> dict[str, Any]:
    finish = "STOP" if isinstance(answer.finish, Auto) else answer.finish
    return {"finishReason": finish}


def _parts(answer: Answer, request: ReceivedRequest, *, streaming: bool) -> Iterator[dict[str, Any]]:
    pieces = answer.text_deltas if streaming else 1
    for text in split(answer.reasoning, pieces):
        yield {"text": text, "thought": True}
    for text in split(answer.text or "", pieces):
        yield {"text": text, **answer.extra}
    for executed in answer.late:
        yield _outcome(executed, executed.id)
    for place, call in enumerate(answer.calls):
        if isinstance(call, ProviderCall):
            yield from _executed(call, request, place)
            continue
        signature = b64encode(f"signed-{request.number}".encode()).decode()
        yield {"functionCall": _call(call, request, place), **({} if place else {"thoughtSignature": signature})}


def _executed(call: ProviderCall, request: ReceivedRequest, place: int) -> Iterator[dict[str, Any]]:
    """A tool that Google ran, and what came of it.

    Source: https://ai.google.dev/gemini-api/docs/tool-combination, https://ai.google.dev/api/caching#ExecutableCode
    """
    wire_id = f"{request.number:04}{place:04}" if isinstance(call.id, Auto) else call.id
    given = {} if wire_id is None else {"id": wire_id}
    if call.name == "code_execution":
        yield {"executableCode": {**given, "language": "PYTHON", **call.arguments}}
    else:
        yield {"toolCall": {**given, "toolType": _tool_type(call), "args": dict(call.arguments)}}
    if call.result is not None or call.error is not None:
        yield _outcome(call, wire_id)


def _outcome(call: ProviderCall, wire_id: str | Auto | None) -> dict[str, Any]:
    given = {} if wire_id is None or isinstance(wire_id, Auto) else {"id": wire_id}
    said = call.result if call.error is None else call.error
    if call.name == "code_execution":
        how = "OUTCOME_OK" if call.error is None else "OUTCOME_FAILED"
        return {"codeExecutionResult": {**given, "outcome": how, "output": said}}
    told = {"output" if call.error is None else "error": said}
    return {"toolResponse": {**given, "toolType": _tool_type(call), "response": told}}


def _tool_type(call: ProviderCall) -> str:
    return "GOOGLE_SEARCH_WEB" if call.name == "web_search" else call.name


def _call(call: Call, request: ReceivedRequest, place: int) -> dict[str, Any]:
    wire_id = f"{request.number:04}{place:04}" if isinstance(call.id, Auto) else call.id
    return {**({} if wire_id is None else {"id": wire_id}), "name": call.name, "args": _arguments(call)}


def _arguments(call: Call | ProviderCall) -> Any:
    return dict(call.arguments) if isinstance(call.arguments, Mapping) else call.arguments


def _usage(answer: Answer, request: ReceivedRequest) -> dict[str, Any]:
    usage = answer.usage
    if usage is None:
        return {}
    if isinstance(usage, Auto):
        said = len(answer.text or "") + len(answer.reasoning)
        said += sum(len(call.name) + len(_dumps(_arguments(call))) for call in answer.calls)
        usage = Usage(input_tokens=-(-len(request.body) // 4), output_tokens=-(-said // 4))
    return {"usageMetadata": _usage_object(usage) if isinstance(usage, Usage) else dict(usage)}


def _usage_object(usage: Usage) -> dict[str, Any]:
    given, made, thought = usage.input_tokens or 0, usage.output_tokens or 0, usage.reasoning_tokens
    found = {"promptTokenCount": given, "candidatesTokenCount": made - (thought or 0), "totalTokenCount": given + made}
    if thought is not None:
        found["thoughtsTokenCount"] = thought
    if usage.cached_read_tokens is not None:
        found["cachedContentTokenCount"] = usage.cached_read_tokens
    return found
