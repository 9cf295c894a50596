"""From a conversation to a request of the Responses wire.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equitrcoder import jsontext
from equitrcoder.wires.arguments import call_name
from equitrcoder.wires.effort import word_of
from equitrcoder.wires.openai_responses.dialect import ResponsesDialect
from equitrcoder.wires.openai_responses.items import find_calls, message_texts
from equitrcoder.wires.prefix import cache_key
from equitrcoder.wires.schemas import fitted
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    Message,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
    WireRequest,
)

_NO_REASONING = re.compile(r"(ft:|openai/)*(gpt-[34]|chatgpt-4)|.*-chat-latest$")
"""OpenAI's models that refuse to be asked for it: "Encrypted content is not supported with this model".

Source: https://github.com/pydantic/pydantic-ai/issues/2865 and 3326
"""

_ANSWER_ONLY = frozenset({"created_by"})
_NULLABLE = frozenset({"image_generation_call", "code_interpreter_call"})
"""Items whose null fields are required in a request."""


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: ResponsesDialect,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`.

    Nothing is left with the provider (`store: false`), so every request carries the whole conversation. Nothing of the
    conversation is changed: what an item must lose or gain is done on a copy.

    Example:
        >>> hello = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
        >>> request(hello, [], RequestOptions(model="m"), ResponsesDialect(), origin="openai").body["input"]
        [{'type': 'message', 'role': 'user', 'content': 'Hi'}]
    """
    body: dict[str, Any] = {"model": options.model}
    if conversation.system:
        body["instructions"] = conversation.system
    owner = ("openai-responses", dialect, origin)
    forms = conversation.forms.of(owner, conversation.messages, lambda: _Input(dialect, origin).items)
    body["input"] = [item for form in forms for item in form]
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if dialect.parallel_calls and not options.parallel_calls:
            body["parallel_tool_calls"] = False
    body["store"] = False
    if dialect.encrypted_reasoning and not _NO_REASONING.match(options.model):
        body["include"] = ["reasoning.encrypted_content"]
    if dialect.cache_key:
        body["prompt_cache_key"] = cache_key(conversation)
    if options.output_limit_tokens is not None:
        body["max_output_tokens"] = options.output_limit_tokens
    if options.reasoning_effort is not None and dialect.reasoning_effort:
        body["reasoning"] = {"effort": word_of(options.reasoning_effort)}
    if options.stream:
        body["stream"] = True
    body.update(dialect.extra_body)
    return WireRequest(path=dialect.path, body=body)


def _tool(tool: ToolSpec) -> dict[str, Any]:
    """A tool; strict would be the default here, and our schemas are not written in its subset."""
    told = {"type": "function", "name": tool.name, "description": tool.description}
    return {**told, "parameters": fitted(tool.parameters), "strict": False}


class _Input:
    """Writes the input items of messages in order; remembers of which type each call went out, for its result."""

    def __init__(self, dialect: ResponsesDialect, origin: str) -> None:
        self._dialect = dialect
        self._origin = origin
        self._calls: dict[str, dict[str, Any]] = {}

    def items(self, message: Message) -> list[dict[str, Any]]:
        if isinstance(message, UserMessage):
            return [{"type": "message", "role": "user", "content": message.text}]
        if isinstance(message, ToolResults):
            return [self._result(result) for result in message.results]
        return list(self._assistant(message))

    def _assistant(self, message: AssistantMessage) -> Iterator[dict[str, Any]]:
        output = message.native.get("output") if message.native is not None else None
        own = message.origin == self._origin and isinstance(output, list)
        items = self._echo(message, output or []) if own else _rebuilt(message)
        for item in items:
            wire_id = item.get("id" if item.get("type") == _APPROVAL else "call_id")
            if isinstance(wire_id, str):
                self._calls[wire_id] = item
            yield item

    def _echo(self, message: AssistantMessage, output: list[Any]) -> Iterator[dict[str, Any]]:
        """An answer of this row, as it goes back: all of its items, in order."""
        calls = {id(found.item): found.call for found in find_calls(output)}
        echoed = {call.index: call for call in message.calls}
        said = [item for item in output if isinstance(item, dict)]
        while said and said[-1].get("type") == "reasoning":
            said.pop()  # refused where nothing follows it: "provided without its required following item"
        kept = [item for item in said if item.get("type") != "reasoning" or self._thought_goes_back(item)]
        # an item with its id asks for the reasoning before it: "provided without its required 'reasoning' item"
        whole = len(kept) == len(said)
        for item in kept:
            call = calls.get(id(item))
            if call is not None and call.index in echoed:
                yield self._call(item, echoed[call.index], whole=whole)
            elif call is not None and call.kind == "client":
                continue
            elif self._dialect.echo_items == "all":
                yield _plain(item, whole=whole)
            elif item.get("type") == "message":
                yield _bare_message(item)

    def _thought_goes_back(self, item: dict[str, Any]) -> bool:
        match self._dialect.reasoning_echo:
            case "all":
                return True
            case "encrypted":
                return bool(item.get("encrypted_content"))
            case _:
                return False

    def _call(self, item: dict[str, Any], call: EchoedCall, *, whole: bool) -> dict[str, Any]:
        kind = str(item.get("type"))
        if self._dialect.echo_items != "all":
            signature = {key: item[key] for key in ("thought_signature",) if item.get(key)}
            return {**_function_call(call, item.get("arguments")), **signature}
        if kind == "function_call":
            return {**_plain(item, whole=whole), **_function_call(call, item.get("arguments"))}
        if kind == _APPROVAL:
            return {**_plain(item, whole=whole), "id": call.wire_id}
        if kind in _OWN_RESULTS:
            return {**_plain(item, whole=whole), "call_id": call.wire_id}
        return _function_call(call)

    def _result(self, result: ResultForModel) -> dict[str, Any]:
        call = self._calls.get(result.wire_id, {})
        kind = _OWN_RESULTS.get(str(call.get("type")))
        if kind is not None:
            return {"type": kind, **_own_result(kind, result)}
        out = {"type": "function_call_output", "call_id": result.wire_id, "output": result.text}
        if self._dialect.result_names:
            out["name"] = call_name(result.name)
        if call.get("thought_signature"):
            out["thought_signature"] = call["thought_signature"]
        return out


