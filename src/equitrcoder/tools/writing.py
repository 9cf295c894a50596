"""write_file and edit_file: whole files put in place at once, line ends and mode kept."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import Callable
from typing import TypeVar

from equitrcoder.tools.editing import changed, line_changes, replace_text
from equitrcoder.tools.text import plural, printable
from equitrcoder.tools.values import Box, ToolFailure, ToolResult
from equitrcoder.tools.workspace import Place

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
        ends = _line_ends_changed(box, place, data)
        box.workspace.replace_file(place, data)
    lines = data.count(b"\n") + (data != b"" and not data.endswith(b"\n"))
    done = "Made" if before is None else f"Replaced all of the {before.st_size:,} bytes in"
    return ToolResult(
        f"{done} {name}: {plural(lines, 'line')}, {len(data):,} bytes.{ends}{_other_names(before)}",
        metadata={"path": name, "bytes": len(data), "lines": lines, "created": before is None},
    )


def _line_ends_changed(box: Box, place: Place, data: bytes) -> str:
    """A sentence when the lines ended in CR LF and no longer do: the content is written as it was given."""
    if place.status is None or b"\r\n" in data or b"\n" not in data:
        return ""
    try:
        with open(box.workspace.open_file(place), "rb") as file:  # noqa: PTH123  (a descriptor)
            crlf = b"\r\n" in file.read(_INLINE_BYTES)
    except (OSError, ToolFailure):
        return ""
    return " Its lines ended in CR LF before, now in LF." if crlf else ""


def _other_names(before: os.stat_result | None) -> str:
    """A sentence when the file had other names: where those are cannot be known, so they are left alone."""
    if before is None or before.st_nlink < 2:
        return ""
    return " It had other names (hard links); those keep the old content."


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
        status = place.status
        box.workspace.refuse_protected(place.path, through_git=place.through_git)
        before = _whole_text(box, place)
        after, count = replace_text(name, before, old_text, new_text, replace_all=replace_all)
        data = _encoded(after)
        box.workspace.replace_file(place, data)
    added, removed = line_changes(before, after)
    places = "" if count == 1 else f" in {count:,} places"
    return ToolResult(
        f"Changed {changed(name, added, removed)}{places}.{_other_names(status)}",
        metadata={
            "path": name,
            "bytes": len(data),
            "replacements": count,
            "lines_added": added,
            "lines_removed": removed,
        },
    )


def _encoded(text: str) -> bytes:
    """Back to bytes; halves of characters that the model wrote become question marks."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        halves = {code: "?" for code in range(0xD800, 0xE000) if not 0xDC80 <= code <= 0xDCFF}
        return text.translate(halves).encode("utf-8", "surrogateescape")


def read_whole(box: Box, file_path: str) -> str:
    """All of a file's text, so that it can be written back byte by byte: what is no UTF-8 stands as surrogates.

    Raises:
        ToolFailure: `too_large`, `binary_file`, and those of `Workspace.open_file`.
        OSError: It cannot be read.
    """
    with box.workspace.at(file_path) as place:
        return _whole_text(box, place)


def _whole_text(box: Box, place: Place) -> str:
    descriptor = box.workspace.open_file(place)
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor)
        size = os.fstat(descriptor).st_size
        data = b"" if size > box.limits.file_bytes else file.read(box.limits.file_bytes + 1)
    size = max(size, len(data))  # somebody may append to it just now
    name = printable(place.path)
    if size > box.limits.file_bytes:
        raise ToolFailure(
            "too_large",
            f"{name} has {size:,} bytes; files up to {box.limits.file_bytes:,} are edited. "
            "Use run_command: sed, or a script.",
            metadata={"bytes": size},
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ToolFailure(
            "binary_file",
            f"{name} is UTF-16 text, which is read but not edited. Use run_command: a script, or iconv.",
            metadata={"bytes": size},
        )
    if b"\0" in data[:8192]:
        raise ToolFailure(
            "binary_file", f"{name} is a binary file of {size:,} bytes, not text.", metadata={"bytes": size}
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
