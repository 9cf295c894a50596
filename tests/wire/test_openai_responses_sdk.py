"""The official openai SDK as oracle of the Responses wire.

What we send must be valid by the SDK's own types; what we read must equal what the SDK reads from the same bytes, which
it gets from a server on loopback, as from OpenAI.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseInputItemParam, ToolParam, response_create_params
from pydantic import TypeAdapter

from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from equitrcoder.wires.openai_responses import ResponsesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    Turn,
    UserMessage,
)
from tests.wire.responses_bodies import RESPONSES, answer, call, events, message, read_stream, reasoning, stream_of

TOOL = ToolSpec(name="read_file", description="Read.", parameters={"type": "object", "properties": {}})

SHELL = {"type": "shell_call", "id": "sh_1", "call_id": "a", "status": "completed", "action": {"commands": ["ls"]}}
PATCH = {"type": "apply_patch_call", "id": "ap_1", "call_id": "a", "status": "completed"}
CASES: dict[str, tuple[Any, ...]] = {
    "text": (message(),),
    "phase": (message(phase="commentary"), message(wire_id="msg_2", phase="final_answer")),
    "refusal": (message(content=[{"type": "refusal", "refusal": "No."}]),),
    "calls": (call("a", arguments='{"path": "x"}'), call("b", arguments="not json")),
    "reasoning and calls": (reasoning(), message(), call("a"), call("b")),
    "reasoning without encrypted content": (reasoning(sealed=None), message(), call("a")),
    "reasoning that came in the open only, and a phase": (
        reasoning(sealed=None),
        message(phase="commentary"),
        call("a"),
    ),
    "reasoning at the end": (message(), reasoning()),
    "nulls and what only answers have": (
        reasoning(content=None, status=None),
        call("a", caller=None, namespace=None),
        {**SHELL, "call_id": "b", "created_by": "model", "environment": None},
    ),
    "custom": ({"type": "custom_tool_call", "id": "ct_1", "call_id": "a", "name": "sql", "input": "SELECT 1"},),
    "shell": (SHELL,),
    "local shell": (
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "a",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls"], "env": {}},
        },
    ),
    "patch": ({**PATCH, "operation": {"type": "delete_file", "path": "a.txt"}},),
    "computer": ({"type": "computer_call", "id": "cu_1", "call_id": "a", "action": {"type": "screenshot"}},),
    "tool search of the client": ({"type": "tool_search_call", "id": "ts", "call_id": "a", "execution": "client"},),
    "web search": ({"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}},),
    "images": ({"type": "image_generation_call", "id": "ig", "status": "failed", "result": None},),
    "mcp": (
        {"type": "mcp_list_tools", "id": "l", "server_label": "s", "tools": []},
        {"type": "mcp_call", "id": "m", "server_label": "s", "name": "ask", "arguments": "{}", "output": "o"},
    ),
    "compaction": ({"type": "compaction", "id": "cmp", "encrypted_content": "sealed"}, message()),
}


def forced(value: Any) -> Any:
    """A validated value with its lazy iterables read, so that everything in it has been validated."""
    if isinstance(value, dict):
        return {key: forced(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return value
    return [forced(item) for item in value]


def conversation_after(turn: Turn, origin: str = "row") -> Conversation:
    calls = tuple(
        EchoedCall(
            wire_id=f"made{each.index}",
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each in turn.calls
        if each.kind == "client"
    )
    results = tuple(
        ResultForModel(wire_id=each.wire_id, name=each.name, text="done", is_error=bool(each.index)) for each in calls
    )
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin=origin)
    return Conversation(
        system="S", messages=[UserMessage(text="go"), said, ToolResults(results=results), UserMessage(text="on")]
    )


@pytest.mark.parametrize("origin", ["row", "elsewhere"])
@pytest.mark.parametrize("case", CASES)
def test_every_request_is_one_of_the_sdks_with_no_field_beside(case: str, origin: str) -> None:
    turn = RESPONSES.read_response(answer(*CASES[case]))
    options = RequestOptions(model="m", output_limit_tokens=5, reasoning_effort="low", parallel_calls=False)
    body = RESPONSES.request(conversation_after(turn, origin), [TOOL], options, ResponsesDialect(), origin="row").body
    tools = TypeAdapter(list[ToolParam])
    assert forced(tools.validate_python(body["tools"])) == body["tools"]
    whole = TypeAdapter(response_create_params.ResponseCreateParamsStreaming)
    checked = forced(whole.validate_python(body))
    assert {**checked, "input": None} == {**body, "input": None}, "no key that the SDK does not know"
    one = TypeAdapter(ResponseInputItemParam)
    for item in body["input"]:
        assert item in _readings(one, item), "no key of an item that the SDK does not know"


def _readings(adapter: TypeAdapter[Any], item: dict[str, Any]) -> list[Any]:
    """The item as the type of its own kind reads it, and as the union does."""
    found = []
    for kind in ResponseInputItemParam.__args__:
        try:
            found.append(forced(TypeAdapter(kind).validate_python(item)))
        except ValueError:
            continue
    assert adapter.validate_python(item)
    return found


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("nulls and what only answers have",)])
def test_a_stream_reads_like_the_same_answer_complete(case: str) -> None:
    complete = RESPONSES.read_response(answer(*CASES[case]))
    assert read_stream(stream_of(*CASES[case])) == complete
    assert read_stream(stream_of(*CASES[case]), size=1) == complete


ANSWERS = {
    "text": Answer(text="Hello."),
    "calls": Answer(text="Look.", calls=[Call("read_file", {"a": 1}), Call("b", "{bad"), Call("c", "")]),
    "reasoning": Answer(text="Well.", reasoning="Hm, let me see."),
    "no pieces": Answer(calls=[Call("read_file", {"a": 1}, deltas=0)]),
}


@pytest.fixture
def server() -> Iterator[list[ScriptedProvider]]:
    opened: list[ScriptedProvider] = []
    yield opened
    for each in opened:
        each.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("case", ANSWERS)
def test_what_we_read_is_what_the_sdk_reads(case: str, stream: bool, server: list[ScriptedProvider]) -> None:
    """It holds the scripted provider to the specification too: the SDK reads its bytes."""
    server.append(ScriptedProvider([ANSWERS[case]] * 2))
    base_url = server[0].base_url
    with openai.OpenAI(api_key="k", base_url=base_url, max_retries=0) as client:
        if stream:
            with client.responses.stream(model="m", input="hi") as told:
                theirs = told.get_final_response()
        else:
            theirs = client.responses.create(model="m", input="hi")
        raw = client.responses.with_raw_response.create(model="m", input="hi", stream=stream)  # type: ignore[call-overload]
        body = raw.http_response.read()
    ours = read_stream(body) if stream else RESPONSES.read_response(body)
    calls = [item for item in theirs.output if item.type == "function_call"]
    assert ours.text == theirs.output_text
    assert [(each.id, each.name) for each in ours.calls] == [
        (item.call_id.replace("call_1", "call_2"), item.name) for item in calls
    ]
    assert theirs.usage is not None
    assert ours.usage.output_tokens == theirs.usage.output_tokens
    assert ours.finish == theirs.status


def test_the_scripted_error_event_is_one_of_the_sdks(server: list[ScriptedProvider]) -> None:
    server.append(ScriptedProvider([Fault(error={"message": "overloaded", "type": "server_error"})]))
    with openai.OpenAI(api_key="k", base_url=server[0].base_url, max_retries=0) as client:
        (told,) = client.responses.create(model="m", input="hi", stream=True)
    assert (told.type, told.message, told.code) == ("error", "overloaded", "server_error")


def test_events_of_the_sdk_that_we_do_not_know_are_passed_over() -> None:
    body = events({"type": "response.queued", "response": {"status": "queued"}}, {"type": "keepalive"})
    assert read_stream(body + stream_of(message())).text == "Hi"
