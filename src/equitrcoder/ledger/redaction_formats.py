"""The table of documented key formats, `redaction_rules.tsv`, as patterns.

A format is a row of characters and classes, each class with a count: no choices and nothing repeated inside of
something repeated, so looking at one place costs at most the longest key of that format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple

_TABLE = Path(__file__).with_name("redaction_rules.tsv")
_PIECE = re.compile(r"(\[[^\]]+\]|[^\[\]{}])(?:\{(\d+)(?:,(\d+))?\})?")

_BEFORE = (
    # A boundary on the left: no letter, digit or underscore; or what only looks like one: an escape of JSON or of a
    # shell, of a URL, or of a terminal.
    r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})"
    r"|(?<=\[[0-9]m)|(?<=\[[0-9]{2}m))"
)
_AFTER = r"(?![A-Za-z0-9_])"
_FEWEST_DIFFERENT = 5
"""Different characters in a key's end; less is a placeholder such as sk-xxxxxxxx."""

_COMMON = frozenset({"cio", "SK", "AC"})
"""Beginnings that stand in every program: looked for with each character that may follow."""
_MOST_SPELLINGS = 120
_SHORTEST_BEGINNING = 2


class Piece(NamedTuple):
    """A character or class of a format, and how often it stands there."""

    characters: str
    at_least: int
    at_most: int

    @property
    def is_class(self) -> bool:
        """Whether it is a class."""
        return len(self.characters) > 1

    def regex(self, at_least: int, at_most: int) -> str:
        """It as a regular expression."""
        one = self.characters if self.is_class else re.escape(self.characters)
        if at_least == at_most:
            return one if at_most == 1 else f"{one}{{{at_most}}}"
        return f"{one}{{{at_least},{at_most}}}"

    def spellings(self) -> str | None:
        """The characters that it can be; None when they are given as ranges, which are many."""
        if not self.is_class:
            return self.characters
        inner = self.characters[1:-1]
        return None if re.search(r"\w-\w", inner) else inner

    def every_spelling(self) -> str:
        """The characters that it can be, ranges too."""
        one = re.compile(self.regex(1, 1))
        return "".join(chr(code) for code in range(128) if one.match(chr(code)))


class Needle(NamedTuple):
    """What is looked for in a text: a key can be where it is found."""

    literals: tuple[str, ...]
    before: tuple[int, int]
    """How many characters of the key stand before it, at least and at most."""


class Format:
    """One line of the table.

    Attributes:
        name: Of the rule; several lines can share it.
        written: The format as the table has it.
        checked: How it was confirmed: page, scanner or unknown; the table's head says what that means.
        source: The page that says so.
        pieces: What it consists of.
    """

    def __init__(self, name: str, written: str, checked: str, source: str) -> None:
        self.name = name
        self.written = written
        self.checked = checked
        self.source = source
        bare = written.removeprefix("^").removesuffix("$")
        self.pieces = tuple(_pieces(bare))

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """A regular expression to be matched where a key may begin."""
        inner = "".join(piece.regex(piece.at_least, piece.at_most) for piece in self.pieces)
        before = _BEFORE if self.written.startswith("^") else ""
        after = _AFTER if self.written.endswith("$") else ""
        return re.compile((before + inner + after).encode())

    def match(self, raw: bytes, start: int) -> int | None:
        """Where the key that begins at `start` ends; None when there is none."""
        found = self.pattern.match(raw, start)
        if found is None or len(set(found[0][-16:])) < _FEWEST_DIFFERENT:
            return None
        return found.end()

    @cached_property
    def needle(self) -> Needle:
        """What to look for: its beginning, if that is the same in all keys, else the longest part that is."""
        runs = list(self._fixed_runs())
        first = [run for run in runs if run[0] == 0 and len(run[1][0]) >= _SHORTEST_BEGINNING]
        start, literals = first[0] if first else max(runs, key=lambda run: len(run[1][0]))
        before = self.pieces[:start]
        if literals[0] in _COMMON:
            following = self.pieces[start + len(literals[0])].every_spelling()
            literals = tuple(literal + one for literal in literals for one in following)
        counts = sum(piece.at_least for piece in before), sum(piece.at_most for piece in before)
        return Needle(literals, counts)

    def _fixed_runs(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Stretches of pieces that are spelt in a few ways only: where, and the ways."""
        start = 0
        while start < len(self.pieces):
            stop, literals = start, [""]
            while stop < len(self.pieces):
                piece = self.pieces[stop]
                ways = piece.spellings()
                if ways is None or (piece.at_least, piece.at_most) != (1, 1):
                    break
                if len(literals) * len(ways) > _MOST_SPELLINGS:
                    break
                literals = ["".join(pair) for pair in product(literals, ways)]
                stop += 1
            if stop > start:
                yield start, tuple(literals)
            start = max(stop, start + 1)


def _pieces(bare: str) -> Iterator[Piece]:
    position = 0
    while position < len(bare):
        found = _PIECE.match(bare, position)
        if found is None:
            raise ValueError(f"no format: {bare}")
        characters, least, most = found.groups()
        yield Piece(characters, int(least or 1), int(most or least or 1))
        position = found.end()


def formats() -> tuple[Format, ...]:
    """The table, in its order."""
    lines = _TABLE.read_text(encoding="utf-8").splitlines()
    return tuple(Format(*line.split("\t")) for line in lines if line and not line.startswith("#"))
