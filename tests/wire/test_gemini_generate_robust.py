"""No body makes Gemini's wire raise anything but our errors, hang, or eat time or memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError
from equitrcoder.wires import read_calls
from equitrcoder.wires.values import Turn
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
    told,
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
COMPLETE = answer(*PARTS, usageMetadata=USAGE)
STREAM = stream_of(*PARTS, *PIECES, usageMetadata=USAGE)


def attempt(body: bytes, streaming: bool, size: int = 0) -> Turn | None:
    """Read a body; our errors are fine, anything else fails the test. What came back must also go back."""
    turn: Turn | None = None
    try:
        turn = read_stream(body, size or None) if streaming else GEMINI.read_response(body)
    except ProviderError as error:
        assert str(error)
        turn = error.partial
    calls = read_calls("gemini-generate", body, streaming=streaming)
    if turn is not None:
        assert [each.name for each in calls] == [each.name for each in turn.calls]
        for origin in ("row", "elsewhere"):
            contents = sent(after(turn, origin))
            jsontext.dumps(contents)
            ours = [part for content in contents for part in content["parts"] if part.get("functionCall") is not None]
            assert all(isinstance(part["functionCall"], dict) for part in ours)
    return turn


@pytest.mark.parametrize("streaming", [True, False])
def test_cut_at_every_byte(streaming: bool) -> None:
    body = STREAM if streaming else COMPLETE
    whole = [each.name for each in read_calls("gemini-generate", body, streaming=streaming)]
    assert whole == ["code_execution", "URL_CONTEXT", "f", "g"] + ["h"] * streaming
    for end in range(len(body)):
        turn = attempt(body[:end], streaming)
        if turn is not None:
            assert [each.name for each in turn.calls] == whole[: len(turn.calls)]


@pytest.mark.parametrize("streaming", [True, False])
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_bytes_flipped(streaming: bool, data: st.DataObject) -> None:
    body = bytearray(STREAM if streaming else COMPLETE)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    attempt(bytes(body), streaming, size=data.draw(st.sampled_from([0, 1, 50])))


@given(order=st.permutations(STREAM.split(b"\r\n\r\n")))
@settings(max_examples=100, deadline=None)
def test_events_shuffled(order: list[bytes]) -> None:
    attempt(b"\r\n\r\n".join(order) + b"\r\n\r\n", streaming=True)


KEYS = [
    "candidates",
    "content",
    "parts",
    "role",
    "text",
    "thought",
    "thoughtSignature",
    "functionCall",
    "function_call",
    "name",
    "args",
    "id",
    "partialArgs",
    "jsonPath",
    "stringValue",
    "numberValue",
    "boolValue",
    "nullValue",
    "willContinue",
    "executableCode",
    "codeExecutionResult",
    "language",
    "code",
    "outcome",
    "output",
    "toolCall",
    "toolResponse",
    "toolType",
    "response",
    "finishReason",
    "finishMessage",
    "index",
    "usageMetadata",
    "promptTokenCount",
    "promptFeedback",
    "blockReason",
    "error",
    "message",
    "details",
    "modelVersion",
    "responseId",
    "x",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "{}", "{", "STOP", "$.a", "$.a[0]", "$['a'].b", "$.a[1]", "429"])
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
PART = st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=5)
PARTIAL = st.lists(st.dictionaries(st.sampled_from(KEYS), SCALARS, max_size=4), max_size=4)


@given(parts=st.lists(PART | JUNK, max_size=5), finish=JUNK, usage=JUNK, top=PART)
@settings(max_examples=400, deadline=None)
def test_answers_of_any_shape(parts: list[Any], finish: Any, usage: Any, top: dict[str, Any]) -> None:
    attempt(answer(*parts, finish=finish, usageMetadata=usage), streaming=False)
    attempt(json.dumps({**chunk(*parts), **top}).encode(), streaming=False)


@given(chunks=st.lists(st.lists(PART | JUNK, max_size=3), max_size=5), finish=JUNK, top=PART)
@settings(max_examples=400, deadline=None)
def test_streams_of_any_shape(chunks: list[list[Any]], finish: Any, top: dict[str, Any]) -> None:
    attempt(events(*[chunk(*each) for each in chunks], {**chunk(finish=finish), **top}), streaming=True)


@given(calls=st.lists(st.tuples(st.booleans(), PARTIAL, st.booleans()), max_size=6))
@settings(max_examples=300, deadline=None)
def test_pieces_of_arguments_of_any_shape(calls: list[Any]) -> None:
    parts = [
        {"functionCall": {**({"name": "f"} if named else {}), "partialArgs": entries, "willContinue": more}}
        for named, entries, more in calls
    ]
    attempt(stream_of(*parts), streaming=True)
    attempt(answer(*parts), streaming=False)


@given(body=st.binary(max_size=400) | JUNK.map(lambda value: json.dumps(value).encode()), streaming=st.booleans())
@settings(max_examples=300, deadline=None)
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
            assert read_calls("gemini-generate", spoilt, streaming=streaming) == []
        twice = whole.replace(b'"a": "x"', b'"a": "x", "a": "y"')
        assert read_calls("gemini-generate", twice, streaming=streaming)[0].arguments == {"a": "y"}


@pytest.mark.parametrize("depth", [50, 190, 201, 500, 990, 5_000, 200_000])
def test_deep_nesting(depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    for field in (b'"args": 0', b'"id": 0', b'"name": 0'):
        for whole in (
            answer({"functionCall": {"name": 0, "args": 0, "id": 0}}),
            b'{"promptFeedback": {"blockReason": "args": 0}}',
        ):
            body = whole.replace(field, field[:-1] + deep)
            attempt(body, streaming=False)
            attempt(b"data: " + body + b"\n\n", streaming=True)


def seconds(work: Callable[[], object]) -> float:
    """The best of three: what a busy machine adds is not the work's."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def grown(count: int) -> bytes:
    piece = {"jsonPath": "$.x", "stringValue": "y" * 1000, "willContinue": True}
    middle = chunk({"functionCall": {"partialArgs": [piece], "willContinue": True}})
    return events(chunk(PIECES[0]), *[middle] * count, chunk({"functionCall": {}}, finish="STOP"))


