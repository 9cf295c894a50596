"""Rows of the settings' tables: providers of the user's own, and prices. Pure; loaded only when a file has some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from equitrcoder.settings.checks import (
    Mismatch,
    UnknownName,
    choice,
    dollars,
    inside,
    line,
    listed,
    mapping,
    switch,
    url,
    variable_name,
    whole,
)
from equitrcoder.settings.model import CREDENTIAL_HEADERS


def _rows(expected: str, row: Callable[[Any], Any], name: Callable[[Any], str]) -> Callable[[Any], dict[str, Any]]:
    def check(value: Any) -> dict[str, Any]:
        rows = mapping(expected, value)
        return {inside(name, key, (key,)): inside(row, one, (key,)) for key, one in rows.items()}

    return check


def _row(
    expected: str, fields: Mapping[str, Callable[[Any], Any]], needed: Sequence[str]
) -> Callable[[Any], dict[str, Any]]:
    def check(value: Any) -> dict[str, Any]:
        given = {key: one for key, one in mapping(expected, value).items() if one is not None}
        for key in given.keys() - fields.keys():
            raise UnknownName(key, tuple(fields), (key,))
        for key in needed:
            if key not in given:
                raise Mismatch(f"{expected} with {key}", ", ".join(given) or "nothing")
        return {key: inside(fields[key], one, (key,)) for key, one in given.items()}

    return check


_NAME_MARKS = str.maketrans("", "", "-_.")


def _provider_name(value: Any) -> str:
    text = line(value)
    if not text.isascii() or not text.translate(_NAME_MARKS).isalnum() or text != text.lower():
        raise Mismatch("a name of small letters, digits, dots, - and _", value)
    return text


def _priced_model(value: Any) -> str:
    provider, slash, model = line(value).partition("/")
    if not (provider and slash and model):
        raise Mismatch('written "provider/model"', value)
    return f"{provider}/{model}"


def _headers(value: Any) -> dict[str, str]:
    given = mapping("headers and their values", value)
    for name in given:
        if not name.isascii() or not name.translate(_NAME_MARKS).isalnum():
            raise Mismatch("the name of a header", name, (name,))
    return {name: inside(line, one, (name,)) for name, one in given.items()}


def _names(value: Any) -> tuple[str, ...]:
    return (variable_name(value),) if isinstance(value, str) else listed("names of variables", variable_name)(value)


def _dialect(value: Any) -> dict[str, Any]:
    return dict(mapping("departures and their values", value))


PROVIDER_FIELDS: dict[str, Callable[[Any], Any]] = {
    "wire": line,
    "base_url": url,
    "key_env": _names,
    "headers": _headers,
    "capture": choice("middleware", "native"),
    "auth": choice("bearer", "bearer-optional", "x-api-key", "x-goog-api-key", "none"),
    "default_model": line,
    "worker_model": line,
    "tools": choice("yes", "no", "model"),
    "free": switch,
    "dialect": _dialect,
}
"""Fields of a row of the user's own, or of changes to one of the 15.

What a new row needs, and which wires and departures there are, the providers know.
"""

PRICE_FIELDS: dict[str, Callable[[Any], Any]] = dict.fromkeys(
    ("input", "output", "cached_input", "cache_write"), dollars
)


def _kept(value: Any) -> str:
    return "off" if value is False else choice("full", "hash", "off")(value)  # YAML reads a bare off as false


def _tool_name(value: Any) -> str:
    text = line(value)
    if not text or "*" in text[:-1]:
        raise Mismatch("the name of a tool, or its beginning and a *", value)
    return text


_KEPT = dict.fromkeys(("arguments", "results"), _kept)
_KEPT_WORDS = "arguments and results, each full, hash or off"

check_content = _row(
    f"{_KEPT_WORDS}, and tools", {**_KEPT, "tools": _rows("rows by tool", _row(_KEPT_WORDS, _KEPT, ()), _tool_name)}, ()
)
check_command_limits = _row(
    "limits of a command", dict.fromkeys(("cpu_s", "file_mb", "open_files", "processes", "memory_mb"), whole), ()
)
check_providers = _rows("rows by name", _row("a provider's row", PROVIDER_FIELDS, ()), _provider_name)
check_prices = _rows('prices by "provider/model"', _row("a price", PRICE_FIELDS, ("input", "output")), _priced_model)


def check_rules(value: Any) -> tuple[tuple[str, str], ...]:
    """Rules as pairs of verdict and text; each is given as such a pair, or as {verdict: text}.

    Example:
        >>> check_rules([{"deny": "run_command git push"}])
        (('deny', 'run_command git push'),)
    """
    if not isinstance(value, list | tuple):
        raise Mismatch("a list of rules, such as - deny: run_command git push", value)
    return tuple(inside(_rule, one, (at,)) for at, one in enumerate(value))


def _rule(value: Any) -> tuple[str, str]:
    from equitrcoder.rules.written import VERDICTS, Rule

    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value.items()))
    if not isinstance(value, list | tuple) or len(value) != 2 or value[0] not in VERDICTS:
        raise Mismatch("allow, ask or deny, then a tool and a pattern, such as - deny: run_command git push", value)
    text = line(value[1])
    try:
        Rule(value[0], text)
    except ValueError as error:
        raise Mismatch(str(error), text) from None
    return value[0], text


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
    for name, row in values.get("mcp_servers", {}).items():
        for header, value in row.get("headers", {}).items():
            if header.lower() in CREDENTIAL_HEADERS and "${" not in value:
                return ("mcpServers", name, "headers", header)
    return None
