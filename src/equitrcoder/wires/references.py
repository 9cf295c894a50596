"""What `$ref` names in a JSON Schema, put in its place.

Source: https://json-schema.org/draft/2020-12/json-schema-core#name-direct-references-with-ref
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from equitrcoder.wires.keywords import ANNOTATIONS, Schema, with_parts

MOST_PARTS = 3000
"""Schemas that may be put in place; definitions that use each other twice grow without end."""
MOST_LEVELS = 40
_HOLDS_DEFINITIONS = ("$defs", "definitions", "$anchor", "$dynamicAnchor")


def inlined(schema: Schema) -> Schema:
    """The schema without `$ref` and without definitions; see `equitrcoder.wires.schemas.without_references`."""
    return _Inliner(schema).inline(schema, (), MOST_LEVELS)


class _Inliner:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = MOST_PARTS

    def inline(self, schema: Schema, open_refs: tuple[str, ...], levels: int) -> Schema:
        """`open_refs` are those that this part is put in place of."""
        if open_refs:
            self._left -= 1
        if levels <= 0 or self._left <= 0:
            return {}
        if schema is not self._root and isinstance(schema.get("$id"), str):
            return {}  # a document of its own: its references start there
        kept = {key: value for key, value in schema.items() if key not in (*_HOLDS_DEFINITIONS, "$ref")}
        kept = with_parts(kept, lambda part: self.inline(part, open_refs, levels - 1))
        ref = schema.get("$ref")
        target = self._target(ref) if isinstance(ref, str) and ref not in open_refs else None
        if target is None:
            return kept
        found = self.inline(target, (*open_refs, str(ref)), levels - 1)
        if set(kept) <= ANNOTATIONS:
            return {**found, **kept}
        return {**kept, "allOf": [found, *kept.get("allOf", ())]}

    def _target(self, ref: str) -> Schema | None:
        """What stands there in this document; None for what stands elsewhere."""
        if not (ref == "#" or ref.startswith("#/")):
            return None
        place: Any = self._root
        for word in ref.split("/")[1:]:
            name = unquote(word).replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict):
                place = place.get(name)
            elif isinstance(place, list) and name.isascii() and name.isdigit() and int(name) < len(place):
                place = place[int(name)]
            else:
                return None
        return place if isinstance(place, dict) else None
