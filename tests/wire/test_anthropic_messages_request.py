"""The Messages wire: requests, on conversations of every kind."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import Any

import pytest

from equitrcoder.wires.anthropic_messages import MessagesDialect
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    Message,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    Turn,
    UserMessage,
)
from tests.wire.messages_bodies import WIRE, answer, events, json_piece, opened, read_stream, start, text, use

TOOLS = [
    ToolSpec(name="read_file", description="Read.", parameters={"type": "object", "properties": {}}),
    ToolSpec(name="git_status", description="Status.", parameters={"type": "object", "properties": {}}),
]
PLAIN = MessagesDialect(cache=False)
MARK = {"type": "ephemeral"}


def said(turn: Turn, *ids: str, origin: str = "row") -> AssistantMessage:
    """An answer as the agent puts it into the conversation; `ids` in place of the provider's."""
    calls = [call for call in turn.calls if call.kind == "client"]
    echoed = tuple(
        EchoedCall(
            wire_id=ids[place] if ids else call.id or "",
            name=call.name,
            arguments=call.arguments if isinstance(call.arguments, dict) else None,
            index=call.index,
        )
        for place, call in enumerate(calls)
    )
    return AssistantMessage(text=turn.text, calls=echoed, native=turn.native, origin=origin)


def results(*told: tuple[str, str, bool]) -> ToolResults:
    return ToolResults(
        results=tuple(ResultForModel(wire_id=each, name="f", text=words, is_error=bad) for each, words, bad in told)
    )


def body_of(
    *messages: Message,
    system: str = "",
    tools: list[ToolSpec] | None = None,
    dialect: MessagesDialect | None = PLAIN,
    **options: Any,
) -> dict[str, Any]:
    conversation = Conversation(system=system, messages=list(messages))
    before = copy.deepcopy(conversation)
    made = WIRE.request(conversation, tools or [], RequestOptions(**{"model": "m", **options}), dialect, origin="row")
    assert conversation == before, "nothing of the conversation is changed"
    json.dumps(made.body)
    return made.body


def sent(*messages: Message) -> list[dict[str, Any]]:
    return body_of(*messages)["messages"]  # type: ignore[no-any-return]


HELLO = UserMessage(text="Hi")
USER = {"role": "user", "content": [text("Hi")]}


def test_path_headers_and_the_least_body() -> None:
    made = WIRE.request(
        Conversation(system="", messages=[HELLO]), [], RequestOptions(model="m", stream=False), None, origin="row"
    )
    assert (made.path, made.headers) == ("/v1/messages", {"anthropic-version": "2023-06-01"})
    marked = {"role": "user", "content": [{**text("Hi"), "cache_control": MARK}]}
    assert made.body == {"model": "m", "max_tokens": 16_384, "messages": [marked]}
    silent = MessagesDialect(version="")
    assert WIRE.request(Conversation(system=""), [], RequestOptions(model="m"), silent, origin="row").headers == {}


def test_system_tools_and_one_call_at_a_time() -> None:
    body = body_of(HELLO, system="Be brief.", tools=TOOLS, parallel_calls=False)
    assert body["system"] == [text("Be brief.")]
    assert body["tools"][0] == {
        "name": "read_file",
        "description": "Read.",
        "input_schema": {"type": "object", "properties": {}},
    }
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert body["stream"] is True
    assert "tool_choice" not in body_of(HELLO, tools=TOOLS)
    assert "tool_choice" not in body_of(HELLO, parallel_calls=False)
    other = MessagesDialect(parallel_calls=False, extra_body={"service_tier": "auto"})
    body = body_of(HELLO, tools=TOOLS, parallel_calls=False, dialect=other)
    assert "tool_choice" not in body and body["service_tier"] == "auto"


# --- what goes back ------------------------------------------------------------------------------------------------

