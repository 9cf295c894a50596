"""What each key may hold: one table, used for files, variables, flags and arguments alike. Pure."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from equitrcoder.settings.model import CREDENTIAL_HEADERS

Place: TypeAlias = tuple[str | int, ...]
"""Way to a value inside a document: keys and list positions."""

Layer: TypeAlias = dict[str, tuple[Any, str]]
"""One source of settings, checked: key -> (value, where it came from)."""


class Mismatch(Exception):
    """A value is not of its kind; `place` leads to it from the key's own value."""

    def __init__(self, expected: str, found: object, place: Place = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found
        self.place = place


class UnknownName(Mismatch):
    """A row has a field that none has; `known` are those there are."""

    def __init__(self, name: str, known: Sequence[str], place: Place) -> None:
        super().__init__("a known field", name, place)
        self.known = known


class Kind:
    """How a key's value is checked, and read from a variable's text."""

    __slots__ = ("check", "expected", "read")

    def __init__(self, expected: str, check: Callable[[Any], Any], read: Callable[[str], Any] | None = str, /) -> None:
        self.expected = expected
        """In words, after "must be"."""
        self.check = check
        """Gives the value to keep; raises Mismatch."""
        self.read = read
        """Turns a variable's text into what `check` takes; raises ValueError. None: only files may set it."""


def _line(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Mismatch("one line of text", value)
    return value


def _command(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Mismatch("a command line", value)
    return value


def _path(value: Any) -> str:
    return _line(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _url(value: Any) -> str:
    text = _line(value)
    scheme, slashes, rest = text.partition("://")
    if scheme.lower() not in ("http", "https") or not slashes or not rest.strip("/") or " " in text:
        raise Mismatch("an http or https address", value)
    return text


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Mismatch("true or false", value)
    return value


_SWITCH_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _read_switch(text: str) -> bool:
    word = _SWITCH_WORDS.get(text.strip().lower())
    if word is None:
        raise ValueError(text)
    return word


def _number(expected: str, least: float) -> Callable[[Any], float]:
    """`least` itself is allowed only when it is 0 dollars; times must be above 0."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Mismatch(expected, value)
        if value < least or value > 1e12:
            raise Mismatch(expected, value)
        return float(value)

    return check


def _whole(expected: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**12:
            raise Mismatch(expected, value)
        return value

    return check


def _choice(*words: str) -> Kind:
    expected = f"one of {', '.join(words)}"

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise Mismatch(expected, value)
        return value

    return Kind(expected, check)


def _listed(expected: str, item: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise Mismatch(expected, value)
        return tuple(_inside(item, one, (at,)) for at, one in enumerate(value))

    return check


def _inside(check: Callable[[Any], Any], value: Any, place: Place) -> Any:
    """Check a value that stands inside another one, and say where it stands."""
    try:
        return check(value)
    except Mismatch as error:
        error.place = place + error.place
        raise


def _variable_name(value: Any) -> str:
    if not isinstance(value, str) or not value.isidentifier() or not value.isascii():
        raise Mismatch("the name of a variable", value)
    return value


def _absolute_path(value: Any) -> str:
    text = _path(value)
    if not text.startswith(("/", "~/")):
        raise Mismatch("an absolute path, or one that starts with ~/", value)
    return text


def _split(separator: str) -> Callable[[str], list[str]]:
    return lambda text: [part.strip() for part in text.split(separator) if part.strip()]


def _mapping(expected: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Mismatch(expected, value)
    return value


def _rows(expected: str, row: Callable[[Any], Any], name: Callable[[Any], str]) -> Callable[[Any], dict[str, Any]]:
    def check(value: Any) -> dict[str, Any]:
        rows = _mapping(expected, value)
        return {_inside(name, key, (key,)): _inside(row, one, (key,)) for key, one in rows.items()}

    return check


def _row(
    expected: str, fields: Mapping[str, Callable[[Any], Any]], needed: Sequence[str]
) -> Callable[[Any], dict[str, Any]]:
    def check(value: Any) -> dict[str, Any]:
        given = {key: one for key, one in _mapping(expected, value).items() if one is not None}
        for key in given.keys() - fields.keys():
            raise UnknownName(key, tuple(fields), (key,))
        for key in needed:
            if key not in given:
                raise Mismatch(f"{expected} with {key}", ", ".join(given) or "nothing")
        return {key: _inside(fields[key], one, (key,)) for key, one in given.items()}

    return check


def _provider_name(value: Any) -> str:
    text = _line(value)
    if "/" in text or not text.replace("-", "").replace("_", "").isalnum() or text != text.lower():
        raise Mismatch("a name of small letters, digits, - and _", value)
    return text


def _priced_model(value: Any) -> str:
    provider, slash, model = _line(value).partition("/")
    if not (provider and slash and model):
        raise Mismatch('written "provider/model"', value)
    return f"{provider}/{model}"


def _headers(value: Any) -> dict[str, str]:
    given = _mapping("headers and their values", value)
    for name in given:
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise Mismatch("the name of a header", name, (name,))
    return {name: _inside(_line, one, (name,)) for name, one in given.items()}


def _names(value: Any) -> tuple[str, ...]:
    return (_variable_name(value),) if isinstance(value, str) else _listed("names of variables", _variable_name)(value)


def _dialect(value: Any) -> dict[str, Any]:
    return dict(_mapping("departures and their values", value))


_dollars = _number("a number of dollars, 0 or more", 0)
_seconds = _number("a number of seconds, 0.001 or more", 0.001)

PROVIDER_FIELDS: dict[str, Callable[[Any], Any]] = {
    "wire": _line,
    "base_url": _url,
    "key_env": _names,
    "headers": _headers,
    "capture": _choice("middleware", "native").check,
    "auth": _choice("bearer", "bearer-optional", "x-api-key", "x-goog-api-key", "none").check,
    "default_model": _line,
    "worker_model": _line,
    "tools": _choice("yes", "no", "model").check,
    "free": _switch,
    "dialect": _dialect,
}
"""Fields of a row of the user's own. Which wires and departures there are, the providers know."""

PRICE_FIELDS: dict[str, Callable[[Any], Any]] = dict.fromkeys(
    ("input", "output", "cached_input", "cache_write"), _dollars
)

TEXT = Kind("one line of text", _line)
SWITCH = Kind("true or false", _switch, _read_switch)
SECONDS = Kind("a number of seconds, 0.001 or more", _seconds, float)
WHOLE = Kind("a whole number, 1 or more", _whole("a whole number, 1 or more"), int)
PROVIDERS = Kind(
    "rows by name",
    _rows("rows by name", _row("a provider's row", PROVIDER_FIELDS, ("wire", "base_url")), _provider_name),
    None,
)
PRICES = Kind(
    'prices by "provider/model"',
    _rows('prices by "provider/model"', _row("a price", PRICE_FIELDS, ("input", "output")), _priced_model),
    None,
)

KEYS: dict[str, Kind] = {
    "ai_provider": TEXT,
    "ai_model": TEXT,
    "ai_api_key": TEXT,
    "ai_base_url": Kind("an http or https address", _url),
    "budget": Kind("a number of dollars, 0 or more", _dollars, float),
    "use_multi_agent": SWITCH,
    "supervisor_model": TEXT,
    "worker_model": TEXT,
    "log_tool_calls": SWITCH,
    "tool_log_file": Kind("a path", _path),
    "providers": PROVIDERS,
    "prices": PRICES,
    "approve": _choice("ask", "edits", "all", "deny"),
    "sandbox": _choice("auto", "required", "off"),
    "network": SWITCH,
    "env_passthrough": Kind("names of variables", _listed("a list of names of variables", _variable_name), _split(",")),
    "readable_paths": Kind("absolute paths", _listed("a list of absolute paths", _absolute_path), _split(os.pathsep)),
    "max_turns": WHOLE,
    "max_time_s": SECONDS,
    "max_tokens": WHOLE,
    "allow_unpriced": SWITCH,
    "stream": SWITCH,
    "reasoning_effort": TEXT,
    "output_limit_tokens": WHOLE,
    "fallback_model": TEXT,
    "idle_timeout_s": SECONDS,
    "request_timeout_s": SECONDS,
    "max_attempts": WHOLE,
    "command_timeout_s": SECONDS,
    "durability": _choice("process", "full"),
    "check": Kind("a command line", _command),
}
"""Every key; equal to the attributes of `Settings` (a test holds them together)."""

SECTION = "orchestrator"
SECTION_KEYS = ("use_multi_agent", "supervisor_model", "worker_model", "log_tool_calls", "tool_log_file")
"""Keys that stand under `orchestrator:` in files."""


def holds_credential(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Where among checked values a secret stands: the key or a header of a row; None when there is none.

    Example:
        >>> holds_credential({"providers": {"mine": {"headers": {"X-Api-Key": "abc"}}}})
        ('providers', 'mine', 'headers', 'X-Api-Key')
    """
    if values.get("ai_api_key"):
        return ("ai_api_key",)
    for name, row in values.get("providers", {}).items():
        for header in row.get("headers", {}):
            if header.lower() in CREDENTIAL_HEADERS:
                return ("providers", name, "headers", header)
    return None
