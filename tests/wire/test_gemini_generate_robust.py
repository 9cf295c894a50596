"""No body makes Gemini's wire raise anything but our errors, hang, or eat time or memory."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires import read_calls
from equitrcoder.wires.values import Turn
from tests.wire import hostile
from tests.wire.gemini_bodies import (
    GEMINI,
    after,
    answer,
    call,
    chunk,
    events,
    read_stream,
    sent,
    stream_of,
    text,
)
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
    scalars,
    takes_linear_time,
)

PARTS = [
    text("Hm", thought=True),
    text("Grüße 🔧", thoughtSignature="c2ln"),
    {"executableCode": {"language": "PYTHON", "code": "1", "id": "c"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1", "id": "c"}},
    {"toolCall": {"toolType": "URL_CONTEXT", "args": {"u": 1}, "id": "t"}},
    {"toolResponse": {"response": {"x": 1}, "id": "t"}},
    call("f", {"x": "🔧 é"}, "a", thoughtSignature="c2ln"),
    call("g"),
]
PIECES = [
    {"functionCall": {"name": "h", "willContinue": True}},
    {"functionCall": {"partialArgs": [{"jsonPath": "$.a[0].b", "stringValue": "x"}], "willContinue": True}},
    {"functionCall": {}},
]
USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 1, "totalTokenCount": 15}
NAME = "gemini-generate"
COMPLETE = answer(*PARTS, usageMetadata=USAGE)
STREAM = stream_of(*PARTS, *PIECES, usageMetadata=USAGE)


def send_back(turn: Turn) -> None:
    for origin in ("row", "elsewhere"):
        contents = sent(after(turn, origin))
        jsontext.dumps(contents)
        ours = [part for content in contents for part in content["parts"] if part.get("functionCall") is not None]
        assert all(isinstance(part["functionCall"], dict) for part in ours)


attempt = partial(hostile.attempt, NAME, send_back=send_back)


@both_ways
def test_cut_at_every_byte(streaming: bool) -> None:
    body = STREAM if streaming else COMPLETE
    whole = [each.name for each in read_calls(NAME, body, streaming=streaming)]
    assert whole == ["code_execution", "URL_CONTEXT", "f", "g"] + ["h"] * streaming
    for end in range(len(body)):
        turn = attempt(body[:end], streaming)
        if turn is not None:
            assert [each.name for each in turn.calls] == whole[: len(turn.calls)]


@both_ways
@examples(150, data=st.data())
def test_bytes_flipped(streaming: bool, data: st.DataObject) -> None:
    body, size = flipped(data, STREAM if streaming else COMPLETE)
    attempt(body, streaming, size)


@examples(100, order=st.permutations(STREAM.split(b"\r\n\r\n")))
def test_events_shuffled(order: list[bytes]) -> None:
    attempt(b"\r\n\r\n".join(order) + b"\r\n\r\n", streaming=True)


KEYS = ["candidates", "content", "parts", "role", "text", "thought", "thoughtSignature", "functionCall"]
KEYS += ["function_call", "name", "args", "id", "partialArgs", "jsonPath", "stringValue", "numberValue"]
KEYS += ["boolValue", "nullValue", "willContinue", "executableCode", "codeExecutionResult", "language", "code"]
KEYS += ["outcome", "output", "toolCall", "toolResponse", "toolType", "response", "finishReason"]
KEYS += ["finishMessage", "index", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason"]
KEYS += ["error", "message", "details", "modelVersion", "responseId", "x"]
WORDS = ["{}", "{", "STOP", "$.a", "$.a[0]", "$['a'].b", "$.a[1]", "429"]
JUNK = junk(KEYS, WORDS)
PART = objects(KEYS, JUNK, 5)
PARTIAL = st.lists(objects(KEYS, scalars(WORDS), 4), max_size=4)


@examples(120, parts=st.lists(PART | JUNK, max_size=5), finish=JUNK, usage=JUNK, top=PART)
def test_answers_of_any_shape(parts: list[Any], finish: Any, usage: Any, top: dict[str, Any]) -> None:
    attempt(answer(*parts, finish=finish, usageMetadata=usage), streaming=False)
    attempt(json.dumps({**chunk(*parts), **top}).encode(), streaming=False)


@examples(120, chunks=st.lists(st.lists(PART | JUNK, max_size=3), max_size=5), finish=JUNK, top=PART)
def test_streams_of_any_shape(chunks: list[list[Any]], finish: Any, top: dict[str, Any]) -> None:
    attempt(events(*[chunk(*each) for each in chunks], {**chunk(finish=finish), **top}), streaming=True)


@examples(150, calls=st.lists(st.tuples(st.booleans(), PARTIAL, st.booleans()), max_size=6))
def test_pieces_of_arguments_of_any_shape(calls: list[Any]) -> None:
    parts = [
        {"functionCall": {**({"name": "f"} if named else {}), "partialArgs": entries, "willContinue": more}}
        for named, entries, more in calls
    ]
    attempt(stream_of(*parts), streaming=True)
    attempt(answer(*parts), streaming=False)


@examples(300, body=bytes_or(JUNK), streaming=st.booleans())
def test_any_bytes(body: bytes, streaming: bool) -> None:
    attempt(body, streaming)
    attempt(b"data: " + body + b"\n\n", streaming=True)
    for status in (400, 429, 503):
        assert str(GEMINI.error(status, {}, body))


def test_invalid_utf8_nan_and_duplicate_keys() -> None:
    for streaming, whole in ((False, answer(call("f", {"a": "x"}))), (True, stream_of(call("f", {"a": "x"})))):
        for spoilt in (
            whole.replace(b'"x"', b'"\xff"'),
            whole.replace(b'"x"', b"NaN"),
            whole.replace(b'"x"', b"1e999"),
        ):
            attempt(spoilt, streaming)
            assert read_calls(NAME, spoilt, streaming=streaming) == []
        twice = whole.replace(b'"a": "x"', b'"a": "x", "a": "y"')
        assert read_calls(NAME, twice, streaming=streaming)[0].arguments == {"a": "y"}


@pytest.mark.parametrize("depth", [50, 190, 201, 500, 990, 5_000, 200_000])
def test_deep_nesting(depth: int) -> None:
    deep = nested(depth).encode()
    for field in (b'"args": 0', b'"id": 0', b'"name": 0'):
        for whole in (
            answer({"functionCall": {"name": 0, "args": 0, "id": 0}}),
            b'{"promptFeedback": {"blockReason": "args": 0}}',
        ):
            body = whole.replace(field, field[:-1] + deep)
            attempt(body, streaming=False)
            attempt(b"data: " + body + b"\n\n", streaming=True)


def grown(count: int) -> bytes:
    piece = {"jsonPath": "$.x", "stringValue": "y" * 1000, "willContinue": True}
    middle = chunk({"functionCall": {"partialArgs": [piece], "willContinue": True}})
    return events(chunk(PIECES[0]), *[middle] * count, chunk({"functionCall": {}}, finish="STOP"))


def test_an_argument_of_ten_megabytes_in_many_pieces_takes_linear_time() -> None:
    small, large = grown(1_250), grown(10_000)
    assert len(read_stream(large, 4096).calls[0].arguments["x"]) == 10_000_000  # type: ignore[index]
    takes_linear_time(partial(read_stream, size=4096), small, large)


@pytest.mark.parametrize("part", [*PARTS, {"toolResponse": {"id": "no"}}, {"executableCode": {"id": "c"}}])
def test_many_chunks_of_each_kind_take_linear_time(part: dict[str, Any]) -> None:
    one = events(chunk(part))
    small, large = one * 500, one * 4_000

    takes_linear_time(partial(fed, NAME, size=None), small, large)


@pytest.mark.parametrize(
    "part", [call("f"), {"executableCode": {}}, {"functionCall": {"name": "f", "willContinue": True}}]
)
def test_more_calls_than_any_answer_holds_are_refused(part: dict[str, Any]) -> None:
    for read, body in ((GEMINI.read_response, answer(*[part] * 10_001)), (read_stream, stream_of(*[part] * 10_001))):
        with pytest.raises(BadResponseError, match="more than 10000 tool calls"):
            read(body)


def test_more_candidates_than_any_answer_holds_are_refused() -> None:
    with pytest.raises(BadResponseError, match="more than 128 candidates"):
        read_stream(events(*[chunk(text("x"), index=n) for n in range(200)]))


@pytest.mark.parametrize("part", [text("x"), call("f"), {"functionCall": {"name": "f", "willContinue": True}}])
def test_memory_stays_in_proportion_to_the_body(part: dict[str, Any]) -> None:
    body = events(chunk(part)) * 9_000
    assert memory_stays_in_proportion(partial(fed, NAME), body, 15).native["parts"]
