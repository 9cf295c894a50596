"""From one assistant message of Chat Completions to a `Turn`.

A stream is first put together into the same message (assembly.py) and read here, so both ways read alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.arguments import MAX_CALLS, compact, read_arguments, string, text_of
from equitrcoder.wires.openai_chat.usage import read_usage
from equitrcoder.wires.values import StopKind, Turn, WireCall

_STOPS: dict[str, StopKind] = {
    "stop": "end",
    "eos": "end",  # Together
    "stop_sequence": "end",
    "end_turn": "end",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "content_filter": "filtered",
    "safety": "filtered",
    "refusal": "refusal",
}


_CALL_FIELDS = frozenset({"tool_calls", "function_call", "executed_tools"})
_REASONING_FIELDS = frozenset({"reasoning_content", "reasoning", "reasoning_details"})


class Choice(NamedTuple):
    """One choice of an answer: its message and the provider's word for why it ended."""

    message: dict[str, Any]
    finish: str | None


class CallEntry(NamedTuple):
    """A client call where it stands in a message."""

    native: dict[str, Any]
    """The entry of `tool_calls`, or the `function_call` itself."""
    name: str
    arguments: Any
    """As on the wire: text, an object, null or worse."""
    id: str | None
    legacy: bool = False


def read_turn(
    choices: Sequence[Choice],
    *,
    usage: Mapping[str, Any] | None = None,
    model: Any = None,
    response_id: Any = None,
) -> Turn:
    """Read the choices of one answer. Text and native message are the first's, calls are those of all.

    Raises:
        BadResponseError: A call stands where none can be read, or there are more than `MAX_CALLS`.
    """
    message, finish = choices[0] if choices else Choice({"role": "assistant", "content": None}, None)
    text, reasoning, refusal = _texts(message)
    calls = _calls(choices)
    return Turn(
        text=text,
        reasoning=reasoning,
        refusal=refusal or None,
        calls=calls,
        usage=read_usage(usage),
        finish=finish,
        stop=_stop(finish, calls, refusal),
        model_answered=_word(model),
        response_id=_word(response_id),
        native=message,
        further=tuple([choice.message for choice in choices[1:]]) if len(choices) > 1 else (),
    )


def client_calls(message: Mapping[str, Any]) -> list[CallEntry]:
    """The calls of a message that the client is to run, in order: `tool_calls`, then the legacy `function_call`.

    An entry without id, name and arguments is no call; nor is a `function_call` that repeats one of `tool_calls`.

    Raises:
        BadResponseError: An entry is no object.
    """
    found = []
    for native in _entries(message.get("tool_calls"), "tool_calls"):
        entry = _call_entry(native)
        if entry.name or entry.id or entry.arguments not in (None, ""):
            found.append(entry)
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        name, arguments = text_of(legacy.get("name")), legacy.get("arguments")
        repeated = isinstance(arguments, str) and (name, arguments) in [(call.name, call.arguments) for call in found]
        if (name or arguments not in (None, "")) and not repeated:
            found.append(CallEntry(legacy, name, arguments, None, legacy=True))
    return found


def read_client_calls(entries: Any) -> tuple[WireCall, ...]:
    """The calls in a list of entries like those of `tool_calls`, for other wires that have one.

    Raises:
        BadResponseError: An entry is no object, or there are more than `MAX_CALLS`.
    """
    calls = [
        WireCall(name=name, arguments=read_arguments(arguments), id=wire_id, index=index)
        for index, (_, name, arguments, wire_id, _) in enumerate(client_calls({"tool_calls": entries}))
    ]
    if len(calls) > MAX_CALLS:
        raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
    return tuple(calls)


def _call_entry(native: dict[str, Any]) -> CallEntry:
    inner, field = native.get("function"), "arguments"
    if native.get("type") == "custom" or not isinstance(inner, dict):
        custom = native.get("custom")
        if isinstance(custom, dict):
            inner, field = custom, "input"
        elif not isinstance(inner, dict):
            inner = {}
    name, wire_id = inner.get("name"), native.get("id")
    return CallEntry(
        native,
        name if isinstance(name, str) else text_of(name),
        inner.get(field),
        wire_id if wire_id is None or isinstance(wire_id, str) else text_of(wire_id),
    )


