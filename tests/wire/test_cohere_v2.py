"""Cohere's chat wire, version 2."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cohere.types import ChatMessageV2, ToolV2
from cohere.v2.types import V2ChatResponse
from pydantic import TypeAdapter

from equitrcoder.errors import (
    AuthenticationError,
    BadResponseError,
    ContextTooLongError,
    ProviderError,
    ProviderOverloadedError,
    ProviderTimeoutError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    StreamBrokenError,
)
from equitrcoder.wires import read_calls, wire
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

COHERE = wire("cohere-v2")
TOOL = ToolSpec(name="read_file", description="Read.", parameters={})
USAGE = {
    "billed_units": {"input_tokens": 26, "output_tokens": 147},
    "tokens": {"input_tokens": 1431, "output_tokens": 152, "reasoning_tokens": 145},
    "cached_tokens": 1392,
}


def call(wire_id: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"id": wire_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(message: dict[str, Any], finish: str = "COMPLETE", **top: Any) -> bytes:
    body = {"id": "r1", "message": {"role": "assistant", **message}, "finish_reason": finish, "usage": USAGE, **top}
    return json.dumps(body).encode()


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


def piece(kind: str, index: int | None = None, **message: Any) -> bytes:
    place = {} if index is None else {"index": index}
    return event(kind, **place, delta={"message": message})


START = event("message-start", id="r1", delta={"message": {"role": "assistant", "content": [], "tool_plan": ""}})
DONE = b"data: [DONE]\n\n"


def end(finish: str = "COMPLETE", **more: Any) -> bytes:
    return event("message-end", delta={"finish_reason": finish, "usage": USAGE, **more})


def stream(body: bytes, size: int | None = None) -> Turn:
    reader = COHERE.stream_reader()
    for start in range(0, len(body), size or max(len(body), 1)):
        reader.feed(body[start : start + (size or len(body))])
    return reader.finish()


MESSAGE = {
    "tool_plan": "I will read.",
    "tool_calls": [call("read_a", "read_file", '{"path": "ä"}'), call("status_b", "git_status", "")],
    "content": [{"type": "thinking", "thinking": "Hm."}],
    "citations": [{"start": 0, "end": 1, "text": "I", "sources": []}],
}
STREAM = b"".join(
    [
        START,
        piece("content-start", 0, content={"type": "thinking", "thinking": ""}),
        piece("content-delta", 0, content={"thinking": "Hm"}),
        piece("content-delta", 0, content={"thinking": "."}),
        event("content-end", index=0),
        piece("tool-plan-delta", tool_plan="I will"),
        piece("tool-plan-delta", tool_plan=" read."),
        piece("citation-start", 0, citations=MESSAGE["citations"][0]),
        event("citation-end", index=0),
        piece("tool-call-start", 0, tool_calls=call("read_a", "read_file", "")),
        piece("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"path":'}}),
        piece("tool-call-delta", 0, tool_calls={"function": {"arguments": ' "ä"}'}}),
        event("tool-call-end", index=0),
        piece("tool-call-start", 1, tool_calls=call("status_b", "git_status", "")),
        event("tool-call-end", index=1),
        end("TOOL_CALL"),
        DONE,
    ]
)


@pytest.mark.parametrize("size", [None, 1, 7, 100])
def test_a_stream_is_the_same_turn_as_its_document(size: int | None) -> None:
    turn = stream(STREAM, size)
    assert turn == COHERE.read_response(answer(MESSAGE, "TOOL_CALL"))
    assert (turn.text, turn.reasoning, turn.stop, turn.response_id) == ("I will read.", "Hm.", "calls", "r1")
    assert [(each.id, each.name, each.arguments) for each in turn.calls] == [
        ("read_a", "read_file", {"path": "ä"}),
        ("status_b", "git_status", ""),
    ]


def test_the_official_sdk_reads_the_same() -> None:
    theirs = V2ChatResponse.model_validate_json(answer(MESSAGE, "TOOL_CALL"))
    ours = COHERE.read_response(answer(MESSAGE, "TOOL_CALL"))
    assert [each.id for each in theirs.message.tool_calls or ()] == [each.id for each in ours.calls]
    assert (theirs.message.tool_plan, theirs.finish_reason) == (ours.text, ours.finish)


def test_text_and_plan_are_shown_as_they_come() -> None:
    shown = COHERE.stream_reader().feed(STREAM)
    assert [(each.text, each.kind) for each in shown] == [
        ("Hm", "reasoning"),
        (".", "reasoning"),
        ("I will", "text"),
        (" read.", "text"),
    ]


def test_tokens_are_those_that_are_billed() -> None:
    usage = COHERE.read_response(answer({"content": []})).usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (26, 147, 145)
    assert usage.cached_read_tokens is None, "they are some of those that are not billed"
    counted = {"tokens": USAGE["tokens"], "cached_tokens": 1392}
    usage = COHERE.read_response(answer({"content": []}, usage=counted)).usage
    assert (usage.input_tokens, usage.cached_read_tokens, usage.output_tokens) == (1431, 1392, 152)


@pytest.mark.parametrize("arguments", ["", "null", "{}", '{"a": 1}', "[1]", "no"])
def test_arguments_that_are_no_object_stay_text(arguments: str) -> None:
    body = answer({"tool_calls": [call("a", "f", arguments)]}, "TOOL_CALL")
    expected = json.loads(arguments) if arguments.startswith("{") else arguments
    assert [each.arguments for each in read_calls("cohere-v2", body, streaming=False)] == [expected]
    body = START + piece("tool-call-start", 0, tool_calls=call("a", "f", arguments)) + end("TOOL_CALL")
    assert [each.arguments for each in read_calls("cohere-v2", body, streaming=True)] == [expected]


def test_calls_without_index_and_in_a_list() -> None:
    body = START + piece("tool-call-start", tool_calls=[call("a", "f", "{"), call("b", "g", "{}")])
    body += piece("tool-call-start", tool_calls=call("c", "h", "{"))
    body += piece("tool-call-delta", tool_calls={"function": {"arguments": "}"}}) + end("TOOL_CALL")
    assert [(each.id, each.arguments) for each in stream(body).calls] == [("a", "{"), ("b", {}), ("c", {})]


def sent(*messages: Message, **options: Any) -> dict[str, Any]:
    """The body of the request; each message and tool is one of the official SDK's own types and loses nothing in it."""
    conversation = Conversation(system="Be brief.", messages=list(messages))
    made = COHERE.request(conversation, [TOOL], RequestOptions(model="m", **options), None, origin="cohere")
    assert made.path == "/v2/chat"
    for message in made.body["messages"]:
        kept = TypeAdapter(ChatMessageV2).validate_python(message)
        assert set(message) <= set(type(kept).model_fields)
        assert kept.role == message["role"]
    ToolV2.model_validate(made.body["tools"][0])
    return made.body


