"""The Messages wire: reading, on bodies written from its specification."""

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
)
from equitrcoder.wires import read_calls
from equitrcoder.wires.values import Delta, Usage
from tests.wire.messages_bodies import (
    STOP,
    WIRE,
    answer,
    delta,
    ended,
    events,
    json_piece,
    opened,
    read_stream,
    start,
    text,
    told,
    use,
)

SEARCH = use("srvtoolu_1", "web_search", {"query": "x"}, "server_tool_use")
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result"}]}


# --- shapes that others lose ---------------------------------------------------------------------------------------


def test_a_whole_call_inside_message_start() -> None:
    call = {**use("toolu_1", "roll", {"player": 1}), "caller": {"type": "code_execution_20250825", "tool_id": "s1"}}
    turn = read_stream(events(start(call, stop_reason="tool_use"), STOP))
    assert told(turn) == [("toolu_1", "roll", {"player": 1})]
    assert (turn.finish, turn.stop, turn.native["content"]) == ("tool_use", "calls", [call])


def test_a_call_without_any_piece_of_arguments_has_none() -> None:
    body = events(start(), opened(0, use("a", "git_status", {})), ended("tool_use"), STOP)
    assert told(read_stream(body)) == [("a", "git_status", {})]
    without = {"type": "tool_use", "id": "a", "name": "git_status"}
    assert told(read_stream(events(start(), opened(0, without), STOP))) == [("a", "git_status", {})]
    empty = events(start(), opened(0, use("a", "git_status", {})), json_piece(0, ""), STOP)
    assert told(read_stream(empty)) == [("a", "git_status", {})]


def test_arguments_that_stand_in_the_start_of_a_block() -> None:
    body = events(start(), opened(0, use("a", "f", {"x": 1})), opened(1, use("b", "f", {"x": 0})), json_piece(1, "{}"))
    assert told(read_stream(body + events(STOP))) == [("a", "f", {"x": 1}), ("b", "f", {})]


def test_null_arguments_stay_null() -> None:
    assert told(WIRE.read_response(answer(use("a", "f", None)))) == [("a", "f", None)]
    assert told(read_stream(events(start(), opened(0, use("a", "f", None)), STOP))) == [("a", "f", None)]


@pytest.mark.parametrize("raw", ['{"x": ', "[1]", "not json", '{"x": NaN}', '{"a":1}{"a":2}'])
def test_arguments_that_are_no_object_stay_as_they_came(raw: str) -> None:
    body = events(start(), opened(0, use("a", "f", {})), json_piece(0, raw[:3]), json_piece(0, raw[3:]), STOP)
    assert told(read_stream(body)) == [("a", "f", raw)]
    assert told(WIRE.read_response(answer(use("a", "f", raw)))) == [("a", "f", raw)]


def test_calls_whose_pieces_are_interleaved() -> None:
    body = events(
        start(),
        opened(0, use("a", "f", {})),
        opened(1, use("b", "g", {})),
        json_piece(1, '{"y":'),
        json_piece(0, '{"x":1'),
        json_piece(1, "2}"),
        json_piece(0, "}"),
        ended("tool_use"),
        STOP,
    )
    for size in (None, 1, 7):
        assert told(read_stream(body, size)) == [("a", "f", {"x": 1}), ("b", "g", {"y": 2})]


def test_an_index_used_again_is_another_block() -> None:
    body = events(
        start(),
        opened(0, use("a", "f", {})),
        json_piece(0, '{"x":1}'),
        opened(0, use("b", "f", {})),
        json_piece(0, '{"x":2}'),
        STOP,
    )
    assert told(read_stream(body)) == [("a", "f", {"x": 1}), ("b", "f", {"x": 2})]


def test_a_message_that_starts_again_keeps_what_came_before() -> None:
    first = events(start(id="one"), opened(0, use("a", "f", {})), json_piece(0, '{"x'))
    second = events(start(id="two"), opened(0, use("b", "f", {})), json_piece(0, "{}"), ended("tool_use"), STOP)
    assert told(read_stream(first + second)) == [("a", "f", '{"x'), ("b", "f", {})]


def test_events_without_an_index_belong_to_the_last_block() -> None:
    body = events(start(), opened(None, use("a", "f", {})), json_piece(None, '{"x":'), json_piece(None, "1}"), STOP)
    assert told(read_stream(body)) == [("a", "f", {"x": 1})]


def test_a_piece_of_arguments_without_a_block_is_no_answer() -> None:
    with pytest.raises(BadResponseError, match="never began"):
        read_stream(events(start(), json_piece(3, "{}"), STOP))
    assert read_stream(events(start(), delta(0, "text_delta", text="Hi"), STOP)).text == "Hi"


def test_events_without_the_blank_line_between_them_and_without_names() -> None:
    whole = [start(), opened(0, use("a", "f", {})), json_piece(0, "{}"), STOP]
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n" for each in whole)
    assert told(read_stream(body)) == [("a", "f", {})]


