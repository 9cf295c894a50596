"""From a conversation to a request of Ollama's chat.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from equitrcoder import jsontext
from equitrcoder.wires.effort import word_of
from equitrcoder.wires.ollama_chat.dialect import OllamaDialect
from equitrcoder.wires.openai_chat.reading import client_calls
from equitrcoder.wires.schemas import EVERY_HOST, const_as_enum, fitted
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    Message,
    RequestOptions,
    ToolResults,
    ToolSpec,
    UserMessage,
    WireRequest,
)

SCHEMA_RULES = (*EVERY_HOST, const_as_enum)
"""Ollama reads a tool's parameters into fields of its own: what it has none for is lost without a word.

Source: https://github.com/ollama/ollama/blob/main/api/types.go (ToolProperty)
"""
_EFFORTS = ("none", "low", "medium", "high")
"""The words for `think`; none is false there."""


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: OllamaDialect | None = None,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`. The wire has no word for parallel calls.

    Example:
        >>> hello = Conversation(system="", messages=[UserMessage(text="Hi")])
        >>> request(hello, [], RequestOptions(model="m", output_limit_tokens=9), origin="ollama").body["options"]
        {'num_ctx': 32768, 'num_predict': 9}
    """
    body: dict[str, Any] = {"model": options.model, "messages": _messages(conversation, origin)}
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    body["stream"] = options.stream  # without it the server streams
    if options.reasoning_effort is not None:
        word = word_of(options.reasoning_effort, _EFFORTS)
        body["think"] = False if word == "none" else word
    limits = _limits(options, dialect or OllamaDialect())
    if limits:
        body["options"] = limits
    return WireRequest(path="/api/chat", body=body)


def _limits(options: RequestOptions, dialect: OllamaDialect) -> dict[str, int]:
    limits = {"num_ctx": dialect.num_ctx} if dialect.num_ctx else {}
    if options.output_limit_tokens is not None:
        limits["num_predict"] = options.output_limit_tokens
    return limits


def _tool(tool: ToolSpec) -> dict[str, Any]:
    parameters = fitted(tool.parameters, SCHEMA_RULES)
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _messages(conversation: Conversation, origin: str) -> list[dict[str, Any]]:
    def builder() -> Callable[[Message], tuple[dict[str, Any], ...]]:
        given_ids: set[str] = set()  # ids that the server gave to the calls of the message before: only those go back

        def build(message: Message) -> tuple[dict[str, Any], ...]:
            if isinstance(message, AssistantMessage):
                given_ids.clear()
            return tuple(_message(message, origin, given_ids))

        return build

    forms = conversation.forms.of(("ollama-chat", origin), conversation.messages, builder)
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    return system + [each for form in forms for each in form]


def _message(message: Message, origin: str, given_ids: set[str]) -> Iterator[dict[str, Any]]:
    if isinstance(message, UserMessage):
        yield {"role": "user", "content": message.text}
    elif isinstance(message, ToolResults):
        for result in message.results:
            told = {"role": "tool", "tool_name": result.name, "content": result.text}
            yield {**told, "tool_call_id": result.wire_id} if result.wire_id in given_ids else told
    elif message.native is not None and message.origin == origin and message.native.get("role") == "assistant":
        yield _echo(message, message.native, given_ids)
    else:
        yield _with_calls({"role": "assistant", "content": message.text}, [_plain_call(call) for call in message.calls])


def _with_calls(message: dict[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {**message, "tool_calls": calls} if calls else message


def _echo(message: AssistantMessage, native: Mapping[str, Any], given_ids: set[str]) -> dict[str, Any]:
    """An answer of this row, as it goes back: its thinking too."""
    out: dict[str, Any] = {"role": "assistant", "content": _string(native.get("content")) or message.text}
    if _string(native.get("thinking")):
        out["thinking"] = native["thinking"]
    entries = [entry.native for entry in client_calls({"tool_calls": native.get("tool_calls")})]
    calls = []
    for call in message.calls:
        entry = entries[call.index] if call.index < len(entries) else {}
        if entry.get("id"):
            given_ids.add(call.wire_id)
            calls.append({"id": call.wire_id, **_plain_call(call)})
        else:
            calls.append(_plain_call(call))
    return _with_calls(out, calls)


def _plain_call(call: EchoedCall) -> dict[str, Any]:
    return {"function": {"name": call.name, "arguments": _object(call.arguments)}}


def _object(arguments: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The arguments, which must be an object here; `{}` where there is none, or none that can be written."""
    try:
        jsontext.dumps(arguments)
    except RecursionError:
        return {}
    return arguments or {}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