def echoed(turn: Turn) -> AssistantMessage:
    calls = tuple(
        EchoedCall(
            wire_id=each.id or "",
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each in turn.calls
    )
    return AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin="cohere")


def test_plan_thinking_and_calls_go_back_unchanged_with_the_results() -> None:
    turn = stream(STREAM)
    results = (
        ResultForModel(wire_id="read_a", name="read_file", text="alpha"),
        ResultForModel(wire_id="status_b", name="git_status", text="clean"),
    )
    body = sent(UserMessage(text="Hi"), echoed(turn), ToolResults(results=results))
    calls = [MESSAGE["tool_calls"][0], call("status_b", "git_status", "{}")]
    assert body["messages"][2] == {"role": "assistant", **MESSAGE, "tool_calls": calls}
    assert body["messages"][3:] == [
        {"role": "tool", "tool_call_id": "read_a", "content": "alpha"},
        {"role": "tool", "tool_call_id": "status_b", "content": "clean"},
    ]


def test_an_answer_of_another_row_has_its_text_as_the_plan() -> None:
    said = EchoedCall(wire_id="toolu_1", name="read_file", arguments=None, index=0)
    body = sent(AssistantMessage(text="So", calls=(said,), native={"x": 1}, origin="anthropic"))
    calls = [call("toolu_1", "read_file", "{}")]
    assert body["messages"][1] == {"role": "assistant", "tool_plan": "So", "tool_calls": calls}
    assert sent(AssistantMessage(text="So"))["messages"][1] == {"role": "assistant", "content": "So"}


