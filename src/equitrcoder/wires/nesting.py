"""A bound on how deeply nested an answer may be.

JSON of a thousand levels can be read here but not written again, and what is read goes into the ledger and back to the
provider. No answer of a model is nested like that by itself.
"""

from __future__ import annotations

from typing import Any

MAX_LEVELS = 200
"""orjson writes 254; the ledger puts some of its own around."""


def too_deep(value: Any, text: bytes | str) -> bool:
    """Whether a value, read from this text, is nested more than `MAX_LEVELS` levels deep. Time is linear.

    Example:
        >>> too_deep([[1]], "[[1]]")
        False
    """
    if len(text) <= 2 * MAX_LEVELS:
        return False
    brackets = text.count(b"[") + text.count(b"{") if isinstance(text, bytes) else text.count("[") + text.count("{")
    if brackets <= MAX_LEVELS:  # nearly always: nothing to walk through
        return False
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return []
    return [child for child in value if isinstance(child, dict | list)]
