"""Gemini's wire reads answers: bodies written from the specification, and what others lose."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
    ToolsUnsupportedError,
)
from equitrcoder.wires import read_calls
from equitrcoder.wires.values import Delta, Usage
from tests.wire.gemini_bodies import GEMINI, answer, both, call, chunk, events, read_stream, stream_of, text, told

# --- answers -------------------------------------------------------------------------------------------------------


def test_text() -> None:
    for turn in both(text("Hello")):
        assert (turn.text, turn.calls, turn.finish, turn.stop) == ("Hello", (), "STOP", "end")
        assert (turn.model_answered, turn.response_id) == ("gemini-m", "r-1")
        assert turn.native["role"] == "model"
        assert turn.native["parts"][0] == {"text": "Hello"}


def test_calls_in_the_order_of_the_answer() -> None:
    parts = [call("f", {"a": 1}, "id-1"), text("between"), call("g", {}, "id-2")]
    for turn in both(*parts):
        assert told(turn.calls) == [("id-1", "f", {"a": 1}), ("id-2", "g", {})]
        assert [(each.index, each.kind) for each in turn.calls] == [(0, "client"), (1, "client")]
        assert turn.native["parts"][:3] == parts
        assert (turn.stop, turn.finish) == ("calls", "STOP")


@pytest.mark.parametrize(
    ("args", "read"),
    [
        ({"a": {"b": [1, None, "é🔧"]}}, {"a": {"b": [1, None, "é🔧"]}}),
        ({}, {}),
        (None, None),
        ("", ""),
        ("not an object", "not an object"),
        ('{"a": 1}', {"a": 1}),
        ([1], "[1]"),
        ({"n": 12345678901234567890123}, {"n": 12345678901234567890123}),
    ],
)
def test_arguments_are_read_and_never_repaired(args: Any, read: Any) -> None:
    for turn in both(call("f", args)):
        assert turn.calls[0].arguments == read
        assert type(turn.calls[0].arguments) is type(read)


def test_ids_missing_empty_repeated_and_numbers() -> None:
    for turn in both(call("f", {}), call("f", {}, ""), call("f", {}, "x"), call("f", {}, "x"), call("f", {}, 7)):
        assert [each.id for each in turn.calls] == [None, "", "x", "x", "7"]


def test_a_call_without_a_name_is_one_and_one_without_anything_is_none() -> None:
    for turn in both({"functionCall": {"args": {"a": 1}}}, {"functionCall": {}}, {"functionCall": {"name": ""}}):
        assert told(turn.calls) == [(None, "", {"a": 1})]


def test_thoughts_are_reasoning() -> None:
    for turn in both(text("Hm. ", thought=True), text("Hi")):
        assert (turn.text, turn.reasoning) == ("Hi", "Hm. ")


def test_deltas_while_it_streams() -> None:
    reader = GEMINI.stream_reader()
    shown = reader.feed(stream_of(text("Hm.", thought=True), text("He"), text("llo"), call("f", {})))
    assert shown == [Delta(text="Hm.", kind="reasoning"), Delta(text="He"), Delta(text="llo")]


def test_calls_of_several_candidates_are_all_read_and_the_text_is_the_firsts() -> None:
    first, second = chunk(text("one"), call("f", {"n": 1})), chunk(text("two"), call("f", {"n": 2}), index=1)
    body = {"candidates": [first["candidates"][0], second["candidates"][0]]}
    for each in body["candidates"]:
        each["finishReason"] = "STOP"
    turn = GEMINI.read_response(json.dumps(body).encode())
    assert (turn.text, told(turn.calls)) == ("one", [(None, "f", {"n": 1}), (None, "f", {"n": 2})])
    streamed = [chunk(text("two"), index=1), chunk(text("one")), chunk(finish="STOP", index=1), chunk(finish="STOP")]
    reader = GEMINI.stream_reader()
    reader.feed(events(*streamed[:3]))
    assert not reader.finished, "one candidate has not ended"
    reader.feed(events(streamed[3]))
    assert reader.finished
    assert reader.finish().text == "one"


def test_signatures_stay_on_their_parts_and_parts_are_never_joined() -> None:
    parts = [
        text("A"),
        text("B", thoughtSignature="c2ln"),
        text("", thoughtSignature="ZW1wdHk="),
        call("f", {}, thoughtSignature="Y2FsbA=="),
        call("g", {}),
    ]
    for turn in both(*parts):
        assert turn.native["parts"][:5] == parts
        assert turn.text == "AB"


def test_fields_of_either_spelling() -> None:
    body = {
        "candidates": [
            {"content": {"parts": [{"function_call": {"name": "f", "args": {}}}]}, "finish_reason": "STOP"},
        ],
        "usage_metadata": {"prompt_token_count": 3, "candidates_token_count": 2},
        "model_version": "m",
    }
    for turn in (GEMINI.read_response(json.dumps(body).encode()), read_stream(events(body))):
        assert told(turn.calls) == [(None, "f", {})]
        assert (turn.finish, turn.usage.input_tokens, turn.model_answered) == ("STOP", 3, "m")


# --- calls whose arguments come in pieces --------------------------------------------------------------------------


def pieces(*entries: dict[str, Any], more: bool = True, **body: Any) -> dict[str, Any]:
    found = {**body, **({"partialArgs": list(entries)} if entries else {}), **({"willContinue": True} if more else {})}
    return {"functionCall": found}


STREAMED = [
    {**pieces(name="f", id="x"), "thoughtSignature": "c2ln"},
    pieces({"jsonPath": "$.city", "stringValue": "Pa", "willContinue": True}),
    pieces({"jsonPath": "$.city", "stringValue": "ris"}),
    pieces({"jsonPath": "$.days[0]", "numberValue": 3}, {"jsonPath": "$['a b'].c", "boolValue": False}),
    pieces({"jsonPath": '$["q\\"r"]', "nullValue": "NULL_VALUE"}),
    pieces(more=False),
]
ARGUMENTS = {"city": "Paris", "days": [3], "a b": {"c": False}, 'q"r': None}


def test_arguments_in_pieces_become_one_call_with_its_signature() -> None:
    body = stream_of(*STREAMED, call("g", {}))
    for turn in (read_stream(body), read_stream(body, 5)):
        assert told(turn.calls) == [("x", "f", ARGUMENTS), (None, "g", {})]
        assert turn.native["parts"][0] == call("f", ARGUMENTS, "x", thoughtSignature="c2ln")
        assert len(turn.native["parts"]) == 3


def test_pieces_go_on_where_whole_arguments_began() -> None:
    more = pieces({"jsonPath": "$.a", "stringValue": "lpha"}, {"jsonPath": "$.b[1]", "numberValue": 2}, more=False)
    turn = read_stream(stream_of(pieces(name="f", args={"a": "a", "b": [1]}), more))
    assert told(turn.calls) == [(None, "f", {"a": "alpha", "b": [1, 2]})]


def test_another_name_ends_a_call_whose_end_never_came() -> None:
    turn = read_stream(stream_of(*STREAMED[:2], call("g", {"n": 1}), *STREAMED[:3]))
    assert told(turn.calls) == [("x", "f", {"city": "Pa"}), (None, "g", {"n": 1}), ("x", "f", {"city": "Paris"})]


def test_a_stream_cut_within_a_call_gives_what_came() -> None:
    calls = read_calls("gemini-generate", events(*[chunk(each) for each in STREAMED[:3]]), streaming=True)
    assert told(tuple(calls)) == [("x", "f", {"city": "Paris"})]


@pytest.mark.parametrize(
    "entry",
    [
        {"jsonPath": "city", "stringValue": "x"},
        {"jsonPath": "$", "stringValue": "x"},
        {"jsonPath": "$..a", "stringValue": "x"},
        {"jsonPath": "$.a[9]", "stringValue": "x"},
        {"jsonPath": "$.a[99999999999]", "stringValue": "x"},
        {"jsonPath": "$" + ".a" * 500, "stringValue": "x"},
        {"stringValue": "x"},
        "x",
    ],
)
def test_a_piece_without_a_place_is_an_error(entry: Any) -> None:
    with pytest.raises(BadResponseError):
        read_stream(stream_of(pieces(name="f"), pieces(entry)))


def test_a_piece_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(BadResponseError, match="does not fit"):
        read_stream(
            stream_of(
                pieces({"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a.b", "numberValue": 1}, name="f")
            )
        )


# --- what Google ran itself ----------------------------------------------------------------------------------------


def test_code_that_google_ran() -> None:
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "1/0", "id": "c1"}, "thoughtSignature": "c2ln"},
        {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "ZeroDivisionError", "id": "c1"}},
        {"executableCode": {"language": 1, "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": 1, "output": "1\n"}},
        text("One."),
    ]
    for turn in both(*parts):
        failed, worked = turn.calls
        assert (failed.name, failed.id, failed.kind) == ("code_execution", "c1", "provider-executed")
        assert failed.arguments == {"language": "PYTHON", "code": "1/0"}
        assert failed.error == "OUTCOME_FAILED"
        assert worked.arguments == {"language": "PYTHON", "code": "print(1)"}
        assert (worked.id, worked.error) == (None, None)
        assert worked.result == {"outcome": "OUTCOME_OK", "output": "1\n"}
        assert (turn.stop, turn.text) == ("end", "One.")
        assert turn.native["parts"][:5] == parts


def test_tools_of_googles_own() -> None:
    parts = [
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}, "id": "t1"}},
        {"toolCall": {"toolType": "URL_CONTEXT", "id": "t2"}},
        {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {"found": 1}, "id": "t1"}},
        {"toolResponse": {"id": "unknown", "response": {"found": 2}}},
        call("final", {}),
    ]
    for turn in both(*parts):
        assert [(each.name, each.kind, each.result) for each in turn.calls] == [
            ("GOOGLE_SEARCH_WEB", "provider-executed", {"found": 1}),
            ("URL_CONTEXT", "provider-executed", None),
            ("final", "client", None),
        ]
        assert turn.stop == "calls"


def test_grounding_alone_is_no_call() -> None:
    for turn in both(text("Hi"), candidate={"groundingMetadata": {"webSearchQueries": ["q"]}}):
        assert turn.calls == ()


# --- finish, usage, refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("STOP", "end"),
        (1, "end"),
        ("MAX_TOKENS", "length"),
        (2, "length"),
        ("SAFETY", "filtered"),
        (3, "filtered"),
        ("RECITATION", "filtered"),
        ("PROHIBITED_CONTENT", "filtered"),
        ("MODEL_ARMOR", "filtered"),
        ("TOO_MANY_TOOL_CALLS", "length"),
        ("OTHER", "unknown"),
        ("NEW_WORD", "unknown"),
        (77, "unknown"),
    ],
)
def test_why_an_answer_ended(finish: Any, stop: str) -> None:
    for turn in both(text("Hi"), finish=finish):
        assert turn.stop == stop
        assert isinstance(turn.finish, str)


@pytest.mark.parametrize("finish", [None, 0, "FINISH_REASON_UNSPECIFIED", ""])
def test_no_finish_is_no_end_of_a_stream(finish: Any) -> None:
    with pytest.raises(StreamBrokenError) as caught:
        read_stream(events(chunk(text("Hi"), finish=finish)))
    assert caught.value.partial.text == "Hi"


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_a_call_that_google_could_not_read_is_worth_another_attempt(finish: str) -> None:
    words = {"finishMessage": "Malformed function call: print(f(\x1b[1m"}
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2}
    for body, read in (
        (answer(finish=finish, candidate=words, usageMetadata=usage), GEMINI.read_response),
        (stream_of(finish=finish, candidate=words, usageMetadata=usage), read_stream),
    ):
        with pytest.raises(BadResponseError, match="Malformed function call: print") as caught:
            read(body)
        assert caught.value.retryable
        assert "\x1b" not in caught.value.message
        assert caught.value.partial.usage.output_tokens == 2, "what it cost is known"


def test_an_unexpected_call_that_came_is_read_so_that_the_model_can_be_told() -> None:
    for turn in both(call("no_such_tool", {}), finish="UNEXPECTED_TOOL_CALL"):
        assert (told(turn.calls), turn.stop) == ([(None, "no_such_tool", {})], "calls")


@pytest.mark.parametrize(
    ("finish", "error"),
    [("MISSING_THOUGHT_SIGNATURE", RequestRefusedError), ("PUP_LIMITED_DISABLED", AuthenticationError)],
)
def test_finishes_that_are_errors(finish: str, error: type[ProviderError]) -> None:
    with pytest.raises(error, match=finish):
        GEMINI.read_response(answer(finish=finish))


def test_a_filtered_answer_says_why() -> None:
    body = {"candidates": [{"finishReason": "MODEL_ARMOR", "finishMessage": "It violated rules."}]}
    for turn in (GEMINI.read_response(json.dumps(body).encode()), read_stream(events(body))):
        assert (turn.stop, turn.refusal, turn.text) == ("filtered", "It violated rules.", "")


def test_a_blocked_prompt_is_a_refusal() -> None:
    body = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "No."},
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
    }
    for turn in (GEMINI.read_response(json.dumps(body).encode()), read_stream(events(body))):
        assert (turn.stop, turn.finish) == ("refusal", "PROHIBITED_CONTENT")
        assert turn.refusal == "The prompt was blocked (PROHIBITED_CONTENT). No."
        assert turn.usage.input_tokens == 9


def test_usage_counts_thoughts_as_output_and_tool_prompts_as_input() -> None:
    usage = {
        "promptTokenCount": 15,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 37,
        "thoughtsTokenCount": 742,
        "toolUsePromptTokenCount": 770,
        "totalTokenCount": 1564,
    }
    for turn in both(text("Hi"), usageMetadata=usage):
        assert turn.usage == Usage(input_tokens=785, cached_read_tokens=4, output_tokens=779, reasoning_tokens=742)
        assert (turn.usage.input_tokens or 0) + (turn.usage.output_tokens or 0) == usage["totalTokenCount"]


def test_the_last_usage_of_a_stream_counts() -> None:
    first = chunk(text("H"), usageMetadata={"promptTokenCount": 5, "thoughtsTokenCount": 3})
    second = chunk(text("i"), finish="STOP", usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 2})
    assert read_stream(events(first, second)).usage.output_tokens == 5


@pytest.mark.parametrize("count", [True, -1, "x", 1e300, None, [1]])
def test_counts_that_are_none(count: Any) -> None:
    for turn in both(text("Hi"), usageMetadata={"promptTokenCount": count}):
        assert turn.usage.input_tokens is None


# --- bodies that are none, or something else -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"<html>", b"text", b'{"candidates": []}', b'{"candidates": [7]}', b"[7]"]
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(BadResponseError):
        GEMINI.read_response(body)
    assert read_calls("gemini-generate", body, streaming=False) == []


def test_a_stream_where_a_document_was_asked_for_and_the_other_way_round() -> None:
    assert GEMINI.read_response(stream_of(text("Hi"))).text == "Hi"
    assert read_stream(answer(text("Hi"))).text == "Hi"


def test_a_stream_as_a_list_of_chunks() -> None:
    body = json.dumps([chunk(text("H")), chunk(text("i"), finish="STOP")]).encode()
    assert (GEMINI.read_response(body).text, read_stream(body, 3).text) == ("Hi", "Hi")
    broken = json.dumps([chunk(text("H")), chunk(call("f", {}))]).encode()
    with pytest.raises(StreamBrokenError):
        GEMINI.read_response(broken)
    assert [each.name for each in read_calls("gemini-generate", broken, streaming=False)] == ["f"]


def test_events_without_a_blank_line_between_them() -> None:
    body = events(chunk(text("H")), chunk(text("i"), finish="STOP")).replace(b"\r\n\r\n", b"\n")
    assert read_stream(body).text == "Hi"


def test_a_done_mark_that_a_gateway_adds() -> None:
    assert read_stream(stream_of(text("Hi")) + b"data: [DONE]\n\n").text == "Hi"


def test_a_broken_stream_carries_what_was_read() -> None:
    body = events(chunk(text("Hi")), chunk(call("f", {"a": 1})))
    with pytest.raises(StreamBrokenError) as caught:
        read_stream(body + b'data: {"candidates": [{"con')
    assert (caught.value.partial.text, told(caught.value.partial.calls)) == ("Hi", [(None, "f", {"a": 1})])


# --- errors --------------------------------------------------------------------------------------------------------


def failure(code: int, status: str, message: str = "m", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def quota(*limits: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.QuotaFailure"
    return {"@type": kind, "violations": [{"quotaId": limit} for limit in limits]}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
CURRENT = "You exceeded your current quota, please check your plan and billing details."
MINUTE, DAY = (
    "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
    "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
)


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (failure(400, "INVALID_ARGUMENT", "Please pass a valid key.", BAD_KEY), AuthenticationError, False),
        (
            failure(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
            AuthenticationError,
            False,
        ),
        (failure(400, "INVALID_ARGUMENT", "Please use a valid role."), RequestRefusedError, False),
        (
            failure(
                400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."
            ),
            ContextTooLongError,
            False,
        ),
        (
            failure(400, "INVALID_ARGUMENT", "Function calling is not enabled for models/m"),
            ToolsUnsupportedError,
            False,
        ),
        (failure(403, "PERMISSION_DENIED"), AuthenticationError, False),
        (failure(404, "NOT_FOUND", "models/x is not found for API version v1beta"), RequestRefusedError, False),
        (failure(429, "RESOURCE_EXHAUSTED", CURRENT, quota(MINUTE), RETRY), RateLimitError, True),
        (failure(429, "RESOURCE_EXHAUSTED", CURRENT, quota(MINUTE)), RateLimitError, True),
        (failure(429, "RESOURCE_EXHAUSTED", CURRENT, quota(MINUTE, DAY), RETRY), QuotaExhaustedError, False),
        (failure(429, "RESOURCE_EXHAUSTED", "Resource exhausted.", quota(DAY)), QuotaExhaustedError, False),
        (failure(429, "RESOURCE_EXHAUSTED", "Resource exhausted."), RateLimitError, True),
        (failure(500, "INTERNAL"), ProviderOverloadedError, True),
        (failure(503, "UNAVAILABLE", "The model is overloaded."), ProviderOverloadedError, True),
        (failure(504, "DEADLINE_EXCEEDED"), ProviderTimeoutError, True),
    ],
)
def test_errors(error: dict[str, Any], kind: type[ProviderError], retryable: bool) -> None:
    status = error["error"]["code"]
    for body in (error, [error]):
        found = GEMINI.error(status, {}, json.dumps(body).encode())
        assert (type(found), found.status, found.retryable) == (kind, status, retryable)
        assert error["error"]["message"] in found.message
        assert found.excerpt
    for read in (GEMINI.read_response, read_stream):
        inside = json.dumps(error).encode()
        with pytest.raises(kind) as caught:
            read(inside if read is not read_stream else events(error))
        assert caught.value.retryable == retryable


def test_the_wait_that_google_asks_for() -> None:
    body = json.dumps([failure(429, "RESOURCE_EXHAUSTED", CURRENT, quota(MINUTE), RETRY)]).encode()
    assert GEMINI.error(429, {}, body).retry_after_s == 34.4
    assert GEMINI.error(429, {"Retry-After": "7"}, body).retry_after_s == 7


def test_an_error_in_a_stream_carries_what_came_before_and_one_after_its_end_changes_nothing() -> None:
    busy = failure(503, "UNAVAILABLE", "busy")
    with pytest.raises(ProviderOverloadedError, match="busy") as caught:
        read_stream(events(chunk(text("Hi")), busy))
    assert caught.value.partial.text == "Hi"
    assert read_stream(events(chunk(text("Hi"), finish="STOP"), busy)).text == "Hi"
