"""What Mistral's wire does otherwise than Chat Completions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from mistralai.client.models import ChatCompletionRequest

from equitrcoder.errors import (
    ContextTooLongError,
    ProviderError,
    RateLimitError,
    RequestRefusedError,
    StreamBrokenError,
)
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.mistral import AFTER_RESULTS
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
from tests.wire.chat_bodies import answer, call, chunk, events

MISTRAL = wire("mistral")
TOOL = ToolSpec(name="read_file", description="Read.", parameters={"type": "object", "properties": {}})


def stream(body: bytes, size: int | None = None) -> Turn:
    reader = MISTRAL.stream_reader()
    for start in range(0, len(body), size or len(body)):
        reader.feed(body[start : start + (size or len(body))])
    return reader.finish()


def sent(*messages: Message, origin: str = "mistral", **options: Any) -> dict[str, Any]:
    """The body of the request, which the official SDK's own type takes as well."""
    conversation = Conversation(system="Be brief.", messages=list(messages))
    made = MISTRAL.request(conversation, [TOOL], RequestOptions(model="m", **options), None, origin=origin)
    assert made.path == "/chat/completions"
    known = ChatCompletionRequest.model_validate(made.body)
    assert set(made.body) <= set(ChatCompletionRequest.model_fields), "no field that the SDK does not know"
    assert len(known.messages) == len(made.body["messages"])
    for ours, theirs in zip(made.body["messages"], known.messages, strict=True):
        assert set(ours) <= set(type(theirs).model_fields)
    return made.body


def echoed(turn: Turn, *ids: str) -> AssistantMessage:
    calls = tuple(
        EchoedCall(
            wire_id=wire_id,
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each, wire_id in zip(turn.calls, ids, strict=True)
    )
    return AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="mistral")


def results(*ids: str) -> ToolResults:
    return ToolResults(results=tuple(ResultForModel(wire_id=each, name="read_file", text="ok") for each in ids))


def test_what_the_request_says_of_limits_effort_and_parallel_calls() -> None:
    body = sent(UserMessage(text="Hi"), output_limit_tokens=7, reasoning_effort="high", parallel_calls=False)
    assert (body["max_tokens"], body["reasoning_effort"], body["parallel_tool_calls"]) == (7, "high", False)
    assert body["stream"] is True
    assert not {"max_completion_tokens", "stream_options"} & set(body)


def test_foreign_ids_become_nine_letters_and_digits_and_stay_pairs() -> None:
    turn = MISTRAL.read_response(
        answer({"tool_calls": [call("chatcmpl-tool-9f14", "read_file", "{}"), call("Hfc39Hu7S", "read_file", "{}")]})
    )
    ids = [each.id or "" for each in turn.calls]
    body = sent(UserMessage(text="Hi"), echoed(turn, *ids), results(*ids))
    calls, told = body["messages"][2]["tool_calls"], body["messages"][3:]
    assert [each["id"] for each in calls] == [each["tool_call_id"] for each in told]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", each["id"]) for each in calls)
    assert calls[1]["id"] == "Hfc39Hu7S", "an id that fits stays"
    assert body == sent(UserMessage(text="Hi"), echoed(turn, *ids), results(*ids)), "the same id, the same nine"


@pytest.mark.parametrize("streaming", [True, False])
def test_the_id_null_is_a_missing_one_and_two_calls_under_it_are_two(streaming: bool) -> None:
    twice = [call("null", "read_file", "{}"), call("null", "read_file", "{}")]
    body = answer({"tool_calls": twice}, "tool_calls")
    if streaming:
        body = events(chunk({"tool_calls": twice}, "tool_calls"))
    calls = read_calls("mistral", body, streaming=streaming)
    assert [(each.name, each.arguments, each.id) for each in calls] == [("read_file", {}, None)] * 2


def test_the_id_null_goes_back_as_the_id_that_the_agent_made() -> None:
    turn = MISTRAL.read_response(answer({"tool_calls": [call("null", "read_file", "{}")]}))
    body = sent(UserMessage(text="Hi"), echoed(turn, "call_made_here"), results("call_made_here"))
    assert body["messages"][2]["tool_calls"][0]["id"] == body["messages"][3]["tool_call_id"] != "null"


def test_a_stream_where_a_document_was_asked_for_keeps_calls_under_null_apart() -> None:
    twice = [call("null", "read_file", "{}"), call("null", "read_file", "{}")]
    body = events(chunk({"tool_calls": twice}, "tool_calls"))
    assert len(read_calls("mistral", body, streaming=False)) == 2


def test_arguments_as_an_object_are_read_and_go_back_as_text() -> None:
    turn = MISTRAL.read_response(answer({"tool_calls": [call("Hfc39Hu7S", "read_file", {"path": "ä"})]}))
    assert turn.calls[0].arguments == {"path": "ä"}
    body = sent(UserMessage(text="Hi"), echoed(turn, "Hfc39Hu7S"), results("Hfc39Hu7S"))
    assert json.loads(body["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"path": "ä"}


THINKING = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True},
    {"type": "text", "text": "144"},
]


