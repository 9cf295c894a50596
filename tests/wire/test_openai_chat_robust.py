"""No body makes the Chat Completions wire raise anything but our errors, hang, or eat time or memory."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires import read_calls
from equitrcoder.wires.openai_chat import ChatDialect
from equitrcoder.wires.values import AssistantMessage, Conversation, RequestOptions, Turn
from tests.wire import hostile
from tests.wire.chat_bodies import CHAT, answer, call, chunk, events, piece, read_stream
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
    seconds,
    takes_linear_time,
)
from tests.wire.reading import client_calls

MESSAGE = {
    "content": [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "Grüße 🔧"},
    ],
    "reasoning_content": "Hm",
    "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "index": 0}],
    "tool_calls": [call("a", "f", '{"x": "\\ud83d\\udd27 \\u00e9"}'), call("", "g", "")],
    "function_call": {"name": "h", "arguments": "{}"},
    "executed_tools": [{"index": 0, "type": "search", "arguments": "{}", "output": "o"}],
    "refusal": "no",
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 4}}
NAME = "openai-chat"
COMPLETE = answer(MESSAGE, "tool_calls", usage=USAGE)
STREAM = events(
    chunk({"role": "assistant", "content": "Grüße 🔧"}),
    chunk({"reasoning": "Hm", "reasoning_details": MESSAGE["reasoning_details"]}),
    chunk({"content": MESSAGE["content"]}),
    chunk(piece(0, "a", "f", '{"x":')),
    chunk({"tool_calls": [{"function": {"name": "g", "arguments": {"y": 1}}}]}),
    chunk(piece(0, arguments=" 1}"), choice=0),
    chunk(piece(0, "b", "f", "{}"), "tool_calls", choice=1),
    chunk({"executed_tools": MESSAGE["executed_tools"], "function_call": {"name": "h"}}, "tool_calls"),
    chunk(usage=USAGE, x_groq={"usage": USAGE}),
)


def send_back(turn: Turn) -> None:
    calls = client_calls(turn)
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="row")
    for dialect in (ChatDialect(), ChatDialect(reasoning_echo="required_with_calls", echo_unknown=False)):
        body = CHAT.request(
            Conversation(system="", messages=[said]), [], RequestOptions(model="m"), dialect, origin="row"
        ).body
        sent = body["messages"][0].get("tool_calls", [])
        assert [each["id"] for each in sent] == [each.wire_id for each in calls]
        for each in sent:
            assert isinstance(json.loads(each.get("function", {}).get("arguments", "{}")), dict)


attempt = partial(hostile.attempt, NAME, send_back=send_back)


@both_ways
def test_cut_at_every_byte(streaming: bool) -> None:
    body = STREAM if streaming else COMPLETE
    whole = [each.name for each in read_calls(NAME, body, streaming=streaming)]
    assert len(whole) == 4 + streaming
    for end in range(len(body)):
        turn = attempt(body[:end], streaming)
        if streaming and turn is not None:
            assert len(turn.calls) <= len(whole)


@both_ways
@examples(150, data=st.data())
def test_bytes_flipped(streaming: bool, data: st.DataObject) -> None:
    body, size = flipped(data, STREAM if streaming else COMPLETE)
    attempt(body, streaming, size)


KEYS = ["choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "id", "index"]
KEYS += ["type", "custom", "function_call", "executed_tools", "reasoning", "reasoning_content"]
KEYS += ["reasoning_details", "thinking", "text", "refusal", "finish_reason", "usage", "prompt_tokens"]
KEYS += ["prompt_tokens_details", "error", "code", "x_groq", "model", "output", "x"]
JUNK = junk(KEYS, ["{}", "{", "text", "thinking", "custom", "stop"])
DELTAS = objects(KEYS, JUNK, 6)


@examples(120, message=DELTAS, finish=JUNK, usage=JUNK)
def test_messages_of_any_shape(message: dict[str, Any], finish: Any, usage: Any) -> None:
    attempt(answer(message, finish, usage=usage), streaming=False)


@examples(120, deltas=st.lists(DELTAS, max_size=5), finish=JUNK, top=DELTAS)
def test_streams_of_any_shape(deltas: list[dict[str, Any]], finish: Any, top: dict[str, Any]) -> None:
    attempt(events(*[chunk(each) for each in deltas], {**chunk({}, finish), **top}), streaming=True)


@examples(120, entries=st.lists(st.lists(DELTAS | JUNK, max_size=3), max_size=5))
def test_call_pieces_of_any_shape(entries: list[Any]) -> None:
    attempt(
        events(*[chunk({"tool_calls": each, "executed_tools": each}) for each in entries], chunk({}, "stop")),
        streaming=True,
    )


@examples(300, body=bytes_or(JUNK), streaming=st.booleans())
def test_any_bytes(body: bytes, streaming: bool) -> None:
    attempt(body, streaming)
    attempt(b"data: " + body + b"\n\n", streaming=True)


@pytest.mark.parametrize("depth", [100, 199, 201, 250, 500, 990, 5_000, 200_000])
def test_deep_nesting(depth: int) -> None:
    as_text = answer({"tool_calls": [call("a", "f", "ARGS")]}, "stop").replace(
        b'"ARGS"', json.dumps(nested(depth)).encode()
    )
    as_object = answer({"tool_calls": [call("a", "f", "ARGS")]}, "stop").replace(b'"ARGS"', nested(depth).encode())
    for field in (b'"content": null', b'"content": "Hi", "unknown": [0]'):
        as_other = answer({"content": None}).replace(field, b'"content": ' + nested(depth).encode())
        attempt(as_other, streaming=False)
    turn = attempt(as_text, streaming=False)
    assert turn is not None and turn.calls[0].id == "a", "the text of arguments is read, however deep"
    assert isinstance(turn.calls[0].arguments, dict if depth <= 200 else str)
    jsontext.dumps({"event": {"native": turn.native, "arguments": turn.calls[0].arguments}})
    attempt(as_object, streaming=False)
    for body in (as_text, as_object):
        attempt(body.replace(b'"message"', b'"delta"').join([b"data: ", b"\n\n"]), streaming=True)
    for key in (b"type", b"index", b"arguments"):  # compared between entries of a stream
        delta = b'data: {"choices":[{"delta":{"executed_tools":[{"%s":%s}]}}]}\n\n' % (key, nested(depth).encode())
        attempt(delta * 2, streaming=True)
        attempt(delta.replace(b"executed_tools", b"reasoning_details") * 2, streaming=True)


def grown(deltas: int, size: int) -> bytes:
    first = chunk(piece(0, "a", "f", '{"x":"'))
    middle = chunk(piece(0, "a", "f", "y" * size))
    return events(first, *[middle] * deltas, chunk(piece(0, arguments='"}'), "tool_calls"))


def test_an_argument_of_ten_megabytes_in_many_deltas_that_repeat_the_name_takes_linear_time() -> None:
    small, large = grown(1_250, 1000), grown(10_000, 1000)
    assert len(read_stream(large, 4096).calls[0].arguments["x"]) == 10_000_000  # type: ignore[index]
    takes_linear_time(partial(read_stream, size=4096), small, large)


def test_a_long_line_in_small_chunks_takes_linear_time() -> None:
    def body(size: int) -> bytes:
        return events(chunk(piece(0, "a", "f", json.dumps({"x": "y" * size}))), chunk({}, "tool_calls"))

    small, large = body(250_000), body(2_000_000)
    takes_linear_time(partial(read_stream, size=512), small, large)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": [{"type": "text", "text": "word"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "word"}]}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "word", "index": 0}]},
        {"unknown": ["word"]},
        {"function_call": {"name": "f", "arguments": "word"}},
        {"executed_tools": [{"index": 0, "type": "search", "arguments": "{}", "output": "word"}]},
        {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    ],
)
def test_many_deltas_of_each_kind_take_linear_time(delta: dict[str, Any]) -> None:
    one = events(chunk(delta), done=False)
    small, large = one * 1_000, one * 8_000
    takes_linear_time(partial(fed, NAME, size=None), small, large)


@both_ways
@pytest.mark.parametrize("entry", [{"id": "a"}, {"function": {"name": "f"}}])
def test_more_calls_than_any_answer_holds_are_refused(streaming: bool, entry: dict[str, Any]) -> None:
    entries = [{**entry, "index": n} for n in range(10_001)]
    body = events(chunk({"tool_calls": entries})) if streaming else answer({"tool_calls": entries})
    with pytest.raises(BadResponseError, match="more than 10000 tool calls"):
        read_stream(body) if streaming else CHAT.read_response(body)


def test_more_choices_than_any_answer_holds_are_refused() -> None:
    with pytest.raises(BadResponseError, match="more than 128 choices"):
        read_stream(events(*[chunk({"content": "x"}, choice=n) for n in range(200)]))


@pytest.mark.parametrize(
    "one",
    [
        b'{"content":""}',
        b'{"tool_calls":[{"index":0,"function":{"arguments":"x"}}]}',
        b'{"reasoning":"x"}',
        b'{"y":[0]}',
    ],
)
def test_memory_stays_in_proportion_to_the_body(one: bytes) -> None:
    body = b'data: {"choices":[{"delta":%s}]}\n\n' % one * 20_000
    assert memory_stays_in_proportion(partial(fed, NAME), body, 3).native


def test_a_stream_of_200_small_deltas_costs_next_to_nothing() -> None:
    body = events(*[chunk({"content": "word "}) for _ in range(199)], chunk({}, "stop"))
    best = min(seconds(lambda: [read_stream(body) for _ in range(20)]) for _ in range(3)) / 20
    assert best < 0.006, (
        f"{best * 1000:.2f} ms (about 0.9 ms on an idle machine of 2024; the limit leaves room for slow ones)"
    )