_APPROVAL = "mcp_approval_request"

_OWN_RESULTS = {
    "custom_tool_call": "custom_tool_call_output",
    "local_shell_call": "local_shell_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
    _APPROVAL: "mcp_approval_response",
}
"""Calls whose result is an item of its own kind. The others go back as function calls: we have only text to tell."""


def _own_result(kind: str, result: ResultForModel) -> dict[str, Any]:
    match kind:
        case "mcp_approval_response":  # what we answer is always a refusal
            return {"approval_request_id": result.wire_id, "approve": False, "reason": result.text}
        case "local_shell_call_output":
            return {"id": result.wire_id, "output": result.text}
        case "shell_call_output":
            outcome = {"type": "exit", "exit_code": 1 if result.is_error else 0}
            return {"call_id": result.wire_id, "output": [{"stdout": result.text, "stderr": "", "outcome": outcome}]}
        case "apply_patch_call_output":
            status = "failed" if result.is_error else "completed"
            return {"call_id": result.wire_id, "status": status, "output": result.text}
        case _:
            return {"call_id": result.wire_id, "output": result.text}


def _plain(item: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """An item without what only answers have."""
    kind = str(item.get("type"))
    if kind == "message" and not whole:
        return _bare_message(item)
    dropped = _ANSWER_ONLY if whole or kind not in _IDS_MAY_GO else _ANSWER_ONLY | {"id"}
    kept = kind in _NULLABLE
    return {key: value for key, value in item.items() if key not in dropped and (kept or value is not None)}


_IDS_MAY_GO = frozenset({"function_call", "custom_tool_call", "shell_call", "apply_patch_call"})


def _rebuilt(message: AssistantMessage) -> Iterator[dict[str, Any]]:
    """An answer of another row, from its plain side."""
    if message.text:
        yield {"type": "message", "role": "assistant", "content": message.text}
    for call in message.calls:
        yield _function_call(call)


def _function_call(call: EchoedCall, received: Any = None) -> dict[str, Any]:
    verbatim = call.arguments is not None and isinstance(received, str)
    arguments = received if verbatim else _json(call.arguments)
    return {"type": "function_call", "call_id": call.wire_id, "name": call_name(call.name), "arguments": arguments}


def _bare_message(item: Mapping[str, Any]) -> dict[str, Any]:
    """A message without an id, which no item before it has to explain."""
    text, refusal = message_texts(item)
    phase = {"phase": item["phase"]} if item.get("phase") else {}
    return {"type": "message", "role": "assistant", "content": text or refusal, **phase}


def _json(value: Any) -> str:
    if value is None:
        return "{}"
    try:
        return jsontext.dumps(value).decode("utf-8")
    except RecursionError:  # nested hundreds of levels: valid on the wire, but nothing here can write it
        return "{}"
