"""Puts the tool calls of a stream together from their pieces.

Every piece is appended to a list and joined once, so that time is linear in the answer.
"""

from __future__ import annotations

from typing import Any

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires.arguments import MAX_CALLS, compact
from equitrcoder.wires.shortcuts import Said


def _arguments_in(chunk: Any) -> Any:
    return chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]


class CallPieces:
    """One call while its pieces arrive."""

    __slots__ = ("arguments", "extra", "id", "name", "type")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name: str | None = None
        self.type: str | None = None
        self.arguments: list[str] | None = None
        self.extra: dict[str, Any] = {}

    def add_arguments(self, piece: str | None) -> None:
        """Take a piece; None, unlike an empty one, leaves arguments that never came at null."""
        if piece is None:
            return
        if self.arguments is None:
            self.arguments = []
        if piece:
            self.arguments.append(piece)

    def add_name(self, piece: str | None) -> None:
        """Take a piece of the name, or (hosts repeat it) the whole name once more."""
        if piece is not None and piece != self.name:
            self.name = (self.name or "") + piece

    def is_whole(self) -> bool:
        """Whether its arguments came in one piece, and that is a JSON object: nothing can follow."""
        if self.arguments is None or len(self.arguments) != 1 or not self.arguments[0].endswith("}"):
            return False
        try:
            return isinstance(jsontext.loads(self.arguments[0]), dict)
        except jsontext.InvalidJSON:
            return False

    def function(self) -> dict[str, Any]:
        """Name and arguments as they stand in a message."""
        arguments = None if self.arguments is None else "".join(self.arguments)
        return {"name": self.name or "", "arguments": arguments}

    def entry(self) -> dict[str, Any]:
        """The entry of `tool_calls`; without `id` when none came."""
        entry: dict[str, Any] = {} if self.id is None else {"id": self.id}
        if self.type == "custom":
            inner = {"name": self.name or "", "input": "".join(self.arguments or ())}
            return {**entry, "type": "custom", "custom": inner, **self.extra}
        return {**entry, "type": self.type or "function", "function": self.function(), **self.extra}


class CallList:
    """The calls of one choice while they arrive.

    A call's place is its `index`. Hosts leave it out, use it again for another call, and leave ids out or empty or send
    a new one with every piece; which piece opens a call is decided in `_place`.
    """

    __slots__ = ("_by_id", "_by_index", "calls")

    def __init__(self) -> None:
        self.calls: list[CallPieces] = []
        self._by_index: dict[int, CallPieces] = {}
        self._by_id: dict[str, CallPieces] = {}

    def take(self, deltas: Any) -> None:
        """Take the `tool_calls` of one delta.

        Raises:
            BadResponseError: An entry is no object, or there are too many calls.
        """
        first = True
        for delta in deltas if isinstance(deltas, list) else [deltas]:
            if delta is None:
                continue
            if not isinstance(delta, dict):
                raise BadResponseError(f"An entry of tool_calls is no object but {type(delta).__name__}.")
            self._take_one(delta, alone=first)
            first = False

    def said(self, deltas: Any) -> Said | None:
        """What these entries, which were taken, did, where that was only to add to the arguments of one call."""
        entry = deltas[0] if isinstance(deltas, list) and len(deltas) == 1 else None
        if not isinstance(entry, dict) or not set(entry) <= {"index", "type", "function"}:
            return None
        call = self._by_index.get(entry["index"]) if isinstance(entry.get("index"), int) else None
        inner = entry.get("function")
        plain = isinstance(inner, dict) and list(inner) == ["arguments"] and isinstance(inner["arguments"], str)
        return Said(call.arguments, b"arguments", _arguments_in, None) if plain and call and call.arguments else None

    def _take_one(self, delta: dict[str, Any], *, alone: bool) -> None:
        inner = delta.get("function")
        custom = delta.get("custom")
        if isinstance(custom, dict) and (delta.get("type") == "custom" or not isinstance(inner, dict)):
            inner = {"name": custom.get("name"), "arguments": custom.get("input")}
        if not isinstance(inner, dict):
            inner = {}
        name, piece, wire_id = (
            piece_of(inner.get("name")),
            piece_of(inner.get("arguments")),
            piece_of(delta.get("id")) or None,
        )
        call = self._place(_index(delta.get("index")), wire_id, name, piece, alone=alone)
        if wire_id and call.id is None:
            call.id = wire_id
            self._by_id[wire_id] = call
        if not (name and piece and wire_id == call.id and [piece] == call.arguments and call.is_whole()):
            call.add_name(name)
            call.add_arguments(piece)
        if len(delta) > 2 or "index" not in delta:  # not only index and function
            self._take_rest(call, delta)

    def _take_rest(self, call: CallPieces, delta: dict[str, Any]) -> None:
        for key, value in delta.items():
            if key == "type":
                call.type = call.type or (value if isinstance(value, str) and value else None)
            elif key not in ("index", "id", "function", "custom") and value is not None:
                call.extra[key] = value

    def _place(
        self, index: int | None, wire_id: str | None, name: str | None, piece: str | None, *, alone: bool
    ) -> CallPieces:
        """Find the call that a piece belongs to, or open one."""
        known = self._by_id.get(wire_id) if wire_id else None
        if index is not None:
            found = self._by_index.get(index)
            if found is not None and found.id != wire_id:
                found = known or found
            if found is None or _opens_another(found, wire_id, name, piece):
                found = self._by_index[index] = self._opened()
            return found
        last = known or (self.calls[-1] if self.calls else None)
        if last is None or (
            name and known is None and not alone
        ):  # one delta's entries without index are different calls
            return self._opened()
        another = name and known is None and (name != last.name or (wire_id and last.id))
        return self._opened() if another or _opens_another(last, wire_id, name, piece) else last

    def _opened(self) -> CallPieces:
        if len(self.calls) >= MAX_CALLS:
            raise BadResponseError(f"The answer holds more than {MAX_CALLS} tool calls.")
        call = CallPieces()
        self.calls.append(call)
        return call


def _opens_another(found: CallPieces, wire_id: str | None, name: str | None, piece: str | None) -> bool:
    """Whether a piece for a used place starts another call. It must have a name, and: another id; or another name after
    arguments began; or arguments after whole ones (the same ones under the same id are the same call said twice)."""
    if not name:
        return False
    if wire_id and found.id and wire_id != found.id:
        return True
    if name != found.name:
        return bool(found.arguments)
    said_twice = wire_id is not None and wire_id == found.id and [piece] == found.arguments
    return bool(piece) and not said_twice and found.is_whole()


def _index(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():  # Together
        return int(value)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None


def piece_of(value: Any) -> str | None:
    """A string of a call; what is none (hosts send numbers, and arguments as an object) is its JSON."""
    return value if value is None or isinstance(value, str) else compact(value)
