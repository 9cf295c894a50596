"""JSON Schema as each host takes it: rules that only ever relax, one function each.

A tool's schema may be any JSON Schema (an MCP server's, for one), and every host refuses some of it. What a host does
not take is left out or put in a looser way: whatever arguments fit the schema before fit it afterwards. What is left
out is told in the description where it is short. The schema as it was stays the one that arguments are checked by.

`positive` comes first: it leaves no place where a looser part would make the whole tighter (`not`, `if`, `oneOf`), so
that the others may loosen any part they meet. `equitrcoder.wires.keywords` walks through schemas.

Source: https://json-schema.org/draft/2020-12, and beside each rule who asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from equitrcoder import jsontext
from equitrcoder.wires.keywords import ANNOTATIONS, STRUCTURE, Schema, each_part, merged, names_of, told, with_parts
from equitrcoder.wires.references import inlined

Rule: TypeAlias = Callable[[Schema], Schema]

MOST_LEVELS = 24
"""Deeper parts are `{}`: hosts refuse deep nesting (Gemini's limit is not told; OpenAI's strict mode takes 10)."""
MOST_BYTES = 48_000
"""Larger schemas lose their examples, then their texts, then their depth."""
_KINDS = frozenset({"string", "number", "integer", "boolean", "null", "object", "array"})
_NEGATIVE = frozenset(
    {"not", "if", "then", "else", "maxContains", "unevaluatedItems", "unevaluatedProperties", "additionalItems"}
    | {"dependencies", "$schema", "$dynamicRef", "$recursiveRef", "$comment", "$vocabulary"}
)
_OLD_DRAFT = re.compile(r"draft-0?[3-7]\b")
_UNKNOWN_TO_OLD = frozenset({"prefixItems", "dependentRequired", "dependentSchemas", "minContains"})


def positive(schema: Schema) -> Schema:
    """Leave out what a looser part would make tighter, and whatever is no JSON Schema; write older drafts as 2020-12.

    What is nested too deep goes as well, so that nothing after this can be lost in it.

    Example:
        >>> positive({"oneOf": [{"type": "string"}, True], "not": {"const": 1}, "properties": {"a": False}})
        {'properties': {'a': {}}}
    """
    old = bool(_OLD_DRAFT.search(str(schema.get("$schema", ""))))
    root = {key: value for key, value in schema.items() if key not in ("$id", "id")}
    return _positive(root, old, MOST_LEVELS)


def _positive(schema: Schema, old: bool, levels: int) -> Schema:
    kept = {key: value for key, value in schema.items() if _may_stay(key, value, old)}
    if old and "$ref" in kept:  # before 2019 nothing beside it counted
        kept = {key: value for key, value in kept.items() if key in ANNOTATIONS or key in ("$ref", "definitions")}
    if isinstance(kept.get("items"), list):
        places = kept.pop("items")
        kept |= {"prefixItems": places} if places else {}
    elif isinstance(kept.get("items"), bool) and "prefixItems" not in kept:
        del kept["items"]
    if "oneOf" in kept:
        one_of = kept.pop("oneOf")
        kept.setdefault("anyOf", one_of)
    if kept.get("minContains", 1) == 0:
        kept.pop("contains", None)
    kept.pop("minContains", None)
    _leave_out_closed_branches(kept)
    if levels <= 0:
        return {key: value for key, value in kept.items() if key in ("type", "title", "description")}
    return with_parts(kept, lambda part: _positive(part, old, levels - 1))


def _may_stay(key: str, value: Any, old: bool) -> bool:
    if key in _NEGATIVE or (old and key in _UNKNOWN_TO_OLD):
        return False
    return _is_well_formed(key, value) and (key in STRUCTURE or key == "oneOf" or not _is_deep(value))


def _leave_out_closed_branches(schema: Schema) -> None:
    """Of `anyOf` the branches that nothing fits; all of it when anything fits one of them."""
    branches = [branch for branch in schema.pop("anyOf", ()) if branch is not False]
    if branches and all(isinstance(branch, dict) and branch for branch in branches):
        schema["anyOf"] = branches


def _is_well_formed(key: str, value: Any) -> bool:
    match key:
        case "type":
            names = value if isinstance(value, list) else [value]
            return bool(names) and all(isinstance(name, str) and name in _KINDS for name in names)
        case "required":
            return isinstance(value, list) and all(isinstance(name, str) for name in value)
        case "enum":
            return isinstance(value, list) and bool(value)
        case "exclusiveMinimum" | "exclusiveMaximum" | "minimum" | "maximum" | "multipleOf":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" | "minContains":
            return isinstance(value, int) and not isinstance(value, bool)
        case "pattern" | "format" | "description" | "title" | "$ref" | "$id" | "$anchor" | "$dynamicAnchor":
            return isinstance(value, str)
        case "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" | "dependentRequired":
            return isinstance(value, dict)
        case "anyOf" | "oneOf" | "allOf" | "prefixItems":
            return isinstance(value, list) and bool(value)
        case _:
            return True


def without_references(schema: Schema) -> Schema:
    """Put what `$ref` names in its place; `{}` for what holds itself, stands elsewhere, or would grow without end.

    Anthropic: "rejects reference keywords such as $ref"; Ollama reads none; of the others few say what they take.

    Example:
        >>> text = {"type": "string"}
        >>> without_references({"$defs": {"Text": text}, "properties": {"a": {"$ref": "#/$defs/Text"}}})
        {'properties': {'a': {'type': 'string'}}}

    Source: https://platform.claude.com/docs/en/managed-agents/self-hosted-sandboxes
    """
    return inlined(schema)


def without_all_of(schema: Schema) -> Schema:
    """Merge `allOf` into what is around it; of two that say the same thing differently the first counts.

    OpenAI: "'allOf' is not permitted" (https://github.com/makenotion/notion-mcp-server/issues/102).

    Example:
        >>> without_all_of({"allOf": [{"required": ["a"]}, {"required": ["b"], "minProperties": 1}]})
        {'required': ['a', 'b'], 'minProperties': 1}
    """
    schema = with_parts(schema, without_all_of)
    parts = schema.get("allOf")
    if parts is None:
        return schema
    whole = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        if isinstance(part, dict):
            whole = merged(whole, part)
    return whole


def object_at_root(schema: Schema) -> Schema:
    """Make the root an object with properties, and nothing else: arguments are an object on every wire.

    OpenAI: "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level";
    Anthropic: "input_schema does not support oneOf, allOf, or anyOf at the top level".

    Example:
        >>> a, b = {"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}
        >>> fitted_root = object_at_root({"anyOf": [a, b]})
        >>> fitted_root["type"], list(fitted_root["properties"]), fitted_root.get("required")
        ('object', ['a', 'b'], None)

    Source: https://github.com/langchain-ai/langchainjs/issues/9804, https://github.com/anthropics/claude-code/issues/40075
    """
    kinds = schema.get("type", "object")
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        return {"type": "object", "properties": {}}  # arguments never fit it: whoever checks them says so
    root = {key: value for key, value in schema.items() if key not in ("type", "anyOf", "enum", "const", "properties")}
    properties = schema.get("properties") or {}
    branches = [object_at_root(branch) for branch in schema.get("anyOf") or [] if _may_be_object(branch)]
    if branches:
        added = names_of(branches)
        properties = {**{name: _in_any(name, branches) for name in added}, **properties}
        needed = [name for name in added if all(name in branch.get("required", ()) for branch in branches)]
        root["required"] = list(dict.fromkeys([*root.get("required", ()), *needed]))
        root = told(root, "fits one of", schema["anyOf"])
    if not root.get("required"):
        root.pop("required", None)
    return {"type": "object", "properties": properties, **root}


def _may_be_object(branch: Schema) -> bool:
    kinds = branch.get("type", "object")
    return "object" in (kinds if isinstance(kinds, list) else [kinds])


def _in_any(name: str, branches: Sequence[Schema]) -> Schema:
    """What a property may be, in whichever of the branches."""
    forms = [branch["properties"][name] for branch in branches if name in branch["properties"]]
    others = [branch for branch in branches if name not in branch["properties"]]
    closed = all(other.get("additionalProperties") is False and not other.get("patternProperties") for other in others)
    if not closed:
        return {key: value for key, value in forms[0].items() if key in ("title", "description")}
    different = [form for place, form in enumerate(forms) if form not in forms[:place]]
    return different[0] if len(different) == 1 else {"anyOf": different}


def items_for_arrays(schema: Schema) -> Schema:
    """Say of every list what it holds, be it anything: OpenAI and Gemini refuse "array schema missing items".

    Example:
        >>> items_for_arrays({"type": "array"})
        {'type': 'array', 'items': {}}
    """
    schema = with_parts(schema, items_for_arrays)
    kinds = schema.get("type")
    if "array" in (kinds if isinstance(kinds, list) else [kinds]) and "items" not in schema:
        return {**schema, "items": {}}
    return schema


def bounded(schema: Schema) -> Schema:
    """Cut what is too deep, and of what is too large the examples, the texts, the depth.

    Example:
        >>> bounded({"description": "x" * 50_000, "type": "object"})
        {'type': 'object'}
    """
    schema = _cut(schema, MOST_LEVELS)
    if _size(schema) <= MOST_BYTES:
        return schema
    for left_out in (("examples", "example", "default", "title"), ("description",)):
        schema = _without(schema, left_out)
        if _size(schema) <= MOST_BYTES:
            return schema
    for levels in (8, 4, 2, 1):
        schema = _cut(schema, levels)
        if _size(schema) <= MOST_BYTES:
            return schema
    return {"type": "object", "properties": {}}


def _size(schema: Schema) -> int:
    return len(jsontext.dumps(schema))


def _cut(schema: Schema, levels: int) -> Schema:
    if levels <= 0:
        return {key: value for key, value in schema.items() if key in ("type", "title", "description")}
    return with_parts(schema, lambda part: _cut(part, levels - 1))


def _is_deep(value: Any, levels: int = MOST_LEVELS) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels <= 0 or any(_is_deep(item, levels - 1) for item in inner)


def _without(schema: Schema, keys: Sequence[str]) -> Schema:
    kept = {key: value for key, value in schema.items() if key not in keys}
    return with_parts(kept, lambda part: _without(part, keys))


# --- what only some hosts ask for ----------------------------------------------------------------------------------


def const_as_enum(schema: Schema) -> Schema:
    """Write `const` as a list of one: Gemini and Ollama know only that.

    Example:
        >>> const_as_enum({"const": "a"})
        {'enum': ['a']}
    """
    schema = with_parts(schema, const_as_enum)
    if "const" not in schema:
        return schema
    kept = {key: value for key, value in schema.items() if key != "const"}
    return kept if "enum" in kept else {**kept, "enum": [schema["const"]]}


def plain_patterns(schema: Schema) -> Schema:
    """Keep only patterns from `^` to `$` without groups of another kind: llama.cpp refuses others.

    Example:
        >>> plain_patterns({"pattern": "^a+$"}), plain_patterns({"pattern": "a(?=b)"})
        ({'pattern': '^a+$'}, {'description': 'pattern: "a(?=b)"'})

    Source: https://github.com/ggml-org/llama.cpp/blob/master/common/json-schema-to-grammar.cpp
    """
    schema = with_parts(schema, plain_patterns)
    pattern = schema.get("pattern")
    if not isinstance(pattern, str) or _PLAIN_PATTERN.fullmatch(pattern):
        return schema
    return told({key: value for key, value in schema.items() if key != "pattern"}, "pattern", pattern)


_PLAIN_PATTERN = re.compile(r"\^(?!.*\(\?)(?!.*\\[1-9bBpPk]).*\$", re.DOTALL)


def typed_enums(schema: Schema) -> Schema:
    """Split an `enum` of several types into one for each; of true, false, null, lists and objects only the type stays.

    Gemini takes enums of strings and of numbers.

    Example:
        >>> typed_enums({"enum": ["a", 1, None]})
        {'anyOf': [{'type': 'string', 'enum': ['a']}, {'type': 'number', 'enum': [1]}, {'type': 'null'}]}

    Source: https://ai.google.dev/gemini-api/docs/structured-output#json-schema-support
    """
    schema = with_parts(schema, typed_enums)
    values = schema.get("enum")
    if values is None:
        return schema
    groups: dict[str, list[Any]] = {}
    for value in values:
        groups.setdefault(_kind(value), []).append(value)
    forms = [
        {"type": kind, "enum": group} if kind in ("string", "number") else items_for_arrays({"type": kind})
        for kind, group in groups.items()
    ]
    kept = {key: value for key, value in schema.items() if key != "enum"}
    if len(forms) == 1:
        return {**forms[0], **kept}  # an integer stays one
    return kept if "anyOf" in kept else {**kept, "anyOf": forms}


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case None:
            return "null"
        case str():
            return "string"
        case int() | float():
            return "number"
        case _:
            return "array" if isinstance(value, list) else "object"


def only(*known: str) -> Rule:
    """A rule that leaves these keywords and tells the others in the description.

    Example:
        >>> only("type")({"type": "string", "pattern": "^a"})
        {'type': 'string', 'description': 'pattern: "^a"'}
    """
    allowed = frozenset(known)

    def rule(schema: Schema) -> Schema:
        schema = with_parts(schema, rule)
        kept = {key: value for key, value in schema.items() if key in allowed or key == "description"}
        if "patternProperties" in schema and "patternProperties" not in allowed:
            kept.pop("additionalProperties", None)  # it would now hold for those names as well
        if "prefixItems" in schema and "prefixItems" not in allowed:
            kept.pop("items", None)
        for key, value in schema.items():
            if key not in kept and key not in _NOT_WORTH_TELLING:
                kept = told(kept, key, value)
        return kept

    return rule


_NOT_WORTH_TELLING = frozenset(
    {"$schema", "$id", "$anchor", "title", "deprecated", "readOnly", "writeOnly", "nullable"}
)


def property_names(allowed: str) -> Rule:
    """A rule that leaves out properties of other names; then further ones are allowed, as those are.

    Anthropic: "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'".

    Example:
        >>> property_names("[a-z]+")({"properties": {"a": {}, "b c": {}}, "additionalProperties": False})
        {'properties': {'a': {}}, 'description': 'further properties: ["b c"]'}

    Source: https://platform.claude.com/docs/en/managed-agents/self-hosted-sandboxes
    """
    fits = re.compile(allowed).fullmatch

    def rule(schema: Schema) -> Schema:
        schema = with_parts(schema, rule)
        properties = schema.get("properties")
        if properties is None or all(map(fits, properties)):
            return schema
        kept = {name: part for name, part in properties.items() if fits(name)}
        out = {**schema, "properties": kept}
        out.pop("additionalProperties", None)
        return told(out, "further properties", [name for name in properties if name not in kept])

    return rule


def known_required(schema: Schema) -> Schema:
    """Require only what `properties` names: Gemini refuses "property is not defined".

    Example:
        >>> known_required({"properties": {"a": {}}, "required": ["a", "b"]})
        {'properties': {'a': {}}, 'required': ['a']}
    """
    schema = with_parts(schema, known_required)
    if "required" not in schema:
        return schema
    named = [name for name in schema["required"] if name in schema.get("properties", ())]
    kept = {key: value for key, value in schema.items() if key != "required"}
    return {**kept, "required": named} if named else kept


EVERY_HOST: tuple[Rule, ...] = (positive, without_references, without_all_of, object_at_root, items_for_arrays, bounded)
"""What all hosts take of any JSON Schema; a schema written for models, as our tools' are, passes unchanged."""

_fitted: dict[tuple[int, tuple[Rule, ...]], tuple[Mapping[str, Any], Schema]] = {}


def fitted(parameters: Mapping[str, Any], rules: tuple[Rule, ...] = EVERY_HOST) -> Schema:
    """A tool's parameters as the host with these rules takes them.

    Each schema is fitted once; the one given is never changed and must not be changed later. Never raises: of what is
    no JSON Schema at all, or nested thousands deep, an object with any properties is left.

    Example:
        >>> fitted({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "null"}}})
        {'type': 'object', 'properties': {'a': {'type': 'null'}}}
        >>> fitted({})
        {'type': 'object', 'properties': {}}
    """
    key = (id(parameters), rules)
    known = _fitted.get(key)
    if known is not None and known[0] is parameters:
        return known[1]
    schema = _fit(parameters, rules)
    if len(_fitted) >= 4096:
        _fitted.clear()
    _fitted[key] = parameters, schema  # it is kept, so that its id is no other's
    return schema


def _fit(parameters: Any, rules: tuple[Rule, ...]) -> Schema:
    schema: Schema = dict(parameters) if isinstance(parameters, Mapping) else {}
    try:
        for rule in rules:
            schema = rule(schema)
    except RecursionError:
        return {"type": "object", "properties": {}}
    return schema


def parts_of(schema: Schema) -> list[Schema]:
    """The schema and all schemas in it, for whoever checks what a rule left."""
    found = [schema]
    for part in each_part(schema):
        found += parts_of(part)
    return found
