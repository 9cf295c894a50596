"""What goes out on the Responses wire: the whole conversation each time, answers as they came."""

from __future__ import annotations

import copy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.providers import PROVIDERS
from equitrcoder.wires.openai_responses import ResponsesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
)
from tests.wire.responses_bodies import RESPONSES, answer, call, message, reasoning

PLAIN = ResponsesDialect()
PERPLEXITY = PROVIDERS["perplexity"].dialect
TOOL = ToolSpec(name="read_file", description="Read.", parameters={"type": "object", "properties": {}})


def body_of(*said: Any, dialect: ResponsesDialect = PLAIN, tools: Any = (), **options: Any) -> dict[str, Any]:
    conversation = Conversation(system="S", messages=list(said))
    asked = RequestOptions(**{"model": "m", "stream": False, **options})
    return dict(RESPONSES.request(conversation, tools, asked, dialect, origin="row").body)


def after(*output: Any, ids: list[str] | None = None, origin: str = "row", is_error: bool = False) -> list[Any]:
    """An answer with these items, and results of its calls."""
    turn = RESPONSES.read_response(answer(*output))
    mine = [each for each in turn.calls if each.kind == "client"]
    calls = tuple(
        EchoedCall(
            wire_id=ids[number] if ids else str(each.id),
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for number, each in enumerate(mine)
    )
    results = tuple(
        ResultForModel(wire_id=c.wire_id, name=c.name, text=f"r {c.name}", is_error=is_error) for c in calls
    )
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin=origin)
    return [said, ToolResults(results=results)] if results else [said]


def sent(*output: Any, dialect: ResponsesDialect = PLAIN, **how: Any) -> list[dict[str, Any]]:
    return list(body_of(*after(*output, **how), dialect=dialect)["input"])


def test_a_whole_request() -> None:
    body = body_of(
        UserMessage(text="Hi"),
        tools=[TOOL],
        stream=True,
        output_limit_tokens=9,
        reasoning_effort="low",
        parallel_calls=False,
    )
    assert len(body.pop("prompt_cache_key")) == 32
    assert body == {
        "model": "m",
        "instructions": "S",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "tools": [
            {
                "type": "function",
                "name": "read_file",
                "description": "Read.",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "parallel_tool_calls": False,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
        "stream": True,
    }


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    body = body_of(UserMessage(text="Hi"))
    assert set(body) == {"model", "instructions", "input", "store", "include", "prompt_cache_key"}


def test_perplexity_is_sent_what_its_schema_knows() -> None:
    made = RESPONSES.request(
        Conversation(system="S", messages=[UserMessage(text="Hi")]),
        [TOOL],
        RequestOptions(model="m", parallel_calls=False, reasoning_effort="low"),
        PERPLEXITY,
        origin="perplexity",
    )
    assert made.path == "/agent"
    assert set(made.body) == {"model", "instructions", "input", "tools", "store", "reasoning", "stream"}


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("gpt-6.1-sol", True),
        ("gpt-5.4-mini", True),
        ("o4-mini", True),
        ("grok-4", True),
        ("gpt-4o", False),
        ("gpt-4.1-mini", False),
        ("chatgpt-4o-latest", False),
        ("gpt-5-chat-latest", False),
        ("ft:gpt-4o:me", False),
    ],
)
def test_models_without_reasoning_are_not_asked_for_it_encrypted(model: str, asked: bool) -> None:
    assert ("include" in body_of(UserMessage(text="Hi"), model=model)) is asked


def test_all_items_go_back_in_order_as_they_came() -> None:
    items = [
        reasoning("Hm", "sealed one"),
        message("Look.", phase="commentary"),
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "program", "id": "p", "call_id": "pc", "code": "f()", "fingerprint": "fp"},
        {"type": "some_future_type", "id": "x", "what": [1]},
        reasoning("Well", "sealed two", wire_id="rs_2"),
        call("a", arguments='{"b" :  1}', namespace="n", caller={"type": "direct"}),
    ]
    out = sent(*items)
    assert out[:-1] == items
    assert out[-1] == {"type": "function_call_output", "call_id": "a", "output": "r read_file"}


def test_nothing_of_the_conversation_is_changed() -> None:
    said = after(reasoning(sealed=None), call("a", caller=None), ids=["w0"])
    before = copy.deepcopy(said[0].native)
    body_of(*said)
    assert said[0].native == before


def test_reasoning_without_encrypted_content_stays_behind_and_so_do_the_ids_that_ask_for_it() -> None:
    out = sent(reasoning(sealed=None), message("Look.", phase="commentary"), call("a"))
    assert out[:2] == [
        {"type": "message", "role": "assistant", "content": "Look.", "phase": "commentary"},
        {"type": "function_call", "status": "completed", "name": "read_file", "arguments": "{}", "call_id": "a"},
    ]


def test_reasoning_that_nothing_follows_stays_behind() -> None:
    assert sent(message("Hi"), reasoning(), reasoning(wire_id="rs_2")) == [message("Hi")]


def test_a_row_may_take_all_reasoning_or_none() -> None:
    items = reasoning(sealed=None), message("Hi")
    assert sent(*items, dialect=ResponsesDialect(reasoning_echo="all")) == list(items)
    none = sent(reasoning(), message("Hi"), dialect=ResponsesDialect(reasoning_echo="none"))
    assert [item["type"] for item in none] == ["message"]


