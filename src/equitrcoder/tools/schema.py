"""Tool schemas out of typed functions, and the check of a model's arguments against them.

A tool is a function whose first parameter is what it works with and whose other parameters are what the model gives.
Their types are `str`, `int`, `bool`, `list[str]`, each with `| None` where absence means something; the docstring's
text before `Args:` tells the model what the tool does, and each line under `Args:` what a parameter is.

Own and small: at start-up ten schemas cost less than one call of `inspect.signature`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from equitrcoder.records import JSON
from equitrcoder.tools.values import InvalidCall
from equitrcoder.wires.values import ToolSpec

_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "list[str]": {"type": "array", "items": {"type": "string"}},
}
_WORDS = {"string": "a string", "integer": "an integer", "boolean": "true or false", "array": "a list of strings"}
_AT_LEAST_ONE = frozenset({"start_line", "end_line", "depth", "timeout_s"})
_PATHS = frozenset({"file_path", "path", "paths"})
_PATH_CHARACTERS = 4_096
"""PATH_MAX of Linux: nothing longer can be there, and no word of ours should repeat megabytes of it."""
_SHOWN_CHARACTERS = 200


def spec_of(function: Callable[..., Any]) -> ToolSpec:
    """Make the schema of a tool.

    Example:
        >>> def greet(box, name: str, depth: int = 1):
        ...     '''Greet somebody.
        ...
        ...     Args:
        ...         name: Whom.
        ...         depth: How deep.
        ...     '''
        >>> spec_of(greet).parameters["properties"]["depth"]
        {'type': 'integer', 'minimum': 1, 'description': 'How deep.', 'default': 1}
    """
    code = function.__code__
    names = code.co_varnames[1 : code.co_argcount]
    defaults = function.__defaults__ or ()
    required = names[: len(names) - len(defaults)]
    description, about = _read_docstring(function.__doc__ or "")
    properties = {name: _property(function.__annotations__[name], name, about.get(name, "")) for name in names}
    for name, default in zip(reversed(names), reversed(defaults), strict=False):
        if default is not None:
            properties[name]["default"] = default
    return ToolSpec(
        name=function.__name__,
        description=description,
        parameters={
            "type": "object",
            "properties": properties,
            "required": list(required),
            "additionalProperties": False,
        },
    )


def _property(annotation: str, name: str, description: str) -> dict[str, Any]:
    found = dict(_TYPES[annotation.removesuffix(" | None")])
    if name in _AT_LEAST_ONE:
        found["minimum"] = 1
    return {**found, "description": description}


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The text before `Args:`, joined to one line per paragraph, and what stands beside each name."""
    before, _, after = text.partition("Args:")
    paragraphs = [" ".join(part.split()) for part in before.split("\n\n")]
    about: dict[str, str] = {}
    name = ""
    for line in after.partition("\n\n")[0].splitlines():
        word, colon, rest = line.strip().partition(": ")
        if colon and word.isidentifier():
            name, about[word] = word, rest
        elif name and line.strip():
            about[name] += " " + line.strip()
    return "\n".join(part for part in paragraphs if part), about


def check_arguments(spec: ToolSpec, arguments: Mapping[str, JSON] | str | None) -> dict[str, Any]:
    """Check what a model gave for a tool; nothing is guessed or repaired.

    A whole number written as a float (12.0) counts as an integer; null for an optional parameter counts as left out;
    no arguments at all (null, "", and "null" as Cohere writes it) count as `{}`.

    Raises:
        InvalidCall: Says everything that is wrong at once, and what the tool takes.
    """
    if isinstance(arguments, str) and arguments.strip() not in ("", "null"):
        raise InvalidCall("invalid_arguments", _no_object(spec, arguments))
    given: Mapping[str, JSON] = {} if arguments is None or isinstance(arguments, str) else arguments
    properties, required = spec.parameters["properties"], spec.parameters["required"]
    wrong = [f"{name!r} is no argument of it" for name in given if name not in properties]
    wrong += [f"{name!r} is missing" for name in required if name not in given]
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if name not in properties or (value is None and name not in required):
            continue
        kept[name] = _exact(value, properties[name]["type"])
        trouble = _trouble(kept[name], properties[name]) or (_too_long(kept[name]) if name in _PATHS else "")
        if trouble:
            wrong.append(f"{name!r} {trouble}")
    if wrong:
        raise InvalidCall("invalid_arguments", f"{spec.name} was not run: {'; '.join(wrong)}. {_takes(spec)}")
    return kept


def _exact(value: JSON, kind: str) -> JSON:
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _trouble(value: JSON, wanted: Mapping[str, Any]) -> str:
    kind = wanted["type"]
    if not _is(value, kind):
        return f"must be {_WORDS[kind]}, not {_shown(value)}"
    if "minimum" in wanted and isinstance(value, int) and value < wanted["minimum"]:
        return f"must be at least {wanted['minimum']}, not {value}"
    return ""


def _too_long(value: JSON) -> str:
    longest = max(map(len, value if isinstance(value, list) else [value]), default=0)  # type: ignore[arg-type]
    return f"is no path: it has {longest:,} characters" if longest > _PATH_CHARACTERS else ""


def _is(value: JSON, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _shown(value: JSON) -> str:
    words = {str: "the string", bool: "the boolean", int: "the integer", float: "the number", list: "the list"}
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    return (
        f"{words[type(value)]} {str(value)[:60]!r}"
        if isinstance(value, str)
        else (f"{words[type(value)]} {str(value)[:60]}")
    )


def _no_object(spec: ToolSpec, text: str) -> str:
    shown = text[:_SHOWN_CHARACTERS] + ("…" if len(text) > _SHOWN_CHARACTERS else "")
    return (
        f"{spec.name} was not run: its arguments must be one JSON object. "
        f"Received ({len(text):,} characters): {shown}\n{_takes(spec)}"
    )


def _takes(spec: ToolSpec) -> str:
    """What the tool takes, as a signature: optional ones in brackets."""
    properties, required = spec.parameters["properties"], spec.parameters["required"]
    words = [
        f"{name}: {value['type']}" if name in required else f"[{name}: {value['type']}]"
        for name, value in properties.items()
    ]
    return f"It takes {', '.join(words)}." if words else "It takes no arguments."
