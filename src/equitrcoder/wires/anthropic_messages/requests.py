"""From a conversation to a request of the Messages wire.

Source: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equitrcoder.wires.anthropic_messages.dialect import MessagesDialect, model_traits
from equitrcoder.wires.anthropic_messages.history import messages_of
from equitrcoder.wires.effort import TOKENS, tokens_of, word_of
from equitrcoder.wires.schemas import EVERY_HOST, fitted, property_names
from equitrcoder.wires.values import AssistantMessage, Conversation, RequestOptions, ToolSpec, WireRequest

USUAL_OUTPUT_TOKENS = 32_000
"""`max_tokens`, which the wire demands, where nothing else limits an answer; thinking counts in it."""
UNSTREAMED_OUTPUT_TOKENS = 16_384
"""The same for an answer that comes at once: longer ones take so long that connections break."""
_SMALLEST_BUDGET = 1024
_CACHED = {"type": "ephemeral"}
SCHEMA_RULES = (*EVERY_HOST, property_names("[a-zA-Z0-9_.-]{1,64}"))


def request(
    conversation: Conversation,
    tools: Sequence[ToolSpec],
    options: RequestOptions,
    dialect: MessagesDialect | None,
    *,
    origin: str,
) -> WireRequest:
    """Build the request; see `equitrcoder.wires.values.Wire.request`.

    Nothing of the conversation is changed: what a message must lose or gain is done on a copy. What stands before a
    message is the same in every later request of the conversation, but for the cache marks.

    Example:
        >>> from equitrcoder.wires.values import UserMessage
        >>> hello = Conversation(system="", messages=[UserMessage(text="Hi")])
        >>> made = request(hello, [], RequestOptions(model="m"), MessagesDialect(cache=False), origin="anthropic")
        >>> made.path, made.body["messages"]
        ('/v1/messages', [{'role': 'user', 'content': [{'type': 'text', 'text': 'Hi'}]}])
    """
    dialect = dialect or MessagesDialect()
    limit = _output_limit(options, dialect)
    messages = messages_of(conversation, origin)
    body: dict[str, Any] = {"model": options.model, "max_tokens": limit}
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if not options.parallel_calls and dialect.parallel_calls:
            body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    if conversation.system.strip():
        body["system"] = [{"type": "text", "text": conversation.system}]
    body["messages"] = messages
    if options.reasoning_effort is not None and dialect.reasoning_effort:
        body.update(_reasoning(options.model, options.reasoning_effort.lower(), limit, messages))
    container = _container(conversation, origin)
    if container is not None:
        body["container"] = container
    if options.stream:
        body["stream"] = True
    if dialect.cache:
        _mark(body)
    body.update(dialect.extra_body)
    headers = {"anthropic-version": dialect.version} if dialect.version else {}
    return WireRequest(path="/v1/messages", body=body, headers=headers)


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": fitted(tool.parameters, SCHEMA_RULES)}


def _output_limit(options: RequestOptions, dialect: MessagesDialect) -> int:
    usual = dialect.output_limit or (USUAL_OUTPUT_TOKENS if options.stream else UNSTREAMED_OUTPUT_TOKENS)
    limit = options.output_limit_tokens or usual
    most = model_traits(options.model).most_tokens
    return min(limit, most) if most else limit


def _reasoning(model: str, effort: str, limit: int, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields that ask for an effort, in the way that the model takes it.

    Source: https://platform.claude.com/docs/en/build-with-claude/effort
    """
    traits = model_traits(model)
    if traits.thinking == "none":
        return {}
    word = word_of(effort)
    if word == "none" and traits.least != "low":
        return {"thinking": {"type": traits.least}}
    word = "low" if word in ("none", "minimal") else word
    if traits.thinking == "budget":
        wanted = tokens_of(effort) or TOKENS.get(word, 8192)
        budget = min(max(wanted, _SMALLEST_BUDGET), limit * 3 // 4)
        if budget < _SMALLEST_BUDGET or not _may_think(messages):
            return {}
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}
    fields: dict[str, Any] = {"output_config": {"effort": word}}
    if traits.thinking == "adaptive":
        fields["thinking"] = {"type": "adaptive"}
    return fields


def _may_think(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Models with a thinking budget refuse to think on after calls that were made without thinking.

    Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use
    """
    if len(messages) < 2 or messages[-1]["content"][0].get("type") != "tool_result":
        return True
    return messages[-2]["content"][0].get("type") in ("thinking", "redacted_thinking")


def _container(conversation: Conversation, origin: str) -> str | None:
    """The provider's container in which the last answer was made: calls from within it are answered there."""
    last = next((each for each in reversed(conversation.messages) if isinstance(each, AssistantMessage)), None)
    held = last.native.get("container") if last is not None and last.native and last.origin == origin else None
    wire_id = held.get("id") if isinstance(held, dict) else held
    return wire_id if isinstance(wire_id, str) else None


def _mark(body: dict[str, Any]) -> None:
    """Mark what the next request repeats: the tools, the system prompt, and the newest two messages of the user.

    The last but one is where the request before this had its newest mark, so that is found also when there are more
    blocks in between than the provider looks back over.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """
    for key in ("tools", "system"):
        if body.get(key):
            body[key] = _marked(body[key])
    messages = body["messages"]
    newest = [place for place in range(max(len(messages) - 4, 0), len(messages)) if messages[place]["role"] == "user"]
    for place in newest[-2:]:
        messages[place] = {**messages[place], "content": _marked(messages[place]["content"])}


def _marked(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A copy: the blocks are shared with the next request, which has other marks."""
    return [*blocks[:-1], {**blocks[-1], "cache_control": _CACHED}]
