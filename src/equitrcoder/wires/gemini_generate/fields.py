"""Fields of the wire in either spelling: Google writes `functionCall`, some gateways and recordings `function_call`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from equitrcoder.wires.arguments import string


def pick(source: Mapping[str, Any], name: str) -> Any:
    """The value of a field, in either spelling; None when there is none.

    Example:
        >>> pick({"finish_reason": "STOP"}, "finishReason"), pick({}, "finishReason")
        ('STOP', None)
    """
    value = source.get(name)
    return source.get(snake(name)) if value is None else value


@cache
def snake(name: str) -> str:
    """The other spelling of a field's name.

    Example:
        >>> snake("thoughtSignature")
        'thought_signature'
    """
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def word(value: Any, numbers: Mapping[int, str]) -> str:
    """An enum's word: as sent, or what its number stands for (protocol buffers may be written with either).

    Example:
        >>> word("STOP", {1: "STOP"}), word(1, {1: "STOP"}), word(77, {1: "STOP"}), word(None, {})
        ('STOP', 'STOP', '77', '')
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return numbers.get(value, str(value))
    return string(value)
