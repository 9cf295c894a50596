"""Puts streamed arguments together: `partialArgs`, each a JSON path and a piece of what stands there.

Every piece is appended to a list and joined once, so that time is linear in the arguments.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling (streaming of arguments)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from equitrcoder.errors import BadResponseError
from equitrcoder.records import JSON
from equitrcoder.wires.gemini_generate.fields import pick
from equitrcoder.wires.nesting import MAX_LEVELS

_STEP = re.compile(r"\.([^.\[\]'\"]+)|\[(\d{1,7})\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

Path: TypeAlias = tuple[str | int, ...]


class _Pieces(list[str]):
    """A string while it arrives."""


class PartialArguments:
    """The arguments of one call while they arrive.

    Example:
        >>> arguments = PartialArguments()
        >>> arguments.take({"jsonPath": "$.city", "stringValue": "Pa", "willContinue": True})
        >>> arguments.take({"jsonPath": "$.city", "stringValue": "ris"})
        >>> arguments.take({"jsonPath": "$.days[0].n", "numberValue": 2})
        >>> arguments.value()
        {'city': 'Paris', 'days': [{'n': 2}]}
    """

    __slots__ = ("_root",)

    def __init__(self, given: Mapping[str, JSON] | None = None) -> None:
        self._root: dict[str, Any] = dict(given or {})

    def take(self, entry: Any) -> None:
        """Take one piece.

        Raises:
            BadResponseError: It is no piece, its path is none, or does not fit what came before.
        """
        if not isinstance(entry, dict):
            raise BadResponseError("An entry of partialArgs is no object.")
        path = read_path(pick(entry, "jsonPath"))
        value = _value(entry)
        holder, key = self._holder(path), path[-1]
        held = _get(holder, key)
        if value is None and held is not None and pick(entry, "nullValue") is None:
            return  # only says that this place is done
        if isinstance(value, str):
            pieces = held if isinstance(held, _Pieces) else _Pieces([held] if isinstance(held, str) else [])
            pieces.append(value)
            value = pieces
        _put(holder, key, value)

    def _holder(self, path: Path) -> Any:
        """The object or list that holds the last step of a path, made where it is missing."""
        holder: Any = self._root
        for key, following in pairwise(path):
            inner = _get(holder, key)
            if inner is None:
                inner = [] if isinstance(following, int) else {}
                _put(holder, key, inner)
            holder = inner
        return holder

    def value(self) -> dict[str, JSON]:
        """The arguments as far as they have come."""
        return {key: _whole(value) for key, value in self._root.items()}


def read_path(path: Any) -> Path:
    """Read a JSON path that names one place: `$.a.b[0]['c d']`.

    Raises:
        BadResponseError: It is none.

    Source: https://www.rfc-editor.org/rfc/rfc9535#name-normalized-paths
    """
    steps: list[str | int] = []
    if not isinstance(path, str) or not path.startswith("$"):
        raise _no_path(path)
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or len(steps) >= MAX_LEVELS // 2:
            raise _no_path(path)
        name, number, single, double = step.groups()
        quoted = single if single is not None else double
        steps.append(int(number) if number else name if name is not None else _ESCAPED.sub(r"\1", quoted))
        at = step.end()
    if not steps:
        raise _no_path(path)
    return tuple(steps)


def _no_path(path: Any) -> BadResponseError:
    return BadResponseError("A piece of arguments has no place that can be read.", excerpt=str(path)[:100])


def _value(entry: Mapping[str, Any]) -> Any:
    for name in ("stringValue", "numberValue", "boolValue"):
        value = pick(entry, name)
        if value is not None:
            return value
    return "" if pick(entry, "willContinue") else None


def _get(holder: Any, key: str | int) -> Any:
    if isinstance(holder, dict) and isinstance(key, str):
        return holder.get(key)
    if isinstance(holder, list) and not isinstance(holder, _Pieces) and isinstance(key, int) and key <= len(holder):
        return holder[key] if key < len(holder) else None
    raise BadResponseError("A piece of arguments does not fit the pieces before it.")


def _put(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, list) and key == len(holder):
        holder.append(value)
    else:
        holder[key] = value


def _whole(value: Any) -> Any:
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value
