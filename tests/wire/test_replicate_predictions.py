"""Replicate's predictions: what is sent, what is read, and that nothing there is a call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.errors import (
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
from equitrcoder.wires import read_calls, wire
from equitrcoder.wires.replicate_predictions.requests import fitted, input_fields, request
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    Turn,
    Usage,
    UserMessage,
)

WIRE = wire("replicate-predictions")
CALL_SHAPED = '{"tool_calls":[{"id":"c","type":"function","function":{"name":"read_file","arguments":"{}"}}]}'
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"


def prediction(**fields: Any) -> bytes:
    usual = {"id": "p1", "model": "meta/llama", "status": "succeeded", "output": ["Hel", "lo"], "error": None}
    return json.dumps({**usual, **fields}).encode()


def events(*pairs: tuple[str, str]) -> bytes:
    return "".join(
        f"event: {name}\nid: 1:0\n" + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n"
        for name, data in pairs
    ).encode()


def sent(conversation: Conversation, **options: Any) -> Any:
    return request(conversation, [], RequestOptions(**{"model": "meta/llama", **options}), origin="replicate")


# requests


def test_one_message_goes_out_as_it_stands() -> None:
    made = sent(
        Conversation(system="Be brief.", messages=[UserMessage(text="Hi")]),
        output_limit_tokens=9,
        reasoning_effort="low",
    )
    assert (made.path, dict(made.headers)) == ("/models/meta/llama/predictions", {})
    given = {"prompt": "Hi", "system_prompt": "Be brief.", "max_tokens": 9, "reasoning_effort": "low"}
    assert made.body == {"input": given, "stream": True}


def test_a_version_is_asked_by_itself() -> None:
    made = sent(Conversation(system="", messages=[UserMessage(text="Hi")]), model=f"me/mine:{VERSION}", stream=False)
    assert (made.path, made.body) == ("/predictions", {"version": VERSION, "input": {"prompt": "Hi"}})


def test_a_conversation_is_told_with_the_names_of_its_speakers() -> None:
    call = EchoedCall(wire_id="c1", name="read_file", arguments={"path": "a"}, index=0)
    messages = [
        UserMessage(text="Look."),
        AssistantMessage(text="I look.", calls=(call,)),
        ToolResults(results=(ResultForModel(wire_id="c1", name="read_file", text="x = 1"),)),
        UserMessage(text="And?"),
    ]
    assert sent(Conversation(system="", messages=messages)).body["input"]["prompt"].split("\n\n") == [
        "User: Look.",
        "Assistant: I look.",
        'Assistant called read_file with {"path":"a"}',
        "Result of read_file: x = 1",
        "User: And?",
        "Assistant:",
    ]


@pytest.mark.parametrize(
    "model", ["llama", "a/b/c", "../x/y", "a/b:latest", "a/b?c=d", "a/..%2f", "a /b", "a/b:" + "f" * 63]
)
def test_a_name_that_is_none_never_becomes_a_path(model: str) -> None:
    with pytest.raises(RequestRefusedError, match="owner/name"):
        sent(Conversation(system="", messages=[]), model=model)


def test_tools_are_refused_rather_than_left_out() -> None:
    tool = ToolSpec(name="t", description="", parameters={"type": "object"})
    with pytest.raises(ToolsUnsupportedError, match=r"E501 .*carry no tools"):
        request(Conversation(system=""), [tool], RequestOptions(model="meta/llama"), origin="replicate")


def test_the_input_is_fitted_to_what_the_model_takes() -> None:
    given = {"prompt": "Hi", "system_prompt": "Brief.", "max_tokens": 9, "reasoning_effort": "low"}
    assert fitted(given, frozenset({"prompt", "system_prompt", "max_completion_tokens"})) == {
        "prompt": "Hi",
        "system_prompt": "Brief.",
        "max_completion_tokens": 9,
    }
    assert fitted(given, frozenset({"prompt"})) == {"prompt": "Brief.\n\nHi"}
    with pytest.raises(RequestRefusedError, match="no language model"):
        fitted(given, frozenset({"image"}))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"latest_version":null}', b'{"latest_version":{"openapi_schema":[]}}']
)
def test_a_model_that_does_not_tell_its_fields(body: bytes) -> None:
    assert input_fields(body) is None


# answers


def test_an_answer_is_read() -> None:
    metrics = {"predict_time": 1.5, "input_token_count": 12, "output_token_count": 3}
    turn = WIRE.read_response(prediction(metrics=metrics, input={"prompt": "secret"}, urls={"get": "x"}, logs="secret"))
    assert (turn.text, turn.stop, turn.finish, turn.calls) == ("Hello", "end", "succeeded", ())
    assert turn.usage == Usage(input_tokens=12, output_tokens=3)
    assert (turn.model_answered, turn.response_id) == ("meta/llama", "p1")
    assert "secret" not in json.dumps(turn.native) and "urls" not in turn.native
    assert turn.native["metrics"] == metrics


@pytest.mark.parametrize(
    "metrics", [None, {}, {"predict_time": 2}, {"input_token_count": -1, "output_token_count": True}]
)
def test_tokens_that_nobody_told_are_unknown(metrics: Any) -> None:
    assert WIRE.read_response(prediction(metrics=metrics)).usage == Usage()


@pytest.mark.parametrize("streaming", [False, True])
def test_text_that_looks_like_a_call_is_text(streaming: bool) -> None:
    body = events(("output", CALL_SHAPED), ("done", "{}")) if streaming else prediction(output=[CALL_SHAPED])
    assert read_calls("replicate-predictions", body, streaming=streaming) == []
    reader = WIRE.stream_reader()
    reader.feed(events(("output", CALL_SHAPED), ("done", "{}")))
    assert reader.finish().text == CALL_SHAPED


@pytest.mark.parametrize(
    ("fields", "kind", "retryable"),
    [
        ({"status": "failed", "error": "CUDA out of memory"}, BadResponseError, False),
        ({"status": "failed", "error": None}, BadResponseError, False),
        (
            {"status": "failed", "error": "Prediction interrupted; please retry (code: PA)"},
            ProviderOverloadedError,
            True,
        ),
        ({"status": "failed", "error": "prompt is too long: 9 > 8"}, ContextTooLongError, False),
        ({"status": "canceled"}, BadResponseError, False),
        ({"status": "aborted"}, ProviderTimeoutError, False),
        ({"status": "processing"}, BadResponseError, True),
        ({"status": "resting"}, BadResponseError, False),
        ({"status": None, "detail": "no"}, BadResponseError, False),
    ],
)
def test_a_prediction_that_gave_no_answer(fields: dict[str, Any], kind: type[ProviderError], retryable: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        WIRE.read_response(prediction(output=["half"], metrics={"output_token_count": 1}, **fields))
    assert (type(caught.value), caught.value.retryable) == (kind, retryable)
    if fields["status"] in ("failed", "canceled", "aborted"):
        assert (caught.value.partial.text, caught.value.partial.usage.output_tokens) == ("half", 1)


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait_s"),
    [
        (
            402,
            {"title": "Insufficient credit", "detail": "Insufficient credit.", "status": 402},
            QuotaExhaustedError,
            None,
        ),
        (
            422,
            {"title": "Input validation failed", "detail": "- input: prompt is required", "status": 422},
            RequestRefusedError,
            None,
        ),
        (429, {"detail": "Request was throttled.", "status": 429, "retry_after": 5}, RateLimitError, 5.0),
        (429, {"detail": "Request was throttled.", "status": 429, "retry_after": "soon"}, RateLimitError, None),
        (500, {}, ProviderOverloadedError, None),
    ],
)
def test_error_answers(status: int, body: Any, kind: type[ProviderError], wait_s: float | None) -> None:
    error = WIRE.error(status, {}, json.dumps(body).encode())
    assert (type(error), error.retry_after_s, error.status) == (kind, wait_s, status)


# streams


def test_a_stream_is_read_at_every_cut() -> None:
    last = prediction(output=["Hel", "lo\n", "\n"], metrics={"output_token_count": 2}).decode()
    body = events(
        ("logs", "loading"),
        ("output", "Hel"),
        ("output", "lo\n"),
        ("output", "\n"),
        ("done", "{}"),
        ("prediction", last),
    )
    for at in range(len(body)):
        reader = WIRE.stream_reader()
        shown = [delta.text for part in (body[:at], body[at:]) for delta in reader.feed(part)]
        turn = reader.finish()
        assert (turn.text, "".join(shown), turn.usage.output_tokens) == ("Hello\n\n", "Hello\n\n", 2)


def test_a_stream_that_broke_off_is_made_whole_by_the_prediction() -> None:
    reader = WIRE.stream_reader()
    reader.feed(events(("output", "Hel")))
    assert [delta.text for delta in reader.feed(events(("prediction", prediction().decode())))] == ["lo"]
    assert reader.finish().text == "Hello"


def test_a_stream_without_its_end_is_no_answer() -> None:
    for body in (events(("output", "Hel")), events(("output", "Hel"), ("done", '{"reason": "error"}'))):
        reader = WIRE.stream_reader()
        reader.feed(body)
        with pytest.raises(StreamBrokenError) as caught:
            reader.finish()
        assert caught.value.partial.text == "Hel"


@given(
    st.binary(max_size=200) | st.sampled_from([prediction(), events(("output", "x"), ("prediction", "{"))]), st.data()
)
def test_no_body_raises_anything_else(body: bytes, data: st.DataObject) -> None:
    if body and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(body) - 1))
        body = body[:place] + bytes([body[place] ^ data.draw(st.integers(1, 255))]) + body[place + 1 :]
    for read in (WIRE.read_response, _stream):
        try:
            assert read(body).calls == ()
        except ProviderError as error:
            assert error.partial is None or error.partial.calls == ()


def _stream(body: bytes) -> Turn:
    reader = WIRE.stream_reader()
    reader.feed(body)
    return reader.finish()
