"""Tool schemas as each provider takes them: what fitted before fits afterwards, and what a host refuses is gone."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from equitrcoder.tools import catalog
from equitrcoder.tools.schema import spec_of
from equitrcoder.wires import wire
from equitrcoder.wires.schemas import EVERY_HOST, MOST_BYTES, MOST_LEVELS, fitted, parts_of
from equitrcoder.wires.values import Conversation, RequestOptions, ToolSpec, UserMessage

Schema = dict[str, Any]
RULES = {
    "every host": EVERY_HOST,
    **{
        name: import_module(f"equitrcoder.wires.{name}.requests").SCHEMA_RULES
        for name in ("openai_chat", "anthropic_messages", "gemini_generate", "ollama_chat")
    },
}
WIRES = {
    "openai-chat": lambda body: body["tools"][0]["function"]["parameters"],
    "openai-responses": lambda body: body["tools"][0]["parameters"],
    "anthropic-messages": lambda body: body["tools"][0]["input_schema"],
    "gemini-generate": lambda body: body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"],
    "ollama-chat": lambda body: body["tools"][0]["function"]["parameters"],
    "cohere-v2": lambda body: body["tools"][0]["function"]["parameters"],
    "mistral": lambda body: body["tools"][0]["function"]["parameters"],
}
each_host = pytest.mark.parametrize("host", RULES)
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def an_object(**properties: Any) -> Schema:
    return {"type": "object", "properties": properties}


# --- what is refused by somebody, with arguments that fit and that must go on fitting ---------------------------------

TREE = {"$ref": "#/$defs/Tree", "$defs": {"Tree": an_object(name=TEXT, children={"items": {"$ref": "#/$defs/Tree"}})}}
SHAPES: dict[str, tuple[Any, list[Any]]] = {
    "definitions": (
        {**an_object(a={"$ref": "#/$defs/A"}, b={"$ref": "#/$defs/A", "description": "B."}), "$defs": {"A": NUMBER}},
        [{"a": 1}, {"a": 1, "b": 2}],
    ),
    "old definitions": ({**an_object(a={"$ref": "#/definitions/A~1B"}), "definitions": {"A/B": TEXT}}, [{"a": "x"}]),
    "a definition that holds itself": (TREE, [{"name": "r", "children": [{"name": "c", "children": []}]}]),
    "the root as a definition": (an_object(next={"$ref": "#"}), [{"next": {"next": {}}}]),
    "a definition that is nowhere": (an_object(a={"$ref": "#/$defs/None"}), []),
    "a definition elsewhere": (an_object(a={"$ref": "https://example.org/a.json"}), []),
    "beside a definition": (
        {
            **an_object(a={"$ref": "#/$defs/A", "minimum": 2, "maximum": 4}),
            "$defs": {"A": {"type": "integer", "maximum": 9}},
        },
        [{"a": 3}],
    ),
    "beside a definition, long ago": (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **an_object(a={"$ref": "#/definitions/A", "maximum": 1}),
            "definitions": {"A": NUMBER},
        },
        [{"a": 3}],
    ),
    "one of, at the root": (
        {"oneOf": [{**an_object(a=TEXT), "required": ["a"]}, {**an_object(b=NUMBER), "required": ["b"]}]},
        [{"a": "x"}, {"b": 1}, {"a": "x", "b": "no number"}],
    ),
    "any of required, at the root": (
        {**an_object(a=TEXT, b=TEXT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": "x"}, {"b": "y"}],
    ),
    "closed branches at the root": (
        {
            "anyOf": [
                {**an_object(kind={"const": "a"}, x=TEXT), "required": ["kind"], "additionalProperties": False},
                {**an_object(kind={"const": "b"}, y=NUMBER), "required": ["kind"], "additionalProperties": False},
            ]
        },
        [{"kind": "a", "x": ""}, {"kind": "b", "y": 2}],
    ),
    "all of, at the root": (
        {"allOf": [{**an_object(a=TEXT), "required": ["a"]}, an_object(a={"maxLength": 3}, b=NUMBER)]},
        [{"a": "x"}, {"a": "xyz", "b": 1}],
    ),
    "all of, inside": (
        an_object(a={"allOf": [TEXT, {"minLength": 1}, {"type": "string", "maxLength": 4}]}),
        [{"a": "x"}],
    ),
    "not": (
        an_object(a={"not": {"type": "object", "properties": {"b": {"const": 1}}, "required": ["b"]}}),
        [{"a": {}}],
    ),
    "if": (
        {
            **an_object(a=TEXT, b=NUMBER),
            "if": {"required": ["a"]},
            "then": {"required": ["b"]},
            "else": {"maxProperties": 0},
        },
        [{"a": "", "b": 1}, {}],
    ),
    "const": (an_object(a={"const": "x"}, b={"const": 1}, c={"const": None}), [{"a": "x", "b": 1, "c": None}]),
    "an enum of many types": (
        an_object(a={"enum": ["x", 1, 2.5, None, True, [1], {"k": "v"}]}),
        [{"a": value} for value in ("x", 1, 2.5, None, True, [1], {"k": "v"})],
    ),
    "an enum of integers": (an_object(a={"type": "integer", "enum": [1, 2]}), [{"a": 2}]),
    "a list of types": (an_object(a={"type": ["string", "null", "array"]}), [{"a": None}, {"a": ["x"]}]),
    "nullable": (an_object(a={"type": "string", "nullable": True}), [{"a": "x"}]),
    "no types": ({"properties": {"a": {}, "b": {"description": "B."}}}, [{"a": [1], "b": 2}]),
    "an unknown type": (an_object(a={"type": "file"}), []),
    "a list of anything": (an_object(a={"type": "array"}), [{"a": [1, "x"]}]),
    "a tuple": (an_object(a={"prefixItems": [TEXT, NUMBER], "items": False}), [{"a": ["x", 1]}]),
    "a tuple, long ago": (
        {"$schema": "http://json-schema.org/draft-07/schema#", **an_object(a={"items": [TEXT, NUMBER]})},
        [{"a": ["x", 1]}],
    ),
    "contains": (an_object(a={"contains": TEXT, "minContains": 0, "maxContains": 1}), [{"a": []}, {"a": [1, "x"]}]),
    "formats": (an_object(a={"type": "string", "format": "uuid", "default": "x"}), [{"a": "no uuid"}]),
    "patterns": (
        an_object(a={"type": "string", "pattern": "(?<=x)y|z"}, b={"pattern": "^a+$"}),
        [{"a": "z", "b": "aa"}],
    ),
    "bounds": (an_object(a={"exclusiveMinimum": 1, "multipleOf": 2, "maximum": 9}), [{"a": 4}]),
    "bounds, long ago": (
        {"$schema": "http://json-schema.org/draft-04/schema#", **an_object(a={"minimum": 1, "exclusiveMinimum": True})},
        [{"a": 2}],
    ),
    "no properties": ({"type": "object"}, [{}, {"a": 1}]),
    "nothing": ({}, [{}, {"a": 1}]),
    "only some properties": (
        {
            **an_object(a=TEXT),
            "additionalProperties": False,
            "patternProperties": {"^x-": NUMBER},
            "propertyNames": {"maxLength": 5},
        },
        [{"a": "x"}, {"x-1": 2}],
    ),
    "names of all kinds": (
        {
            **an_object(**{"a b": TEXT, "ü": NUMBER, "$ref": TEXT, "": TEXT, "ok": TEXT}),
            "additionalProperties": False,
            "required": ["ok", "ü"],
        },
        [{"ok": "x", "ü": 1, "$ref": "r", "": ""}],
    ),
    "truth and falsehood": (
        an_object(a=True, b=False, c={"items": True}, d={"anyOf": [True, TEXT]}),
        [{"a": 1, "c": [1], "d": 2}],
    ),
    "a root of another kind": ({"type": "array", "items": TEXT}, []),
    "a root that may be null": ({**an_object(a=TEXT), "type": ["object", "null"]}, [{"a": "x"}]),
    "true": (True, []),
    "null": (None, []),
    "malformed": (
        {"type": 3, "properties": [], "required": "a", "enum": [], "anyOf": {}, "items": 4, "allOf": [7]},
        [],
    ),
}
each_shape = pytest.mark.parametrize("shape", SHAPES)


def fits(schema: Any, value: Any) -> bool:
    return bool(validator_for(schema, Draft202012Validator)(schema).is_valid(value))


@each_host
@each_shape
def test_arguments_that_fitted_fit(shape: str, host: str) -> None:
    schema, values = SHAPES[shape]
    before = json.dumps(schema)
    found = fitted(schema, RULES[host])
    Draft202012Validator.check_schema(found)
    for value in values:
        assert fits(schema, value), "the example is one"
        assert fits(found, value), found
    assert json.dumps(schema) == before, "the schema that arguments are checked by stays as it was"


REFUSED_BY_ALL = {"$ref", "$defs", "definitions", "allOf", "oneOf", "not", "if", "then", "else", "$schema"}
TAKEN_BY_GEMINI = {
    *("type", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems", "minimum", "maximum"),
    *("anyOf", "properties", "additionalProperties", "required"),
}


@each_host
@each_shape
def test_what_is_refused_is_gone(shape: str, host: str) -> None:
    found = fitted(SHAPES[shape][0], RULES[host])
    assert found["type"] == "object"
    assert isinstance(found["properties"], dict)
    assert not {"anyOf", "enum", "const"} & set(found)
    for part in parts_of(found):
        assert not REFUSED_BY_ALL & set(part)
        kinds = part.get("type", [])
        assert "items" in part or "array" not in (kinds if isinstance(kinds, list) else [kinds])
        allowed = {"anthropic_messages": "[a-zA-Z0-9_.-]{1,64}", "gemini_generate": "[a-zA-Z_][a-zA-Z0-9_]{0,63}"}
        for name in part.get("properties", ()):
            assert host not in allowed or _matches(allowed[host], name)
        if host in ("gemini_generate", "ollama_chat"):
            assert "const" not in part
        if host == "gemini_generate":
            assert set(part) <= TAKEN_BY_GEMINI
            assert {type(value) for value in part.get("enum", ())} <= {str, int, float}
            assert set(part.get("required", ())) <= set(part.get("properties", ()))
        if host == "openai_chat":
            assert "(?" not in part.get("pattern", "")


def _matches(pattern: str, name: str) -> bool:
    import re

    return re.fullmatch(pattern, name) is not None


def told(shape: str, host: str = "every host") -> Schema:
    return fitted(SHAPES[shape][0], RULES[host])


def test_what_can_be_said_is_said() -> None:
    """Relaxing everything to nothing would pass the tests above."""
    assert told("definitions")["properties"] == {"a": NUMBER, "b": {**NUMBER, "description": "B."}}
    assert told("old definitions")["properties"] == {"a": TEXT}
    assert told("beside a definition")["properties"]["a"] == {"type": "integer", "minimum": 2, "maximum": 4}
    assert told("beside a definition, long ago")["properties"]["a"] == NUMBER
    tree = told("a definition that holds itself")
    assert tree["properties"]["name"] == TEXT
    assert tree["properties"]["children"] == {"items": {}}
    closed = told("closed branches at the root")
    assert closed["properties"]["kind"] == {"anyOf": [{"const": "a"}, {"const": "b"}]}
    assert (closed["properties"]["x"], closed["required"]) == (TEXT, ["kind"])
    both = told("all of, at the root")
    assert (both["properties"], both["required"]) == ({"a": {"type": "string", "maxLength": 3}, "b": NUMBER}, ["a"])
    assert told("all of, inside")["properties"]["a"] == {"type": "string", "minLength": 1, "maxLength": 4}
    assert "fits one of" in told("any of required, at the root")["description"]
    assert told("a list of anything")["properties"]["a"] == {"type": "array", "items": {}}
    assert told("a tuple, long ago")["properties"]["a"] == {"prefixItems": [TEXT, NUMBER]}
    assert told("truth and falsehood")["properties"] == {"a": {}, "b": {}, "c": {}, "d": {}}


def test_what_gemini_does_not_take_is_told_in_words() -> None:
    properties = told("formats", "gemini_generate")["properties"]
    assert properties == {"a": {"type": "string", "description": 'format: "uuid" default: "x"'}}
    assert told("an enum of integers", "gemini_generate")["properties"]["a"] == {"type": "integer", "enum": [1, 2]}
    named = told("names of all kinds", "gemini_generate")
    assert (list(named["properties"]), named["required"]) == (["ok"], ["ok"])
    assert "further properties" in named["description"]


@pytest.mark.parametrize("name", WIRES)
def test_every_wire_fits_its_tools(name: str) -> None:
    """A tool of somebody else's, whose schema stays as it was."""
    from equitrcoder.providers import PROVIDERS

    schema = {"oneOf": [{**an_object(a={"$ref": "#/$defs/A"}), "required": ["a"]}], "$defs": {"A": {"const": "x"}}}
    tool = ToolSpec(name="theirs", description="T.", parameters=schema)
    row = next(row for row in PROVIDERS.values() if row.wire == name)
    said = Conversation(system="", messages=[UserMessage(text="Hi")])
    body = wire(name).request(said, [tool], RequestOptions(model="m"), row.dialect, origin=row.name).body
    sent = WIRES[name](body)
    exact = {"enum": ["x"]} if name in ("gemini-generate", "ollama-chat") else {"const": "x"}
    assert (sent["type"], sent["required"]) == ("object", ["a"])
    assert sent["properties"]["a"].items() >= exact.items()
    assert tool.parameters is schema
    assert "oneOf" in schema