THINKING = {"type": "thinking", "thinking": "", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "opaque"}
UNKNOWN = {"type": "brand_new", "payload": {"x": [1]}}
SEARCH = use("srvtoolu_1", "web_search", {"query": "x"}, "server_tool_use")
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"encrypted_content": "e"}]}
CITED = {**text("Found."), "citations": [{"type": "web_search_result_location", "encrypted_index": "i"}]}


def test_an_answer_goes_back_block_by_block() -> None:
    call = {**use("toolu_1", "read_file", {"b": 1, "a": 2}), "caller": {"type": "direct"}}
    blocks = [THINKING, REDACTED, UNKNOWN, SEARCH, FOUND, CITED, call]
    turn = WIRE.read_response(answer(*blocks, stop="tool_use"))
    assert sent(HELLO, said(turn), results(("toolu_1", "x", False))) == [
        USER,
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]},
    ]


@pytest.mark.parametrize("blank", ["", " ", "\n\n"])
def test_blank_texts_stay_behind(blank: str) -> None:
    turn = WIRE.read_response(answer(text(blank), THINKING, text("Hi")))
    assert sent(HELLO, said(turn))[1]["content"] == [THINKING, text("Hi")]
    empty = WIRE.read_response(answer(text(blank)))
    assert sent(HELLO, said(empty), UserMessage(text="on")) == [{"role": "user", "content": [text("Hi"), text("on")]}]
    assert sent(HELLO, UserMessage(text=blank)) == [USER]


def test_invalid_arguments_go_back_as_none() -> None:
    body = events(start(), opened(0, use("a", "f", {})), json_piece(0, '{"x'), {"type": "message_stop"})
    for turn in (read_stream(body), WIRE.read_response(answer(use("a", "f", "nonsense")))):
        assert sent(HELLO, said(turn))[1]["content"] == [use("a", "f", {})]
    broken = {**SEARCH, "input": None}
    turn = WIRE.read_response(answer(broken, FOUND))
    assert sent(HELLO, said(turn))[1]["content"] == [{**SEARCH, "input": {}}, FOUND]


def test_new_ids_stand_in_call_and_result() -> None:
    turn = WIRE.read_response(answer(use("a", "f", {}), SEARCH, FOUND, use("a", "f", {"x": 1})))
    messages = sent(HELLO, said(turn, "a", "call_2"), results(("a", "1", False), ("call_2", "2", False)))
    assert messages[1]["content"] == [use("a", "f", {}), SEARCH, FOUND, use("call_2", "f", {"x": 1})]
    assert [each["tool_use_id"] for each in messages[2]["content"]] == ["a", "call_2"]


def test_ids_and_names_that_are_refused_are_written_otherwise() -> None:
    turn = WIRE.read_response(answer(use("functions.f:0", "my tool", {}), use("functions_f_0", "", {})))
    messages = sent(HELLO, said(turn), results(("functions.f:0", "1", False), ("functions_f_0", "2", False)))
    ids = [block["id"] for block in messages[1]["content"]]
    assert ids == [each["tool_use_id"] for each in messages[2]["content"]]
    assert len(set(ids)) == 2 and all(each.replace("_", "").isalnum() for each in ids)
    assert [block["name"] for block in messages[1]["content"]] == ["my_tool", "unnamed"]


def test_results_come_first_in_one_message_and_tell_errors() -> None:
    turn = WIRE.read_response(answer(use("a", "f", {}), use("b", "f", {}), use("c", "f", {})))
    messages = sent(
        HELLO,
        said(turn),
        UserMessage(text="and now?"),
        results(("a", "ok", False), ("b", "no such file", True)),
        results(("c", "", True)),
    )
    assert messages[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "ok"},
            {"type": "tool_result", "tool_use_id": "b", "content": "no such file", "is_error": True},
            {"type": "tool_result", "tool_use_id": "c", "content": "The call failed.", "is_error": True},
            text("and now?"),
        ],
    }
    assert sent(HELLO, said(turn), results(("a", "", False)))[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a"}
    ]


