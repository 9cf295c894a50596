"""From a conversation to a request of Chat Completions.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equitrcoder import jsontext
from equitrcoder.wires.arguments import call_name
from equitrcoder.wires.effort import tokens_of, word_of
from equitrcoder.wires.openai_chat.dialect import ChatDialect
from equitrcoder.wires.openai_chat.reading import CallEntry, client_calls
from equitrcoder.wires.prefix import cache_key
from equitrcoder.wires.schemas import EVERY_HOST, fitted, plain_patterns
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

_REASONING_FIELDS = frozenset({"reasoning_content", "reasoning", "reasoning_details"})
_OWN_FIELDS = frozenset({"role", "content", "tool_calls", "function_call"})  # built by hand below
_ANSWER_ONLY = frozenset({"annotations", "audio", "executed_tools", "channel", "provider_metadata", "token_id"})
"""Fields that hosts put into answers and that mean nothing, or are refused, in a request."""

SCHEMA_RULES = (*EVERY_HOST, plain_patterns)

_NINE = re.compile(r"[a-zA-Z0-9]{9}")


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: ChatDialect,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`.

    Nothing of the conversation is changed: what a message must lose or gain on this host is done on a copy.

    Example:
        >>> hello = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
        >>> request(hello, [], RequestOptions(model="m", stream=False), ChatDialect(), origin="local").body["messages"]
        [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hi'}]
    """

    def build(message: Message) -> list[dict[str, Any]]:
        return message_forms(message, dialect, origin)

    forms = conversation.forms.of(("openai-chat", dialect, origin), conversation.messages, lambda: build)
    return request_with(forms, conversation, tools, options, dialect)


def request_with(
    forms: Sequence[Sequence[dict[str, Any]]],
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: ChatDialect,
) -> WireRequest:
    """The request whose messages have these forms (`message_forms`, or what another wire made of them)."""
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    body: dict[str, Any] = {"model": options.model, "messages": system + [each for form in forms for each in form]}
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if dialect.parallel_calls and options.parallel_calls != dialect.parallel_default:
            body["parallel_tool_calls"] = options.parallel_calls
    if options.output_limit_tokens is not None:
        body[dialect.max_tokens_field] = options.output_limit_tokens
    if options.reasoning_effort is not None and dialect.reasoning_effort:
        body.update(_reasoning_effort(options.reasoning_effort, dialect))
    if dialect.cache_key:
        body["prompt_cache_key"] = cache_key(conversation)
    if options.stream:
        body["stream"] = True
        if dialect.stream_usage:
            body["stream_options"] = {"include_usage": True}
    body.update(dialect.extra_body)
    return WireRequest(path="/chat/completions", body=body)


def _reasoning_effort(effort: str, dialect: ChatDialect) -> Mapping[str, Any]:
    tokens = tokens_of(effort)
    if dialect.no_reasoning and (tokens == 0 or effort.lower() == "none"):
        return dialect.no_reasoning
    if tokens and dialect.effort_in_tokens:
        return {"reasoning_effort": tokens}
    return {"reasoning_effort": word_of(effort, dialect.efforts)}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    parameters = fitted(tool.parameters, SCHEMA_RULES)
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def message_forms(message: Message, dialect: ChatDialect, origin: str) -> list[dict[str, Any]]:
    """One message of a conversation as the messages of a request."""
    return list(_message(message, dialect, origin))


def _message(message: Message, dialect: ChatDialect, origin: str) -> Iterator[dict[str, Any]]:
    if isinstance(message, UserMessage):
        yield {"role": "user", "content": message.text}
    elif isinstance(message, ToolResults):
        for result in message.results:
            wire_id = wire_call_id(result.wire_id, dialect)
            yield {"role": "tool", "tool_call_id": wire_id, "content": result.text}
    elif message.native is not None and message.origin == origin and message.native.get("role") == "assistant":
        yield _echo(message, message.native, dialect)
    else:
        yield _rebuilt(message, dialect)


def _rebuilt(message: AssistantMessage, dialect: ChatDialect) -> dict[str, Any]:
    """An answer of another row, from its plain side."""
    out: dict[str, Any] = {"role": "assistant", "content": message.text}
    if message.calls:
        out["content"] = message.text or _no_content(dialect)
        out["tool_calls"] = [_plain_call(call, dialect) for call in message.calls]
        if dialect.reasoning_echo == "required_with_calls":
            out[dialect.reasoning_field] = ""
    return out