def test_a_stream_in_place_of_a_document_and_the_reverse() -> None:
    document = answer(use("a", "f", {"x": 1}), stop="tool_use")
    stream = events(start(), opened(0, use("a", "f", {})), json_piece(0, '{"x":1}'), ended("tool_use"), STOP)
    assert told(WIRE.read_response(stream)) == told(read_stream(document)) == [("a", "f", {"x": 1})]


# --- calls that the provider ran -----------------------------------------------------------------------------------


def test_calls_of_the_providers_own_tools_with_their_results() -> None:
    mcp = {**use("mcptoolu_1", "echo", {"a": 1}, "mcp_tool_use"), "server_name": "s"}
    said = {
        "type": "mcp_tool_result",
        "tool_use_id": "mcptoolu_1",
        "is_error": True,
        "content": [{"type": "text", "text": "no such thing"}],
    }
    turn = WIRE.read_response(answer(SEARCH, FOUND, mcp, said, text("Found."), use("toolu_1", "f", {})))
    assert [(call.kind, call.result, call.error) for call in turn.calls] == [
        ("provider-executed", FOUND["content"], None),
        ("provider-executed", said["content"], "no such thing"),
        ("client", None, None),
    ]
    assert [call.index for call in turn.calls] == [0, 1, 2]
    assert (turn.text, turn.stop) == ("Found.", "calls")


def test_a_provider_tool_in_a_stream() -> None:
    body = events(
        start(),
        opened(0, use("srvtoolu_1", "web_search", {}, "server_tool_use")),
        json_piece(0, '{"query":"x"}'),
        opened(1, FOUND),
        opened(2, {"type": "text", "text": ""}),
        delta(2, "citations_delta", citation={"type": "web_search_result_location", "url": "u"}),
        delta(2, "text_delta", text="Found."),
        ended(),
        STOP,
    )
    turn = read_stream(body)
    assert [(call.arguments, call.result) for call in turn.calls] == [({"query": "x"}, FOUND["content"])]
    assert turn.native["content"] == [
        SEARCH,
        FOUND,
        {**text("Found."), "citations": [{"type": "web_search_result_location", "url": "u"}]},
    ]
    assert turn.stop == "end"


def test_an_error_of_a_provider_tool() -> None:
    failed = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    (call,) = WIRE.read_response(answer(SEARCH, {**FOUND, "content": failed})).calls
    assert (call.result, call.error) == (failed, "max_uses_exceeded")


def test_a_pause_leaves_the_providers_call_open() -> None:
    turn = WIRE.read_response(answer(SEARCH, stop="pause_turn"))
    assert (turn.stop, turn.calls[0].result) == ("paused", None)
    later = WIRE.read_response(answer(FOUND, text("Found.")))
    assert (later.calls, later.text, later.native["content"][0]) == ((), "Found.", FOUND)


# --- the rest of an answer -----------------------------------------------------------------------------------------


def test_thinking_and_signatures() -> None:
    body = events(
        start(),
        opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "thinking_delta", thinking="."),
        delta(0, "signature_delta", signature="sig"),
        opened(1, {"type": "redacted_thinking", "data": "opaque"}),
        opened(2, {"type": "brand_new", "payload": [1]}),
        delta(2, "brand_new_delta", payload=[2], words="a", number=1),
        delta(2, "brand_new_delta", words="b"),
        opened(3, text("")),
        delta(3, "text_delta", text="Hi"),
        ended(),
        STOP,
    )
    reader = WIRE.stream_reader()
    assert list(reader.feed(body)) == [
        Delta(text="Hm", kind="reasoning"),
        Delta(text=".", kind="reasoning"),
        Delta(text="Hi"),
    ]
    turn = reader.finish()
    assert (turn.reasoning, turn.text) == ("Hm.", "Hi")
    assert turn.native == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "opaque"},
            {"type": "brand_new", "payload": [1, 2], "words": "ab", "number": 1},
            text("Hi"),
        ],
    }


@pytest.mark.parametrize(
    ("word", "stop"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "paused"),
        ("refusal", "refusal"),
        ("tool_use", "unknown"),
        ("brand_new", "unknown"),
        (None, "unknown"),
    ],
)
def test_why_an_answer_ended(word: str | None, stop: str) -> None:
    assert WIRE.read_response(answer(text("Hi"), stop=word)).stop == stop
    assert WIRE.read_response(answer(text("Hi"), use("a", "f", {}), stop=word)).stop == "calls"


def test_a_refusal_with_its_reason() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": None}
    turn = WIRE.read_response(answer(stop="refusal", stop_details=details))
    assert (turn.stop, turn.refusal, turn.calls) == ("refusal", "cyber", ())
    body = events(start(), ended("refusal", stop_details={**details, "explanation": "Too risky."}), STOP)
    assert read_stream(body).refusal == "Too risky."


def test_cached_tokens_are_part_of_the_input() -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    expected = Usage(
        input_tokens=3210, cached_read_tokens=3000, cache_write_tokens=200, output_tokens=7, reasoning_tokens=4
    )
    assert WIRE.read_response(answer(text("Hi"), usage=usage)).usage == expected
    body = events(start(usage={**usage, "output_tokens": 1}), ended(usage={"output_tokens": 7, "input_tokens": None}))
    assert read_stream(body).usage == expected
    assert WIRE.read_response(answer(text("Hi"), usage={"input_tokens": -1, "output_tokens": "7"})).usage == Usage()


