"""From one assistant message of the Messages wire to a `Turn`.

A stream is first put together into the same message (assembly.py) and read here, so both ways read alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from equitrcoder.errors import BadResponseError
from equitrcoder.records import JSON
from equitrcoder.wires.anthropic_messages.usage import read_usage
from equitrcoder.wires.arguments import MAX_CALLS, read_arguments, string, text_of
from equitrcoder.wires.values import CallKind, LateResult, StopKind, Turn, WireCall

MAX_BLOCKS = 20_000

_STOPS: dict[str, StopKind] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "stop": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
    "pause_turn": "paused",
}

_KINDS: dict[str, CallKind] = {
    "tool_use": "client",
    "server_tool_use": "provider-executed",
    "mcp_tool_use": "provider-executed",
}
"""Types of blocks that are calls."""

_KEPT = ("container", "stop_details", "context_management")
"""Fields of a message, beside its content, that are kept with it."""
_ANY_KEPT = frozenset(_KEPT)


_OBJECT = {dict}


class CallEntry(NamedTuple):
    """A call where it stands in a message."""

    block: dict[str, Any]
    name: str
    arguments: dict[str, JSON] | str | None
    id: str | None
    kind: CallKind


def read_message(message: Mapping[str, Any], *, usage: Any = None) -> Turn:
    """Read one message, whose `content` is a list of blocks.

    Raises:
        BadResponseError: A block is no object, or there are too many.
    """
    content = checked_blocks(message.get("content"))
    texts: list[str] = []
    thoughts: list[str] = []
    others: list[dict[str, Any]] = []
    for block in content:
        match block.get("type"):
            case "text":
                texts.append(string(block.get("text")))
            case "thinking":
                thoughts.append(string(block.get("thinking")))
            case _:
                others.append(block)
    results = _results(others)
    calls = tuple(_calls(others, results))
    finish = _word(message.get("stop_reason"))
    return Turn(
        text="".join(texts),
        reasoning="".join(thoughts),
        refusal=_refusal(message, finish),
        calls=calls,
        late_results=tuple(_late(calls, results)) if results else (),
        usage=read_usage(usage),
        finish=finish,
        stop=_stop(finish, calls),
        model_answered=_word(message.get("model")),
        response_id=_word(message.get("id")),
        native=_native(message, content),
    )


def checked_blocks(content: Any) -> list[dict[str, Any]]:
    """The blocks of a message; a text in place of a list is one block.

    Raises:
        BadResponseError: See `read_message`.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list) or not {*map(type, content)} <= _OBJECT:
        raise BadResponseError("A content block of the answer is no object.")
    if len(content) > MAX_BLOCKS:
        raise BadResponseError(f"The answer holds more than {MAX_BLOCKS} content blocks.")
    return content


def call_entries(content: Sequence[Mapping[str, Any]]) -> Iterator[CallEntry]:
    """The calls among the blocks of a message, in order: those that we run and those that the provider ran."""
    for block in content:
        kind = _KINDS.get(string(block.get("type")))
        if kind is None:
            continue
        wire_id = block.get("id")
        yield CallEntry(
            block=block,  # type: ignore[arg-type]
            name=text_of(block.get("name")),
            arguments=read_arguments(block.get("input")),
            id=None if wire_id is None else text_of(wire_id),
            kind=kind,
        )


def result_id(block: Mapping[str, Any]) -> str | None:
    """The call whose result a block is; None when it is no result of a tool that the provider ran."""
    kind, wire_id = block.get("type"), block.get("tool_use_id")
    return wire_id if isinstance(kind, str) and kind.endswith("tool_result") and isinstance(wire_id, str) else None


def _results(content: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The blocks with what came of the provider's calls, by the id of the call."""
    results: dict[str, dict[str, Any]] = {}
    for block in content:
        answered = result_id(block)
        if answered is not None:
            results.setdefault(answered, block)
    return results


def _late(calls: Sequence[WireCall], results: Mapping[str, dict[str, Any]]) -> Iterator[LateResult]:
    """The results whose calls stand in an earlier answer: a paused one, or one that waited for calls of ours."""
    here = {call.id for call in calls}
    for wire_id, block in results.items():
        if wire_id not in here:
            yield LateResult(id=wire_id, result=block.get("content"), error=_error_of(block))


def _calls(content: Sequence[dict[str, Any]], results: Mapping[str, dict[str, Any]]) -> Iterator[WireCall]:
    for index, entry in enumerate(call_entries(content)):
        if index >= MAX_CALLS:
            raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
        result = results.get(entry.id) if entry.kind == "provider-executed" and entry.id is not None else None
        yield WireCall(
            name=entry.name,
            arguments=entry.arguments,
            id=entry.id,
            kind=entry.kind,
            index=index,
            result=None if result is None else result.get("content"),
            error=None if result is None else _error_of(result),
            pending="result" if result is None and entry.kind == "provider-executed" and entry.id else None,
        )


def _error_of(result: Mapping[str, Any]) -> str | None:
    """What a result of a provider's tool says of its failure; None when it did not fail."""
    content = result.get("content")
    if isinstance(content, dict) and string(content.get("type")).endswith("_error"):
        told = [string(content.get("error_code")), string(content.get("error_message"))]
        return ": ".join(word for word in told if word) or "error"
    if result.get("is_error") is not True:
        return None
    if isinstance(content, list):
        content = "".join(string(part.get("text")) for part in content if isinstance(part, dict))
    return string(content) or "error"


def _refusal(message: Mapping[str, Any], finish: str | None) -> str | None:
    """Why the model refused, in words or as a category; None when it did not, or gave no reason."""
    details = message.get("stop_details")
    if finish != "refusal" or not isinstance(details, dict):
        return None
    return string(details.get("explanation")) or string(details.get("category")) or None


def _stop(finish: str | None, calls: Sequence[WireCall]) -> StopKind:
    for call in calls:
        if call.kind == "client":
            return "calls"
    return _STOPS.get((finish or "").lower(), "unknown")


def _native(message: Mapping[str, Any], content: list[dict[str, Any]]) -> dict[str, Any]:
    native: dict[str, Any] = {"role": "assistant", "content": content}
    if not _ANY_KEPT.isdisjoint(message):
        native |= {key: message[key] for key in _KEPT if message.get(key) is not None}
    return native


def _word(value: Any) -> str | None:
    return value or None if isinstance(value, str) else None
