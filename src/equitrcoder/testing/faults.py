"""From a reply of the script to what is done on the connection, step by step. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from equitrcoder.testing.script import Answer, Fault, ReceivedRequest, Reply

Step: TypeAlias = bytes | float | Literal["stall", "close", "reset"]
"""Send bytes; be silent for seconds; wait for `release()`; end the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An answer in the bytes of a wire."""

    content_type: str
    events: Sequence[bytes]
    """One when not streamed."""


class Renderer(Protocol):
    """What a module of a wire offers."""

    def render(
        self, answer: Answer, request: ReceivedRequest, *, drop_finish: bool = False, drop_done: bool = False
    ) -> Rendered:
        """Write an answer in this wire."""
        ...

    def render_error(self, error: Mapping[str, Any], *, streaming: bool) -> bytes:
        """Write an error object: a body, or an event of a stream."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do on the connection for one request."""

    status: int
    headers: dict[str, str]
    before: tuple[Step, ...] = ()
    """Done before the first byte."""
    steps: tuple[Step, ...]
    """The body."""
    body_bytes: int | None
    """Content length to announce; None: chunked."""


def plan(reply: Reply, request: ReceivedRequest, renderer: Renderer) -> Plan:
    """Say what is to be done for one request."""
    fault = Fault(answer=reply) if isinstance(reply, Answer) else reply
    if fault.body is not None:
        content_type, content = _own_body(fault.body)
        events: Sequence[bytes] = [content]
        chunked = False
    elif fault.error is not None and fault.status >= 400:  # also where a stream was asked for
        content_type, chunked = "application/json", False
        events = [renderer.render_error(fault.error, streaming=False)]
    else:
        rendered = renderer.render(fault.answer, request, drop_finish=fault.drop_finish, drop_done=fault.drop_done)
        content_type, chunked = rendered.content_type, request.streaming
        events = _with_insertions(rendered.events, fault, renderer, streaming=request.streaming)
    return Plan(
        status=fault.status,
        headers={"content-type": fault.content_type or content_type, **fault.headers},
        before=_before(fault),
        steps=tuple(_spoilt(events, fault)),
        body_bytes=None if chunked else sum(map(len, events)),
    )


def _own_body(body: bytes | str | Mapping[str, Any] | list[Any]) -> tuple[str, bytes]:
    if isinstance(body, bytes):
        content = body
    elif isinstance(body, str):
        content = body.encode("utf-8", "surrogatepass")
    else:
        content = json.dumps(body).encode()
    html = content.lstrip()[:1] == b"<"
    return "text/html; charset=utf-8" if html else "application/json", content


def _before(fault: Fault) -> tuple[Step, ...]:
    steps: list[Step] = []
    if fault.delay_s:
        steps.append(fault.delay_s)
    if fault.stall_before_answer:
        steps.append("stall")
    if fault.close_before_answer:
        steps.append(_end(fault))
    return tuple(steps)


def _end(fault: Fault) -> Literal["close", "reset"]:
    return "reset" if fault.reset else "close"


def _with_insertions(events: Sequence[bytes], fault: Fault, renderer: Renderer, *, streaming: bool) -> Sequence[bytes]:
    place = fault.insert_after_events
    if fault.insert is not None:
        insert = fault.insert.encode() if isinstance(fault.insert, str) else fault.insert
        events = [*events[:place], insert, *events[place:]]
    if fault.error is not None:
        kept = events[:place] if streaming else []
        events = [*kept, renderer.render_error(fault.error, streaming=streaming)]
    return events


def _spoilt(events: Sequence[bytes], fault: Fault) -> Iterator[Step]:
    """The body's steps: each event, cut where something is to happen in between."""
    marks = _marks(events, fault)
    sent = 0
    for event in events:
        while marks and marks[0][0] < sent + len(event):
            place, step = marks.pop(0)
            yield from _dripped(event[: place - sent], fault)
            event, sent = event[place - sent :], place
            yield step
            if step != "stall":
                return
        yield from _dripped(event, fault)
        sent += len(event)
    for _, step in marks:
        yield step
        if step != "stall":
            return


def _marks(events: Sequence[bytes], fault: Fault) -> list[tuple[int, Step]]:
    """Where in the body something happens, in bytes; in order, a stall before a close at the same place."""
    marks: list[tuple[int, Step]] = []
    orders: tuple[tuple[int | None, int | None, Step], ...] = (
        (fault.stall_after_events, fault.stall_after_bytes, "stall"),
        (fault.close_after_events, fault.close_after_bytes, _end(fault)),
    )
    for after_events, after_bytes, step in orders:
        if after_events is not None:
            marks.append((sum(map(len, events[:after_events])), step))
        if after_bytes is not None:
            marks.append((after_bytes, step))
    return sorted(marks, key=lambda mark: mark[0])


def _dripped(data: bytes, fault: Fault) -> Iterator[Step]:
    size = fault.drip_bytes
    if not data:
        return
    if not size:
        yield data
        return
    for start in range(0, len(data), size):
        yield data[start : start + size]
        yield fault.drip_pause_s
