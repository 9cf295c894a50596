"""search: a regular expression over the repository's text files, in linear time whatever the expression."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Callable, Iterator
from io import FileIO
from typing import Any

from equitrcoder.tools.ignoring import glob_filter
from equitrcoder.tools.text import plural, printable
from equitrcoder.tools.values import Box, ToolFailure, ToolResult
from equitrcoder.tools.walking import DEPTH_MAX, walk

_LINE_CHARACTERS_MAX = 500
_LOOKED_AT_BYTES = 8192
_PATTERN_CHARACTERS_MAX = 5000
_COUNTED_MAX = 20_000  # matches; then it is enough


async def search(box: Box, pattern: str, path: str, glob: str | None) -> ToolResult:
    """See `catalog.search`."""
    expression = compile_pattern(pattern)
    stop = threading.Event()
    try:
        return await asyncio.to_thread(_search, box, expression, path, glob_filter(glob), stop)
    finally:
        stop.set()  # a cancelled search ends its thread


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern; `^` and `$` stand for the ends of lines.

    Raises:
        ToolFailure: `invalid_pattern`, with outcome `invalid`: says why.
    """
    import re2

    if len(pattern) > _PATTERN_CHARACTERS_MAX:
        raise ToolFailure(
            "invalid_pattern", f"The pattern is longer than {_PATTERN_CHARACTERS_MAX:,} characters.", outcome="invalid"
        )
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile("(?m)" + pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ToolFailure(
            "invalid_pattern",
            f"The pattern is no regular expression that RE2 takes: {reason}. "
            "Look-around and back-references are not in it; quote ( ) [ ] { } . * + ? with a backslash.",
            outcome="invalid",
        ) from None


def _search(box: Box, expression: Any, path: str, fits: Callable[[str], bool], stop: threading.Event) -> ToolResult:
    lines: list[str] = []
    matches = files = searched = 0
    size = 0
    too_deep: list[str] = []
    for name, data in _texts(box, path, fits, too_deep):
        if stop.is_set():
            break
        searched += 1
        before = matches
        for number, text in matching_lines(expression, data):
            matches += 1
            line = f"{name}:{number}: {text}"
            size += len(line) + 1
            if len(lines) < box.limits.matches and size <= box.limits.text_bytes:
                lines.append(line)
            if matches >= _COUNTED_MAX:
                stop.set()
                break
        files += matches > before
    cut = matches > len(lines)
    if cut:
        more = f"{matches - len(lines):,}{'+' if matches >= _COUNTED_MAX else ''}"
        lines.append(f"[... {more} more matches, in {plural(files, 'file')}; narrow the pattern, path or glob ...]")
    if not lines:
        lines.append(f"No match in {plural(searched, 'file')}.")
    if too_deep:
        lines.append(
            f"[... not searched: what is below {printable(too_deep[0])[:200]}… ({DEPTH_MAX} folders deep) ...]"
        )
    return ToolResult(
        "\n".join(lines),
        metadata={
            "matches": matches,
            "files": files,
            "files_searched": searched,
            **({"truncated": True} if cut else {}),
        },
    )


def matching_lines(expression: Any, data: bytes) -> Iterator[tuple[int, str]]:
    """Number and text of each line in which a match begins, in order.

    Example:
        >>> list(matching_lines(compile_pattern("b+$"), b"ab\\nba\\nbb"))
        [(1, 'ab'), (3, 'bb')]
    """
    place, number = 0, 1
    while place <= len(data) and (match := expression.search(data, place)) is not None:
        start = match.start()
        if start == len(data) and (not data or data.endswith(b"\n")):
            return  # an empty match after the last line
        number += data.count(b"\n", place, start)
        begin = data.rfind(b"\n", 0, start) + 1
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield number, _shown(data[begin:end], start - begin)
        place, number = end + 1, number + 1


def _shown(line: bytes, at: int) -> str:
    """A line; of a long one the part around the match."""
    if len(line) <= _LINE_CHARACTERS_MAX:
        return line.decode("utf-8", "replace")
    begin = max(0, min(at - 100, len(line) - _LINE_CHARACTERS_MAX))
    part = line[begin : begin + _LINE_CHARACTERS_MAX].decode("utf-8", "ignore")
    return ("…" if begin else "") + part + ("…" if begin + _LINE_CHARACTERS_MAX < len(line) else "")


def _texts(box: Box, path: str, fits: Callable[[str], bool], too_deep: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each text file to search, line ends made LF; folders too deep to enter go to `too_deep`."""
    with box.workspace.at(path) as place:
        if box.workspace.is_hidden(place.path):
            return
        if place.status is not None and stat.S_ISREG(place.status.st_mode):
            descriptor = box.workspace.open_file(place)
            data = _text(descriptor, box.limits.file_bytes)
            if data is None:
                raise ToolFailure("binary_file", f"{printable(place.path)} is binary or too large to search.")
            yield printable(place.path), data
            return
        for entry, depth in walk(box, place):
            if entry.kind == "folder" and depth == DEPTH_MAX and not entry.ignored:
                too_deep.append(entry.path)
            if entry.kind != "file" or entry.ignored or not fits(entry.path):
                continue
            try:
                descriptor = os.open(
                    entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=entry.folder
                )
            except OSError:
                continue
            data = _text(descriptor, box.limits.file_bytes)
            if data is not None:
                yield printable(entry.path), data


def _text(descriptor: int, size_max: int) -> bytes | None:
    """What is in a file; None for what is binary, too large or no file. Closes the descriptor."""
    with open(descriptor, "rb", buffering=0) as file:
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > size_max:
                return None
            start = file.read(_LOOKED_AT_BYTES)
            if start is None or b"\0" in start:
                return None
            data = start if len(start) < _LOOKED_AT_BYTES else start + _rest(file, size_max)
        except OSError:
            return None
    return data.replace(b"\r\n", b"\n") if b"\r" in data else data


def _rest(file: FileIO, size_max: int) -> bytes:
    """What is left of a file, bounded also while somebody else appends to it."""
    pieces: list[bytes] = []
    left = size_max
    while left > 0 and (piece := file.read(min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
