"""Walking through a JSON Schema: where other schemas stand in it, and how two of them are one.

Source: https://json-schema.org/draft/2020-12/json-schema-core
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from equitrcoder import jsontext

Schema: TypeAlias = dict[str, Any]

ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"})
"""Keywords that nothing has to fit."""

BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
IN_LISTS = ("anyOf", "allOf", "prefixItems")
ALONE = ("items", "additionalProperties", "contains", "propertyNames")
STRUCTURE = frozenset((*BY_NAME, *IN_LISTS, *ALONE))
"""Keywords whose values are schemas or hold them."""


def with_parts(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """The schema with each schema in it changed. True stands for `{}`, and False too: it is the tightest there is.

    `additionalProperties` and `items` stay true or false.
    """
    out = dict(schema)
    for key in BY_NAME:
        if isinstance(out.get(key), dict):
            out[key] = {name: change(part) if isinstance(part, dict) else {} for name, part in out[key].items()}
    for key in IN_LISTS:
        if isinstance(out.get(key), list):
            out[key] = [change(part) if isinstance(part, dict) else {} for part in out[key]]
    for key in ALONE:
        part = out.get(key)
        if isinstance(part, dict):
            out[key] = change(part)
        elif key in out and not (isinstance(part, bool) and key in ("items", "additionalProperties")):
            del out[key]
    return out


def each_part(schema: Mapping[str, Any]) -> Iterator[Schema]:
    """Every schema that stands directly in this one."""
    for key in BY_NAME:
        yield from (part for part in schema.get(key, {}).values() if isinstance(part, dict))
    for key in IN_LISTS:
        yield from (part for part in schema.get(key, ()) if isinstance(part, dict))
    for key in ALONE:
        if isinstance(schema.get(key), dict):
            yield schema[key]


def names_of(schemas: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all their properties, in order."""
    return list(dict.fromkeys(name for schema in schemas for name in schema.get("properties", ())))


def merged(one: Schema, other: Schema) -> Schema:
    """A schema that whatever fits both fits too.

    Example:
        >>> merged({"type": "string"}, {"type": "integer", "minLength": 1})
        {'type': 'string', 'minLength': 1}
    """
    out = dict(one)
    for key, value in other.items():
        if key not in out:
            out[key] = value
        elif key == "required":
            out[key] = list(dict.fromkeys([*out[key], *value]))
        elif key in ("properties", "patternProperties"):
            both = {name: merged(out[key][name], value[name]) for name in value if name in out[key]}
            out[key] = {**out[key], **value, **both}
    return out


def told(schema: Schema, word: str, value: Any) -> Schema:
    """The schema with a constraint in its description, where it is short enough to be read.

    Example:
        >>> told({"description": "A day."}, "format", "date")
        {'description': 'A day. format: "date"'}
    """
    try:
        text = f"{word}: {jsontext.dumps(value).decode('utf-8')}"
    except (RecursionError, ValueError):
        return schema
    if len(text) > 1000:
        return schema
    return {**schema, "description": f"{schema.get('description') or ''} {text}".lstrip()}