def _echo(message: AssistantMessage, native: Mapping[str, Any], dialect: ChatDialect) -> dict[str, Any]:
    """An answer of this row, as it goes back."""
    out: dict[str, Any] = {"role": "assistant"}
    calls = _echoed_calls(message, native, dialect)
    out["content"] = _content(native.get("content"), dialect, with_calls=bool(calls))
    if dialect.echo_unknown:
        known = _OWN_FIELDS | _ANSWER_ONLY | _REASONING_FIELDS
        out.update((key, value) for key, value in native.items() if key not in known and value not in (None, ""))
    out.update(_reasoning(native, dialect, with_calls=bool(calls)))
    if calls:
        out["tool_calls"] = calls
    return out


def _reasoning(native: Mapping[str, Any], dialect: ChatDialect, *, with_calls: bool) -> dict[str, Any]:
    received = {key: native[key] for key in _REASONING_FIELDS if native.get(key)}
    match dialect.reasoning_echo:
        case "same_field":
            return received
        case "required_with_calls" if with_calls:
            other = native.get("reasoning_content") or native.get("reasoning") or ""
            return {dialect.reasoning_field: native.get(dialect.reasoning_field) or other}
        case _:
            return {}


def _content(content: Any, dialect: ChatDialect, *, with_calls: bool) -> Any:
    if isinstance(content, list):
        dropped = dialect.reasoning_echo == "none"
        content = [part for part in content if not (dropped and _is_thinking(part))] or None
    elif isinstance(content, dict | int | float):
        content = _json(content)
    if content is None:
        return _no_content(dialect) if with_calls else ""
    return content


def _is_thinking(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("thinking", "reasoning")


def _no_content(dialect: ChatDialect) -> str | None:
    return None if dialect.null_content else ""


def _echoed_calls(message: AssistantMessage, native: Mapping[str, Any], dialect: ChatDialect) -> list[dict[str, Any]]:
    """The message's calls, each from its native entry where there is one (calls of a further choice have none)."""
    entries = list(client_calls(native))
    calls = []
    for call in message.calls:
        if call.index < len(entries) and not entries[call.index].legacy:
            calls.append(_native_call(call, entries[call.index], dialect))
        else:
            calls.append(_plain_call(call, dialect))
    return calls


def _native_call(call: EchoedCall, entry: CallEntry, dialect: ChatDialect) -> dict[str, Any]:
    own = ("id", "type", "function", "custom", "index")
    wire_id = wire_call_id(call.wire_id, dialect)
    extra = {key: value for key, value in entry.native.items() if key not in own and value is not None}
    if not dialect.echo_unknown:
        extra = {}
    if entry.native.get("type") == "custom":
        return {"id": wire_id, "type": "custom", "custom": entry.native.get("custom"), **extra}
    verbatim = call.arguments is not None and isinstance(entry.arguments, str)
    arguments = entry.arguments if verbatim else _json(call.arguments)
    function = {"name": call_name(entry.name), "arguments": arguments}
    return {"id": wire_id, "type": "function", "function": function, **extra}


def _plain_call(call: EchoedCall, dialect: ChatDialect) -> dict[str, Any]:
    function = {"name": call_name(call.name), "arguments": _json(call.arguments)}
    return {"id": wire_call_id(call.wire_id, dialect), "type": "function", "function": function}


def _json(value: Any) -> str:
    if value is None:
        return "{}"
    try:
        return jsontext.dumps(value).decode("utf-8")
    except RecursionError:  # nested hundreds of levels: valid on the wire, but nothing here can write it
        return "{}"


def wire_call_id(wire_id: str, dialect: ChatDialect) -> str:
    """A call id as this host takes it; the same id always gives the same, so call and result stay a pair.

    Example:
        >>> wire_call_id("call_1", ChatDialect()), len(wire_call_id("call_1", ChatDialect(id_format="nine_alnum")))
        ('call_1', 9)
    """
    if dialect.id_format == "any" or _NINE.fullmatch(wire_id):
        return wire_id
    from hashlib import sha256

    number = int.from_bytes(sha256(wire_id.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "".join(letters[number // 62**place % 62] for place in range(9))
