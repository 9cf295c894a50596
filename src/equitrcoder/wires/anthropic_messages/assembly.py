"""Puts the events of a stream together into the message that the same answer without a stream would be.

Every piece is appended to a list and joined once, so that time is linear in the answer.
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.anthropic_messages.reading import MAX_BLOCKS, checked_blocks
from equitrcoder.wires.arguments import read_arguments
from equitrcoder.wires.shortcuts import Said
from equitrcoder.wires.values import Delta

_OWN_FIELD = {"text_delta": "text", "thinking_delta": "thinking"}
_TOLD: dict[str, Any] = {"text_delta": "text", "thinking_delta": "reasoning"}


def _text(event: Any) -> Any:
    return event["delta"]["text"]


def _thinking(event: Any) -> Any:
    return event["delta"]["thinking"]


def _partial_json(event: Any) -> Any:
    return event["delta"]["partial_json"]


class BlockPieces:
    """One content block while its pieces arrive."""

    __slots__ = ("_fields", "_input", "_joined", "_lists")

    def __init__(self, block: dict[str, Any]) -> None:
        self._fields = block
        self._input: list[str] | None = None
        self._joined: dict[str, list[str]] | None = None
        self._lists: dict[str, list[Any]] | None = None

    def take(self, delta: dict[str, Any]) -> Delta | None:
        """Take one delta; return the text in it that is to be shown.

        Raises:
            BadResponseError: A piece of arguments is no text.
        """
        kind = delta.get("type")
        field = _OWN_FIELD.get(kind) if isinstance(kind, str) else None
        if field is not None:
            piece = delta.get(field)
            if not isinstance(piece, str) or not piece:
                return None
            self._append(field, piece)
            return Delta(text=piece, kind=_TOLD[str(kind)])
        if kind == "input_json_delta":
            self._take_input(delta.get("partial_json"))
        elif kind == "signature_delta":
            self._fields["signature"] = delta.get("signature") or self._fields.get("signature")
        elif kind == "citations_delta":
            self._extend("citations", [delta.get("citation")])
        else:
            self._take_unknown(delta)
        return None

    def said(self, delta: dict[str, Any]) -> Said | None:
        """What this delta, which was taken, did, where it did no more than add a text."""
        kind = delta.get("type")
        if kind == "input_json_delta":
            return None if self._input is None else Said(self._input, b"partial_json", _partial_json, None)
        field = _OWN_FIELD.get(kind) if isinstance(kind, str) else None
        pieces = (self._joined or {}).get(field) if field is not None else None
        if field is None or pieces is None:
            return None
        return Said(pieces, field.encode(), _text if field == "text" else _thinking, _TOLD[str(kind)])

    def _take_input(self, piece: Any) -> None:
        if piece is None:
            return
        if not isinstance(piece, str):
            raise BadResponseError("A piece of a call's arguments is no text.")
        if self._input is None:
            self._input = []
        if piece:
            self._input.append(piece)

    def _take_unknown(self, delta: dict[str, Any]) -> None:
        """A delta of a kind that this wire does not know: texts and lists grow, for the rest the last one counts."""
        for key, value in delta.items():
            if key == "type" or value is None:
                continue
            if isinstance(value, str):
                self._append(key, value)
            elif isinstance(value, list):
                self._extend(key, value)
            else:
                self._fields[key] = value

    def _append(self, field: str, piece: str) -> None:
        if self._joined is None:
            self._joined = {}
        self._joined.setdefault(field, []).append(piece)

    def _extend(self, field: str, items: list[Any]) -> None:
        if self._lists is None:
            self._lists = {}
        self._lists.setdefault(field, []).extend(items)

    def block(self) -> dict[str, Any]:
        """The block so far."""
        block = dict(self._fields)
        for field, pieces in (self._joined or {}).items():
            held = block.get(field)
            block[field] = (held if isinstance(held, str) else "") + "".join(pieces)
        for field, items in (self._lists or {}).items():
            held = block.get(field)
            block[field] = [*(held if isinstance(held, list) else []), *items]
        if self._input:
            block["input"] = read_arguments("".join(self._input))
        elif "input" not in block and str(block.get("type")).endswith("tool_use"):
            block["input"] = {}  # arguments that never came are none
        return block


class MessageAssembly:
    """One message while it arrives."""

    __slots__ = ("_blocks", "_by_index", "_message", "_stop_reason", "ended", "usage")

    def __init__(self) -> None:
        self.ended = False
        """Whether a `message_delta` has told why the message ended."""
        self._stop_reason: str | None = None
        self.usage: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._blocks: list[BlockPieces] = []
        self._by_index: dict[int, BlockPieces] = {}

    def start(self, message: dict[str, Any]) -> None:
        """Take `message_start`. Whole blocks in it are the first of the message; a second start adds to the first.

        Raises:
            BadResponseError: A block in it is no object.
        """
        self._by_index.clear()
        for block in checked_blocks(message.get("content")):
            self._open(block)
        self._message.update((key, value) for key, value in message.items() if value is not None)
        self._stop_reason = _word(message.get("stop_reason"))
        self.ended = False
        self.add_usage(message.get("usage"))

    def open_block(self, index: Any, block: dict[str, Any]) -> list[Delta]:
        """Take `content_block_start`; return the text that the block starts with."""
        if index is not None and not _is_index(index):
            raise BadResponseError("The index of a content block is no number.")
        opened = self._open(block)
        if index is not None:
            self._by_index[index] = opened
        return _shown(block)

    def _open(self, block: dict[str, Any]) -> BlockPieces:
        if len(self._blocks) >= MAX_BLOCKS:
            raise BadResponseError(f"The answer holds more than {MAX_BLOCKS} content blocks.")
        opened = BlockPieces(dict(block))
        self._blocks.append(opened)
        return opened

    def take_delta(self, index: Any, delta: dict[str, Any]) -> Delta | None:
        """Take `content_block_delta`.

        Raises:
            BadResponseError: It belongs to no block.
        """
        found = self._by_index.get(index) if _is_index(index) else None
        if found is None and index is None and self._blocks:
            found = self._blocks[-1]
        if found is None:
            field = _OWN_FIELD.get(str(delta.get("type")))
            if field is None:
                raise BadResponseError("A piece of the answer belongs to a content block that never began.")
            found = self._open({"type": field, field: ""})
            if _is_index(index):
                self._by_index[index] = found
        return found.take(delta)

    def said(self, index: Any, delta: dict[str, Any]) -> Said | None:
        """What this delta, which was taken, did, where it did no more than add a text to a block that had begun."""
        held = self._by_index.get(index) if _is_index(index) else None
        return None if held is None else held.said(delta)

    def end(self, delta: dict[str, Any]) -> None:
        """Take the `delta` of `message_delta`."""
        self._message.update((key, value) for key, value in delta.items() if value is not None and key != "content")
        told = _word(delta.get("stop_reason"))
        if told is not None:
            self._stop_reason, self.ended = told, True

    def add_usage(self, usage: Any) -> None:
        """Take usage: its counts are totals, so a later one stands in for an earlier."""
        if isinstance(usage, dict):
            self.usage.update((key, value) for key, value in usage.items() if value is not None)

    def message(self) -> dict[str, Any]:
        """The message so far."""
        content = [pieces.block() for pieces in self._blocks]
        return {**self._message, "content": content, "stop_reason": self._stop_reason}


def _shown(block: dict[str, Any]) -> list[Delta]:
    kind = block.get("type")
    text = block.get(kind) if kind in ("text", "thinking") else None
    if not isinstance(text, str) or not text:
        return []
    return [Delta(text=text, kind="text" if kind == "text" else "reasoning")]


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _word(value: Any) -> str | None:
    return value or None if isinstance(value, str) else None