NAMES = (
    *("read_file", "write_file", "edit_file", "list_directory", "directory_tree"),
    *("search", "run_command", "git_status", "git_diff", "git_commit"),
)
OURS = [spec_of(getattr(catalog, name)) for name in NAMES]


@each_host
@pytest.mark.parametrize("tool", OURS, ids=lambda tool: tool.name)
def test_our_own_tools_go_out_as_they_are(tool: ToolSpec, host: str) -> None:
    found = fitted(tool.parameters, RULES[host])
    if host == "gemini_generate":  # a default is told in words there
        for name, part in tool.parameters["properties"].items():
            if "default" in part:
                told_so = f"{part['description']} default: {json.dumps(part['default'])}"
                part = {**{k: v for k, v in part.items() if k != "default"}, "description": told_so}
            assert found["properties"][name] == part
    else:
        assert {**found, "required": found.get("required", [])} == tool.parameters


# --- without end, without measure ----------------------------------------------------------------------------------


def nested(levels: int) -> Schema:
    schema: Schema = TEXT
    for _ in range(levels):
        schema = an_object(a=schema)
    return schema


def depth(schema: Schema) -> int:
    inner = [part for part in parts_of(schema) if part is not schema]
    return 1 + max((depth(part) for part in schema.get("properties", {}).values()), default=0) if inner else 0


