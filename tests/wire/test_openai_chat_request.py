"""The Chat Completions wire writes requests: what goes out, and what of an answer goes back."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from equitrcoder.wires.openai_chat import ChatDialect
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
from tests.wire.chat_bodies import CHAT, answer, call, chunk, events, piece, read_stream

TOOL = ToolSpec(
    name="read_file", description="Read.", parameters={"type": "object", "properties": {"path": {"type": "string"}}}
)
OPTIONS = RequestOptions(model="m-1", stream=False)
PLAIN = ChatDialect()


def echoed(turn: Turn, ids: list[str] | None = None) -> AssistantMessage:
    """The message an agent makes of a turn: ids made where the wire's are missing or repeated."""
    client = [each for each in turn.calls if each.kind == "client"]
    calls = tuple(
        EchoedCall(
            wire_id=wire_id,
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each, wire_id in zip(client, ids or [each.id or "made" for each in client], strict=True)
    )
    return AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="row")


def echo(body: bytes, dialect: ChatDialect = PLAIN, ids: list[str] | None = None) -> dict[str, Any]:
    """The assistant message that goes back for this answer; the native one must come through untouched."""
    turn = CHAT.read_response(body)
    before = copy.deepcopy(turn.native)
    sent = messages(echoed(turn, ids), dialect=dialect)
    assert turn.native == before
    return sent[0]


def messages(*said: Any, dialect: ChatDialect = PLAIN, origin: str = "row") -> list[dict[str, Any]]:
    conversation = Conversation(system="", messages=list(said))
    return list(CHAT.request(conversation, [], OPTIONS, dialect, origin=origin).body["messages"])


# --- the body ------------------------------------------------------------------------------------------------------


def test_a_whole_request() -> None:
    conversation = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
    options = RequestOptions(model="m-1", output_limit_tokens=50, reasoning_effort="low")
    request = CHAT.request(conversation, [TOOL], options, PLAIN, origin="row")
    assert (request.path, dict(request.headers)) == ("/chat/completions", {})
    function = {"name": "read_file", "description": "Read.", "parameters": TOOL.parameters}
    assert request.body == {
        "model": "m-1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": function}],
        "max_tokens": 50,
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    body = CHAT.request(Conversation(system=""), [], OPTIONS, PLAIN, origin="row").body
    assert body == {"model": "m-1", "messages": []}


@pytest.mark.parametrize(
    ("dialect", "parallel", "sent"),
    [
        (ChatDialect(), True, None),
        (ChatDialect(), False, False),
        (ChatDialect(parallel_default=False), True, True),
        (ChatDialect(parallel_default=False), False, None),
        (ChatDialect(parallel_calls=False), False, None),
    ],
)
def test_parallel_calls_are_spoken_of_only_beside_tools_and_where_it_changes_something(
    dialect: ChatDialect, parallel: bool, sent: bool | None
) -> None:
    options = RequestOptions(model="m", parallel_calls=parallel)
    with_tools = CHAT.request(Conversation(system=""), [TOOL], options, dialect, origin="row").body
    without = CHAT.request(Conversation(system=""), [], options, dialect, origin="row").body
    assert with_tools.get("parallel_tool_calls") is sent
    assert "parallel_tool_calls" not in without
    assert "tools" not in without


def test_the_dialect_decides_over_fields() -> None:
    dialect = ChatDialect(
        max_tokens_field="max_completion_tokens",
        stream_usage=False,
        reasoning_effort=False,
        extra_body={"context_length_exceeded_behavior": "error", "model": "other"},
    )
    options = RequestOptions(model="m", output_limit_tokens=5, reasoning_effort="low")
    body = CHAT.request(Conversation(system=""), [], options, dialect, origin="row").body
    assert body == {
        "model": "other",
        "messages": [],
        "max_completion_tokens": 5,
        "stream": True,
        "context_length_exceeded_behavior": "error",
    }


def test_results_follow_their_calls_one_message_each() -> None:
    results = ToolResults(
        results=(
            ResultForModel(wire_id="a", name="f", text="one"),
            ResultForModel(wire_id="b", name="g", text="", is_error=True),
        )
    )
    assert messages(results) == [
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
    ]


# --- the echo ------------------------------------------------------------------------------------------------------


def test_an_answer_goes_back_as_it_came() -> None:
    calls = [call("a", "f", '{"path":  "x"}'), call("b", "g", "{}")]
    assert echo(answer({"content": "Hi", "tool_calls": calls})) == {
        "role": "assistant",
        "content": "Hi",
        "tool_calls": calls,
    }
    assert echo(answer({"tool_calls": calls})) == {"role": "assistant", "content": None, "tool_calls": calls}
    assert echo(answer({"content": "Hi"})) == {"role": "assistant", "content": "Hi"}


def test_a_streamed_answer_goes_back_like_the_same_one_complete() -> None:
    turn = read_stream(
        events(
            chunk({"reasoning": "H"}),
            chunk({"reasoning": "m"}),
            chunk(piece(0, "a", "f", "{")),
            chunk(piece(0, arguments="}"), "stop"),
        )
    )
    assert messages(echoed(turn)) == [
        {"role": "assistant", "content": None, "reasoning": "Hm", "tool_calls": [call("a", "f", "{}")]}
    ]