def test_a_paused_answer_is_sent_as_it_is_and_its_continuation_joins_it() -> None:
    paused = WIRE.read_response(answer(THINKING, SEARCH, stop="pause_turn"))
    assert sent(HELLO, said(paused)) == [USER, {"role": "assistant", "content": [THINKING, SEARCH]}]
    later = WIRE.read_response(answer(FOUND, CITED))
    assert sent(HELLO, said(paused), said(later), UserMessage(text="on"))[1] == {
        "role": "assistant",
        "content": [THINKING, SEARCH, FOUND, CITED],
    }


def test_a_provider_call_that_was_cut_off_does_not_spoil_the_history() -> None:
    cut = WIRE.read_response(answer(text("Hm."), SEARCH, stop="max_tokens"))
    assert sent(HELLO, said(cut), UserMessage(text="on"))[1]["content"] == [text("Hm.")]
    with_ours = WIRE.read_response(answer(SEARCH, use("a", "f", {})))  # answered after our result
    assert sent(HELLO, said(with_ours), results(("a", "x", False)))[1]["content"] == [SEARCH, use("a", "f", {})]


def test_the_container_of_the_last_answer_is_named() -> None:
    container = {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"}
    turn = WIRE.read_response(answer(use("a", "f", {}), container=container))
    assert body_of(HELLO, said(turn))["container"] == "container_1"
    after = WIRE.read_response(answer(text("Hi")))
    assert "container" not in body_of(HELLO, said(turn), results(("a", "x", False)), said(after), HELLO)
    assert "container" not in body_of(HELLO, said(turn, origin="elsewhere"))


def test_an_answer_of_another_row_is_rebuilt() -> None:
    turn = WIRE.read_response(answer(THINKING, text("Hm."), use("a", "f", {"x": 1})))
    message = said(turn, "call.1", origin="elsewhere")
    (content,) = [each["content"] for each in sent(HELLO, message) if each["role"] == "assistant"]
    assert content[0] == text("Hm.")
    assert [(block["type"], block["name"], block["input"]) for block in content[1:]] == [("tool_use", "f", {"x": 1})]
    chat = {"role": "assistant", "content": [3], "tool_calls": []}
    foreign = AssistantMessage(text="Hm.", native=chat, origin="row")
    assert sent(HELLO, foreign)[1]["content"] == [text("Hm.")]


def test_a_conversation_starts_with_the_user() -> None:
    assert [each["role"] for each in sent(AssistantMessage(text="Hm."), HELLO)] == ["user", "assistant", "user"]
    assert [each["role"] for each in sent()] == ["user"]


# --- caching -------------------------------------------------------------------------------------------------------


def marks(body: dict[str, Any]) -> list[str]:
    found = [key for key in ("tools", "system") for block in body.get(key, []) if "cache_control" in block]
    for place, message in enumerate(body["messages"]):
        found += [f"{place}.{n}" for n, block in enumerate(message["content"]) if "cache_control" in block]
    return found


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unmarked(item) for key, item in value.items() if key != "cache_control"}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def test_what_the_next_request_repeats_is_marked_and_stays_the_same() -> None:
    messages: list[Message] = [HELLO]
    bodies = []
    for turn_number in range(4):
        bodies.append(body_of(*messages, system="S", tools=TOOLS, dialect=MessagesDialect()))
        ids = [f"toolu_{turn_number}_{k}" for k in range(25)]
        turn = WIRE.read_response(answer(THINKING, *[use(each, "f", {}) for each in ids]))
        messages += [said(turn), results(*[(each, "x", False) for each in ids])]
    assert marks(bodies[0]) == ["tools", "system", "0.0"]
    assert marks(bodies[1]) == ["tools", "system", "0.0", "2.24"]
    assert marks(bodies[3]) == ["tools", "system", "4.24", "6.24"]
    assert bodies[3]["tools"][-1]["cache_control"] == MARK
    for before, after in pairwise(bodies):
        for key in ("tools", "system"):
            assert before[key] == after[key]
        kept = unmarked(after["messages"])[: len(before["messages"])]
        assert unmarked(before["messages"]) == kept
        newest = marks(before)[-1]
        assert newest in marks(after), "where the last request was cached to, this one reads from"


