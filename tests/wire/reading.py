"""What tests of every wire do with a body: read it, whole or in pieces, and send its calls back."""

from __future__ import annotations

from typing import Any

from equitrcoder.wires.values import EchoedCall, Turn


def feed(reader: Any, body: bytes, size: int | None = None) -> Any:
    """The reader, once it has been given the whole body in pieces of this size."""
    step = size or max(len(body), 1)
    for start in range(0, len(body), step):
        reader.feed(body[start : start + step])
    return reader


def read_body(module: Any, body: bytes, *, streaming: bool, size: int | None = None) -> Turn:
    """The turn of a body; a stream in pieces of this size."""
    turn: Turn = feed(module.stream_reader(), body, size).finish() if streaming else module.read_response(body)
    return turn


def client_calls(turn: Turn, *, as_given: bool = False) -> tuple[EchoedCall, ...]:
    """The calls the client answers, as the next request echoes them.

    Their ids are ours, or, as given, the provider's where it gave one.
    """
    return tuple(
        EchoedCall(
            wire_id=(as_given and each.id) or f"w{each.index}",
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each in turn.calls
        if each.kind == "client"
    )
