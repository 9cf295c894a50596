"""Checks of single values: each gives the value to keep, or says what was expected. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""Way to a value inside a document: keys and list positions."""


class Mismatch(Exception):
    """A value is not of its kind; `place` leads to it from the key's own value."""

    def __init__(self, expected: str, found: object, place: Place = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found
        self.place = place


class UnknownName(Mismatch):
    """A row has a field that none has; `known` are those there are."""

    def __init__(self, name: str, known: Sequence[str], place: Place) -> None:
        super().__init__("a known field", name, place)
        self.known = known


def line(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Mismatch("one line of text", value)
    return value


def effort(value: Any) -> str:
    """A word, which the host may know more of than we do, or a budget in tokens, which files write as a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    words = "a word (none, minimal, low, medium, high, xhigh, max) or a number of tokens"
    if not isinstance(value, str) or not value.isascii():
        raise Mismatch(words, value)
    if not (value.replace("_", "").isalpha() or (value.isdigit() and len(value) < 8)):
        raise Mismatch(words, value)
    return value


def command(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Mismatch("a command line", value)
    return value


def path(value: Any) -> str:
    return line(os.fspath(value) if isinstance(value, os.PathLike) else value)


def url(value: Any) -> str:
    text = line(value)
    scheme, slashes, rest = text.partition("://")
    if scheme.lower() not in ("http", "https") or not slashes or not rest.strip("/") or " " in text:
        raise Mismatch("an http or https address", value)
    return text


def host_name(value: Any) -> str:
    """A host, `*.` and a host for all below it, a host with a port, or the name of a preset; lower case."""
    import re

    text = line(value).lower()
    if not re.fullmatch(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?", text):
        raise Mismatch("the name of a host, as pypi.org or *.example.org, or package-indexes", value)
    return text


def switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Mismatch("true or false", value)
    return value


def number(expected: str, least: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e12:
            raise Mismatch(expected, value)  # NaN and infinities fail the comparison
        return float(value)

    return check


def whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**12:
        raise Mismatch("a whole number, 1 or more", value)
    return value


def choice(*words: str) -> Callable[[Any], str]:
    expected = f"one of {', '.join(words)}"

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise Mismatch(expected, value)
        return value

    return check


def listed(expected: str, item: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise Mismatch(expected, value)
        return tuple(inside(item, one, (at,)) for at, one in enumerate(value))

    return check


def inside(check: Callable[[Any], Any], value: Any, place: Place) -> Any:
    """Check a value that stands inside another one, and say where it stands."""
    try:
        return check(value)
    except Mismatch as error:
        error.place = place + error.place
        raise


def variable_name(value: Any) -> str:
    if not isinstance(value, str) or not value.isidentifier() or not value.isascii():
        raise Mismatch("the name of a variable", value)
    return value


def absolute_path(value: Any) -> str:
    text = path(value)
    if not text.startswith(("/", "~/")):
        raise Mismatch("an absolute path, or one that starts with ~/", value)
    return text


def mapping(expected: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise Mismatch(expected, value)
    return value


dollars = number("a number of dollars, 0 or more", 0)
seconds = number("a number of seconds, 0.001 or more", 0.001)
