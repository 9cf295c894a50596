"""A server as the settings name it, with the variables in it put in. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from equitrcoder import jsontext

CALL_TIMEOUT_S = 60.0
START_TIMEOUT_S = 20.0

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_WITH_VARIABLES = ("args", "env", "headers", "url", "cwd")


class ServerTrouble(Exception):
    """A server cannot be used.

    Attributes:
        error_type: `server_failed`, `server_unreachable` … as in docs/mcp.md.
        message: Why, one line.
    """

    def __init__(self, message: str, *, error_type: str = "server_failed") -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type


class Server:
    """One row of `mcpServers`.

    Args:
        name: Its name: what the names of its tools begin with.
        row: As `settings.mcp_rows` checked it.
    """

    def __init__(self, name: str, row: Mapping[str, Any]) -> None:
        self.name = name
        self.row = row
        self.trusted: bool = row.get("trusted", False)
        self.network: bool | None = row.get("network")
        self.timeout_s: float = row.get("timeout_s", CALL_TIMEOUT_S)
        self.start_timeout_s: float = row.get("start_timeout_s", START_TIMEOUT_S)

    @property
    def is_process(self) -> bool:
        """Whether it is a program that is started here; else it is an address."""
        return "command" in self.row

    @property
    def where(self) -> str:
        """The program and its words, or the address, as the settings have it."""
        if self.is_process:
            return " ".join([self.row["command"], *self.row.get("args", ())])
        return str(self.row["url"])

    @property
    def identity(self) -> str:
        """The same for the same program or address: what the user accepted of one is not taken for another's."""
        told = [self.row.get(key) for key in ("command", "args", "url", "cwd", "type")]
        return sha256(jsontext.dumps([self.name, *told])).hexdigest()[:16]

    def setup(self, environ: Mapping[str, str]) -> str:
        """Changes with everything that may change what the server offers; holds no value of it."""
        named = {name: environ.get(name, "") for name in self._variables()}
        told = [{key: self.row.get(key) for key in (*_WITH_VARIABLES, "command", "type", "trusted", "network")}, named]
        return sha256(jsontext.dumps(told)).hexdigest()

    def _variables(self) -> set[str]:
        return {found[0] for key in _WITH_VARIABLES for text in _texts(self.row.get(key)) for found in _find(text)}

    def offers(self, tool: str) -> bool:
        """Whether the settings let this tool through.

        Example:
            >>> server = Server("f", {"command": "x", "tools": {"allow": ("read_*", "list"), "deny": ("read_all",)}})
            >>> [server.offers(tool) for tool in ("read_file", "read_all", "list", "write")]
            [True, False, True, False]
        """
        rules: Mapping[str, Sequence[str]] = self.row.get("tools") or {}
        allowed = "allow" not in rules or any(fnmatch.fnmatchcase(tool, name) for name in rules["allow"])
        return allowed and not any(fnmatch.fnmatchcase(tool, name) for name in rules.get("deny", ()))

    def expanded(self, key: str, environ: Mapping[str, str]) -> Any:
        """A field of the row with `${NAME}` and `${NAME:-otherwise}` put in from the environment.

        Raises:
            ServerTrouble: A variable is not set and there is nothing to take instead.
        """

        def put(text: str) -> str:
            return _VARIABLE.sub(lambda found: self._value(found, environ), text)

        value = self.row.get(key)
        if isinstance(value, Mapping):
            return {name: put(text) for name, text in value.items()}
        if isinstance(value, str):
            return put(value)
        return None if value is None else [put(text) for text in value]

    def _value(self, found: re.Match[str], environ: Mapping[str, str]) -> str:
        name, otherwise = found.groups()
        value = environ.get(name) or otherwise
        if value is None:
            raise ServerTrouble(f"the variable {name}, which its settings name, is not set")
        return value


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        return (value,)
    return tuple(value.values()) if isinstance(value, Mapping) else tuple(value or ())


def _find(text: str) -> list[tuple[str, str]]:
    return _VARIABLE.findall(text)


def servers_of(rows: Mapping[str, Mapping[str, Any]]) -> list[Server]:
    """The servers of a setting that are not turned off, in its order."""
    return [Server(name, row) for name, row in rows.items() if row.get("enabled", True)]
