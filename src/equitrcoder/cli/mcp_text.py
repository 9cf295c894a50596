"""MCP servers and their tools in words; whatever a server says is shown with every character seen."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from equitrcoder.cli.text import safe

if TYPE_CHECKING:
    from equitrcoder.cli.interactive.lines import Lines
    from equitrcoder.mcp.known import ChangedTool
    from equitrcoder.mcp.servers import Server
    from equitrcoder.mcp.tools import AcceptTools

MOST_LINES = 60
QUESTION = "Take them as they are now? [y] yes  [n] no, leave them out: "


def changes(server: Server, changed: Sequence[ChangedTool]) -> list[str]:
    """What is not as it was accepted, as a diff of each tool."""
    from equitrcoder.mcp.words import one_line, seen

    lines = [f"The MCP server {server.name} offers what you have not accepted:"]
    for tool in changed:
        if tool.before is None:
            lines.append(f"  {one_line(tool.name, 100)} is new")
        else:
            lines.append(f"  {one_line(tool.name, 100)} has changed")
        lines += (f"    {line}" for line in _difference(tool))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"… {len(lines) - MOST_LINES} more lines: equitrcoder mcp tools {server.name}"]
    return [safe(seen(line)) for line in lines]


def _difference(tool: ChangedTool) -> Iterator[str]:
    before, now = _plain(tool.before), _plain(tool.now)
    for line in difflib.unified_diff(before, now, lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield line[:300]


def _plain(tool: dict[str, Any] | None) -> list[str]:
    if tool is None:
        return []
    told = {key: tool[key] for key in ("annotations", "inputSchema") if tool.get(key)}
    return [
        *str(tool.get("description") or "").splitlines(),
        *json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False).splitlines(),
    ]


def asking(lines: Lines) -> AcceptTools:
    """Asks the person who types these lines whether to take tools that are not as they were accepted."""

    async def ask(server: Server, changed: Sequence[ChangedTool]) -> bool:
        from equitrcoder.cli.interactive.lines import EndOfLines, Interrupted

        with suppress(OSError):  # the terminal has gone; the signal that says so ends the session
            sys.stderr.write("\n".join(changes(server, changed)) + "\n")
            sys.stderr.flush()
        try:
            return (await lines.answer(QUESTION)).strip().lower() in ("y", "yes")
        except (EndOfLines, Interrupted):
            return False

    return ask
