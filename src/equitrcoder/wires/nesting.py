"""A bound on how deeply nested an answer may be.

JSON of a thousand levels can be read here but not written again, and what is read goes into the ledger and back to the
provider. No answer of a model is nested like that by itself.
"""

from __future__ import annotations

from typing import Any

MAX_LEVELS = 200
"""orjson writes 254; the ledger puts some of its own around."""


_CONTAINERS = (dict, list)
LARGE_BYTES = 16_384
"""From here on values are walked through, where they are few, before brackets are counted."""
_FEW = 512  # bytes for each container: a long text with fewer is faster walked through than looked through for brackets


def too_deep(value: Any, text: bytes | str) -> bool:
    """Whether a value, read from this text, is nested more than `MAX_LEVELS` levels deep. Time is linear.

    Example:
        >>> too_deep([[1]], "[[1]]")
        False
    """
    if len(text) <= 2 * MAX_LEVELS or not isinstance(value, _CONTAINERS):
        return False
    if len(text) > LARGE_BYTES:
        found = _walked(value, len(text) // _FEW)
        if found is not None:
            return found
    brackets = text.count(b"[") + text.count(b"{") if isinstance(text, bytes) else text.count("[") + text.count("{")
    if brackets <= MAX_LEVELS:  # nearly always: nothing to walk through
        return False
    return bool(_walked(value, len(text)))


def _walked(value: Any, most: int) -> bool | None:
    """Whether it is too deep; None when it holds more than this many values, so that it is not known."""
    level = [value]
    for _ in range(MAX_LEVELS):
        most -= sum(map(len, level))
        if most < 0:
            return None
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return [child for child in values if isinstance(child, _CONTAINERS)]
