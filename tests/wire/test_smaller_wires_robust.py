"""No body makes the wires of Mistral, Ollama and Cohere raise anything but our errors, hang, or eat time or memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from equitrcoder import jsontext
from equitrcoder.errors import ProviderError
from equitrcoder.wires import wire
from equitrcoder.wires.values import AssistantMessage, Conversation, RequestOptions, Turn
from tests.wire import chat_bodies, hostile
from tests.wire.chat_bodies import chunk, events
from tests.wire.hostile import (
    both_ways,
    bytes_or,
    examples,
    junk,
    nested,
    objects,
    takes_linear_time,
)
from tests.wire.reading import client_calls, read_body


class Bodies:
    """A wire's bodies, written from its specification: calls (name, arguments as text) as a document or a stream."""

    def __init__(
        self, document: Callable[..., bytes], stream: Callable[..., bytes], line: Callable[[Any], bytes]
    ) -> None:
        self.document = document
        self.stream = stream
        self.line = line


def mistral_document(*calls: tuple[str, str]) -> bytes:
    entries = [chat_bodies.call(f"c{n}", *call) for n, call in enumerate(calls)]
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": True}
    content = [thinking, {"type": "text", "text": "Grüße 🔧"}]
    return chat_bodies.answer({"content": content, "tool_calls": entries}, usage={"prompt_tokens": 1})


def mistral_stream(*calls: tuple[str, str]) -> bytes:
    entries = [{**chat_bodies.call(f"c{n}", *call), "index": n} for n, call in enumerate(calls)]
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": True}
    return events(
        chunk({"role": "assistant", "content": ""}),
        *[chunk({"content": [thinking]})] * 2,
        chunk({"content": "Grüße 🔧"}),
        chunk({"tool_calls": entries}, "tool_calls", usage={"prompt_tokens": 1, "completion_tokens": 2}),
    )


