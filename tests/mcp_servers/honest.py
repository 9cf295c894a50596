"""An MCP server written with the SDK: `python honest.py` on standard input and output, `honest.py PORT` on HTTP."""

import sys

from mcp.server.mcpserver import Image, MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("honest")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def echo(text: str, times: int = 1) -> str:
    """Say it back."""
    return text * times


@server.tool()
def add(first: int, second: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": first + second}


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("it cannot be done")


@server.tool()
def picture() -> Image:
    """A picture."""
    return Image(data=b"\x89PNG" + bytes(96), format="png")


if len(sys.argv) > 2:
    server.run(sys.argv[2], port=int(sys.argv[1]))  # type: ignore[arg-type]
else:
    server.run("stdio")
