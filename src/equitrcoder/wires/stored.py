"""Provider messages that were kept: their calls read again, and what is left of one when its content must not be kept.

Which calls an answer held can so be proved later from the message alone, by the reader of the wire that it came over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, TypeAlias

from equitrcoder.errors import ProviderError
from equitrcoder.wires.values import Turn, WireCall

_Messages: TypeAlias = Sequence[dict[str, Any]]


def read_stored_calls(
    wire: str, native: Mapping[str, Any], further: Sequence[Mapping[str, Any]] = ()
) -> list[WireCall]:
    """Read the calls of a stored answer again, exactly as they were read when it came.

    Args:
        wire: The wire that it came over.
        native: `Turn.native`.
        further: `Turn.further`.

    Returns:
        The calls in the order of the answer, those of further choices and those that the provider ran itself included.

    Raises:
        KeyError: No wire of this name has messages with calls.
        ValueError: It is no message of this wire.

    Example:
        >>> message = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
        >>> [(call.name, call.id, call.arguments) for call in read_stored_calls("openai-chat", message)]
        [('f', 'a', {})]
    """
    reader = _READERS[wire]
    try:
        return list(reader([dict(message) for message in (native, *further)]).calls)
    except (ProviderError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no message of the wire {wire}: {error}") from error


def _chat(messages: _Messages) -> Turn:
    reading = import_module("equitrcoder.wires.openai_chat.reading")
    turn: Turn = reading.read_turn([reading.Choice(message, None) for message in messages])
    return turn


def _mistral(messages: _Messages) -> Turn:
    mistral = import_module("equitrcoder.wires.mistral")
    turn = _chat(messages)
    calls = tuple(replace(call, id=None) if call.id == mistral.NO_ID else call for call in turn.calls)
    return replace(turn, calls=calls)


def _responses(messages: _Messages) -> Turn:
    turn: Turn = import_module("equitrcoder.wires.openai_responses.reading").read_turn(messages[0]["output"], {})
    return turn


def _anthropic(messages: _Messages) -> Turn:
    turn: Turn = import_module("equitrcoder.wires.anthropic_messages.reading").read_message(messages[0])
    return turn


def _gemini(messages: _Messages) -> Turn:
    reading = import_module("equitrcoder.wires.gemini_generate.reading")
    turn: Turn = reading.read_turn([reading.Candidate(message, None, "") for message in messages])
    return turn


def _ollama(messages: _Messages) -> Turn:
    turn: Turn = import_module("equitrcoder.wires.ollama_chat.reading").read_turn(messages[0], {})
    return turn


def _cohere(messages: _Messages) -> Turn:
    turn: Turn = import_module("equitrcoder.wires.cohere_v2.reading").read_turn(messages[0], {})
    return turn


_READERS: dict[str, Callable[[_Messages], Turn]] = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic-messages": _anthropic,
    "gemini-generate": _gemini,
    "ollama-chat": _ollama,
    "cohere-v2": _cohere,
    "mistral": _mistral,
}


def without_thinking(wire: str, native: dict[str, Any]) -> dict[str, Any]:
    """A provider's message without thinking that holds only after the very messages that it came after.

    A copy; of wires that bind no thinking the message as it is.

    Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking#preserving-thinking-blocks

    Example:
        >>> thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
        >>> without_thinking("anthropic-messages", {"content": [thought, {"type": "text", "text": "Hi"}]})
        {'content': [{'type': 'text', 'text': 'Hi'}]}
    """
    content = native.get("content")
    if wire != "anthropic-messages" or not isinstance(content, list):
        return native
    bound = ("thinking", "redacted_thinking")
    return {**native, "content": [b for b in content if not (isinstance(b, dict) and b.get("type") in bound)]}


# What is left of a message when its content must not be kept.

_LISTS = ("tool_calls", "content", "parts", "output", "executed_tools")
"""Where the pieces of a message stand, on any wire. Whatever else it has is left out."""
_INNER = (
    *("function", "custom", "function_call", "functionCall", "toolCall", "tool_call", "environment"),
    *("executableCode", "executable_code", "codeExecutionResult", "code_execution_result"),
    *("functionResponse", "function_response", "toolResponse", "tool_response"),
)
"""Objects in a piece that say which call it is."""
_WORDS = ("role", "type", "id", "call_id", "tool_use_id", "name", "item_name", "toolType", "tool_type", "execution")
_ARGUMENTS = ("arguments", "args", "input")


def outline(native: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """A provider's message without its content: which calls it holds, in which order, by whom they are run; no more.

    Only what is known to be a name, a type or an id is taken over; arguments become `mark`. Works for every wire.

    Example:
        >>> call = {"type": "tool_use", "id": "t", "name": "f", "input": {"secret": 1}}
        >>> outline({"role": "assistant", "content": [{"type": "text", "text": "Hm."}, call]}, "-")["content"]
        [{'type': 'text'}, {'type': 'tool_use', 'id': 't', 'name': 'f', 'input': '-'}]
    """
    left = _words(native)
    for name in _LISTS:
        pieces = native.get(name)
        if isinstance(pieces, list | dict):
            pieces = pieces if isinstance(pieces, list) else [pieces]
            left[name] = [_piece(piece, mark) for piece in pieces if isinstance(piece, dict)]
    legacy = native.get("function_call")
    if isinstance(legacy, dict):
        left["function_call"] = _words(legacy) | _marks(legacy, mark)
    return left


def _piece(piece: Mapping[str, Any], mark: str) -> dict[str, Any]:
    left = _words(piece) | _marks(piece, mark)
    for name in _INNER:
        inner = piece.get(name)
        if isinstance(inner, dict):
            left[name] = _words(inner) | _marks(inner, mark)
    return left


def _words(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in _WORDS if isinstance(value.get(name), str | int)}


def _marks(value: Mapping[str, Any], mark: str) -> dict[str, Any]:
    return {name: mark for name in _ARGUMENTS if value.get(name) not in (None, "")}


_RESULTS = ("codeExecutionResult", "code_execution_result", "toolResponse", "tool_response")


def holds_results(native: Mapping[str, Any]) -> bool:
    """Whether a message holds results of tools that the provider ran, or may hold some."""
    if native.get("executed_tools"):
        return True
    pieces = [piece for name in ("content", "parts", "output") for piece in _list(native.get(name))]
    return any(_is_result(piece) for piece in pieces if isinstance(piece, dict))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_result(piece: Mapping[str, Any]) -> bool:
    if any(name in piece for name in _RESULTS):
        return True
    kind = str(piece.get("type", ""))
    # Of the items of Responses, only these are none of a tool's that the provider ran.
    return kind.endswith(("_result", "_results", "_output")) or (
        kind.endswith("_call") and kind not in ("function_call", "custom_tool_call")
    )
