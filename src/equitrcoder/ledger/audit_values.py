"""Whether two values are the same but for what redaction took out of them."""

from __future__ import annotations

import re
from typing import Any

from equitrcoder import jsontext

_MARK = re.compile(r"\[redacted:[^\]\[]*\]")


def agree(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, where a redaction mark on either side stands for anything.

    The same arguments are kept twice: decoded in the entry of the call, and in the provider's message often as text.
    Redaction works on each as it stands there, so that its marks may cover more in one of them. The text of a value
    is equal to the value.

    Example:
        >>> agree({"key": "[redacted:X]", "n": 1}, {"key": "abc", "n": 1}), agree({"n": 1}, {"n": 2})
        (True, False)
    """
    if one == other and type(one) is type(other):
        return True
    if isinstance(one, str) and isinstance(other, str):
        return _covers(one, other) or _covers(other, one)
    if isinstance(one, dict) and isinstance(other, dict):
        return _same_items(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(agree, one, other))
    for text, value in ((one, other), (other, one)):
        if isinstance(text, str):
            return _is_text_of(text, value)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _covers(pattern: str, text: str) -> bool:
    """Whether a text with marks may have been this text."""
    pieces = _MARK.split(pattern)
    if len(pieces) == 1:
        return pattern == text
    if not text.startswith(pieces[0]) or not text.endswith(pieces[-1]):
        return False
    place, end = len(pieces[0]), len(text) - len(pieces[-1])
    for piece in pieces[1:-1]:
        found = text.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return place <= end


def _same_items(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Keys are secret sometimes too; the order of the items is that of the answer on both sides."""
    if len(one) != len(other):
        return False
    return all(
        agree(name, other_name) and agree(value, other_value)
        for (name, value), (other_name, other_value) in zip(one.items(), other.items(), strict=True)
    )


def _is_text_of(text: str, value: Any) -> bool:
    if _MARK.fullmatch(text):
        return True
    if not isinstance(value, dict | list):
        return False
    try:
        return agree(jsontext.loads(text), value)
    except (jsontext.InvalidJSON, RecursionError):
        return _MARK.search(text) is not None and _covers(text, jsontext.dumps(value).decode())
