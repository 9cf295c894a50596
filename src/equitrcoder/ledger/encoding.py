"""Any value as JSON bytes: what a model or a tool gave can be odd, and the ledger must hold it all the same."""

from __future__ import annotations

from typing import Any

from equitrcoder import jsontext

_MAX_LEVELS = 100
_MAX_DEEP_CHARACTERS = 4_000_000
_MAX_INTEGER_BITS = 14_000  # Python writes no integer of more than 4,300 digits


def encode(value: Any) -> bytes:
    """Write a value as one line of JSON. Never raises for what a value holds.

    Objects of other types become their `str`; containers nested deeper than 100 levels become their JSON text.

    Example:
        >>> encode({"a": (1, {2})})
        b'{"a":[1,"{2}"]}'
    """
    try:
        return jsontext.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return jsontext.dumps(plain(value))


def text_bytes(text: str) -> bytes:
    """UTF-8 of a text; a lone surrogate, which has none, as its three bytes."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def plain(value: Any, level: int = 0) -> Any:
    """The nearest value that is made of JSON's own types only."""
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _MAX_INTEGER_BITS else hex(value)
    if isinstance(value, dict | list | tuple):
        if level >= _MAX_LEVELS:
            return _deep_text(value)
        if isinstance(value, dict):
            return {str(key): plain(item, level + 1) for key, item in value.items()}
        return [plain(item, level + 1) for item in value]
    return str(value)


def _deep_text(value: Any) -> str:
    """JSON text of a value nested too deeply for a recursive writer; cut where it does not end."""
    pieces: list[str] = []
    size = 0
    waiting: list[tuple[bool, Any]] = [(False, value)]  # (is it punctuation, what)
    while waiting and size < _MAX_DEEP_CHARACTERS:
        is_mark, item = waiting.pop()
        if is_mark:
            piece = item
        elif isinstance(item, dict | list | tuple):
            piece = "{" if isinstance(item, dict) else "["
            waiting.extend(reversed(_inner_parts(item)))
        else:
            piece = jsontext.dumps(plain(item)).decode()
        pieces.append(piece)
        size += len(piece)
    return "".join(pieces) + ("…" if waiting else "")


def _inner_parts(container: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> list[tuple[bool, Any]]:
    parts: list[tuple[bool, Any]] = []
    if isinstance(container, dict):
        for key, item in container.items():
            lead = "," if parts else ""
            parts += [(True, f"{lead}{jsontext.dumps(str(key)).decode()}:"), (False, item)]
        return [*parts, (True, "}")]
    for item in container:
        parts += [(True, ","), (False, item)] if parts else [(False, item)]
    return [*parts, (True, "]")]
