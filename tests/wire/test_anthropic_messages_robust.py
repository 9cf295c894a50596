"""No body makes the Messages wire raise anything but our errors, hang, or eat time or memory."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires import read_calls
from equitrcoder.wires.anthropic_messages import MessagesDialect
from equitrcoder.wires.values import AssistantMessage, Conversation, RequestOptions, Turn, UserMessage
from tests.wire import hostile
from tests.wire.hostile import (
    both_ways,
    bytes_or,
    examples,
    fed,
    flipped,
    junk,
    memory_stays_in_proportion,
    nested,
    objects,
    takes_linear_time,
)
from tests.wire.messages_bodies import (
    STOP,
    WIRE,
    answer,
    delta,
    ended,
    events,
    json_piece,
    opened,
    read_stream,
    start,
    text,
    use,
)
from tests.wire.reading import client_calls

SEARCH = use("s1", "web_search", {"query": "é🔧"}, "server_tool_use")
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u"}]}
USAGE = {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
BLOCKS = [
    {"type": "thinking", "thinking": "Hm", "signature": "sig"},
    text("Grüße 🔧"),
    SEARCH,
    FOUND,
    use("a", "f", {"x": "🔧é"}),
    use("", "g", "not json"),
]
NAME = "anthropic-messages"
COMPLETE = answer(*BLOCKS, stop="tool_use", usage=USAGE)
STREAM = events(
    start(text("Hm"), usage=USAGE),
    opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
    delta(0, "thinking_delta", thinking="Hm"),
    delta(0, "signature_delta", signature="sig"),
    {"type": "ping"},
    opened(1, text("")),
    delta(1, "text_delta", text="Grüße 🔧"),
    delta(1, "citations_delta", citation={"type": "x"}),
    opened(2, SEARCH),
    opened(3, FOUND),
    opened(4, use("a", "f", {})),
    json_piece(4, '{"x":'),
    json_piece(4, ' "\\ud83d\\udd27"}'),
    {"type": "content_block_stop", "index": 4},
    opened(5, use("b", "g", {})),
    ended("tool_use", usage=USAGE),
    STOP,
)


def send_back(turn: Turn) -> None:
    calls = client_calls(turn)
    message = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="row")
    body = WIRE.request(
        Conversation(system="", messages=[UserMessage(text="go"), message]),
        [],
        RequestOptions(model="m"),
        MessagesDialect(),
        origin="row",
    ).body
    jsontext.dumps(body)
    echoed = [block for each in body["messages"] for block in each["content"] if block.get("type") == "tool_use"]
    assert [block["id"] for block in echoed] == [call.wire_id for call in calls]
    assert all(isinstance(block["input"], dict) for block in echoed)


attempt = partial(hostile.attempt, NAME, send_back=send_back)


@both_ways
def test_cut_at_every_byte(streaming: bool) -> None:
    body = STREAM if streaming else COMPLETE
    whole = [each.name for each in read_calls(NAME, body, streaming=streaming)]
    assert whole == ["web_search", "f", "g"]
    for end in range(len(body)):
        turn = attempt(body[:end], streaming)
        if streaming and turn is not None:
            assert [each.name for each in turn.calls] == whole[: len(turn.calls)]


def test_where_a_stream_is_cut_into_chunks_makes_no_difference() -> None:
    whole = read_stream(STREAM)
    assert all(read_stream(STREAM, size) == whole for size in range(1, 60))


@both_ways
@examples(150, data=st.data())
def test_bytes_flipped(streaming: bool, data: st.DataObject) -> None:
    body, size = flipped(data, STREAM if streaming else COMPLETE)
    attempt(body, streaming, size)


@examples(200, order=st.permutations(STREAM.split(b"\n\n")[:-1]))
def test_events_shuffled(order: list[bytes]) -> None:
    attempt(b"\n\n".join(order) + b"\n\n", streaming=True)


KEYS = ["type", "index", "id", "name", "input", "content", "text", "thinking", "signature", "data", "tool_use_id"]
KEYS += ["delta", "content_block", "message", "usage", "stop_reason", "stop_details", "partial_json", "citation"]
KEYS += ["error", "is_error", "error_code", "container", "citations", "x"]
KINDS = ["text", "thinking", "tool_use", "server_tool_use", "mcp_tool_use", "web_search_tool_result", "x_error"]
EVENTS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "ping",
    "error",
]
DELTAS = ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta", "x_delta"]
JUNK = junk(KEYS, ["{}", "{", *KINDS, *DELTAS, "tool_use", "refusal"])
OBJECTS = objects(KEYS, JUNK, 6)
ANY_BLOCK = st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(KINDS), OBJECTS)
ANY_DELTA = st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(DELTAS), OBJECTS)
ANY_EVENT = st.builds(
    lambda kind, block, piece, rest: {"index": 0, **rest, "type": kind, "content_block": block, "delta": piece},
    st.sampled_from(EVENTS),
    ANY_BLOCK | JUNK,
    ANY_DELTA | JUNK,
    OBJECTS,
)


@examples(120, content=st.lists(ANY_BLOCK | JUNK, max_size=5) | JUNK, top=OBJECTS)
def test_messages_of_any_shape(content: Any, top: dict[str, Any]) -> None:
    attempt(json.dumps({**top, "content": content}).encode(), streaming=False)
    attempt(json.dumps(top).encode(), streaming=False)


@examples(80, first=OBJECTS, several=st.lists(ANY_EVENT, max_size=6))
def test_streams_of_any_shape(first: dict[str, Any], several: list[dict[str, Any]]) -> None:
    attempt(events({"type": "message_start", "message": first}, *several), streaming=True)
    attempt(events(*several, STOP), streaming=True)


@examples(300, body=bytes_or(JUNK), streaming=st.booleans())
def test_any_bytes(body: bytes, streaming: bool) -> None:
    attempt(body, streaming)
    attempt(b"data: " + body + b"\n\n", streaming=True)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"x":"\xff\xfe"}',
        b'{"x":NaN}',
        b'{"x":1e999}',
        b'{"x":1,"x":2}',
        b'{"x":"\\ud800"}',
        b'{"x":' + b"9" * 5000 + b"}",
    ],
)
def test_strange_json(raw: bytes) -> None:
    body = answer(use("a", "f", "ARGS")).replace(b'"ARGS"', raw)
    attempt(body, streaming=False)
    stream = b"data: " + json.dumps(opened(0, use("a", "f", "ARGS"))).encode().replace(b'"ARGS"', raw) + b"\n\n"
    attempt(stream + events(STOP), streaming=True)
    piece = events(start(), opened(0, use("a", "f", {})), json_piece(0, raw.decode("utf-8", "replace")), STOP)
    attempt(piece, streaming=True)


@pytest.mark.parametrize("depth", [100, 199, 201, 250, 500, 990, 5_000, 200_000])
def test_deep_nesting(depth: int) -> None:
    body = events(start(), opened(0, use("a", "f", {})), json_piece(0, nested(depth)), STOP)
    turn = attempt(body, streaming=True)
    assert turn is not None and turn.calls[0].id == "a", "the text of arguments is read, however deep"
    assert isinstance(turn.calls[0].arguments, dict if depth <= 200 else str)
    jsontext.dumps({"event": {"native": turn.native, "arguments": turn.calls[0].arguments}})
    deep = nested(depth).encode()
    attempt(answer(use("a", "f", "ARGS")).replace(b'"ARGS"', deep), streaming=False)
    for key in ("signature", "thinking", "citation", "type", "partial_json", "x"):
        event = json.dumps(delta(0, "x_delta", **{key: "DEEP"})).encode().replace(b'"DEEP"', deep)
        attempt(events(start(), opened(0, text(""))) + b"data: " + event + b"\n\n" + events(STOP), streaming=True)


PIECES = [
    delta(0, "text_delta", text="word"),
    delta(0, "thinking_delta", thinking="word"),
    delta(0, "citations_delta", citation={"x": 1}),
    delta(0, "x_delta", x="word", y=["word"], z=1),
    opened(0, use("a", "f", {})),
    opened(0, FOUND),
    {"type": "message_delta", "delta": {}, "usage": USAGE},
]


@pytest.mark.parametrize("piece", PIECES)
def test_many_events_of_each_kind_take_linear_time_and_memory_in_proportion(piece: dict[str, Any]) -> None:
    head, one = events(start(), opened(0, text(""))), events(piece)
    takes_linear_time(partial(fed, NAME), head + one * 1_000, head + one * 8_000)
    assert memory_stays_in_proportion(partial(fed, NAME), head + one * 9_000, 10).native


def test_more_calls_and_blocks_than_any_answer_holds_are_refused() -> None:
    with pytest.raises(BadResponseError, match="more than 10000 tool calls"):
        WIRE.read_response(answer(*[use("a", "f", {})] * 10_001))
    with pytest.raises(BadResponseError, match="more than 20000 content blocks"):
        WIRE.read_response(answer(*[text("a")] * 20_001))
    with pytest.raises(BadResponseError, match="more than 20000 content blocks"):
        read_stream(events(start(), *[opened(0, text(""))] * 20_001))