@pytest.mark.parametrize("ids", [["", ""], [None, None], ["x", "x"]])
def test_missing_and_repeated_ids_are_replaced_in_call_and_result(ids: list[str | None]) -> None:
    body = answer({"tool_calls": [call(ids[0], "f", "{}"), call(ids[1], "g", "{}")]})
    turn = CHAT.read_response(body)
    results = ToolResults(results=tuple(ResultForModel(wire_id=each, name="", text="r") for each in ("m1", "m2")))
    sent = messages(echoed(turn, ["m1", "m2"]), results)
    assert [each["id"] for each in sent[0]["tool_calls"]] == ["m1", "m2"]
    assert [each["tool_call_id"] for each in sent[1:]] == ["m1", "m2"]
    assert [each["id"] for each in turn.native["tool_calls"]] == ids


@pytest.mark.parametrize("arguments", ["", "null", "[1]", '{"a": ', "rm -rf /", None, [1], 7])
def test_invalid_arguments_are_echoed_as_an_empty_object(arguments: Any) -> None:
    assert echo(answer({"tool_calls": [call("a", "f", arguments)]}))["tool_calls"] == [call("a", "f", "{}")]


def test_valid_arguments_are_echoed_letter_for_letter() -> None:
    text = '{ "n": 12345678901234567890123, "s": "\\u00e9", "n2": 1.0 }'
    assert echo(answer({"tool_calls": [call("a", "f", text)]}))["tool_calls"][0]["function"]["arguments"] == text


def test_arguments_that_came_as_an_object_go_back_as_text() -> None:
    assert echo(answer({"tool_calls": [call("a", "f", {"x": 1})]}))["tool_calls"] == [call("a", "f", '{"x":1}')]


def test_names_that_hosts_refuse_are_written_so_that_they_take_them() -> None:
    body = answer(
        {"tool_calls": [call("a", "functions.read file", "{}"), call("b", "", "{}"), call("c", "x" * 80, "{}")]}
    )
    assert [each["function"]["name"] for each in echo(body)["tool_calls"]] == [
        "functions_read_file",
        "unnamed",
        "x" * 64,
    ]


def test_a_legacy_call_goes_back_as_a_tool_call() -> None:
    sent = echo(answer({"function_call": {"name": "f", "arguments": '{"a":1}'}}), ids=["made"])
    assert sent == {"role": "assistant", "content": None, "tool_calls": [call("made", "f", '{"a":1}')]}


def test_calls_of_a_further_choice_are_added() -> None:
    choices = [{"message": {"role": "assistant", "tool_calls": [call("a", each, "{}")]}} for each in ("f", "g")]
    sent = echo(answer(choices=choices), ids=["a", "made"])
    assert sent["tool_calls"] == [call("a", "f", "{}"), call("made", "g", "{}")]


def test_fields_of_answers_only_do_not_go_back() -> None:
    message = {
        "content": "Hi",
        "refusal": None,
        "annotations": [{"type": "url_citation"}],
        "audio": None,
        "executed_tools": [{"type": "search", "arguments": "{}"}],
        "function_call": {"name": "", "arguments": ""},
        "tool_calls": [],
        "reasoning_content": "",
    }
    assert echo(answer(message)) == {"role": "assistant", "content": "Hi"}


def test_unknown_fields_go_back_unless_the_row_refuses_them() -> None:
    signed = {**call("a", "f", "{}"), "index": 0, "extra_content": {"google": {"thought_signature": "s"}}}
    body = answer({"tool_calls": [signed], "thought_signature": "t", "empty": None})
    sent = echo(body)
    assert sent["thought_signature"] == "t"
    assert sent["tool_calls"] == [{**call("a", "f", "{}"), "extra_content": {"google": {"thought_signature": "s"}}}]
    assert echo(body, ChatDialect(echo_unknown=False)) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("a", "f", "{}")],
    }


DETAILS = [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}]


@pytest.mark.parametrize("with_calls", [True, False])
@pytest.mark.parametrize(
    ("received", "rule", "back_with_calls", "back_without"),
    [
        ({"reasoning": "Hm."}, "same_field", {"reasoning": "Hm."}, {"reasoning": "Hm."}),
        ({"reasoning_content": "Hm."}, "same_field", {"reasoning_content": "Hm."}, {"reasoning_content": "Hm."}),
        (
            {"reasoning_details": DETAILS, "reasoning": "Hm."},
            "same_field",
            {"reasoning_details": DETAILS, "reasoning": "Hm."},
            None,
        ),
        ({"reasoning": "Hm.", "reasoning_details": DETAILS}, "none", {}, {}),
        ({"reasoning_content": "Hm."}, "required_with_calls", {"reasoning_content": "Hm."}, {}),
        ({"reasoning_content": ""}, "required_with_calls", {"reasoning_content": ""}, {}),
        ({}, "required_with_calls", {"reasoning_content": ""}, {}),
        ({"reasoning": "Hm."}, "required_with_calls", {"reasoning_content": "Hm."}, {}),
    ],
)
def test_the_rows_rule_for_reasoning(
    received: dict[str, Any],
    rule: Any,
    back_with_calls: dict[str, Any],
    back_without: dict[str, Any] | None,
    with_calls: bool,
) -> None:
    calls = [call("a", "f", "{}")]
    body = answer({"content": "Hi", **received, **({"tool_calls": calls} if with_calls else {})})
    sent = echo(body, ChatDialect(reasoning_echo=rule))
    back = back_with_calls if with_calls or back_without is None else back_without
    assert sent == {"role": "assistant", "content": "Hi", **back, **({"tool_calls": calls} if with_calls else {})}


