"""Tools from MCP servers: `McpTools` offers those of the servers in the settings, and calls them.

A server is a stranger's program. What it is called, offers, answers and sends unasked is bounded and untrusted; the
SDK (`mcp` from PyPI, an extra) is loaded when the first server is started and not before.

Source: DESIGN.md section 6; https://modelcontextprotocol.io/specification/2025-11-25
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.mcp.known import ChangedTool as ChangedTool
    from equitrcoder.mcp.servers import Server as Server
    from equitrcoder.mcp.tools import McpTools as McpTools

_HOMES = {"ChangedTool": "known", "McpTools": "tools", "Server": "servers"}

__all__ = ["ChangedTool", "McpTools", "Server"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