def test_an_empty_answer_stays_behind() -> None:
    empty = AssistantMessage(text="", native={"role": "assistant"}, origin="cohere")
    assert [each["role"] for each in sent(empty, UserMessage(text="well?"))["messages"]] == ["system", "user"]


def test_limits_thinking_and_tools() -> None:
    body = sent(UserMessage(text="Hi"), output_limit_tokens=7, reasoning_effort="none", parallel_calls=False)
    assert (body["max_tokens"], body["thinking"], body["stream"]) == (7, {"type": "disabled"}, True)
    assert body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert not {"parallel_tool_calls", "stream_options", "tool_choice"} & set(body)
    assert sent(UserMessage(text="Hi"), reasoning_effort="high")["thinking"] == {"type": "enabled"}
    assert "thinking" not in sent(UserMessage(text="Hi"))


@pytest.mark.parametrize(
    ("finish", "stop"),
    [("COMPLETE", "end"), ("STOP_SEQUENCE", "end"), ("MAX_TOKENS", "length"), ("TOOL_CALL", "unknown")],
)
def test_finish_words(finish: str, stop: str) -> None:
    turn = COHERE.read_response(answer({"content": [{"type": "text", "text": "x"}]}, finish))
    assert (turn.finish, turn.stop) == (finish, stop)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("finish", "kind"), [("ERROR", BadResponseError), ("TIMEOUT", ProviderTimeoutError)])
def test_an_answer_that_the_host_broke_off_is_none(streaming: bool, finish: str, kind: type[ProviderError]) -> None:
    with pytest.raises(kind) as caught:
        if streaming:
            stream(START + piece("content-delta", 0, content={"text": "half"}) + end(finish, error="no GPU"))
        else:
            COHERE.read_response(answer({"content": [{"type": "text", "text": "half"}]}, finish))
    assert caught.value.retryable and caught.value.partial is not None
    assert caught.value.partial.text == "half"


def test_an_error_inside_a_stream_keeps_what_came_before() -> None:
    body = STREAM[: STREAM.index(b"event: message-end")] + b'data: {"message":"internal server error"}\n\n'
    with pytest.raises(BadResponseError, match="internal server error") as caught:
        stream(body)
    assert caught.value.partial is not None and len(caught.value.partial.calls) == 2


def test_a_stream_without_its_end_is_broken_and_keeps_what_it_held() -> None:
    for cut in (STREAM[: STREAM.index(b"event: message-end")], STREAM[: STREAM.index(b'"finish_reason"')]):
        with pytest.raises(StreamBrokenError) as caught:
            stream(cut)
        assert caught.value.partial is not None and len(caught.value.partial.calls) == 2


def test_the_end_needs_no_done_and_nothing_counts_after_it() -> None:
    assert stream(STREAM.removesuffix(DONE)) == stream(STREAM + b'data: {"message":"late"}\n\n')


def test_either_form_is_read_whatever_was_asked_for() -> None:
    assert stream(answer(MESSAGE, "TOOL_CALL"), 10) == COHERE.read_response(STREAM)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"message":"no"}', b'{"choices":[]}', b'data: {"choices":[]}\n\n']
)
def test_what_is_no_answer(body: bytes) -> None:
    for streaming in (True, False):
        with pytest.raises(BadResponseError):
            stream(body) if streaming else COHERE.read_response(body)


ERRORS: list[tuple[int, str, type[ProviderError], bool]] = [
    (401, "invalid api token", AuthenticationError, False),
    (404, "model 'x' not found, make sure the correct model ID was used", RequestRefusedError, False),
    (400, "too many tokens: total number of tokens cannot exceed 4081", ContextTooLongError, False),
    (429, "You are using a Trial key, which is limited to 20 API calls / minute.", RateLimitError, True),
    (429, "You are using a Trial key, which is limited to 1000 API calls / month.", QuotaExhaustedError, False),
    (500, "internal server error", ProviderOverloadedError, True),
]


@pytest.mark.parametrize(("status", "words", "kind", "retryable"), ERRORS)
def test_errors(status: int, words: str, kind: type[ProviderError], retryable: bool) -> None:
    error = COHERE.error(status, {"retry-after": "3"}, json.dumps({"id": "e1", "message": words}).encode())
    assert (type(error), error.retryable, error.status) == (kind, retryable, status)
    assert words in error.message
    assert error.retry_after_s == (3.0 if retryable else None)