def test_thinking_parts_of_a_content_list_go_back_where_reasoning_does() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Hi"}]
    assert echo(answer({"content": parts}))["content"] == parts
    assert echo(answer({"content": parts}), ChatDialect(reasoning_echo="none"))["content"] == parts[1:]
    only = answer({"content": parts[:1], "tool_calls": [call("a", "f", "{}")]})
    assert echo(only, ChatDialect(reasoning_echo="none"))["content"] is None


@pytest.mark.parametrize(("null_content", "sent"), [(True, None), (False, "")])
def test_content_of_a_message_with_nothing_but_calls(null_content: bool, sent: str | None) -> None:
    dialect = ChatDialect(null_content=null_content)
    assert echo(answer({"tool_calls": [call("a", "f", "{}")]}), dialect)["content"] == sent
    assert echo(answer({"content": None}), dialect)["content"] == "", "without calls null is refused"
    assert echo(answer({"content": {"a": 1}}), dialect)["content"] == '{"a":1}'


# --- answers of other rows -----------------------------------------------------------------------------------------

FOREIGN = AssistantMessage(
    text="Hi",
    calls=(
        EchoedCall(wire_id="a", name="read_file", arguments={"path": "é"}, index=0),
        EchoedCall(wire_id="b", name="read_file", arguments=None, index=1),
    ),
    native={"type": "message", "output": []},
    origin="elsewhere",
)


def test_an_answer_of_another_row_is_rebuilt_from_its_plain_side() -> None:
    calls = [call("a", "read_file", '{"path":"é"}'), call("b", "read_file", "{}")]
    assert messages(FOREIGN) == [{"role": "assistant", "content": "Hi", "tool_calls": calls}]
    assert messages(FOREIGN, origin="elsewhere")[0]["tool_calls"] == calls, "a message of this row, but of another wire"


def test_an_answer_of_another_row_meets_the_rows_demands_too() -> None:
    silent = AssistantMessage(text="", calls=FOREIGN.calls, origin="elsewhere")
    assert messages(silent)[0]["content"] is None
    assert messages(silent, dialect=ChatDialect(null_content=False))[0]["content"] == ""
    assert messages(silent, dialect=ChatDialect(reasoning_echo="required_with_calls"))[0]["reasoning_content"] == ""
    assert messages(AssistantMessage(text="", origin="elsewhere")) == [{"role": "assistant", "content": ""}]


def test_ids_of_nine_letters_or_digits() -> None:
    dialect = ChatDialect(id_format="nine_alnum")
    results = ToolResults(
        results=(
            ResultForModel(wire_id="call_1", name="f", text="r"),
            ResultForModel(wire_id="abcDEF123", name="f", text="r"),
        )
    )
    said = AssistantMessage(
        text="",
        calls=(
            EchoedCall(wire_id="call_1", name="f", arguments={}, index=0),
            EchoedCall(wire_id="abcDEF123", name="f", arguments={}, index=1),
        ),
    )
    sent = messages(said, results, dialect=dialect)
    ids = [each["id"] for each in sent[0]["tool_calls"]]
    assert ids == [each["tool_call_id"] for each in sent[1:]]
    assert ids[1] == "abcDEF123"
    assert len(ids[0]) == 9 and ids[0].isalnum() and ids[0].isascii()
    assert ids[0] == messages(said, dialect=dialect)[0]["tool_calls"][0]["id"], "the same every time"


def test_a_sessions_prefix_never_changes() -> None:
    turn = CHAT.read_response(answer({"tool_calls": [call("a", "f", "{}")]}))
    results = ToolResults(results=(ResultForModel(wire_id="a", name="f", text="r"),))
    conversation = Conversation(system="S", messages=[UserMessage(text="go")])
    sent: list[str] = []
    for more in ([], [echoed(turn), results], [AssistantMessage(text="done", origin="row"), UserMessage(text="again")]):
        conversation.messages.extend(more)
        body = CHAT.request(conversation, [TOOL], OPTIONS, PLAIN, origin="row").body
        sent.append(json.dumps(body["messages"])[:-1])
    assert sent[1].startswith(sent[0]) and sent[2].startswith(sent[1])
