"""write_file and edit_file: whole files put in place at once, line ends and mode kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

from equitrcoder.tools.editing import changed, line_changes, replace_text
from equitrcoder.tools.text import plural, printable
from equitrcoder.tools.values import Box, ToolFailure, ToolResult

_INLINE_BYTES = 1 << 16  # larger ones are changed in a thread
_T = TypeVar("_T")


async def write_file(box: Box, file_path: str, content: str) -> ToolResult:
    """See `catalog.write_file`."""
    data = content.encode("utf-8", "replace")
    return await _in_turn(len(data), lambda: _write(box, file_path, data))


def _write(box: Box, file_path: str, data: bytes) -> ToolResult:
    _refuse_folder_name(box.workspace.relative(file_path))
    with box.workspace.at(file_path, make_folders=True) as place:
        name = printable(place.path)
        before = place.status
        box.workspace.replace_file(place, data)
    lines = data.count(b"\n") + (data != b"" and not data.endswith(b"\n"))
    done = "Made" if before is None else f"Replaced all of the {before.st_size:,} bytes in"
    return ToolResult(
        f"{done} {name}: {plural(lines, 'line')}, {len(data):,} bytes.",
        metadata={"path": name, "bytes": len(data), "lines": lines, "created": before is None},
    )


def _refuse_folder_name(file_path: str) -> None:
    if file_path in ("", ".") or file_path.endswith("/"):
        raise ToolFailure("invalid_path", f"{file_path!r} is the path of a folder; give one of a file.")


async def edit_file(box: Box, file_path: str, old_text: str, new_text: str, replace_all: bool) -> ToolResult:
    """See `catalog.edit_file`."""
    with box.workspace.at(file_path) as place:
        size = place.status.st_size if place.status else 0
    return await _in_turn(size, lambda: _edit(box, file_path, old_text, new_text, replace_all))


def _edit(box: Box, file_path: str, old_text: str, new_text: str, replace_all: bool) -> ToolResult:
    with box.workspace.at(file_path) as place:
        name = printable(place.path)
        box.workspace.refuse_protected(place.path)
        before = read_whole(box, file_path)
        after, count = replace_text(name, before, old_text, new_text, replace_all=replace_all)
        data = after.encode("utf-8", "surrogateescape")
        box.workspace.replace_file(place, data)
    added, removed = line_changes(before, after)
    places = "" if count == 1 else f" in {count:,} places"
    return ToolResult(
        f"Changed {changed(name, added, removed)}{places}.",
        metadata={
            "path": name,
            "bytes": len(data),
            "replacements": count,
            "lines_added": added,
            "lines_removed": removed,
        },
    )


def read_whole(box: Box, file_path: str) -> str:
    """All of a file's text, so that it can be written back byte by byte: what is no UTF-8 stands as surrogates.

    Raises:
        ToolFailure: `too_large`, `binary_file`, and those of `Workspace.open_file`.
        OSError: It cannot be read.
    """
    with box.workspace.at(file_path) as place:
        descriptor = box.workspace.open_file(place)
        with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor)
            size = os.fstat(descriptor).st_size
            if size > box.limits.file_bytes:
                raise ToolFailure(
                    "too_large",
                    f"{printable(place.path)} has {size:,} bytes; files up to {box.limits.file_bytes:,} are edited. "
                    "Use run_command: sed, or a script.",
                    metadata={"bytes": size},
                )
            data = file.read()
    if b"\0" in data[:8192]:
        raise ToolFailure(
            "binary_file",
            f"{printable(place.path)} is a binary file of {size:,} bytes, not text.",
            metadata={"bytes": size},
        )
    return data.decode("utf-8", "surrogateescape")


async def _in_turn(size: int, work: Callable[[], _T]) -> _T:
    """Do small work here and large work in a thread; a thread is waited for even when we are cancelled.

    Otherwise a write could still be under way when its call is already closed as cancelled.
    """
    if size <= _INLINE_BYTES:
        return work()
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
