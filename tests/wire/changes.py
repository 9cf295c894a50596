"""Changes of a body that must not change the calls in it: other framing, other cuts, fields and events nobody knows."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

UNKNOWN = {"x_new": {"a": [1, None], "b": "data: {}"}, "x_null": None}


def blocks(body: bytes) -> list[bytes]:
    """The events of a stream as they came, without the blank lines between them."""
    plain = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [block for block in plain.strip(b"\n").split(b"\n\n") if block]


def framed(body: bytes, *, end: bytes = b"\n", last: bytes = b"\n\n", before: bytes = b"") -> bytes:
    """The same events with other line ends, another last one, and lines before each."""
    text = b"\n\n".join(before + block for block in blocks(body)) + last
    return text.replace(b"\n", end)


def without_space(body: bytes) -> bytes:
    return (
        b"\n\n".join(
            b"\n".join(line.replace(b"data: ", b"data:", 1) if line.startswith(b"data: ") else line for line in lines)
            for lines in (block.split(b"\n") for block in blocks(body))
        )
        + b"\n\n"
    )


def in_lines(body: bytes) -> bytes:
    """Each event's data over several lines: a newline between two values of JSON means nothing."""
    return (
        b"\n\n".join(
            b"\n".join(
                b"data: {\ndata: " + line[7:-1] + b"\ndata: }"
                if line.startswith(b"data: {") and line.endswith(b"}")
                else line
                for line in block.split(b"\n")
            )
            for block in blocks(body)
        )
        + b"\n\n"
    )


FRAMINGS: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda body: framed(body, end=b"\r\n"),
    "CR": lambda body: framed(body, end=b"\r"),
    "comments": lambda body: framed(body, before=b": keep-alive\n"),
    "comments apart": lambda body: framed(body, before=b": OPENROUTER PROCESSING\n\n"),
    "id and retry": lambda body: framed(body, before=b"id: 7\nretry: 3000\n"),
    "blank lines": lambda body: framed(body, before=b"\n\n"),
    "byte order mark": lambda body: b"\xef\xbb\xbf" + framed(body),
    "no last blank line": lambda body: framed(body, last=b"\n"),
    "no last line end": lambda body: framed(body, last=b""),
    "no space after data:": without_space,
    "data in several lines": in_lines,
}
"""Ways to write the same events."""


def each_event(body: bytes, change: Callable[[Any], Any]) -> bytes:
    """The stream with the JSON of each event changed."""
    return (
        b"\n\n".join(b"\n".join(_changed(line, change) for line in block.split(b"\n")) for block in blocks(body))
        + b"\n\n"
    )


def _changed(line: bytes, change: Callable[[Any], Any]) -> bytes:
    head, start, rest = (b"data:", line[:5], line[5:]) if line.startswith(b"data:") else (b"", b"", line)
    if start != head or not rest.strip().startswith((b"{", b"[")):
        return line
    try:
        return head + (b" " if head else b"") + json.dumps(change(json.loads(rest))).encode()
    except ValueError:
        return line


def with_unknown_fields(value: Any, *, leave: frozenset[str]) -> Any:
    """The value with a field that nobody knows in each object, but for those under keys that belong to others."""
    if isinstance(value, list):
        return [with_unknown_fields(item, leave=leave) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: item if key in leave else with_unknown_fields(item, leave=leave) for key, item in value.items()}
    return {**inner, **UNKNOWN}


def cut_at_random(body: bytes, seed: int) -> list[bytes]:
    """The body in pieces of 1 to 400 bytes, now and then a long one."""
    draw = random.Random(seed)
    pieces, at = [], 0
    while at < len(body):
        size = draw.choice([1, 2, 3, 17, 100, 400, 5000])
        pieces.append(body[at : at + size])
        at += size
    return pieces
