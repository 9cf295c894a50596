"""Arguments, names and ids of calls, as the wires read and send them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from equitrcoder import jsontext
from equitrcoder.records import JSON
from equitrcoder.wires.nesting import too_deep

MAX_CALLS = 10_000
"""Calls of one answer. More is no answer: an empty one costs a few bytes on the wire and hundreds here."""

_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def read_arguments(value: Any) -> dict[str, JSON] | str | None:
    """Read a call's arguments: the object, or the raw text where there is none (or one nested absurdly), or None.

    Example:
        >>> read_arguments('{"path": "."}'), read_arguments(""), read_arguments("[1]"), read_arguments(None)
        ({'path': '.'}, '', '[1]', None)
    """
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, str):
        return compact(value)
    try:
        read = jsontext.loads(value) if value else None
    except jsontext.InvalidJSON:
        return value
    return read if isinstance(read, dict) and (_is_flat(read) or not too_deep(read, value)) else value


def _is_flat(read: dict[str, Any]) -> bool:
    """Whether it holds no object and no list, as most arguments do: then nobody has to count brackets."""
    return _CONTAINERS.isdisjoint(map(type, read.values()))


_CONTAINERS = frozenset({dict, list})


def compact(value: Any) -> str:
    """Write a value of the answer as JSON text."""
    return jsontext.dumps(value).decode("utf-8")


def text_of(value: Any) -> str:
    """A name or id: what is no string (hosts send numbers) is its JSON; nothing is nothing."""
    if isinstance(value, str):
        return value
    return "" if value is None else compact(value)


def string(value: Any) -> str:
    """The value when it is a string, else nothing."""
    return value if isinstance(value, str) else ""


MOST_TOKENS = 10**10
"""No answer has so many tokens: a larger number is none. Sums of costs stay within 64 bits."""


def count_of(value: Any) -> int | None:
    """A number of tokens; None for anything that can be none.

    Example:
        >>> count_of(7), count_of(7.0), count_of(-1), count_of("7")
        (7, 7, None, None)
    """
    if type(value) is not int:
        if not isinstance(value, float) or not math.isfinite(value):
            return None
        value = int(value)
    return value if 0 <= value < MOST_TOKENS else None


def without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {key: value for key, value in fields.items() if value is not None}


def call_name(name: str) -> str:
    """A tool name that hosts take back: they refuse a whole history for one name outside of `[a-zA-Z0-9_-]{1,64}`.

    Example:
        >>> call_name("read_file"), call_name("functions.read file"), call_name("")
        ('read_file', 'functions_read_file', 'unnamed')
    """
    return _NOT_IN_NAME.sub("_", name)[:64] or "unnamed"