def sse(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def json_line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def ollama_call(call: tuple[str, str]) -> dict[str, Any]:
    return {"function": {"name": call[0], "arguments": json.loads(call[1])}}


def ollama_document(*calls: tuple[str, str]) -> bytes:
    message = {"content": "Grüße 🔧", "thinking": "Hm", "tool_calls": list(map(ollama_call, calls))}
    return json_line({"model": "m", "message": message, "done": True, "done_reason": "stop", "eval_count": 2})


def ollama_stream(*calls: tuple[str, str]) -> bytes:
    lines = [{"thinking": "Hm"}, {"content": "Grüße 🔧"}, *({"tool_calls": [ollama_call(call)]} for call in calls)]
    end = {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2}
    return b"".join(json_line({"model": "m", "message": each, "done": False}) for each in lines) + json_line(end)


USAGE = {"billed_units": {"input_tokens": 1, "output_tokens": 2}, "tokens": {"input_tokens": 9}, "cached_tokens": 3}


def cohere_calls(calls: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    return [{"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(calls)]  # fmt: skip


def cohere_document(*calls: tuple[str, str]) -> bytes:
    content = [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Grüße 🔧"}]
    message = {"role": "assistant", "tool_plan": "I will", "content": content, "tool_calls": cohere_calls(calls)}
    return json.dumps({"id": "r", "finish_reason": "TOOL_CALL", "message": message, "usage": USAGE}).encode()


def cohere_event(kind: str, message: dict[str, Any], **more: Any) -> bytes:
    return f"event: {kind}\n".encode() + sse({"type": kind, "delta": {"message": message}, **more})


def cohere_stream(*calls: tuple[str, str]) -> bytes:
    end = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": USAGE}}
    events = [
        cohere_event("message-start", {"role": "assistant", "content": [], "tool_calls": []}, id="r"),
        cohere_event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
        cohere_event("content-delta", {"content": {"thinking": "Hm"}}, index=0),
        cohere_event("content-start", {"content": {"type": "text", "text": ""}}, index=1),
        cohere_event("content-delta", {"content": {"text": "Grüße 🔧"}}, index=1),
        cohere_event("tool-plan-delta", {"tool_plan": "I will"}),
    ]
    for n, call in enumerate(cohere_calls(calls)):
        events.append(cohere_event("tool-call-start", {"tool_calls": call}, index=n))
        events.append(cohere_event("tool-call-delta", {"tool_calls": {"function": {"arguments": ""}}}, index=n))
    return b"".join(events) + sse(end) + b"data: [DONE]\n\n"


BODIES = {
    "cohere-v2": Bodies(cohere_document, cohere_stream, sse),
    "mistral": Bodies(mistral_document, mistral_stream, sse),
    "ollama-chat": Bodies(ollama_document, ollama_stream, json_line),
}
CALLS = (("f", '{"x": "\\ud83d\\udd27 é"}'), ("g", "{}"))
each_wire = pytest.mark.parametrize("name", BODIES)


def body_of(name: str, streaming: bool, *calls: tuple[str, str]) -> bytes:
    make = BODIES[name].stream if streaming else BODIES[name].document
    return make(*calls)


def read(name: str, body: bytes, streaming: bool, size: int = 0) -> Turn:
    return read_body(wire(name), body, streaming=streaming, size=size)


def attempt(name: str, body: bytes, streaming: bool, size: int = 0) -> Turn | None:
    return hostile.attempt(name, body, streaming, size, send_back=partial(send_back, name))


def send_back(name: str, turn: Turn) -> None:
    calls = client_calls(turn)
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="row")
    conversation = Conversation(system="", messages=[said])
    body = wire(name).request(conversation, [], RequestOptions(model="m"), None, origin="row").body
    sent = [call for message in body["messages"] for call in message.get("tool_calls", [])]
    assert len(sent) == len(calls)
    for each in sent:
        arguments = each["function"]["arguments"]
        assert isinstance(json.loads(arguments) if isinstance(arguments, str) else arguments, dict)
    jsontext.dumps(body)


@each_wire
@examples(100, data=st.data())
def test_lines_shuffled(name: str, data: st.DataObject) -> None:
    lines = body_of(name, True, *CALLS).splitlines(keepends=True)
    attempt(name, b"".join(data.draw(st.permutations(lines))), True)


KEYS = ["choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "id", "index"]
KEYS += ["type", "thinking", "text", "finish_reason", "usage", "error", "model", "done", "done_reason"]
KEYS += ["eval_count", "tool_plan", "role", "tokens", "input_tokens", "billed_units", "message-end"]
KEYS += ["content-start", "closed", "signature", "reasoning", "x"]
WORDS = ["{}", "{", "null", "text", "thinking", "message-end", "tool-call-start", "content-start", "TOOL_CALL", "stop"]
WORDS += ["tool-call-delta", "content-delta", "tool-plan-delta", "message-start"]
JUNK = junk(KEYS, WORDS, st.floats(allow_nan=True))
OBJECTS = objects(KEYS, JUNK, 6)


@each_wire
@examples(120, values=st.lists(OBJECTS, max_size=5))
def test_values_of_any_shape(name: str, values: list[dict[str, Any]]) -> None:
    for value in values[:1]:
        attempt(name, json.dumps(value).encode(), False)
    attempt(name, b"".join(map(BODIES[name].line, values)), True)


@each_wire
@examples(200, where=st.integers(0, 10_000), value=JUNK)
@both_ways
def test_any_value_anywhere_in_an_answer(name: str, streaming: bool, where: int, value: Any) -> None:
    body = body_of(name, streaming, *CALLS)
    starts = [at + 1 for at in range(len(body)) if body[at : at + 1] == b":" and body[at : at + 2] in (b": ", b":{")]
    start = starts[where % len(starts)]
    text = body[start:].lstrip().decode("utf-8", "replace")
    try:
        _, length = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return
    rest = text[length:].encode()
    attempt(name, body[:start] + json.dumps(value).encode() + rest, streaming)


@each_wire
@examples(200, body=bytes_or(JUNK, 300), streaming=st.booleans())
def test_any_bytes(name: str, body: bytes, streaming: bool) -> None:
    attempt(name, body, streaming)
    attempt(name, b"data: " + body + b"\n\n", streaming=True)


@each_wire
@both_ways
@pytest.mark.parametrize(
    "spoilt",
    [b'{"x": NaN}', b'{"x": 1, "x": 2}', b'"\xff\xfe"', b'{"x": 1e999}', b'{"x": ' + b"9" * 5000 + b"}", b'"\\ud800"'],
)
def test_json_that_only_some_read(name: str, streaming: bool, spoilt: bytes) -> None:
    body = body_of(name, streaming, ("f", "{}"))
    for place in (b'"Gr\\u00fc\\u00dfe \\ud83d\\udd27"', b'"{}"', b'"f"'):
        assert place == b'"{}"' or place in body
        attempt(name, body.replace(place, spoilt), streaming)


@each_wire
@both_ways
@pytest.mark.parametrize("depth", [199, 201, 260, 1_000, 100_000])
def test_deep_nesting(name: str, streaming: bool, depth: int) -> None:
    for place in (b'"f"', b'"Gr\\u00fc\\u00dfe \\ud83d\\udd27"'):
        turn = attempt(name, body_of(name, streaming, ("f", "{}")).replace(place, nested(depth).encode()), streaming)
        if turn is not None:
            jsontext.dumps({"event": {"native": turn.native}})


@each_wire
@both_ways
def test_an_argument_of_ten_megabytes(name: str, streaming: bool) -> None:
    small, large = (body_of(name, streaming, ("f", json.dumps({"x": "y" * size}))) for size in (1_250_000, 10_000_000))
    turn = read(name, large, streaming, 65536)
    assert len(turn.calls[0].arguments["x"]) == 10_000_000  # type: ignore[index]
    takes_linear_time(lambda body: read(name, body, streaming, 65536), small, large, slack_s=0.1)


@each_wire
@both_ways
def test_more_calls_than_any_answer_holds_are_refused(name: str, streaming: bool) -> None:
    with pytest.raises(ProviderError, match="more than 10000 tool calls"):
        read(name, body_of(name, streaming, *[("f", "{}")] * 10_001), streaming)