def test_nothing_is_marked_where_the_row_says_so() -> None:
    assert marks(body_of(HELLO, system="S", tools=TOOLS)) == []


def test_a_blank_system_prompt_is_left_out() -> None:
    assert "system" not in body_of(HELLO, system=" \n", dialect=MessagesDialect())


# --- limits and effort ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "asked", "stream", "limit"),
    [
        ("claude-opus-5-5", None, True, 32_000),
        ("claude-opus-5-5", None, False, 16_384),
        ("claude-opus-5-5", 900, True, 900),
        ("claude-opus-5-5", 100_000, True, 100_000),
        ("claude-haiku-4-5-20251001", 100_000, True, 64_000),
        ("claude-opus-4-1", 100_000, True, 32_000),
        ("claude-3-5-sonnet-20241022", None, True, 8192),
        ("claude-3-7-sonnet-latest", 100_000, True, 64_000),
        ("anthropic/claude-3-haiku-20240307", None, True, 4096),
        ("claude-3.5-sonnet", None, True, 8192),
        ("glm-5.3", 500_000, True, 500_000),
        ("claude-next", None, True, 32_000),
    ],
)
def test_the_output_limit(model: str, asked: int | None, stream: bool, limit: int) -> None:
    assert body_of(HELLO, model=model, output_limit_tokens=asked, stream=stream)["max_tokens"] == limit
    own = MessagesDialect(output_limit=1000)
    assert body_of(HELLO, model="m", dialect=own)["max_tokens"] == 1000


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("claude-opus-5-5", "high", {"output_config": {"effort": "high"}}),
        ("claude-opus-5-5", "none", {"output_config": {"effort": "low"}}),
        ("claude-fable-5-2", "minimal", {"output_config": {"effort": "low"}}),
        ("claude-sonnet-5-5", "none", {"thinking": {"type": "between_tools"}}),
        ("claude-haiku-5-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-4-6", "max", {"output_config": {"effort": "max"}, "thinking": {"type": "adaptive"}}),
        ("claude-haiku-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 4096}}),
        ("claude-haiku-4-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-3-haiku-20240307", "high", {}),
        ("glm-5.3", "High", {"output_config": {"effort": "high"}}),
        ("claude-opus-5-5", None, {}),
    ],
)
def test_effort_in_the_way_that_the_model_takes_it(model: str, effort: str | None, expected: dict[str, Any]) -> None:
    body = body_of(HELLO, model=model, reasoning_effort=effort)
    assert {key: body[key] for key in ("thinking", "output_config") if key in body} == expected
    silent = body_of(HELLO, model=model, reasoning_effort=effort, dialect=MessagesDialect(reasoning_effort=False))
    assert not {"thinking", "output_config"} & silent.keys()


def test_a_thinking_budget_leaves_room_for_the_answer() -> None:
    body = body_of(HELLO, model="claude-sonnet-4-5", reasoning_effort="max", output_limit_tokens=4000)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 3000}
    assert "thinking" not in body_of(HELLO, model="claude-sonnet-4-5", reasoning_effort="low", output_limit_tokens=1300)


def test_a_model_with_a_budget_does_not_think_on_after_calls_without_thinking() -> None:
    bare = WIRE.read_response(answer(use("a", "f", {})))
    thought = WIRE.read_response(answer(THINKING, use("a", "f", {})))
    for turn, thinks in ((bare, False), (thought, True)):
        body = body_of(HELLO, said(turn), results(("a", "x", False)), model="claude-sonnet-4-5", reasoning_effort="low")
        assert ("thinking" in body) is thinks
