"""A server's tools as the model is told about them: renamed, bounded, every character seen. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from equitrcoder import jsontext
from equitrcoder.mcp.known import RawTool
from equitrcoder.mcp.naming import offered_name
from equitrcoder.mcp.servers import Server
from equitrcoder.mcp.words import bounded, one_line, seen
from equitrcoder.wires.values import ToolSpec

MOST_TOOLS = 100
"""Of one server."""
MOST_TOOLS_TOGETHER = 118
"""Of all servers: with the ten of our own they are the 128 that hosts take in one request."""
MOST_DESCRIPTION = 2_000
MOST_WORDS_IN_SCHEMA = 1_000
MOST_SCHEMA_BYTES = 32_768
_MOST_LEVELS = 40
_MOST_NAME = 200


class Offer:
    """A tool that the model may call.

    Attributes:
        server: Whose it is.
        tool: What its server calls it.
        spec: As the model is told; its schema is the server's but for words that were bounded.
        reads_only: Whether the server says that it changes nothing.
    """

    __slots__ = ("reads_only", "schema", "server", "spec", "tool")

    def __init__(self, server: Server, raw: RawTool, name: str) -> None:
        self.server = server
        self.tool: str = raw["name"]
        self.schema: dict[str, Any] = raw["inputSchema"]
        self.reads_only = (raw.get("annotations") or {}).get("readOnlyHint") is True
        words = bounded(seen(str(raw.get("description") or "")), MOST_DESCRIPTION) or "(it says nothing)"
        self.spec = ToolSpec(
            name=name,
            description=f"[A tool of the MCP server {server.name}; these are its words:] {words}",
            parameters=_told(self.schema),
        )


def offers(server: Server, tools: Iterable[RawTool], taken: Container[str]) -> tuple[list[Offer], list[str]]:
    """What of a server's tools is offered.

    Args:
        taken: Names that other tools have.

    Returns:
        The offers in the server's order, and what to say of those that were left out, one line each.
    """
    found: dict[str, Offer] = {}
    unfit: list[str] = []
    more = 0
    for raw in tools:
        tool = raw["name"]
        if not server.offers(tool):
            continue
        if len(found) >= MOST_TOOLS:
            more += 1
        elif (why := _unfit(raw)) is not None:
            unfit.append(f"{one_line(tool, 60)} ({why})")
        else:
            name = offered_name(server.name, tool, _Both(taken, found))
            found[name] = Offer(server, raw, name)
    said = []
    if unfit:
        rest = f" and {len(unfit) - 3} more" if len(unfit) > 3 else ""
        said.append(f"MCP server {server.name}: left out {', '.join(unfit[:3])}{rest}")
    if more:
        said.append(
            f"MCP server {server.name}: it offers {more + len(found):,} tools; the first {MOST_TOOLS} are taken "
            "(tools: {allow: […]} chooses)"
        )
    return list(found.values()), said


class _Both:
    """Names of either."""

    def __init__(self, first: Container[str], second: Container[str]) -> None:
        self._both = (first, second)

    def __contains__(self, name: object) -> bool:
        return name in self._both[0] or name in self._both[1]


def _unfit(raw: RawTool) -> str | None:
    """Why a tool cannot be offered; None when it can."""
    if not raw["name"] or len(raw["name"]) > _MOST_NAME:
        return "its name"
    schema = raw.get("inputSchema")
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return "its schema is none of an object"
    if _levels(schema) > _MOST_LEVELS:
        return "its schema is too deep"
    if len(jsontext.dumps(schema)) > MOST_SCHEMA_BYTES:
        return "its schema is too large"
    return None


def _levels(value: Any) -> int:
    """How deep a value goes, counted as far as it matters."""
    deep, layer = 0, [value]
    while layer and deep <= _MOST_LEVELS:
        deep += 1
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deep


def _told(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its words for people bounded and seen; what arguments are held to stays as it is."""
    told: dict[str, Any] = _cleaned(schema)
    return told | {"type": "object"}


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: bounded(seen(inner), MOST_WORDS_IN_SCHEMA)
            if key in ("description", "title", "$comment") and isinstance(inner, str)
            else _cleaned(inner)
            for key, inner in value.items()
        }
    return [_cleaned(inner) for inner in value] if isinstance(value, list) else value
