"""Reading by comparison gives what reading in full gives, whatever the events are (`equitrcoder.wires.shortcuts`)."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import strategies as st

from equitrcoder.errors import ProviderError
from equitrcoder.wires import wire
from equitrcoder.wires.shortcuts import Shortcut
from equitrcoder.wires.values import Delta, Turn
from tests.wire.every_wire import FORMS, event
from tests.wire.hostile import examples

TEXTS = ["a", "a", " the", "", '"', "\\", "\n", "é🔧", '","x":"', '"}', "}", "1", "null", "\u2028", "</s>", "data: x"]
RAW = [
    rb'"\u0061"',
    rb'"\ud83d\udd27"',
    rb'"\ud800"',
    b'"\xff"',
    b"null",
    b"1",
    b'{"a":"b"}',
    b'["a"]',
    b'"a',
    b'"a"b"',
]
"""What may stand in place of a text: not all of it is JSON, or a text."""


def chat(*, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"id": "r", "choices": [{"index": index, "delta": delta, "finish_reason": None}]}


def argument(number: int, **more: Any) -> dict[str, Any]:
    return chat(tool_calls=[{"index": number, "function": {"arguments": "TEXT"}, **more}])


def block(number: int, kind: str, field: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": number, "delta": {"type": kind, field: "TEXT", **more}}


def start(number: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": number, "content_block": fields}


def cohere(kind: str, index: int, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


def call(**function: str) -> dict[str, Any]:
    return {"type": "function", "function": function}


EVENTS: dict[str, list[Any]] = {
    "openai-chat": [
        chat(content="TEXT"),
        chat(content="TEXT", role="assistant"),
        chat(content="TEXT", index=1),
        chat(reasoning_content="TEXT"),
        chat(reasoning="TEXT", content=""),
        chat(reasoning="TEXT", reasoning_content="TEXT"),
        chat(content=[{"type": "text", "text": "TEXT"}]),
        chat(content="TEXT", x_new=["TEXT"]),
        chat(content="TEXT", x_new=["y"]),
        {**chat(content="TEXT"), "x": {"content": "y"}},
        {**chat(content="y"), "x": {"content": "TEXT"}},
        chat(refusal="TEXT"),
        argument(0),
        argument(1),
        argument(0, id="a"),
        chat(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
        chat(tool_calls=[{"index": 0, "id": "b", "function": {"name": "TEXT", "arguments": "TEXT"}}]),
        chat(tool_calls=[{"function": {"arguments": "TEXT"}}]),
        chat(function_call={"arguments": "TEXT"}),
        {"choices": [], "usage": {"prompt_tokens": 1}},
        {"error": {"message": "TEXT"}},
        {"choices": [{"index": 0, "delta": {"content": "TEXT"}, "finish_reason": "stop"}]},
        b"[DONE]",
    ],
    "anthropic-messages": [
        {"type": "message_start", "message": {"role": "assistant", "content": []}},
        start(0, type="text", text="TEXT"),
        start(1, type="tool_use", id="a", name="f", input={}),
        start(0, type="thinking", thinking=""),
        {**block(0, "text_delta", "text"), "x": {"text": "y"}},
        block(0, "text_delta", "text"),
        block(1, "text_delta", "text"),
        block(0, "thinking_delta", "thinking"),
        block(1, "input_json_delta", "partial_json"),
        block(0, "text_delta", "text", more="TEXT"),
        block(0, "future_delta", "text"),
        {"type": "content_block_delta", "index": "0", "delta": {"type": "text_delta", "text": "TEXT"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "TEXT"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "error", "error": {"message": "TEXT"}},
        {"type": "message_stop"},
    ],
    "cohere-v2": [
        cohere("content-start", 0, content={"type": "text", "text": ""}),
        cohere("content-start", 0, content={"type": "thinking", "thinking": ""}),
        cohere("content-delta", 0, content={"text": "TEXT"}),
        cohere("content-delta", 1, content={"text": "TEXT"}),
        cohere("content-delta", 0, content={"thinking": "TEXT"}),
        cohere("content-delta", 0, content={"text": "TEXT", "more": "TEXT"}),
        cohere("content-delta", 0, content="TEXT"),
        {**cohere("content-delta", 0, content={"text": "TEXT"}), "x": {"text": "y"}},
        cohere("tool-plan-delta", 0, tool_plan="TEXT"),
        cohere("tool-call-start", 0, tool_calls={"id": "a", **call(name="f", arguments="")}),
        cohere("tool-call-start", 1, tool_calls={"id": "b", **call(name="TEXT", arguments="TEXT")}),
        cohere("tool-call-delta", 0, tool_calls={"function": {"arguments": "TEXT"}}),
        cohere("tool-call-delta", 1, tool_calls={"function": {"arguments": "TEXT"}}),
        cohere("tool-call-delta", 1, tool_calls={"function": {"name": "TEXT", "arguments": "TEXT"}}),
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ],
}
EVENTS["mistral"] = EVENTS["openai-chat"]


@st.composite
def stream(draw: st.DrawFn, name: str) -> bytes:
    """Runs of the same event with other texts, one after the other."""
    made: list[bytes] = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(EVENTS[name]))
        raw = kind if isinstance(kind, bytes) else json.dumps(kind, separators=(",", ":")).encode()
        for _ in range(draw(st.integers(1, 6))):
            text = draw(st.sampled_from(TEXTS).map(lambda text: json.dumps(text, ensure_ascii=False).encode()))
            text = draw(st.sampled_from([text, text, text, draw(st.sampled_from(RAW))]))
            made.append(event(name, raw.replace(b'"TEXT"', text)))
    return b"".join(made)


def fed(name: str, body: bytes) -> tuple[Turn | str, Turn, list[Delta]]:
    """How it ends, what there was of it, and what was shown."""
    reader, shown = wire(name).stream_reader(), []
    try:
        shown += reader.feed(body)
        return reader.finish(), reader.partial(), shown
    except ProviderError as error:
        return f"{type(error).__name__}: {error}", reader.partial(), shown


@pytest.mark.parametrize("name", EVENTS)
@examples(80, data=st.data())
def test_a_stream_read_by_comparison_is_the_stream_read_in_full(name: str, data: st.DataObject) -> None:
    body = data.draw(stream(name))
    by_comparison = fed(name, body)
    with mock.patch.object(Shortcut, "learn", lambda *_: None):
        assert fed(name, body) == by_comparison


@pytest.mark.parametrize("name", EVENTS)
def test_most_of_a_stream_is_read_by_comparison(name: str) -> None:
    """Else the test above would compare one way with itself."""
    kind = {"openai-chat": 0, "mistral": 0, "anthropic-messages": 5, "cohere-v2": 2}[name]
    raw = json.dumps(EVENTS[name][kind], separators=(",", ":")).encode()
    opened = {"anthropic-messages": start(0, type="text", text="")}.get(name)
    body = event(name, opened) if opened else b""
    taken: list[bool] = []
    take = Shortcut.take

    def counted(self: Shortcut, block: bytes, shown: list[Delta]) -> bool:
        taken.append(take(self, block, shown))
        return taken[-1]

    with mock.patch.object(Shortcut, "take", counted):
        reader = wire(name).stream_reader()
        reader.feed(body + event(name, raw) * 10)
    assert taken.count(True) >= 8
    assert reader.partial().text == "TEXT" * 10


def test_wires_without_shortcuts_are_those_whose_events_differ_in_more() -> None:
    """Each event of Responses has its number, each of Gemini its tokens, each of Ollama its time."""
    assert set(FORMS) - set(EVENTS) == {"openai-responses", "gemini-generate", "ollama-chat"}
