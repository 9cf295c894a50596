"""A model's arguments held to a tool's own JSON Schema, which is a stranger's: the check ends in time whatever it says.

`jsonschema` decides, with three changes. Nothing is fetched: a reference that leads out of the schema cannot be
followed. Patterns run in a linear engine; one that it does not take is not checked. References are followed a bounded
number of times. Where the check itself fails, the arguments go to the server as they are: it checks them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from equitrcoder.mcp.words import one_line
from equitrcoder.records import JSON
from equitrcoder.tools.values import InvalidCall

_MOST_REFERENCES = 2_000
_MOST_ERRORS = 5


class _TooMuchError(Exception):
    pass


def check(name: str, schema: Mapping[str, Any], arguments: Mapping[str, JSON] | str | None) -> dict[str, Any]:
    """The arguments, if they are an object that the schema takes; none at all count as `{}`.

    Raises:
        InvalidCall: `invalid_arguments`: says what is wrong.
    """
    if isinstance(arguments, str) and arguments.strip() not in ("", "null"):
        shown = one_line(arguments, 200)
        raise InvalidCall(
            "invalid_arguments",
            f"{name} was not run: its arguments must be one JSON object. "
            f"Received ({len(arguments):,} characters): {shown}",
        )
    given = {} if arguments is None or isinstance(arguments, str) else dict(arguments)
    wrong = _wrong(schema, given)
    if wrong:
        takes = ", ".join(one_line(word, 60) for word in list(schema.get("properties") or {})[:30])
        told = f" Its arguments: {takes}." if takes else ""
        raise InvalidCall("invalid_arguments", f"{name} was not run: {'; '.join(wrong)}.{told}")
    return given


def _wrong(schema: Mapping[str, Any], given: dict[str, Any]) -> list[str]:
    if not schema.get("properties") and not (schema.keys() - {"type", "$schema", "title", "description", "properties"}):
        return []  # it takes anything: jsonschema need not be loaded
    from itertools import islice

    try:
        errors = list(islice(_validator(schema).iter_errors(given), _MOST_ERRORS))
    except Exception:  # noqa: BLE001  (a stranger's schema may be wrong in any way; the server has the last word)
        return []
    return list(dict.fromkeys(map(_said, errors)))


def _said(error: Any) -> str:
    where = ".".join(str(part) for part in error.absolute_path)
    return one_line(f"{where}: {error.message}" if where else str(error.message), 200)


def _validator(schema: Mapping[str, Any]) -> Any:
    import jsonschema
    from referencing import Registry

    make: Any = jsonschema.validators
    base = make.validator_for(schema, default=jsonschema.Draft202012Validator)
    followed = 0

    def counted(follow: Callable[..., Any]) -> Callable[..., Any]:
        def keyword(*arguments: Any) -> Any:
            nonlocal followed
            followed += 1
            if followed > _MOST_REFERENCES:
                raise _TooMuchError
            return follow(*arguments)

        return keyword

    own: dict[str, Callable[..., Any]] = {"pattern": _pattern, "patternProperties": _nothing}
    own |= {key: counted(base.VALIDATORS[key]) for key in ("$ref", "$dynamicRef") if key in base.VALIDATORS}
    if _says(schema, "patternProperties"):  # what else is allowed depends on patterns, which `re` would run
        own |= dict.fromkeys(("additionalProperties", "unevaluatedProperties"), _nothing)
    return make.extend(base, own)(schema, registry=Registry())


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, str) or not isinstance(pattern, str):
        return
    import jsonschema
    import re2

    try:
        fits = re2.search(pattern, instance) is not None
    except re2.error:
        return
    if not fits:
        yield jsonschema.ValidationError(f"{one_line(instance, 60)!r} does not fit {one_line(pattern, 60)!r}")


def _nothing(*_: Any) -> Iterator[Any]:
    return iter(())


def _says(value: Any, key: str) -> bool:
    if isinstance(value, Mapping):
        return key in value or any(_says(inner, key) for inner in value.values())
    return isinstance(value, list) and any(_says(inner, key) for inner in value)
