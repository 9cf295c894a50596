"""list_directory and directory_tree."""

from __future__ import annotations

import asyncio
import itertools
import os

from equitrcoder.tools.ignoring import Ignored
from equitrcoder.tools.text import printable
from equitrcoder.tools.values import Box, ToolResult
from equitrcoder.tools.walking import DEPTH_MAX, Entry, entries, walk

_COUNTED_MAX = 100_000  # entries of a tree that are counted beyond those shown


async def list_directory(box: Box, path: str) -> ToolResult:
    """See `catalog.list_directory`."""
    return await asyncio.to_thread(_list, box, path)


def _list(box: Box, path: str) -> ToolResult:
    with box.workspace.at(path) as place:
        folder = box.workspace.open_folder(place)
        try:
            all_entries = entries(folder, place.path, Ignored())
            found = [entry for entry in all_entries if not box.workspace.is_hidden(entry.path)]
            lines = [_line(entry) for entry in found[: box.limits.entries]]
        finally:
            os.close(folder)
        name = printable(place.path) or "."
    more = len(found) - len(lines)
    if more:
        lines.append(f"[... {more:,} more of {len(found):,} entries; use search, or list a folder below ...]")
    text = "\n".join(lines) or "(the folder is empty)"
    return ToolResult(text, metadata={"path": name, "entries": len(found), **({"truncated": True} if more else {})})


def _line(entry: Entry) -> str:
    name = printable(entry.name)
    if entry.kind == "folder":
        return name + "/"
    if entry.kind == "link":
        try:
            return f"{name} -> {printable(os.readlink(entry.name, dir_fd=entry.folder))}"
        except OSError:
            return name
    return name if entry.kind == "file" else f"{name} (no file: pipe, socket or device)"


def _left_out(entry: Entry, level: int) -> str:
    """Why a folder is not entered, though the depth that was asked for would allow it."""
    if entry.ignored:
        return " (ignored by git)"
    return f" (not entered: {DEPTH_MAX} folders deep)" if entry.kind == "folder" and level == DEPTH_MAX else ""


async def directory_tree(box: Box, path: str, depth: int) -> ToolResult:
    """See `catalog.directory_tree`."""
    return await asyncio.to_thread(_tree, box, path, depth)


def _tree(box: Box, path: str, depth: int) -> ToolResult:
    with box.workspace.at(path) as place:
        name = printable(place.path) or "."
        found = walk(box, place, depth_max=depth)
        lines = [
            "  " * level + _line(entry) + _left_out(entry, level)
            for entry, level in itertools.islice(found, box.limits.entries)
        ]
        more = sum(1 for _ in itertools.islice(found, _COUNTED_MAX))
        found.close()  # type: ignore[attr-defined]  # a generator: lets its folders go
    count = f"{len(lines) + more:,}" + ("+" if more == _COUNTED_MAX else "")
    if more:
        lines.append(f"[... cut: {len(lines):,} of {count} entries shown; give a smaller depth or a folder below ...]")
    return ToolResult(
        "\n".join([f"{name}/", *lines]) if lines else f"{name}/ (empty)",
        metadata={
            "path": name,
            "entries": len(lines) - bool(more) + more,
            "depth": depth,
            **({"truncated": True} if more else {}),
        },
    )
