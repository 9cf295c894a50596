"""The messages of a conversation, as the Messages wire takes them.

Source: https://platform.claude.com/docs/en/api/messages/create, https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from equitrcoder.errors import ProviderError
from equitrcoder.wires.anthropic_messages.reading import call_entries, checked_blocks, result_id
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    Message,
    ResultForModel,
    ToolResults,
    UserMessage,
)

_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def messages_of(conversation: Conversation, origin: str) -> list[dict[str, Any]]:
    """The messages, roles taking turns: neighbours of one role are one message, results first in it.

    `origin` is the row's name: its own answers go back as they came, others are rebuilt from text and calls.
    """
    owner = ("anthropic-messages", origin)
    grown = conversation.forms.of(owner, conversation.messages, lambda: _Turns(origin).add)
    return (grown[-1] if grown else _Turns(origin)).messages()


class _Turns:
    """Messages whose roles take turns, grown by one message of the conversation at a time."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._closed: list[dict[str, Any]] = []
        """Those that another one follows: they change no more."""
        self._role = ""
        self._open: list[dict[str, Any]] = []

    def add(self, message: Message) -> _Turns:
        role, blocks = _blocks(message, self._origin)
        if blocks and role != self._role:
            self._close()
            if not self._closed and role != "user":
                self._closed.append({"role": "user", "content": _text("(continued)")})
            self._role, self._open = role, []
        self._open = [*self._open, *blocks]
        return self

    def _close(self) -> None:
        content = _ordered(self._role, self._open)
        if content:
            self._closed.append({"role": self._role, "content": content})

    def messages(self) -> list[dict[str, Any]]:
        if not self._role:
            return [{"role": "user", "content": _text("(continued)")}]
        content = self._open if self._role == "assistant" else _ordered(self._role, self._open)
        return [*self._closed, {"role": self._role, "content": content}]


def _ordered(role: str, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of one message of this role as they stand when the next one follows: a user's results first."""
    if role == "assistant":
        return _answered(content)
    return sorted(content, key=lambda block: block["type"] != "tool_result")


def _blocks(message: Message, origin: str) -> tuple[str, list[dict[str, Any]]]:
    if isinstance(message, UserMessage):
        return "user", _text(message.text)
    if isinstance(message, ToolResults):
        return "user", [_result(result) for result in message.results]
    native = message.native if message.origin == origin else None
    if native is not None and native.get("role") == "assistant":
        try:
            return "assistant", list(_echo(message, checked_blocks(native.get("content"))))
        except ProviderError:
            pass  # no message of this wire: its plain side is
    return "assistant", [*_text(message.text), *map(_plain_call, message.calls)]


def _text(text: str) -> list[dict[str, Any]]:
    """Blank texts are refused."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _result(result: ResultForModel) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": wire_call_id(result.wire_id)}
    text = result.text or ("The call failed." if result.is_error else "")  # an error without words is refused
    if text:
        block["content"] = text
    if result.is_error:
        block["is_error"] = True
    return block


def _echo(message: AssistantMessage, content: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """An answer of this row, block by block as it goes back."""
    calls = {call.index: call for call in message.calls}
    places = {id(entry.block): (index, entry) for index, entry in enumerate(call_entries(content))}
    for block in content:
        index, entry = places.get(id(block), (-1, None))
        if entry is None:
            if block.get("type") != "text" or str(block.get("text") or "").strip():
                yield dict(block)
        elif entry.kind == "provider-executed":
            yield {**block, "input": entry.arguments if isinstance(entry.arguments, dict) else {}}
        elif index in calls:
            yield _native_call(calls[index], block)


def _native_call(call: EchoedCall, block: Mapping[str, Any]) -> dict[str, Any]:
    return {**block, **_plain_call(call)}


def _plain_call(call: EchoedCall) -> dict[str, Any]:
    arguments = call.arguments if call.arguments is not None else {}
    return {"type": "tool_use", "id": wire_call_id(call.wire_id), "name": call_name(call.name), "input": arguments}


def _answered(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks without those calls of the provider's tools whose results will never come.

    They are waited for only while calls of ours are open in the same answer, and while the answer is paused. An answer
    that was cut may hold a call without its result, for which the whole history is refused.
    """
    if any(block.get("type") == "tool_use" for block in content):
        return content
    answered = {result_id(block) for block in content}
    calls = {id(entry.block) for entry in call_entries(content) if entry.id not in answered}
    return [block for block in content if id(block) not in calls] if calls else content


def call_name(name: str) -> str:
    """A tool name that goes back: the whole history is refused for one outside of `[a-zA-Z0-9_-]{1,128}`.

    Example:
        >>> call_name("read_file"), call_name("functions.read file"), call_name("")
        ('read_file', 'functions_read_file', 'unnamed')
    """
    return _NOT_IN_NAME.sub("_", name)[:128] or "unnamed"


def wire_call_id(wire_id: str) -> str:
    """A call id of `[a-zA-Z0-9_-]` only; the same id always gives the same, so call and result stay a pair.

    Example:
        >>> wire_call_id("toolu_1"), wire_call_id("functions.read:0")
        ('toolu_1', 'functions_read_0_c216cab2')
    """
    if wire_id and not _NOT_IN_NAME.search(wire_id):
        return wire_id
    from hashlib import sha256

    mark = sha256(wire_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_NOT_IN_NAME.sub('_', wire_id)[:64]}_{mark}"
