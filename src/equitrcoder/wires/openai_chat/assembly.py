"""Puts the deltas of a stream together into the message that the same answer without a stream would be.

Every piece is appended to a list and joined once, so that time is linear in the answer.
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.arguments import MAX_CALLS, compact
from equitrcoder.wires.openai_chat.callpieces import CallList, CallPieces, piece_of
from equitrcoder.wires.openai_chat.reading import REASONING, TEXT, Choice, read_part
from equitrcoder.wires.shortcuts import Said
from equitrcoder.wires.values import Delta

_TEXT_FIELDS = frozenset({"reasoning_content", "reasoning", "refusal"})


def _content_in(chunk: Any) -> Any:
    return chunk["choices"][0]["delta"]["content"]


def _reasoning_in(chunk: Any) -> Any:
    return chunk["choices"][0]["delta"]["reasoning"]


def _reasoning_content_in(chunk: Any) -> Any:
    return chunk["choices"][0]["delta"]["reasoning_content"]


class ContentPieces:
    """`content` while it arrives: strings, or lists of parts."""

    __slots__ = ("_parts", "pieces", "seen")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._parts: list[Any] = []
        self.seen = False

    def take(self, content: Any) -> list[Delta]:
        """Take one delta's `content`; return what there is of it to show."""
        self.seen = True
        if isinstance(content, str):
            if not content:
                return []
            self.pieces.append(content)
            return [Delta(text=content)]
        if not isinstance(content, list):
            return self.take(compact(content))
        self._close_text()
        self._parts.extend(content)
        read = [read_part(part) for part in content]
        return [
            Delta(text=text, kind="text" if place == TEXT else "reasoning")
            for place, text in read
            if text and place in (TEXT, REASONING)
        ]

    def _close_text(self) -> None:
        if self.pieces:
            self._parts.append({"type": "text", "text": "".join(self.pieces)})
            self.pieces.clear()

    def value(self) -> Any:
        """`content` of the message: None when none came, a string, or a list with the pieces of a part joined."""
        if not self._parts:
            return "".join(self.pieces) if self.seen else None
        tail = [{"type": "text", "text": "".join(self.pieces)}] if self.pieces else []
        return _joined_parts([*self._parts, *tail])


def _joined_parts(parts: list[Any]) -> list[Any]:
    """Join neighbours that are nothing but text, or nothing but thinking; a part with anything more stays itself."""
    joined: list[Any] = []
    pieces: list[str] = []
    kind, closed = "", None
    for part in [*parts, None]:
        plain = _plain_kind(part)
        if pieces and plain != kind:
            joined.append(_plain_part(kind, "".join(pieces), closed))
            pieces, closed = [], None
        kind = plain
        if plain:
            pieces.append(read_part(part)[1])
            closed = part.get("closed", closed)
        elif part is not None:
            joined.append(part)
    return joined


