"""From a conversation to a request of Cohere's chat.

Source: https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equitrcoder import jsontext
from equitrcoder.wires.arguments import call_name
from equitrcoder.wires.effort import budget_of
from equitrcoder.wires.openai_chat.reading import client_calls
from equitrcoder.wires.schemas import fitted
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

_ECHOED = ("tool_plan", "content", "citations")


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: None = None,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`. The wire has no word for parallel calls.

    Example:
        >>> hello = Conversation(system="", messages=[UserMessage(text="Hi")])
        >>> request(hello, [], RequestOptions(model="m", stream=False), origin="cohere").body
        {'model': 'm', 'messages': [{'role': 'user', 'content': 'Hi'}], 'stream': False}
    """
    body: dict[str, Any] = {"model": options.model, "messages": _messages(conversation, origin)}
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    body["stream"] = options.stream
    if options.output_limit_tokens is not None:
        body["max_tokens"] = options.output_limit_tokens
    if options.reasoning_effort is not None:
        body["thinking"] = _thinking(options.reasoning_effort)
    return WireRequest(path="/v2/chat", body=body)


def _thinking(effort: str) -> dict[str, Any]:
    """The wire has no words, only a budget; the highest efforts are none.

    Source: https://docs.cohere.com/docs/reasoning
    """
    budget = budget_of(effort)
    if budget == 0:
        return {"type": "disabled"}
    if budget is None or effort.strip().lower() in ("high", "xhigh", "max"):
        return {"type": "enabled"}
    return {"type": "enabled", "token_budget": budget}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": fitted(tool.parameters)}
    return {"type": "function", "function": function}


def _messages(conversation: Conversation, origin: str) -> list[dict[str, Any]]:
    def build(message: Message) -> tuple[dict[str, Any], ...]:
        return tuple(_message(message, origin))

    forms = conversation.forms.of(("cohere-v2", origin), conversation.messages, lambda: build)
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    return system + [each for form in forms for each in form]


def _message(message: Message, origin: str) -> Iterator[dict[str, Any]]:
    if isinstance(message, UserMessage):
        yield {"role": "user", "content": message.text}
    elif isinstance(message, ToolResults):
        for result in message.results:
            yield {"role": "tool", "tool_call_id": result.wire_id, "content": result.text}
    else:
        native = message.native if message.origin == origin else None
        said = _rebuilt(message) if native is None else _echo(message, native)
        if len(said) > 1:  # an empty answer says nothing to anybody
            yield said


def _rebuilt(message: AssistantMessage) -> dict[str, Any]:
    """An answer of another row: what it said before its calls is their plan."""
    out: dict[str, Any] = {"role": "assistant"}
    if message.text:
        out["tool_plan" if message.calls else "content"] = message.text
    if message.calls:
        out["tool_calls"] = [_call(call, _json(call.arguments)) for call in message.calls]
    return out


def _echo(message: AssistantMessage, native: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of this row, as it goes back: plan, thinking and all."""
    out: dict[str, Any] = {"role": "assistant"}
    out.update((key, native[key]) for key in _ECHOED if native.get(key))
    entries = list(client_calls({"tool_calls": native.get("tool_calls")}))
    calls = []
    for call in message.calls:
        arguments = entries[call.index].arguments if call.index < len(entries) else None
        if call.arguments is None or not isinstance(arguments, str):
            arguments = _json(call.arguments)
        calls.append(_call(call, arguments))
    if calls:
        out["tool_calls"] = calls
    return out


def _call(call: EchoedCall, arguments: str) -> dict[str, Any]:
    function = {"name": call_name(call.name), "arguments": arguments}
    return {"id": call.wire_id, "type": "function", "function": function}


def _json(arguments: Mapping[str, Any] | None) -> str:
    try:
        return jsontext.dumps(arguments or {}).decode("utf-8")
    except RecursionError:  # nested hundreds of levels: valid on the wire, but nothing here can write it
        return "{}"
