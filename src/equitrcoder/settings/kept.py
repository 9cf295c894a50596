"""What the setting `content` keeps of a tool's calls. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def kept(content: Mapping[str, Any], tool: str, what: str) -> str:
    """How much is kept: `full`, `hash` or `off`.

    A tool's own row comes first, then the pattern with the longest beginning that fits (`f_*`: every tool of the MCP
    server f), then what holds for all. A row that says nothing of `what` leaves it to the next.

    Args:
        content: The setting.
        tool: Name of the tool.
        what: `arguments` or `results`.

    Example:
        >>> content = {"arguments": "hash", "tools": {"f_*": {"results": "off"}, "f_list": {"arguments": "full"}}}
        >>> [kept(content, tool, "results") for tool in ("f_list", "search")]
        ['off', 'full']
        >>> [kept(content, tool, "arguments") for tool in ("f_list", "f_read")]
        ['full', 'hash']
    """
    rows: Mapping[str, Mapping[str, str]] = content.get("tools") or {}
    for name in sorted(rows, key=lambda name: (not name.endswith("*"), len(name)), reverse=True):
        if what in rows[name] and (tool == name or (name.endswith("*") and tool.startswith(name[:-1]))):
            return rows[name][what]
    return str(content.get(what) or "full")


_STRICTER = ("full", "hash", "off")


def keeps_less(new: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Whether a change of the setting keeps nothing that was not kept before.

    Example:
        >>> keeps_less({"tools": {"run_command": {"results": "hash"}}}, {"tools": {"run_*": {"results": "off"}}})
        False
    """
    changes = [("", what, new[what]) for what in ("arguments", "results") if what in new]
    for name, row in (new.get("tools") or {}).items():
        changes += [(name.removesuffix("*"), what, how) for what, how in row.items()]
    return all(
        _STRICTER.index(how) >= _STRICTER.index(kept(current, name, what) if name else current.get(what) or "full")
        for name, what, how in changes
    )


def joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Two layers of the setting as one: rows of tools by name, and what they say by its name; the later one wins.

    An empty `tools` in the later one takes all rows away.
    """
    both = {**before, **after}
    if before.get("tools") and after.get("tools"):
        rows = dict(before["tools"])
        for name, row in after["tools"].items():
            rows[name] = {**rows.get(name, {}), **row}
        both["tools"] = rows
    if "tools" in both and not both["tools"]:
        del both["tools"]
    return both