def test_an_argument_of_ten_megabytes_in_many_pieces_takes_linear_time() -> None:
    small, large = grown(1_250), grown(10_000)
    assert len(read_stream(large, 4096).calls[0].arguments["x"]) == 10_000_000  # type: ignore[index]
    once, eight = seconds(lambda: read_stream(small, 4096)), seconds(lambda: read_stream(large, 4096))
    assert eight < 8 * once * 3 + 0.05, f"{once:.4f} s, then {eight:.4f} s for eight times as much"


@pytest.mark.parametrize("part", [*PARTS, {"toolResponse": {"id": "no"}}, {"executableCode": {"id": "c"}}])
def test_many_chunks_of_each_kind_take_linear_time(part: dict[str, Any]) -> None:
    one = events(chunk(part))
    small, large = one * 500, one * 4_000

    def feed(body: bytes) -> Turn:
        reader = GEMINI.stream_reader()
        reader.feed(body)
        return reader.partial()

    once, eight = seconds(lambda: feed(small)), seconds(lambda: feed(large))
    assert eight < 8 * once * 3 + 0.05


@pytest.mark.parametrize("streaming", [True, False])
def test_a_thousand_calls(streaming: bool) -> None:
    parts = [call("f", {"n": n}, f"c{n}") for n in range(1000)]
    turn = attempt(stream_of(*parts) if streaming else answer(*parts), streaming)
    assert turn is not None
    assert told(turn.calls) == [(f"c{n}", "f", {"n": n}) for n in range(1000)]


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
    reader = GEMINI.stream_reader()
    tracemalloc.start()
    for start in range(0, len(body), 65536):
        reader.feed(body[start : start + 65536])
    turn = reader.partial()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert turn.native["parts"]
    assert peak < 15 * len(body) + 2_000_000, f"{peak} bytes for a body of {len(body)}"