@each_host
@pytest.mark.parametrize("levels", [30, 300, 20_000])
def test_deep_nesting_is_cut(host: str, levels: int) -> None:
    for key in ("properties", "not", "anyOf"):
        schema = nested(levels) if key == "properties" else {key: nested(levels) if key == "not" else [nested(levels)]}
        assert depth(fitted(schema, RULES[host])) <= MOST_LEVELS + 1


@each_host
def test_deep_values_are_left_out(host: str) -> None:
    deep: Any = 1
    for _ in range(20_000):
        deep = [deep]
    schema = an_object(
        a={"enum": [deep]}, b={"const": deep}, c={"type": "string", "default": deep, "x-foo": {"y": deep}}
    )
    found = fitted(schema, RULES[host])["properties"]
    assert found == {"a": {}, "b": {}, "c": TEXT}


@each_host
def test_a_huge_schema_is_cut_to_what_a_model_can_read(host: str) -> None:
    much = {
        f"p{n}": {**an_object(**{f"q{m}": {**TEXT, "description": "x" * 50} for m in range(20)})} for n in range(500)
    }
    found = fitted(an_object(**much), RULES[host])
    assert len(json.dumps(found)) <= MOST_BYTES * 2  # what comes after the cut may add words
    assert list(found["properties"])[:2] == ["p0", "p1"]