def test_a_content_list_with_thinking_is_read_and_goes_back_as_it_came() -> None:
    turn = MISTRAL.read_response(answer({"content": THINKING}))
    assert (turn.text, turn.reasoning) == ("144", "Hm.")
    body = sent(UserMessage(text="12*12"), echoed(turn), UserMessage(text="sure?"))
    assert body["messages"][2] == {"role": "assistant", "content": THINKING}


@pytest.mark.parametrize("size", [None, 1, 7])
def test_thinking_in_pieces_is_put_together_into_one_part(size: int | None) -> None:
    def part(text: str, **more: Any) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **more}

    body = events(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": [part("H")]}),
        chunk({"content": [part("m", closed=True)]}),
        chunk({"content": [part(".", closed=True), {"type": "text", "text": "1"}]}),
        chunk({"content": "44"}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 9}),
    )
    turn = stream(body, size)
    assert (turn.text, turn.reasoning, turn.usage.output_tokens) == ("144", "Hm.", 9)
    assert turn.native["content"] == THINKING


def test_a_whole_call_in_one_delta_with_the_finish_and_without_index() -> None:
    entry = {"id": "Hfc39Hu7S", "function": {"name": "read_file", "arguments": "{}"}}
    turn = stream(events(chunk({"tool_calls": [entry]}, "tool_calls", usage={"prompt_tokens": 1})))
    assert [(each.id, each.name, each.arguments) for each in turn.calls] == [("Hfc39Hu7S", "read_file", {})]
    assert (turn.stop, turn.usage.input_tokens) == ("calls", 1)


def test_two_whole_calls_with_index_0_are_two() -> None:
    one, two = ({**call(f"Hfc39Hu7{n}", "read_file", "{}"), "index": 0} for n in (1, 2))
    assert len(stream(events(chunk({"tool_calls": [one, two]}, "tool_calls"))).calls) == 2


def test_words_of_the_user_do_not_follow_results_directly() -> None:
    turn = MISTRAL.read_response(answer({"tool_calls": [call("Hfc39Hu7S", "read_file", "{}")]}))
    said = (UserMessage(text="Hi"), echoed(turn, "Hfc39Hu7S"), results("Hfc39Hu7S"))
    before = sent(*said)["messages"]
    after = sent(*said, UserMessage(text="stop there"))["messages"]
    assert after[: len(before)] == before, "what was sent before stays as it was"
    assert after[len(before) :] == [
        {"role": "assistant", "content": AFTER_RESULTS},
        {"role": "user", "content": "stop there"},
    ]


def test_an_empty_answer_stays_behind() -> None:
    empty = AssistantMessage(text="", native={"role": "assistant", "content": ""}, origin="mistral")
    body = sent(UserMessage(text="Hi"), empty, UserMessage(text="well?"))
    assert [each["role"] for each in body["messages"]] == ["system", "user", "user"]


def test_fields_of_other_hosts_stay_behind() -> None:
    native = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "Hm",
        "reasoning": "Hm",
        "prefix": False,
        "x": 1,
    }
    body = sent(UserMessage(text="Hi"), AssistantMessage(text="Hi", native=native, origin="mistral"))
    assert body["messages"][2] == {"role": "assistant", "content": "Hi"}


def test_an_answer_of_another_row_is_rebuilt() -> None:
    other = AssistantMessage(
        text="",
        calls=(EchoedCall(wire_id="toolu_01", name="read_file", arguments={"a": 1}, index=0),),
        native={"role": "assistant", "content": [{"type": "tool_use"}]},
        origin="anthropic",
    )
    body = sent(UserMessage(text="Hi"), other, results("toolu_01"))
    assert body["messages"][2]["tool_calls"][0]["id"] == body["messages"][3]["tool_call_id"]


LONG = "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"
FORBIDDEN = {"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "not permitted"}]}


def refused(message: str, kind: str, code: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


ERRORS: list[tuple[int, dict[str, Any], type[ProviderError]]] = [
    (400, refused("Tool call id was X", "invalid_function_call", "3280"), RequestRefusedError),
    (429, refused("Rate limit exceeded", "rate_limited", "1300"), RateLimitError),
    (422, FORBIDDEN, RequestRefusedError),
    (400, refused(LONG, "invalid_request_prompt", "3051"), ContextTooLongError),
]


@pytest.mark.parametrize(("status", "body", "kind"), ERRORS)
def test_errors(status: int, body: dict[str, Any], kind: type[ProviderError]) -> None:
    error = MISTRAL.error(status, {}, json.dumps(body).encode())
    assert type(error) is kind
    assert error.retryable is (status == 429)


def test_an_error_inside_an_answer_has_the_status_that_it_names() -> None:
    body = {"object": "error", "message": "slow down", "type": "x", "code": "1300", "raw_status_code": 429}
    with pytest.raises(RateLimitError):
        MISTRAL.read_response(json.dumps(body).encode())


def test_what_a_broken_stream_held_has_no_null_ids_either() -> None:
    body = events(chunk({"tool_calls": [call("null", "read_file", "{}")]}), done=False)
    with pytest.raises(StreamBrokenError) as caught:
        stream(body)
    assert caught.value.partial is not None
    assert [each.id for each in caught.value.partial.calls] == [None]