def _entries(value: Any, field: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    entries = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            entries.append(item)
        elif item is not None:
            raise BadResponseError(f"An entry of {field} is no object.")
    return entries


def _calls(choices: Sequence[Choice]) -> tuple[WireCall, ...]:
    calls: list[WireCall] = []
    for message, _ in choices:
        if _CALL_FIELDS.isdisjoint(message):
            continue
        for native, name, arguments, wire_id, _ in client_calls(message):
            if native.get("type") != "custom" or not isinstance(arguments, str):
                arguments = read_arguments(
                    arguments
                )  # a custom tool's input is free text, also when it looks like JSON
            calls.append(WireCall(name=name, arguments=arguments, id=wire_id, index=len(calls)))
        for native in _entries(message.get("executed_tools"), "executed_tools"):
            calls.append(_executed(native, len(calls)))
        if len(calls) > MAX_CALLS:
            raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
    return tuple(calls)


def _executed(native: Mapping[str, Any], index: int) -> WireCall:
    """A tool that the provider ran itself. Source: https://console.groq.com/docs/compound/built-in-tools"""
    result = native.get("output")
    if result is None:
        details = ("search_results", "code_results", "browser_results")
        result = {key: native[key] for key in details if native.get(key)} or None
    wire_id = native.get("id")
    error = native.get("error")
    return WireCall(
        name=text_of(native.get("name")) or text_of(native.get("type")),
        arguments=read_arguments(native.get("arguments")),
        id=None if wire_id is None else text_of(wire_id),
        kind="provider-executed",
        index=index,
        result=result,
        error=text_of(error) or None,
    )


def _texts(message: Mapping[str, Any]) -> tuple[str, str, str]:
    text, reasoning, refused = read_content(message.get("content"))
    if not _REASONING_FIELDS.isdisjoint(message):
        told = string(message.get("reasoning_content")) or string(message.get("reasoning"))
        reasoning = told or reasoning or _details_text(message.get("reasoning_details"))
    return text, reasoning, string(message.get("refusal")) or refused


def read_content(content: Any) -> tuple[str, str, str]:
    """Split `content` into text, reasoning and refusal.

    It is a string, a list of parts, or null; of an object (Cloudflare) the text is its JSON.

    Example:
        >>> read_content([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}])
        ('Hi', 'Hm.', '')
    """
    if isinstance(content, str):
        return content, "", ""
    if content is None:
        return "", "", ""
    if not isinstance(content, list):
        return compact(content), "", ""
    texts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for part in content:
        place, piece = read_part(part)
        texts[place].append(piece)
    return "".join(texts[0]), "".join(texts[1]), "".join(texts[2])


TEXT, REASONING, REFUSAL = 0, 1, 2


def read_part(part: Any) -> tuple[int, str]:
    """Read one part of a content list: which of text, reasoning and refusal it adds to, and what."""
    if isinstance(part, str):
        return TEXT, part
    if not isinstance(part, dict):
        return TEXT, ""
    match part.get("type"):
        case "thinking":
            return REASONING, _joined(part.get("thinking"))
        case "reasoning":
            return REASONING, _joined(part.get("text") or part.get("summary"))
        case "refusal":
            return REFUSAL, string(part.get("refusal"))
        case _:
            return TEXT, _joined(part.get("text"))


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "".join(string(item.get("text")) for item in value if isinstance(item, dict))
    return string(value)


def _details_text(details: Any) -> str:
    """OpenRouter's `reasoning_details`, which some gateways send alone."""
    if not isinstance(details, list):
        return ""
    return "".join(string(item.get("text") or item.get("summary")) for item in details if isinstance(item, dict))


def _stop(finish: str | None, calls: Sequence[WireCall], refusal: str) -> StopKind:
    for call in calls:
        if call.kind == "client":
            return "calls"
    if refusal:
        return "refusal"
    return _STOPS.get((finish or "").lower(), "unknown")


def _word(value: Any) -> str | None:
    return value or None if isinstance(value, str) else None
