"""No body makes the Responses wire raise anything but our errors, hang, or eat time or memory."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires import read_calls
from equitrcoder.wires.openai_responses import ResponsesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    RequestOptions,
    ResultForModel,
    ToolResults,
    Turn,
)
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
    seconds,
    takes_linear_time,
)
from tests.wire.reading import client_calls
from tests.wire.responses_bodies import (
    RESPONSES,
    added,
    answer,
    arguments,
    call,
    completed,
    delta,
    done,
    events,
    message,
    read_stream,
    reasoning,
    stream_of,
)

ITEMS = [
    reasoning("Hm"),
    message("Grüße 🔧"),
    call("a", "f", '{"x": "\\ud83d\\udd27 \\u00e9"}'),
    call("", "g", ""),
    {"type": "custom_tool_call", "id": "ct", "call_id": "c", "name": "sql", "input": "SELECT 1"},
    {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "shell_call", "id": "sh", "call_id": "s", "action": {"commands": ["ls"]}, "environment": None},
    {
        "type": "mcp_call",
        "id": "m",
        "name": "ask",
        "server_label": "l",
        "arguments": "{}",
        "output": "o",
        "error": None,
    },
]
USAGE = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14, "input_tokens_details": {"cached_tokens": 4}}
NAME = "openai-responses"
COMPLETE = answer(*ITEMS, usage=USAGE)
STREAM = stream_of(*ITEMS, usage=USAGE)


def send_back(turn: Turn) -> None:
    calls = client_calls(turn)
    results = ToolResults(
        results=tuple(ResultForModel(wire_id=each.wire_id, name=each.name, text="r") for each in calls)
    )
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="row")
    subset = ResponsesDialect(reasoning_echo="none", echo_items="messages_and_calls", result_names=True)
    for dialect in (ResponsesDialect(), ResponsesDialect(reasoning_echo="all"), subset):
        conversation = Conversation(system="", messages=[said, results])
        body = RESPONSES.request(conversation, [], RequestOptions(model="m"), dialect, origin="row").body
        jsontext.dumps(body)
        wanted = [each.wire_id for each in calls]
        sent = [item for item in body["input"] if str(item.get("call_id", "")) in wanted]
        assert [item["call_id"] for item in sent if not str(item["type"]).endswith("_output")] == wanted
        for item in sent:
            if item["type"] == "function_call":
                assert isinstance(json.loads(item["arguments"]), dict)


attempt = partial(hostile.attempt, NAME, send_back=send_back)


@both_ways
def test_cut_at_every_byte(streaming: bool) -> None:
    body = STREAM if streaming else COMPLETE
    whole = [each.name for each in read_calls(NAME, body, streaming=streaming)]
    assert whole == ["f", "g", "sql", "web_search", "shell", "ask"]
    for end in range(0, len(body), 1 if not streaming else 3):
        turn = attempt(body[:end], streaming)
        if streaming and turn is not None:
            assert len(turn.calls) <= len(whole)


@both_ways
@examples(150, data=st.data())
def test_bytes_flipped(streaming: bool, data: st.DataObject) -> None:
    body, size = flipped(data, STREAM if streaming else COMPLETE)
    attempt(body, streaming, size)


@examples(150, seed=st.integers(0, 2**32), drop=st.booleans())
def test_events_shuffled(seed: int, drop: bool) -> None:
    pieces = STREAM.split(b"\n\n")
    chance = random.Random(seed)
    chance.shuffle(pieces)
    attempt(b"\n\n".join(pieces[: len(pieces) // 2] if drop else pieces) + b"\n\n", streaming=True)


KEYS = ["type", "item", "item_id", "id", "call_id", "name", "arguments", "input", "output", "output_index", "delta"]
KEYS += ["text", "content", "summary", "content_index", "summary_index", "command_index", "status", "error", "code"]
KEYS += ["message", "response", "usage", "input_tokens", "input_tokens_details", "action", "commands", "environment"]
KEYS += ["operation", "queries", "encrypted_content", "refusal", "incomplete_details", "reason", "role", "x"]
TYPES = ["message", "reasoning", "function_call", "custom_tool_call", "shell_call", "local_shell_call", "mcp_call"]
TYPES += ["apply_patch_call", "computer_call", "tool_search_call", "tool_search_output", "shell_call_output", "unknown"]
TYPES += ["file_search_call", "web_search_call", "code_interpreter_call", "x_call", "mcp_approval_request", "program"]
TYPES += ["search_results", "function_call_output", "output_text", "refusal", "error"]
KINDS = [f"response.{stem}.{end}" for end in ("delta", "done") for stem in ("function_call_arguments", "output_text")]
KINDS += [f"response.{stem}.{end}" for end in ("delta", "done") for stem in ("refusal", "shell_call_command")]
KINDS += [
    f"response.{stem}.{end}" for end in ("delta", "done") for stem in ("reasoning_summary_text", "mcp_call_arguments")
]
KINDS += [
    "response.apply_patch_call_operation_diff.delta",
    "response.custom_tool_call_input.done",
    "error",
    "keepalive",
]
KINDS += ["response.output_item.added", "response.output_item.done", "response.created", "response.failed"]
KINDS += ["response.completed", "response.incomplete"]
JUNK = junk(KEYS, ["{}", "{", "completed", "failed", *TYPES], st.integers(0, 2))
OBJECTS = objects(KEYS, JUNK, 7)
TYPED = st.builds(lambda item, kind: {**item, "type": kind}, OBJECTS, st.sampled_from(TYPES))
EVENTS = st.builds(lambda event, kind: {**event, "type": kind}, OBJECTS, st.sampled_from(KINDS))
ITEM_EVENTS = st.builds(
    lambda item, kind, index: {"type": f"response.output_item.{kind}", "item": item, "output_index": index},
    TYPED,
    st.sampled_from(["added", "done"]),
    st.none() | st.integers(-1, 3),
)


@examples(120, items=st.lists(TYPED | JUNK, max_size=5), status=JUNK, top=OBJECTS)
def test_items_of_any_shape(items: list[Any], status: Any, top: dict[str, Any]) -> None:
    attempt(answer(*items, **{**top, "status": status}), streaming=False)


@examples(120, told=st.lists(EVENTS | ITEM_EVENTS | OBJECTS, max_size=8), final=st.lists(TYPED, max_size=3))
def test_streams_of_any_shape(told: list[Any], final: list[Any]) -> None:
    attempt(events(*told, completed(*final)), streaming=True)


@examples(300, body=bytes_or(JUNK), streaming=st.booleans())
def test_any_bytes(body: bytes, streaming: bool) -> None:
    attempt(body, streaming)
    attempt(b"data: " + body + b"\n\n", streaming=True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"completed","output":[{"type":"function_call","name":"f","arguments":"{\\"a\\":NaN}"}]}',
        b'{"status":"completed","output":[{"type":"function_call","name":"f","name":"g","arguments":"{}"}]}',
        b'{"status":"completed","output":[{"type":"function_call","name":"f\xff","arguments":"{}"}]}',
        b'{"status":"completed","output":[{"type":"function_call","name":"\\ud800","arguments":"{}"}]}',
        b'{"status":"completed","output":[{"type":"function_call","name":"f","arguments":{"a":1e999}}]}',
        b'{"status":NaN,"output":[]}',
    ],
)
def test_what_json_leaves_open(body: bytes) -> None:
    attempt(body, streaming=False)
    attempt(b'data: {"type":"response.completed","response":%s}\n\n' % body, streaming=True)


@pytest.mark.parametrize("depth", [100, 199, 201, 250, 500, 990, 5_000, 200_000])
def test_deep_nesting(depth: int) -> None:
    marked = call("a", "f", "ARGS")
    as_text = json.dumps(nested(depth)).encode()
    for args in (as_text, nested(depth).encode()):
        for streaming, body in ((False, answer(marked)), (True, events(done(0, marked), completed()))):
            attempt(body.replace(b'"ARGS"', args), streaming)
    turn = RESPONSES.read_response(answer(marked).replace(b'"ARGS"', as_text))
    assert isinstance(turn.calls[0].arguments, dict) is (depth < 200)


@pytest.mark.parametrize(
    "event",
    [
        lambda n: delta("output_text", 0, "x", content_index=n),
        lambda n: delta("reasoning_summary_text", 0, "x", summary_index=n),
        lambda n: delta("shell_call_command", 0, "x", command_index=n),
        lambda n: done(0, call(f"c{n}")),
        lambda n: added(None, {"type": "message", "id": "same"}),
        lambda n: arguments(None, "x", item_id=f"i{n}"),
        lambda n: {"type": "response.in_progress", "response": {"status": "in_progress"}},
    ],
)
def test_many_events_of_each_kind_take_linear_time(event: Callable[[int], dict[str, Any]]) -> None:
    small, large = (events(*[event(n) for n in range(count)]) for count in (1_000, 8_000))
    takes_linear_time(partial(fed, NAME), small, large)


@both_ways
def test_more_items_than_any_answer_holds_are_refused(streaming: bool) -> None:
    items = [{"type": "message"} for _ in range(10_001)]
    body = events(*[added(n, item) for n, item in enumerate(items)]) if streaming else answer(*items)
    with pytest.raises(BadResponseError, match="more than 10000 output items"):
        read_stream(body) if streaming else RESPONSES.read_response(body)


def test_memory_stays_in_proportion_to_the_body() -> None:
    for one in (arguments(0, "x"), delta("output_text", 0, ""), {"type": "response.created", "response": {"y": [0]}}):
        body = events(one) * 20_000
        memory_stays_in_proportion(partial(fed, NAME), body, 3)


def test_a_stream_of_200_small_deltas_costs_next_to_nothing() -> None:
    body = events(added(0, message("")), *[delta("output_text", 0, "word ") for _ in range(199)], completed())
    best = min(seconds(lambda: [read_stream(body) for _ in range(20)]) for _ in range(3)) / 20
    assert best < 0.01, f"{best * 1000:.2f} ms"
