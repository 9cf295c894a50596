"""read_file: a file or some of its lines, bounded, whatever is in it."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import os
from collections.abc import Iterator

from equitrcoder.records import JSON
from equitrcoder.tools.text import plural, printable
from equitrcoder.tools.values import Box, ToolFailure, ToolLimits, ToolResult

_CHUNK_BYTES = 1 << 18
_INLINE_BYTES = 1 << 20  # larger ones are read in a thread
_LOOKED_AT_BYTES = 8192
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


async def read_file(box: Box, file_path: str, start_line: int | None, end_line: int | None) -> ToolResult:
    """See `catalog.read_file`."""
    with box.workspace.at(file_path) as place:
        descriptor = box.workspace.open_file(place)
        try:
            size = os.fstat(descriptor).st_size
            arguments = (descriptor, size, printable(place.path), start_line, end_line, box.limits)
            if size <= _INLINE_BYTES:
                return _read(*arguments)
            return await asyncio.shield(asyncio.to_thread(_read_and_close, os.dup(descriptor), *arguments[1:]))
        finally:
            os.close(descriptor)


def _read_and_close(
    descriptor: int, size: int, path: str, start: int | None, end: int | None, limits: ToolLimits
) -> ToolResult:
    try:
        return _read(descriptor, size, path, start, end, limits)
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int, path: str, start: int | None, end: int | None, limits: ToolLimits) -> ToolResult:
    source = _source(descriptor, size, path, limits)
    if start is None and end is None:
        return _whole(source, path, limits)
    return _range(source, path, start or 1, end, limits)


class _Source:
    """Bytes of a file by their place."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; fewer at the end of the file."""
        pieces: list[bytes] = []
        while length > 0 and (piece := os.pread(self._descriptor, length, offset)):
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(pieces)

    def chunks(self, offset: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `offset` to `end`, piece by piece."""
        end = self.size if end is None else end
        while offset < end and (piece := self.read(offset, min(_CHUNK_BYTES, end - offset))):
            yield piece
            offset += len(piece)


class _Memory(_Source):
    def __init__(self, data: bytes) -> None:
        super().__init__(-1, len(data))
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


def _source(descriptor: int, size: int, path: str, limits: ToolLimits) -> _Source:
    """The file as UTF-8 bytes.

    Raises:
        ToolFailure: `too_large`, `binary_file`.
    """
    if size > limits.scan_bytes:
        raise ToolFailure(
            "too_large",
            f"{path} has {size:,} bytes. Read parts of it with run_command: head, tail, or sed -n '1,100p'.",
            metadata={"bytes": size},
        )
    source = _Source(descriptor, size)
    start = source.read(0, _LOOKED_AT_BYTES)
    if start.startswith(_UTF16) and size <= limits.file_bytes:
        return _Memory(source.read(0, size).decode("utf-16", "replace").encode("utf-8", "replace"))
    if b"\0" in start:
        raise ToolFailure(
            "binary_file",
            f"{path} is a binary file of {size:,} bytes, not text. Look at it with run_command: file, xxd, strings.",
            metadata={"bytes": size},
        )
    if start.startswith(codecs.BOM_UTF8) and size <= limits.file_bytes:
        return _Memory(source.read(len(codecs.BOM_UTF8), size))
    return source


def _whole(source: _Source, path: str, limits: ToolLimits) -> ToolResult:
    if source.size <= limits.text_bytes:
        data = source.read(0, source.size)
        lines = _count_lines(data)
        if lines <= limits.lines:
            text = data.decode("utf-8", "replace")
            return ToolResult(text or "(the file is empty)", metadata=_facts(path, len(data), lines, text))
    lines, digest = _survey(source, 0, source.size)
    head, tail, text = _cut(source, 0, source.size, lines, 1, limits, numbered=False)
    facts = {**_facts(path, source.size, lines, text), "truncated": True, "lines_shown": head + tail}
    return ToolResult(text, metadata=facts, full_bytes=source.size, full_sha256=digest)


def _range(source: _Source, path: str, start: int, end: int | None, limits: ToolLimits) -> ToolResult:
    if end is not None and end < start:
        raise ToolFailure("invalid_range", f"end_line {end} comes before start_line {start}.")
    first = _offset_of_line(source, start, 0, 1)
    if first is None:
        lines, _ = _survey(source, 0, source.size)
        raise ToolFailure(
            "invalid_range",
            f"{path} has {plural(lines, 'line')}; line {start} is past its end.",
            metadata={"lines": lines},
        )
    after = None if end is None else _offset_of_line(source, end + 1, first, start)
    stop = source.size if after is None else after
    lines, digest = _survey(source, first, stop)
    facts: dict[str, JSON] = {"start_line": start, "end_line": start + lines - 1}
    if stop - first <= limits.text_bytes and lines <= limits.lines:
        text = _numbered(source.read(first, stop - first), start)
        return ToolResult(text, metadata={**_facts(path, stop - first, lines, text), **facts})
    head, tail, text = _cut(source, first, stop, lines, start, limits, numbered=True)
    facts |= {"truncated": True, "lines_shown": head + tail}
    return ToolResult(
        text,
        metadata={**_facts(path, stop - first, lines, text), **facts},
        full_bytes=stop - first,
        full_sha256=digest,
    )


def _facts(path: str, size: int, lines: int, text: str) -> dict[str, JSON]:
    facts: dict[str, JSON] = {"path": path, "bytes": size, "lines": lines}
    if "\ufffd" in text:
        facts["replaced_characters"] = text.count("\ufffd")
    return facts


def _count_lines(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


def _survey(source: _Source, start: int, stop: int) -> tuple[int, str]:
    """Count the lines of a stretch, and hash it as it stands in the record: where somebody takes it, redacted."""
    from equitrcoder.sandbox.output import WHOLE

    open_whole = WHOLE.get()
    whole = None if open_whole is None else open_whole(to_file=False)
    digest = hashlib.sha256()
    take = digest.update if whole is None else whole.feed
    newlines, last = 0, b"\n"
    for piece in source.chunks(start, stop):
        take(piece)
        newlines += piece.count(b"\n")
        last = piece[-1:]
    return newlines + (last != b"\n"), digest.hexdigest() if whole is None else whole.sha256


def _offset_of_line(source: _Source, line: int, offset: int, at_line: int) -> int | None:
    """Where a line begins, looked for from `offset`, where line `at_line` begins; None past the end."""
    missing = line - at_line
    for piece in source.chunks(offset):
        newlines = piece.count(b"\n") if missing else 0
        if newlines >= missing:
            place = 0
            for _ in range(missing):
                place = piece.index(b"\n", place) + 1
            return offset + place if offset + place < source.size else None
        missing -= newlines
        offset += len(piece)
    return None


def _cut(
    source: _Source, start: int, stop: int, lines: int, first_line: int, limits: ToolLimits, *, numbered: bool
) -> tuple[int, int, str]:
    """Head and tail of a stretch as text, and how many lines each has."""
    head = _first_lines(source.read(start, limits.text_bytes * 3 // 4), limits.lines * 3 // 4)
    tail_start = max(start + len(head), stop - limits.text_bytes // 4)
    tail = _last_lines(source.read(tail_start, stop - tail_start), limits.lines // 4)
    head_lines, tail_lines = _count_lines(head), _count_lines(tail)
    left_out = stop - start - len(head) - len(tail)
    what = f"lines {first_line + head_lines:,} to {first_line + lines - tail_lines - 1:,} left out"
    if head_lines + tail_lines >= lines:
        what = "the middle of a long line left out"
    note = f"[... {what}: {left_out:,} of {stop - start:,} bytes. Read them with start_line and end_line ...]\n"
    last_number = first_line + lines - tail_lines
    texts = (
        (_numbered(head, first_line), _numbered(tail, last_number))
        if numbered
        else (head.decode("utf-8", "replace"), tail.decode("utf-8", "replace"))
    )
    gap = "" if texts[0].endswith("\n") else "\n"
    return head_lines, tail_lines, texts[0] + gap + note + texts[1]


def _first_lines(data: bytes, count: int) -> bytes:
    """At most `count` whole lines; of one line that is longer than all of `data`, what there is of it."""
    place = 0
    for _ in range(count):
        following = data.find(b"\n", place)
        if following < 0:
            break
        place = following + 1
    if place:
        return data[:place]
    from equitrcoder.sandbox.output import whole_characters_at_end

    return whole_characters_at_end(data)


def _last_lines(data: bytes, count: int) -> bytes:
    place = len(data) - data.endswith(b"\n")
    for _ in range(count):
        before = data.rfind(b"\n", 0, place)
        if before < 0:
            break
        place = before
    if place < len(data) - data.endswith(b"\n"):
        return data[place + 1 :]
    from equitrcoder.sandbox.output import whole_characters_at_start

    return whole_characters_at_start(data)


def _numbered(data: bytes, first: int) -> str:
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return "".join(f"{first + index}\t{line}\n" for index, line in enumerate(lines))