@each_host
def test_definitions_that_use_each_other_twice_do_not_grow_without_end(host: str) -> None:
    defs = {f"D{n}": an_object(a={"$ref": f"#/$defs/D{n + 1}"}, b={"$ref": f"#/$defs/D{n + 1}"}) for n in range(30)}
    schema = {**an_object(a={"$ref": "#/$defs/D0"}), "$defs": {**defs, "D30": TEXT}}
    assert len(json.dumps(fitted(schema, RULES[host]))) <= MOST_BYTES * 2


def test_a_schema_is_fitted_once() -> None:
    schema = an_object(a=TEXT)
    assert fitted(schema) is fitted(schema)
    assert fitted(schema, RULES["gemini_generate"]) is fitted(schema, RULES["gemini_generate"])
    same_place = [fitted(an_object(**{f"a{n}": TEXT})) for n in range(50)]
    assert [list(found["properties"]) for found in same_place] == [[f"a{n}"] for n in range(50)]


# --- any schema ----------------------------------------------------------------------------------------------------

EXAMPLES = int(os.environ.get("EQUITR_EXAMPLES", "250"))
"""250 take about 4 s; more of them find more."""
KEYS = st.sampled_from(["a", "b", "c d"])
LEAVES = st.sampled_from([None, True, False, 0, 1, 2.5, "", "a", "ab"])
VALUES = st.recursive(LEAVES, lambda of: st.lists(of, max_size=2) | st.dictionaries(KEYS, of, max_size=2), max_leaves=4)
KINDS = st.sampled_from(["string", "number", "integer", "boolean", "null", "object", "array"])
REFS = st.sampled_from(["#", "#/$defs/X", "#/$defs/Y", "#/properties/a"])