def test_ids_of_ours_stand_in_call_and_result() -> None:
    out = sent(call(""), call("same"), call("same", "other"), ids=["w0", "w1", "w2"])
    assert [(item["type"], item["call_id"]) for item in out] == [
        ("function_call", "w0"),
        ("function_call", "w1"),
        ("function_call", "w2"),
        ("function_call_output", "w0"),
        ("function_call_output", "w1"),
        ("function_call_output", "w2"),
    ]


@pytest.mark.parametrize("given", ["", "not json", "[1]", None])
def test_invalid_arguments_are_echoed_as_an_empty_object(given: Any) -> None:
    assert sent(call("a", arguments=given))[0]["arguments"] == "{}"


def test_arguments_that_came_as_an_object_go_back_as_text() -> None:
    assert sent(call("a", arguments={"b": 1}))[0]["arguments"] == '{"b":1}'


def test_names_that_hosts_refuse_are_written_so_that_they_take_them() -> None:
    assert sent(call("a", "functions.read file"))[0]["name"] == "functions_read_file"


SHELL = {"type": "shell_call", "id": "s", "call_id": "a", "action": {"commands": ["ls"]}}


@pytest.mark.parametrize(
    ("item", "result"),
    [
        (
            {"type": "custom_tool_call", "id": "c", "call_id": "a", "name": "sql", "input": "SELECT 1"},
            {"type": "custom_tool_call_output", "call_id": "a", "output": "r sql"},
        ),
        (
            {"type": "local_shell_call", "id": "l", "call_id": "a", "action": {"command": ["ls"]}},
            {"type": "local_shell_call_output", "id": "a", "output": "r local_shell"},
        ),
        (
            SHELL,
            {
                "type": "shell_call_output",
                "call_id": "a",
                "output": [{"stdout": "r shell", "stderr": "", "outcome": {"type": "exit", "exit_code": 1}}],
            },
        ),
        (
            {"type": "apply_patch_call", "id": "p", "call_id": "a", "operation": {"type": "delete_file", "path": "x"}},
            {"type": "apply_patch_call_output", "call_id": "a", "status": "failed", "output": "r apply_patch"},
        ),
    ],
)
def test_tools_of_the_wire_go_back_as_such_with_results_of_their_kind(
    item: dict[str, Any], result: dict[str, Any]
) -> None:
    assert sent(item, is_error=True) == [item, result]


def test_calls_whose_results_are_no_text_go_back_as_functions() -> None:
    out = sent({"type": "computer_call", "id": "c", "call_id": "a", "action": {"type": "wait"}})
    assert out[0] == {"type": "function_call", "call_id": "a", "name": "computer", "arguments": '{"type":"wait"}'}
    assert out[1]["type"] == "function_call_output"


def test_perplexity_gets_messages_and_calls_with_their_signature_and_the_tools_name() -> None:
    items = (
        reasoning(),
        {"type": "search_results", "results": [1]},
        message("Look."),
        call("a", arguments="{}", thought_signature="sig"),
    )
    assert sent(*items, dialect=PERPLEXITY) == [
        {"type": "message", "role": "assistant", "content": "Look."},
        {"type": "function_call", "call_id": "a", "name": "read_file", "arguments": "{}", "thought_signature": "sig"},
        {
            "type": "function_call_output",
            "call_id": "a",
            "output": "r read_file",
            "name": "read_file",
            "thought_signature": "sig",
        },
    ]


def test_an_answer_of_another_row_is_rebuilt_from_its_plain_side() -> None:
    assert sent(reasoning(), message("Hi"), call("a", "f", '{"b": 1}'), origin="elsewhere") == [
        {"type": "message", "role": "assistant", "content": "Hi"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"b":1}'},
        {"type": "function_call_output", "call_id": "a", "output": "r f"},
    ]
    chat = AssistantMessage(text="Hi", native={"role": "assistant", "content": "Hi"}, origin="row")
    assert body_of(chat)["input"] == [{"type": "message", "role": "assistant", "content": "Hi"}]


def test_a_sessions_prefix_and_its_cache_key_never_change() -> None:
    said: list[Any] = [UserMessage(text="go")]
    before = body_of(*said, tools=[TOOL])
    for number in range(4):
        said += after(reasoning(sealed=None), message("Hi"), call(f"c{number}", arguments="not json"))
        body = body_of(*said, tools=[TOOL])
        assert body["input"][: len(before["input"])] == before["input"]
        assert {**body, "input": None} == {**before, "input": None}
        before = body
    assert body_of(UserMessage(text="other"))["prompt_cache_key"] != before["prompt_cache_key"]


def test_extra_body_wins() -> None:
    dialect = ResponsesDialect(extra_body={"store": True, "truncation": "auto"}, cache_key=False, path="/v2/responses")
    body = body_of(UserMessage(text="Hi"), dialect=dialect)
    assert (body["store"], body["truncation"], "prompt_cache_key" in body) == (True, "auto", False)


def test_the_page_names_every_departure() -> None:
    page = (Path(__file__).parents[2] / "docs" / "wires.md").read_text()
    assert [field.name for field in fields(ResponsesDialect) if f"`{field.name}`" not in page] == []
