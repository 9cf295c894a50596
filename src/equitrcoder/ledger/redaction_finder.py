"""Finding secrets in a text in linear time: one pass of the engine says where, exact looks at those places say what.

The engine is Hyperscan: one pass over a text costs a fraction of a microsecond per KB, however many formats and known
values there are (docs/performance.md has the comparison). Everything here works on UTF-8, so a text is encoded once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from equitrcoder.ledger.redaction_formats import Format, formats
from equitrcoder.ledger.redaction_forms import forms
from equitrcoder.ledger.redaction_named import (
    NAME_ENDINGS,
    NAMES,
    authorization,
    bearer,
    named,
    private_key,
    url_password,
)

KNOWN_VALUE = "known_value"
"""Name of the rule that counts known secret values."""
NAMED = "named-secret"
"""Name of the rule for values whose key says that they are secret."""

_NEEDLE_BYTES = 32
"""Of a known value, as many bytes are looked for by the engine; the rest is compared there."""


class Span(NamedTuple):
    """A secret in a text."""

    start: int
    stop: int
    """Offsets in bytes."""
    rule: str
    mark: str
    """What stands in its place."""


_Look = Callable[[bytes, int], "Span | None"]
"""Looks where the engine found something: the text, and where that ended."""


class Finder:
    """Finds secrets in UTF-8 texts.

    Args:
        known: The known values, each with the name that stands in its place.

    Thread-safe. The engine's tables are made at the first text, in 20 ms.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._guard = threading.Lock()
        self._engine: _Engine | None = None

    def spans(self, raw: bytes) -> list[Span]:
        """The secrets of a text, in order, none within another."""
        return merged(self._found(raw)) if raw else []

    def suspects(self, raw: bytes) -> bool:
        """Whether there is a secret."""
        for looks, end in (self._engine or self._ready()).hits(raw):
            for look in looks:
                if look(raw, end) is not None:
                    return True
        return False

    def hits(self, raw: bytes) -> list[tuple[list[_Look], int]]:
        """What the engine finds: how to look there, and where it ended."""
        return (self._engine or self._ready()).hits(raw)

    def _ready(self) -> _Engine:
        with self._guard:
            self._engine = self._engine or _engine(tuple(self._known.items()))
        return self._engine

    def _found(self, raw: bytes) -> list[Span]:
        hits = self.hits(raw)
        return [span for looks, end in hits for look in looks if (span := look(raw, end))] if hits else []

    def known_forms(self) -> list[bytes]:
        """The known values in all their forms."""
        return [form for value in self._known for form in forms(value)]


def merged(spans: list[Span]) -> list[Span]:
    """Spans in order; what overlaps is one, and the name of a known value says more than that of a rule.

    Example:
        >>> merged([Span(4, 8, "b", "B"), Span(0, 9, "a", "A"), Span(8, 12, "c", "C")])
        [Span(start=0, stop=12, rule='a', mark='A')]
    """
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.stop, span.rule != KNOWN_VALUE)):
        if result and span.start < result[-1].stop:
            before = result[-1]
            stop = max(before.stop, span.stop)
            best = span if span.rule == KNOWN_VALUE and before.rule != KNOWN_VALUE else before
            result[-1] = Span(before.start, stop, best.rule, best.mark)
        else:
            result.append(span)
    return result


@lru_cache(maxsize=8)
def _engine(known: tuple[tuple[str, str], ...]) -> _Engine:
    """What finds known values, the key formats, and secrets by what stands beside them, all in one pass."""
    literals = _Expressions()
    for value, name in known:
        for form in forms(value):
            literals.add(form[:_NEEDLE_BYTES], _known_look(form, f"[redacted:{name}]"))
    for format_ in formats():
        for literal in format_.needle.literals:
            literals.add(literal.encode(), _format_look(format_, len(literal)))
    for name in NAMES:
        for ending in NAME_ENDINGS:
            literals.add((name + ending).encode(), _named_look(len(name), len(ending)), any_case=True)
    for words, find, rule in _CONTEXTS:
        literals.add(words, _look(find, rule, len(words)), any_case=True)
    return literals.engine()


class _Expressions:
    """What an engine looks for, and how to look where it finds it.

    Literals only: of them the engine makes its tables ten times as fast as of regular expressions.
    """

    def __init__(self) -> None:
        self._looks: dict[tuple[bytes, bool], list[_Look]] = {}

    def add(self, literal: bytes, look: _Look, *, any_case: bool = False) -> None:
        """Add a literal."""
        escaped = b"".join(b"\\x%02x" % byte for byte in literal)
        self._looks.setdefault((escaped, any_case), []).append(look)

    def engine(self) -> _Engine:
        """An engine that looks for all of it."""
        return _Engine(list(self._looks), list(self._looks.values()))


class _Engine:
    """A database of Hyperscan's. Thread-safe."""

    def __init__(self, expressions: list[tuple[bytes, bool]], looks: list[list[_Look]]) -> None:
        import hyperscan

        self._looks = looks
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[expression for expression, _ in expressions],
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[hyperscan.HS_FLAG_CASELESS if any_case else 0 for _, any_case in expressions],
        )
        self._guard = threading.Lock()
        self._hits: list[tuple[int, int]] = []
        self._scan, self._heard = self._database.scan, self._note  # bound once: this is done for every entry

    def hits(self, raw: bytes) -> list[tuple[list[_Look], int]]:
        """How to look, and where."""
        with self._guard:
            self._scan(raw, self._heard)
            if not self._hits:
                return []
            found = [(self._looks[number], end) for number, end in self._hits]
            self._hits.clear()
        return found

    def _note(self, number: int, start: int, end: int, flags: int, context: object) -> None:
        self._hits.append((number, end))


def _known_look(form: bytes, mark: str) -> _Look:
    needle = len(form[:_NEEDLE_BYTES])

    def look(raw: bytes, end: int) -> Span | None:
        start = end - needle
        return Span(start, start + len(form), KNOWN_VALUE, mark) if raw.startswith(form, start) else None

    return look


def _format_look(format_: Format, length: int) -> _Look:
    least, most = format_.needle.before
    name, mark = format_.name, f"[redacted:{format_.name}]"

    def look(raw: bytes, end: int) -> Span | None:
        for before in range(most, least - 1, -1):
            start = end - length - before
            if start >= 0 and (stop := format_.match(raw, start)) is not None:
                return Span(start, stop, name, mark)
        return None

    return look


def _named_look(name: int, ending: int) -> _Look:
    mark = f"[redacted:{NAMED}]"

    def look(raw: bytes, end: int) -> Span | None:
        place = named(raw, end - ending - name, end - ending)
        return None if place is None else Span(*place, NAMED, mark)

    return look


def _look(find: Callable[[bytes, int], tuple[int, int] | None], rule: str, length: int) -> _Look:
    mark = f"[redacted:{rule}]"

    def look(raw: bytes, end: int) -> Span | None:
        place = find(raw, end - length)
        return None if place is None else Span(*place, rule, mark)

    return look


_CONTEXTS = (
    (b"://", url_password, "url-password"),
    (b"-----BEGIN ", private_key, "private-key"),
    (b"authorization", authorization, "authorization"),
    (b"bearer ", bearer, "authorization"),
)