def keywords(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    """A schema of a few keywords, with schemas in them."""
    size = st.integers(0, 2)
    values: dict[str, st.SearchStrategy[Any]] = {
            "type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "properties": st.dictionaries(KEYS, of, max_size=3),
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^b$"]), of, max_size=1),
            "additionalProperties": of,
            "propertyNames": of,
            "required": st.lists(KEYS, max_size=2, unique=True),
            "dependentRequired": st.dictionaries(KEYS, st.lists(KEYS, max_size=1), max_size=1),
            "dependentSchemas": st.dictionaries(KEYS, of, max_size=1),
            "minProperties": size, "maxProperties": size,
            "items": of, "prefixItems": st.lists(of, min_size=1, max_size=2),
            "contains": of, "minContains": size, "maxContains": size,
            "minItems": size, "maxItems": size, "minLength": size, "maxLength": size,
            "pattern": st.sampled_from(["a", "^a", "^a+$", "^(?!b).*$"]),
            "minimum": size, "exclusiveMaximum": size, "multipleOf": st.just(1),
            "unevaluatedProperties": of, "unevaluatedItems": of,
            "anyOf": st.lists(of, min_size=1, max_size=3), "oneOf": st.lists(of, min_size=1, max_size=3),
            "allOf": st.lists(of, min_size=1, max_size=3), "not": of,
            "if": of, "then": of, "else": of, "$ref": REFS,
            "description": st.just("D."), "format": st.just("uuid"), "default": VALUES,
        }  # fmt: skip
    pairs = st.sampled_from(sorted(values)).flatmap(lambda key: st.tuples(st.just(key), values[key]))
    return st.lists(pairs, max_size=4).map(dict)


ANY_SCHEMA = st.recursive(st.booleans() | keywords(st.booleans()), keywords, max_leaves=8)
ROOTS = st.builds(lambda root, x, y: {**root, "$defs": {"X": x, "Y": y}}, keywords(ANY_SCHEMA), ANY_SCHEMA, ANY_SCHEMA)
ARGUMENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=8, max_size=8)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=ROOTS, values=ARGUMENTS)
def test_no_schema_is_tightened(schema: Schema, values: list[Any]) -> None:
    hosts = [fitted(schema, rules) for rules in RULES.values()]
    for found in hosts:
        assert not REFUSED_BY_ALL & {key for part in parts_of(found) for key in part}
    validators = [Draft202012Validator(found) for found in hosts]
    before = Draft202012Validator(schema)
    for value in values:
        try:
            fitted_before = before.is_valid(value)
        except Exception:  # a reference to nowhere, or to itself without end: nothing can be said
            return
        if fitted_before:
            for validator in validators:
                assert validator.is_valid(value), (value, validator.schema)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    value=st.recursive(
        VALUES, lambda of: st.dictionaries(st.sampled_from(sorted(REFUSED_BY_ALL | TAKEN_BY_GEMINI)), of)
    )
)
def test_anything_in_place_of_a_schema(value: Any) -> None:
    found = [fitted(value, rules) for rules in RULES.values()]
    Draft202012Validator.check_schema({"anyOf": found})
