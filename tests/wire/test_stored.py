"""Stored messages: their calls read again are those of the answer, also when only an outline was kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from equitrcoder import jsontext
from equitrcoder.errors import ProviderError
from equitrcoder.wires import WIRES, read_calls, wire
from equitrcoder.wires.stored import holds_results, outline, read_stored_calls
from equitrcoder.wires.values import Turn
from tests.wire.recorded import expectations, needs_recordings, plain, read

MARK = "(withheld)"
LEAST = {"openai-chat": 450, "openai-responses": 300, "anthropic-messages": 350, "gemini-generate": 190, "mistral": 45}


def stored(turn: Turn) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """A turn's messages after they have been written and read."""
    native, further = jsontext.loads(jsontext.dumps([turn.native, list(turn.further)]))
    return native, tuple(further)


@needs_recordings
@pytest.mark.parametrize("name", WIRES)
def test_every_recorded_answer_gives_its_calls_again(name: str, record_property: Any) -> None:
    read_again = calls = 0
    for which in expectations(name):
        try:
            turn = read(name, which)
        except ProviderError as error:
            if error.partial is None:
                continue
            turn = error.partial
        native, further = stored(turn)
        again = read_stored_calls(name, native, further)
        assert plain(again) == plain(turn.calls), which
        left = read_stored_calls(name, outline(native, MARK), [outline(one, MARK) for one in further])
        assert [(call.name, call.id, call.kind, call.index) for call in left] == [
            (call.name, call.id, call.kind, call.index) for call in turn.calls
        ], which
        if any(call.result is not None for call in turn.calls):
            assert holds_results(native) or any(map(holds_results, further)), which
        read_again += 1
        calls += len(again)
    print(f"\n{name}: {read_again} answers read again, {calls} calls")
    record_property("read_again", read_again)
    assert read_again >= LEAST.get(name, 5)


FURTHER = {
    "openai-chat": {
        "choices": [
            {"message": {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}}},
            {"message": {"tool_calls": [{"id": "b", "function": {"name": "second", "arguments": '{"x":1}'}}]}},
        ]
    },
    "gemini-generate": {
        "candidates": [
            {"index": 0, "content": {"parts": [{"functionCall": {"name": "one", "args": {}}}]}},
            {"index": 1, "content": {"parts": [{"functionCall": {"name": "two", "args": {"y": 2}}}]}},
        ]
    },
}


@pytest.mark.parametrize("name", FURTHER)
def test_calls_of_further_choices_count(name: str) -> None:
    turn = wire(name).read_response(json.dumps(FURTHER[name]).encode())
    assert len(turn.calls) == 2
    assert plain(read_stored_calls(name, *stored(turn))) == plain(turn.calls)
    assert len(read_stored_calls(name, turn.native)) == 1


def test_mistral_calls_without_an_id_have_none_again() -> None:
    call = {"id": "null", "function": {"name": "f", "arguments": "{}"}}
    body = json.dumps({"choices": [{"message": {"role": "assistant", "tool_calls": [call]}}]}).encode()
    turn = wire("mistral").read_response(body)
    assert [call.id for call in turn.calls] == [None]
    assert plain(read_stored_calls("mistral", *stored(turn))) == plain(read_calls("mistral", body, streaming=False))


SECRET = "APRICOT"
MESSAGES: dict[str, dict[str, Any]] = {
    "openai-chat": {
        "role": "assistant",
        "content": SECRET,
        "reasoning": SECRET,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": f'{{"name":"{SECRET}"}}'}},
            {"id": "b", "type": "custom", "custom": {"name": "g", "input": SECRET}},
        ],
        "executed_tools": [{"index": 0, "type": "search", "arguments": SECRET, "output": SECRET, "name": "s"}],
    },
    "openai-responses": {
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": SECRET, "name": SECRET}]},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": f'"{SECRET}"'},
            {"type": "web_search_call", "id": "w", "action": {"type": SECRET, "name": SECRET}},
            {
                "type": "shell_call",
                "call_id": "s",
                "action": {"commands": [SECRET]},
                "environment": {"type": "container_x"},
            },
            {"type": "shell_call_output", "call_id": "s", "output": [{"id": SECRET, "type": SECRET}]},
        ]
    },
    "anthropic-messages": {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": "a", "name": "f", "input": {"name": SECRET, "type": SECRET, "id": SECRET}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": SECRET}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "r", "id": SECRET}]},
        ],
    },
    "gemini-generate": {
        "role": "model",
        "parts": [
            {"functionCall": {"name": "f", "id": "a", "args": {"name": SECRET, "id": SECRET}}},
            {"executableCode": {"language": "PYTHON", "code": SECRET}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": SECRET}},
            {"text": SECRET, "thoughtSignature": SECRET},
        ],
    },
}


@pytest.mark.parametrize("name", MESSAGES)
def test_an_outline_has_the_calls_and_none_of_the_content(name: str) -> None:
    left = outline(MESSAGES[name], MARK)
    assert SECRET not in json.dumps(left)
    before, after = read_stored_calls(name, MESSAGES[name]), read_stored_calls(name, left)
    assert len(before) >= 2
    assert [(call.name, call.id, call.kind) for call in after] == [(call.name, call.id, call.kind) for call in before]
    assert holds_results(MESSAGES[name])


def test_what_is_no_message_is_told() -> None:
    with pytest.raises(ValueError, match="no message of the wire openai-responses"):
        read_stored_calls("openai-responses", {"role": "assistant"})
    with pytest.raises(ValueError, match="no message of the wire gemini-generate"):
        read_stored_calls("gemini-generate", {"parts": [{"functionCall": 7}]})
    with pytest.raises(KeyError):
        read_stored_calls("replicate-predictions", {})
    assert not holds_results({"content": "text", "tool_calls": [{"id": "a"}]})
