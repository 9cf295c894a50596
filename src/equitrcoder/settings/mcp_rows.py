"""Rows of `mcpServers`: the shape other programs use, and what is ours. Pure; loaded only when a file has some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from equitrcoder.settings.checks import (
    Mismatch,
    UnknownName,
    choice,
    inside,
    line,
    listed,
    mapping,
    path,
    seconds,
    switch,
    url,
    variable_name,
)

MOST_NAME_CHARACTERS = 24
"""Of a server: its name stands before the name of each of its tools, and providers take 64 characters in all."""
_NAME_MARKS = str.maketrans("", "", "-_")


def _server_name(value: Any) -> str:
    text = line(value)
    if not text.isascii() or not text.translate(_NAME_MARKS).isalnum() or len(text) > MOST_NAME_CHARACTERS:
        raise Mismatch(f"a name of at most {MOST_NAME_CHARACTERS} letters, digits, - and _", value)
    return text


def _word(value: Any) -> str:
    """A word for a program: any text but one that ends early."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or "\0" in value:
        raise Mismatch("text", value)
    return value


def _texts(expected: str, name: Callable[[Any], str], text: Callable[[Any], str]) -> Callable[[Any], dict[str, str]]:
    def check(value: Any) -> dict[str, str]:
        given = mapping(expected, value)
        return {inside(name, key, (key,)): inside(text, one, (key,)) for key, one in given.items()}

    return check


def _header_name(value: Any) -> str:
    text = line(value)
    if not text.isascii() or not text.translate(_NAME_MARKS).isalnum():
        raise Mismatch("the name of a header", value)
    return text


def _tools(value: Any) -> dict[str, tuple[str, ...]]:
    """A list of what is offered, or two lists: what is and what is not."""
    names = listed("a list of names of tools (* stands for anything)", line)
    if not isinstance(value, Mapping):
        return {"allow": names(value)}
    for key in value:
        if key not in ("allow", "deny"):
            raise UnknownName(str(key), ("allow", "deny"), (str(key),))
    return {key: inside(names, one, (key,)) for key, one in value.items() if one is not None}


FIELDS: dict[str, Callable[[Any], Any]] = {
    "command": line,
    "args": listed("a list of words", _word),
    "env": _texts("variables and their values", variable_name, _word),
    "cwd": path,
    "url": url,
    "headers": _texts("headers and their values", _header_name, line),
    "type": choice("stdio", "http", "streamable-http", "sse"),
    "trusted": switch,
    "network": switch,
    "enabled": switch,
    "timeout_s": seconds,
    "start_timeout_s": seconds,
    "tools": _tools,
}


def _server(value: Any) -> dict[str, Any]:
    given = {key: one for key, one in mapping("a server's row", value).items() if one is not None}
    for key in given.keys() - FIELDS.keys():
        raise UnknownName(key, tuple(FIELDS), (key,))
    row = {key: inside(FIELDS[key], one, (key,)) for key, one in given.items()}
    if ("command" in row) == ("url" in row):
        raise Mismatch("a server's row with either command or url", ", ".join(row) or "nothing")
    if "command" in row and row.get("type", "stdio") != "stdio":
        raise Mismatch("stdio, as it has a command", row["type"], ("type",))
    if "url" in row and row.get("type") == "stdio":
        raise Mismatch("http or sse, as it has a url", row["type"], ("type",))
    return row


def check_mcp_servers(value: Any) -> dict[str, Any]:
    """The rows by name, checked.

    Example:
        >>> check_mcp_servers({"f": {"command": "node", "args": ["server.js", "."], "trusted": True}})
        {'f': {'command': 'node', 'args': ('server.js', '.'), 'trusted': True}}
    """
    rows = mapping("servers by name", value)
    return {inside(_server_name, key, (key,)): inside(_server, one, (key,)) for key, one in rows.items()}