def _plain_kind(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    marked = part.get("type") == "thinking" and isinstance(part.get("closed"), bool)  # Mistral
    if len(part) != 2 + marked:
        return ""
    kind = part.get("type")
    if kind == "text":
        return kind if isinstance(part.get("text"), str) else ""
    inner = part.get("thinking") if kind == "thinking" else None
    plain = isinstance(inner, list) and all(_plain_kind(item) == "text" for item in inner)
    return "thinking" if plain else ""


def _plain_part(kind: str, text: str, closed: bool | None) -> dict[str, Any]:
    part = {"type": kind, kind: [{"type": "text", "text": text}] if kind == "thinking" else text}
    return part if closed is None else {**part, "closed": closed}


class ChoiceAssembly:
    """One choice while it arrives."""

    __slots__ = ("_calls", "_content", "_details", "_executed", "_extra", "_function_call", "_texts", "finish", "role")

    def __init__(self) -> None:
        self.finish: str | None = None
        self.role = "assistant"
        self._content = ContentPieces()
        self._texts: dict[str, list[str]] = {}
        self._calls = CallList()
        self._function_call: CallPieces | None = None
        self._executed: list[dict[str, Any]] = []
        self._details: list[Any] = []
        self._extra: dict[str, Any] = {}

    def take(self, delta: dict[str, Any]) -> list[Delta]:
        """Take one delta; return the text in it.

        Raises:
            BadResponseError: It holds a call that cannot be read.
        """
        shown: list[Delta] = []
        for key, value in delta.items():
            if value is None:
                continue
            if key == "content":
                shown += self._content.take(value)
            elif key == "tool_calls":
                self._calls.take(value)
            elif key in _TEXT_FIELDS and isinstance(value, str):
                self._take_text(key, value, delta, shown)
            elif key != "role":
                self._take_rare(key, value)
        return shown

    def said(self, delta: dict[str, Any], *, is_shown: bool) -> Said | None:
        """What this delta, which was taken, did, where it did no more than add a text."""
        given = [key for key, value in delta.items() if value is not None and key != "role"]
        if len(given) == 2 and delta.get("content") == "":  # Ollama says so beside reasoning
            given.remove("content")
        if len(given) != 1:
            return None
        field, value = given[0], delta[given[0]]
        if field == "tool_calls":
            return self._calls.said(value)
        if not isinstance(value, str):
            return None
        if field == "content":
            return Said(self._content.pieces, b"content", _content_in, "text" if is_shown else None)
        if field in ("reasoning_content", "reasoning"):
            read = _reasoning_content_in if field == "reasoning_content" else _reasoning_in
            return Said(self._texts[field], field.encode(), read, "reasoning" if is_shown else None)
        return None

    def _take_text(self, key: str, text: str, delta: dict[str, Any], shown: list[Delta]) -> None:
        self._texts.setdefault(key, []).append(text)
        twice = key == "reasoning" and delta.get("reasoning_content")  # some hosts send both names at once
        if text and key != "refusal" and not twice:
            shown.append(Delta(text=text, kind="reasoning"))

    def _take_rare(self, key: str, value: Any) -> None:
        if key == "function_call" and isinstance(value, dict):
            self._function_call = self._function_call or CallPieces()
            self._function_call.add_name(piece_of(value.get("name")))
            self._function_call.add_arguments(piece_of(value.get("arguments")))
        elif key == "executed_tools" and isinstance(value, list):
            self._take_executed(value)
        elif key == "reasoning_details" and isinstance(value, list):
            self._details.extend(value)
        else:
            _merge(self._extra, key, value)

    def _take_executed(self, tools: list[Any]) -> None:
        """Groq sends a tool when it starts and again, with its output, when it has ended."""
        for tool in tools:
            if not isinstance(tool, dict):
                raise BadResponseError(f"An entry of executed_tools is no object but {type(tool).__name__}.")
            last = self._executed[-1] if self._executed else None
            if last is not None and _same(last, tool, "index", "type", "arguments"):
                last.update((key, value) for key, value in tool.items() if value is not None)
            elif len(self._executed) < MAX_CALLS:
                self._executed.append(dict(tool))
            else:
                raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")

    def choice(self) -> Choice:
        """The message so far, and the word for its end (None when that has not come)."""
        message: dict[str, Any] = {"role": self.role, "content": self._content.value()}
        message |= {key: "".join(pieces) for key, pieces in self._texts.items()}
        if self._details:
            message["reasoning_details"] = _joined_details(self._details)
        message |= self._extra
        if self._calls.calls:
            message["tool_calls"] = [call.entry() for call in self._calls.calls]
        if self._function_call is not None:
            message["function_call"] = self._function_call.function()
        if self._executed:
            message["executed_tools"] = list(self._executed)
        return Choice(message, self.finish)


def _merge(fields: dict[str, Any], key: str, value: Any) -> None:
    """Take a field that this wire does not know: lists grow, objects are laid over, else the last one counts."""
    held = fields.get(key)
    if isinstance(held, list) and isinstance(value, list):
        held.extend(value)
    elif isinstance(held, dict) and isinstance(value, dict):
        held.update(value)
    else:
        fields[key] = value.copy() if isinstance(value, list | dict) else value


def _joined_details(details: list[Any]) -> list[Any]:
    """OpenRouter's `reasoning_details`: the pieces of one entry (same type and index) joined, signed ones kept whole.

    Source: https://openrouter.ai/docs/use-cases/reasoning-tokens
    """
    joined: list[Any] = []
    pieces: list[str] = []
    for piece in [*details, None]:
        last: Any = joined[-1] if joined else None
        if pieces and not _continues(last, piece):
            last["text"] = "".join(pieces)
            pieces = []
        if _continues(last, piece):
            pieces = pieces or [last["text"]]
            pieces.append(piece.get("text") or "")
            last.update((key, value) for key, value in piece.items() if value is not None and key != "text")
        elif piece is not None:
            joined.append(dict(piece) if isinstance(piece, dict) else piece)
    return joined


def _continues(last: Any, piece: Any) -> bool:
    if not isinstance(last, dict) or not isinstance(piece, dict) or not isinstance(last.get("text"), str):
        return False
    plain = not last.get("signature") and isinstance(piece.get("text") or "", str)
    return plain and _same(last, piece, "type", "index")


def _same(one: dict[str, Any], other: dict[str, Any], *keys: str) -> bool:
    """Whether these fields are equal plain values (comparing nested ones could go deeper than Python goes)."""
    pairs = [(one.get(key), other.get(key)) for key in keys]
    return all(isinstance(value, str | int | float | None) and value == again for value, again in pairs)
