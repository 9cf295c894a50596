"""Puts the events of a stream together into the output items that the same answer without a stream would have.

Every piece is appended to a list and joined once, so that time is linear in the answer.
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.openai_responses.items import MAX_ITEMS, message_texts

_FIELDS = {
    "function_call_arguments": "arguments",
    "mcp_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "code_interpreter_call_code": "code",
    "apply_patch_call_operation_diff": "diff",
    "shell_call_command": "command",
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "content",
    "reasoning_summary_text": "summary",
}
"""Events that bring a field in pieces: what stands between `response.` and `.delta` or `.done`, and the field."""

_NUMBERED = {"text": "content_index", "refusal": "content_index", "content": "content_index"} | {
    "summary": "summary_index",
    "command": "command_index",
}
_DONE_FIELDS = ("arguments", "input", "code", "diff", "command", "text", "refusal")
_PART_TYPES = {"text": "output_text", "refusal": "refusal", "content": "reasoning_text", "summary": "summary_text"}


class ItemAssembly:
    """One output item while it arrives."""

    __slots__ = ("_fields", "_pieces", "done", "item", "place", "shown")

    def __init__(self, item: dict[str, Any], place: int | None) -> None:
        self.item = item
        self.place = place
        self.done = False
        self.shown = False
        self._pieces: dict[tuple[str, int], list[str]] = {}
        self._fields: set[str] = set()

    def add(self, field: str, number: int, piece: str) -> bool:
        """Add a piece; say whether it opens a further part of a field that had one."""
        pieces = self._pieces.get((field, number))
        if pieces is None:
            further = field in self._fields
            self._fields.add(field)
            self._pieces[field, number] = [piece]
            return further
        pieces.append(piece)
        return False

    def replace(self, field: str, number: int, whole: str) -> None:
        """Take the whole of what came in pieces."""
        self._pieces[field, number] = [whole]

    def is_other(self, item: dict[str, Any]) -> bool:
        """Whether an item cannot be this one again: of another type, or another call."""
        if item.get("type") != self.item.get("type"):
            return True
        mine, its = self.item.get("call_id"), item.get("call_id")
        if mine and its:
            return bool(mine != its)
        return self.done and item.get("id") != self.item.get("id")

    def close(self, item: dict[str, Any]) -> None:
        """Take the item as it is when it is done."""
        self.item, self.done = item, True

    def value(self) -> dict[str, Any]:
        """The item, with what came in pieces where it does not have that itself."""
        if not self._pieces:
            return self.item
        item = dict(self.item)
        texts = {key: "".join(pieces) for key, pieces in self._pieces.items()}
        for field in ("arguments", "input", "code"):
            if (field, 0) in texts and (not self.done or not item.get(field)):
                item[field] = texts[field, 0]
        self._lay_inner(item, texts)
        for name in ("content", "summary"):
            parts = self._parts(name, texts)
            if parts and (not self.done or not item.get(name)):
                item[name] = parts
        return item

    def _lay_inner(self, item: dict[str, Any], texts: dict[tuple[str, int], str]) -> None:
        """Pieces of a diff and of commands: they stand one level further in, and count until the item is done."""
        if self.done:
            return
        if ("diff", 0) in texts:
            operation = item.get("operation")
            item["operation"] = {**(operation if isinstance(operation, dict) else {}), "diff": texts["diff", 0]}
        commands = [texts[key] for key in sorted(key for key in texts if key[0] == "command")]
        if commands:
            action = item.get("action")
            item["action"] = {**(action if isinstance(action, dict) else {}), "commands": commands}

    def _parts(self, name: str, texts: dict[tuple[str, int], str]) -> list[dict[str, Any]]:
        fields = ("text", "refusal", "content") if name == "content" else ("summary",)
        keys = sorted((number, field) for field, number in texts if field in fields)
        return [_part(field, texts[field, number]) for number, field in keys]


def _part(field: str, text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": _PART_TYPES[field], "refusal" if field == "refusal" else "text": text}
    return {**part, "annotations": []} if field == "text" else part


class ItemList:
    """The output items of a stream, in order."""

    def __init__(self) -> None:
        self._items: list[ItemAssembly] = []
        self._by_place: dict[int, ItemAssembly] = {}
        self._by_id: dict[str, ItemAssembly] = {}

    def find(self, event: dict[str, Any], wire_id: Any) -> ItemAssembly | None:
        """The item that an event means: by its `output_index`, where that is shared by id, without one by id or last.

        Ids alone do not tell: there are hosts that give the same item another id in each event.
        """
        place = _place(event)
        named = self._by_id.get(wire_id) if isinstance(wire_id, str) and wire_id else None
        if named is not None and (place is None or named.place == place):
            return named
        if place is not None:
            return self._by_place.get(place)
        return self._items[-1] if self._items else None

    def added(self, event: dict[str, Any], item: dict[str, Any]) -> ItemAssembly:
        """Take an item that begins."""
        wire_id, place = str(item.get("id")), _place(event)
        held = self.find(event, wire_id) if place is not None or wire_id in self._by_id else None
        if held is None or held.is_other(item):
            return self._open(item, place)
        return held

    def done(self, event: dict[str, Any], item: dict[str, Any]) -> ItemAssembly:
        """Take an item that is whole."""
        held = self.find(event, item.get("id"))
        if held is None or held.is_other(item):
            held = self._open(item, _place(event))
        held.close(item)
        return held

    def piece(self, event: dict[str, Any], field: str) -> ItemAssembly:
        """The item that a piece belongs to; a new one when its beginning was never told."""
        held = self.find(event, event.get("item_id"))
        if held is None:
            held = self._open(_bare_item(event, field), _place(event))
        return held

    def _open(self, item: dict[str, Any], place: int | None) -> ItemAssembly:
        if len(self._items) >= MAX_ITEMS:
            raise BadResponseError(f"The answer holds more than {MAX_ITEMS} output items.")
        opened = ItemAssembly(item, place)
        self._items.append(opened)
        if place is not None:
            self._by_place[place] = opened
        wire_id = item.get("id")
        if isinstance(wire_id, str) and wire_id:
            self._by_id[wire_id] = opened
        return opened

    def output(self, final: Any = None) -> list[dict[str, Any]]:
        """The items in order.

        Args:
            final: The items in the response object at the end, if there is one. Of an item that was done in the stream
                the stream's form counts, of any other the final one; an item that stands in one place only is kept.
        """
        ordered = sorted(self._items, key=lambda held: held.place if held.place is not None else MAX_ITEMS)
        final = [item for item in final if isinstance(item, dict)] if isinstance(final, list) else []
        if not final:
            return [held.value() for held in ordered]
        known = _Known(ordered, self._by_place)
        output = []
        for number, item in enumerate(final):
            held = known.take(item, number)
            output.append(held.value() if held is not None and held.done else item)
        return output + [held.value() for held in ordered if not known.is_taken(held)]


class _Known:
    """The items of the stream, each to be found once by those of the response object at the end."""

    def __init__(self, ordered: list[ItemAssembly], by_place: dict[int, ItemAssembly]) -> None:
        self._by_place = by_place
        self._named: dict[tuple[str, str, str], list[ItemAssembly]] = {}
        for held in reversed(ordered):
            for key in _keys(held.item):
                self._named.setdefault(key, []).append(held)
        self._taken: set[int] = set()

    def is_taken(self, held: ItemAssembly) -> bool:
        return id(held) in self._taken

    def take(self, item: dict[str, Any], number: int) -> ItemAssembly | None:
        """The item of the stream that this is, by its call id or id, else by its place."""
        keys = _keys(item)
        here = self._by_place.get(number)
        if here is not None and (self.is_taken(here) or here.item.get("type") != item.get("type")):
            here = None
        found = here if here is not None and not set(keys).isdisjoint(_keys(here.item)) else None
        for key in keys:
            if found is None:
                found = self._next(key)
        if found is None and here is not None and not here.is_other({**item, "id": here.item.get("id")}):
            found = here
        if found is not None:
            self._taken.add(id(found))
        return found

    def _next(self, key: tuple[str, str, str]) -> ItemAssembly | None:
        waiting = self._named.get(key, [])
        while waiting and self.is_taken(waiting[-1]):
            waiting.pop()
        return waiting[-1] if waiting else None


def _keys(item: dict[str, Any]) -> list[tuple[str, str, str]]:
    kind = item.get("type")
    found = [(name, item.get(name)) for name in ("call_id", "id")]
    return [(str(kind), name, value) for name, value in found if isinstance(value, str) and value]


def _place(event: dict[str, Any]) -> int | None:
    place = event.get("output_index")
    return place if isinstance(place, int) and not isinstance(place, bool) else None


_TYPES = {
    "function_call_arguments": "function_call",
    "mcp_call_arguments": "mcp_call",
    "custom_tool_call_input": "custom_tool_call",
    "code_interpreter_call_code": "code_interpreter_call",
    "apply_patch_call_operation_diff": "apply_patch_call",
    "shell_call_command": "shell_call",
    "output_text": "message",
    "refusal": "message",
}


def _bare_item(event: dict[str, Any], stem: str) -> dict[str, Any]:
    item: dict[str, Any] = {"type": _TYPES.get(stem, "reasoning")}
    for name, source in (("id", "item_id"), ("call_id", "call_id"), ("name", "name")):
        if isinstance(event.get(source), str):
            item[name] = event[source]
    if item["type"] == "message":
        item["role"] = "assistant"
    return item


def field_of(kind: str) -> tuple[str, str, str]:
    """Split an event's type: stem, field and `delta` or `done`; three empty texts when it brings no piece of a field.

    Example:
        >>> field_of("response.function_call_arguments.delta")
        ('function_call_arguments', 'arguments', 'delta')
    """
    head, _, end = kind.rpartition(".")
    stem = head.removeprefix("response.")
    field = _FIELDS.get(stem)
    return (stem, field, end) if field and end in ("delta", "done") else ("", "", "")


def take_piece(items: ItemList, event: dict[str, Any], stem: str, field: str, end: str) -> tuple[ItemAssembly, str]:
    """Take a piece of a field, or the whole of it; return the item and the text to show.

    The text starts with a blank line where a further part of a summary begins.
    """
    held = items.piece(event, stem)
    number = event.get(_NUMBERED.get(field, ""))
    number = number if isinstance(number, int) and not isinstance(number, bool) else 0
    if end == "done":
        source = {"summary": "text", "content": "text", "diff": "diff", "command": "command"}.get(field, field)
        whole = event.get(source)
        if isinstance(whole, str) and (whole or field in _DONE_FIELDS):
            held.replace(field, number, whole)
            if isinstance(event.get("name"), str) and not held.item.get("name"):
                held.item = {**held.item, "name": event["name"]}
        return held, ""
    piece = event.get("delta")
    if not isinstance(piece, str):
        return held, ""
    further = held.add(field, number, piece)
    return held, "\n\n" + piece if further and field in ("summary", "content") else piece


def untold_text(held: ItemAssembly) -> str:
    """The text of a message that came whole, without pieces."""
    if held.shown or held.item.get("type") != "message":
        return ""
    return message_texts(held.item)[0]
