"""A shorter way through a stream whose events differ in one text only.

Most events of a stream say the same as the one before but for a word. Once such an event has been read in full, the
next ones are compared with it byte by byte: what stands before and after the text is the same, and the text itself is
one JSON string. Then its JSON is the JSON of the event before with another string in that place, so that reading it in
full could change nothing else. Anything else is read in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeAlias

import orjson

from equitrcoder.wires.values import Delta

_STAND_IN = "0f6d2c1e-stand-in"
_STAND_IN_JSON = b'"0f6d2c1e-stand-in"'
_TRIES = 4

Kind: TypeAlias = Literal["text", "reasoning"] | None


class Said:
    """What reading an event did, when it did nothing but add one text to some pieces.

    A wire says so only of an event that, read again, would change nothing but that.
    """

    __slots__ = ("field", "kind", "pieces", "read")

    def __init__(self, pieces: list[str], field: bytes, read: Callable[[Any], Any], kind: Kind) -> None:
        self.pieces = pieces
        self.field = field
        """The key of the text in the event's JSON."""
        self.read = read
        """Gives the text in the event's value; may raise LookupError or TypeError on another value."""
        self.kind = kind
        """How the text is shown; None when it is not."""


class Shortcut:
    """Knows the last event that only added a text, and reads the next ones like it."""

    __slots__ = ("_add", "_end", "_kind", "_prefix", "_start", "_suffix", "_tries", "known")

    def __init__(self) -> None:
        self.known = False  # any event that is read in full ends it: what the next one means is open again
        self._tries = _TRIES  # streams whose events differ in more than their text are left alone soon

    @property
    def wanted(self) -> bool:
        """Whether it is worth while to tell what an event did."""
        return self._tries > 0

    def learn(self, block: bytes, data: bytes, said: Said) -> None:
        """Take an event that was read in full: its bytes, the data in it, and what it did."""
        self._tries -= 1
        spans = [found.span(1) for found in _strings(said.field).finditer(block, len(block) - len(data))]
        if not spans or not block.endswith(data):
            return
        start, end = spans[-1]
        try:
            if said.read(orjson.loads(block[-len(data) : start] + _STAND_IN_JSON + block[end:])) != _STAND_IN:
                return
        except (ValueError, LookupError, TypeError):
            return
        self._prefix, self._suffix = block[:start], block[end:]
        self._start, self._end = start, len(self._suffix)
        self._add, self._kind = said.pieces.append, said.kind
        self.known = True

    def take(self, block: bytes, shown: list[Delta]) -> bool:
        """Read an event if it is like the known one; say whether it was."""
        if not (block.startswith(self._prefix) and block.endswith(self._suffix)):
            return False
        try:
            piece = orjson.loads(block[self._start : len(block) - self._end])
        except ValueError:
            return False
        if type(piece) is not str:
            return False
        self._tries = _TRIES
        if piece:
            self._add(piece)
            if self._kind is not None:
                shown.append(_new_delta(Delta, (piece, self._kind)))
        return True


_new_delta = tuple.__new__  # what Delta(...) does, without the call in between


@cache
def _strings(field: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'"%s":[ ]?("(?:[^"\\\\]|\\\\.)*")' % re.escape(field))