# --- ends and errors -----------------------------------------------------------------------------------------------


def test_the_stop_reason_ends_a_stream_also_without_its_last_event() -> None:
    reader = WIRE.stream_reader()
    reader.feed(events(start(), opened(0, text("Hi"))))
    assert not reader.finished
    reader.feed(events(ended()))
    assert reader.finished and reader.finish().text == "Hi"
    reader.feed(events({"type": "error", "error": {"type": "overloaded_error", "message": "late"}}))
    assert reader.finish().text == "Hi"


def test_a_stream_that_breaks_off_is_no_answer_but_tells_what_came() -> None:
    body = events(start(usage={"input_tokens": 5, "output_tokens": 1}), opened(0, use("a", "f", {})))
    body += events(json_piece(0, '{"x":'))
    with pytest.raises(StreamBrokenError) as caught:
        read_stream(body + b"event: content_bl")
    assert caught.value.partial is not None
    assert told(caught.value.partial) == [("a", "f", '{"x":')]
    assert caught.value.partial.usage.input_tokens == 5


@pytest.mark.parametrize(
    ("kind", "expected", "again"),
    [
        ("overloaded_error", ProviderOverloadedError, True),
        ("api_error", ProviderOverloadedError, True),
        ("rate_limit_error", RateLimitError, True),
        ("invalid_request_error", RequestRefusedError, False),
    ],
)
def test_an_error_inside_a_200(kind: str, expected: type[ProviderError], again: bool) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "told so"}, "request_id": "req_1"}
    with pytest.raises(expected, match="told so") as caught:
        read_stream(events(start(), opened(0, text("Hi")), {"type": "ping"}, error))
    assert caught.value.retryable is again
    assert caught.value.partial is not None and caught.value.partial.text == "Hi"
    for read in (WIRE.read_response, read_stream):
        with pytest.raises(expected, match="told so"):
            read(json.dumps(error).encode())


def error_body(kind: str, message: str = "m", **details: Any) -> bytes:
    error = {"type": kind, "message": message, **({"details": details} if details else {})}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected", "again"),
    [
        (400, error_body("invalid_request_error"), {}, RequestRefusedError, False),
        (400, error_body("invalid_request_error", "prompt is too long: 9 tokens > 8"), {}, ContextTooLongError, False),
        (400, error_body("invalid_request_error", "Your credit balance is too low"), {}, QuotaExhaustedError, False),
        (400, error_body("x", error_code="contract_spend_limit_reached"), {}, QuotaExhaustedError, False),
        (401, error_body("authentication_error", "invalid x-api-key"), {}, AuthenticationError, False),
        (402, error_body("billing_error"), {}, QuotaExhaustedError, False),
        (403, error_body("permission_error"), {}, AuthenticationError, False),
        (404, error_body("not_found_error", "model: claude-3"), {}, RequestRefusedError, False),
        (409, error_body("conflict_error"), {}, RequestRefusedError, True),
        (413, error_body("request_too_large"), {}, ContextTooLongError, False),
        (429, error_body("rate_limit_error"), {"Retry-After": "7"}, RateLimitError, True),
        (
            429,
            error_body("rate_limit_error", error_code="ramp_limit_exceeded"),
            {"retry-after": "1"},
            RateLimitError,
            True,
        ),
        (429, error_body("rate_limit_error"), {}, QuotaExhaustedError, False),
        (429, error_body("rate_limit_error"), {"x-should-retry": "true"}, RateLimitError, True),
        (429, b"<html>busy</html>", {}, RateLimitError, True),
        (500, error_body("api_error"), {}, ProviderOverloadedError, True),
        (504, error_body("timeout_error"), {}, ProviderTimeoutError, True),
        (529, error_body("overloaded_error"), {}, ProviderOverloadedError, True),
    ],
)
def test_errors_by_status_and_type(
    status: int, body: bytes, headers: dict[str, str], expected: type[ProviderError], again: bool
) -> None:
    error = WIRE.error(status, headers, body)
    assert (type(error), error.retryable, error.status) == (expected, again, status)
    assert error.retry_after_s == (float(headers["Retry-After"]) if "Retry-After" in headers else error.retry_after_s)
    assert read_calls("anthropic-messages", body, streaming=False, status=status) == []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"[]", b"null", b'{"a":1}', b"\xff\xfe", b'{"content":[1]}', b'{"content":{}}']
)
@pytest.mark.parametrize("streaming", [True, False])
def test_a_body_that_is_no_answer(body: bytes, streaming: bool) -> None:
    with pytest.raises(ProviderError):
        read_stream(body) if streaming else WIRE.read_response(body)
    assert read_calls("anthropic-messages", body, streaming=streaming) == []


def test_a_stream_that_holds_nothing() -> None:
    with pytest.raises(BadResponseError, match="no answer"):
        read_stream(events(STOP))
