"""Faults that each wire meets in a form of its own: cuts, errors inside answers, waits, keys that are repeated."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest

from equitrcoder.errors import (
    BadResponseError,
    ContextTooLongError,
    ProviderError,
    ProviderOverloadedError,
    ProviderTimeoutError,
    QuotaExhaustedError,
    RateLimitError,
)
from equitrcoder.testing import Answer, Call, Fault, Reply, ScriptedProvider
from tests.asking import KEY, WIRES, Asked, everything_said
from tests.wire.every_wire import document

TWO = [Call("read_file", {"file_path": "a.txt"}), Call("write_file", {"content": "x" * 60})]
GOOD = Answer(text="Both.", calls=TWO)

FORMS: dict[str, str] = {
    # an error object as the wire writes it; MESSAGE, WORD and STATUS are filled in
    "openai-chat": '{"error": {"message": "MESSAGE", "type": "x", "code": "WORD"}}',
    "openai-responses": '{"error": {"message": "MESSAGE", "type": "x", "param": null, "code": "WORD"}}',
    "anthropic-messages": '{"type": "error", "error": {"type": "WORD", "message": "MESSAGE"}, "request_id": "req_9"}',
    "gemini-generate": '[{"error": {"code": STATUS, "message": "MESSAGE", "status": "WORD"}}]',
    "cohere-v2": '{"id": "9", "message": "MESSAGE"}',
    "ollama-chat": '{"error": "MESSAGE"}',
    "mistral": '{"object": "error", "message": "MESSAGE", "type": "WORD", "param": null, "code": "3000"}',
}


def failing(wire: str, status: int, message: str, word: str = "x", headers: Mapping[str, str] | None = None) -> Fault:
    body = FORMS[wire].replace("MESSAGE", message).replace("WORD", word).replace("STATUS", str(status))
    return Fault(status=status, headers=headers or {}, body=body.encode(), content_type="application/json")


async def ask(wire: str, replies: list[Reply], *, stream: bool = True, **client: Any) -> Asked:
    asked = Asked(wire, "m")
    async with ScriptedProvider(replies) as server:
        await asked.run(server.base_url, stream=stream, **client)
        assert (server.errors, len(server.requests)) == ([], len(replies))
    return asked


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_cut_answer_is_an_error_or_the_whole_answer(wire: str, stream: bool) -> None:
    """Cut in events and between arguments, by an end and by a reset: half of the calls are never a turn."""
    whole = (await ask(wire, [GOOD], stream=stream)).response
    assert whole is not None
    cuts = range(7, 2100, 149)
    broken = 0
    async with ScriptedProvider([Fault(answer=GOOD, close_after_bytes=n, reset=n % 2 == 0) for n in cuts]) as server:
        asked = Asked(wire, "m")
        async with asked.client(server.base_url, max_attempts=1) as model:
            for number in range(1, len(cuts) + 1):
                asked.response = asked.error = None
                await asked.ask(model, stream=stream)
                assert len(server.requests) == number
                if asked.response is not None:
                    calls = [(call.name, call.arguments) for call in asked.response.turn.calls]
                    assert calls == [(call.name, call.arguments) for call in whole.turn.calls]
                else:
                    assert asked.error is not None
                    assert asked.error.retryable
                    broken += 1
    assert broken >= 3


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_document_that_ends_early_is_tried_again(wire: str, stream: bool) -> None:
    """Its length and its end are right as far as HTTP can tell; only its JSON says that something is missing."""
    whole = document(wire, ("read_file", {"file_path": "a.txt"}))
    packed = {"content-encoding": "gzip"}
    cuts: list[Reply] = [
        Fault(body=whole[: len(whole) // 2], content_type="application/json"),
        Fault(body=whole[:-1], content_type="application/json"),
        Fault(body=gzip.compress(whole)[:-30], headers=packed, content_type="application/json"),
    ]
    asked = await ask(wire, [*cuts, GOOD], stream=stream, max_attempts=9)
    assert asked.response is not None
    assert [isinstance(failed.error, BadResponseError) for failed in asked.failed] == [True] * 3
    other = await ask(wire, [Fault(body=whole[:-1] + b",}", content_type="application/json")], stream=stream)
    assert type(other.error) is BadResponseError  # complete, and no JSON: it would come again
    assert not other.error.retryable


ERRORS_IN_STREAMS = {
    "cohere-v2": 'data: {"message": "MESSAGE"}\n\n',
    "ollama-chat": '{"model": "m", "message": {"content": "I"}, "done": false}\n{"error": "MESSAGE"}\n',
    "openai-chat": 'data: {"error": {"message": "MESSAGE"}}\n\n',
}


@pytest.mark.parametrize("wire", ERRORS_IN_STREAMS)
async def test_an_error_in_a_stream_without_a_kind_is_tried_again_where_its_words_say_so(wire: str) -> None:
    kind = "application/x-ndjson" if wire == "ollama-chat" else "text/event-stream"

    def saying(message: str) -> Fault:
        return Fault(body=ERRORS_IN_STREAMS[wire].replace("MESSAGE", message).encode(), content_type=kind)

    busy = [saying("The model is overloaded."), saying("upstream timed out")]
    asked = await ask(wire, [*busy, GOOD])
    assert asked.response is not None
    assert [type(failed.error) for failed in asked.failed] == [ProviderOverloadedError, ProviderTimeoutError]
    for words in ("unexpected end of prompt", "timeout_s must be positive"):
        asked = await ask(wire, [saying(words)])
        assert type(asked.error) is BadResponseError
        assert not asked.error.retryable


@pytest.mark.parametrize("wire", WIRES)
async def test_waits_are_those_that_the_provider_asks_for(wire: str) -> None:
    slow = [
        failing(wire, 429, "slow down", headers={"retry-after": "2"}),
        failing(wire, 429, "slow down", headers={"retry-after-ms": "1500", "retry-after": "9"}),
        failing(wire, 503, "busy", headers={"retry-after": "86400"}),
        failing(wire, 429, "Please try again in 7.5s."),
        failing(wire, 429, "slow", headers={"retry-after": "-5"}),
        failing(wire, 429, "slow", headers={"retry-after": "1e999"}),
        failing(wire, 529, "slow", headers={"retry-after": "Fri, 99 Foo 0000 99:99:99 GMT", "date": "yesterday"}),
    ]
    asked = await ask(wire, [*slow, GOOD], max_attempts=9)
    assert asked.response is not None
    assert asked.response.attempts == 8
    assert asked.waits[:5] == [2.0, 1.5, 60.0, 7.5, 0.0]
    assert all(12.0 <= wait <= 16.0 for wait in asked.waits[5:])  # unreadable: the backoff of the sixth and seventh
    kinds = [type(failed.error) for failed in asked.failed]
    assert kinds == [RateLimitError] * 2 + [ProviderOverloadedError] + [RateLimitError] * 3 + [ProviderOverloadedError]


async def test_gemini_says_in_retry_info_how_long_to_wait() -> None:
    def details(*kinds: dict[str, Any]) -> Fault:
        error = {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}
        return Fault(status=429, body={"error": {**error, "details": list(kinds)}})

    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.25s"}
    long = {**info, "retryDelay": "3600s"}
    asked = await ask("gemini-generate", [details(info), details(long), GOOD])
    assert asked.waits == [3.25, 60.0]
    a_day = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}
    asked = await ask("gemini-generate", [details(a_day, info)])
    assert type(asked.error) is QuotaExhaustedError


OUT_OF_CREDIT: list[tuple[str, int, str, str]] = [
    ("openai-chat", 429, "You exceeded your current quota, please check your plan", "insufficient_quota"),
    ("openai-chat", 402, "Insufficient Balance", "invalid_request_error"),
    ("openai-responses", 429, "You exceeded your current quota, please check your plan", "insufficient_quota"),
    ("anthropic-messages", 400, "Your credit balance is too low to access the API", "invalid_request_error"),
    ("anthropic-messages", 402, "Payment required", "billing_error"),
    ("gemini-generate", 429, "You exceeded your current quota, please check your billing", "RESOURCE_EXHAUSTED"),
    ("cohere-v2", 402, "You have reached your spend limit", "x"),
    ("ollama-chat", 402, "you have used all of your monthly credits", "x"),
    ("mistral", 402, "Payment required", "billing_not_active"),
]


@pytest.mark.parametrize(("wire", "status", "message", "word"), OUT_OF_CREDIT)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_empty_account_is_not_asked_again(
    wire: str, status: int, message: str, word: str, stream: bool
) -> None:
    asked = await ask(wire, [failing(wire, status, message, word)], stream=stream)
    assert type(asked.error) is QuotaExhaustedError, asked.error
    assert (asked.waits, "add credit" in asked.error.hint) == ([], True)


TOO_LONG: list[tuple[str, str]] = [
    ("openai-chat", "This model's maximum context length is 8192 tokens."),
    ("openai-responses", "Your input exceeds the context window of this model."),
    ("anthropic-messages", "prompt is too long: 210000 tokens > 200000 maximum"),
    ("gemini-generate", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    (
        "cohere-v2",
        "too many tokens: total number of tokens in the prompt exceeds the context window; reduce the length "
        "of the prompt",
    ),
    ("ollama-chat", "the request exceeds the available context size"),
    ("mistral", "Prompt contains 40000 tokens; too large for model with 32768 maximum context length"),
]


@pytest.mark.parametrize(("wire", "message"), TOO_LONG)
async def test_a_conversation_that_is_too_long_is_said_so(wire: str, message: str) -> None:
    asked = await ask(wire, [failing(wire, 400, message)])
    assert type(asked.error) is ContextTooLongError, asked.error
    assert asked.waits == []


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_refused_key_is_named_by_its_variable_and_never_shown(wire: str, status: int) -> None:
    asked = await ask(wire, [failing(wire, status, f"Bad key {KEY}", headers={"x-request-id": f"r-{KEY}"})])
    assert asked.error is not None
    assert asked.waits == []
    assert KEY not in everything_said(asked.error)
    assert "[key]" in str(asked.error)
    assert "_KEY" in asked.error.hint or status == 403


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("wire", WIRES)
async def test_an_error_inside_a_stream_is_no_answer_and_its_calls_are_not(wire: str, place: int) -> None:
    words = {"message": f"overloaded {KEY}", "type": "overloaded_error"}
    asked = await ask(wire, [Fault(answer=GOOD, error=words, insert_after_events=place)], max_attempts=1)
    assert isinstance(asked.error, ProviderOverloadedError | BadResponseError)
    assert KEY not in everything_said(asked.error)
    assert asked.error.retryable or wire in ("cohere-v2", "ollama-chat")  # theirs have a message and no kind


@pytest.mark.parametrize("wire", WIRES)
async def test_an_error_inside_a_whole_answer_is_an_error(wire: str) -> None:
    error = Fault(error={"message": f"overloaded {KEY}", "type": "overloaded_error"})
    asked = await ask(wire, [error], stream=False, max_attempts=1)
    assert isinstance(asked.error, ProviderError)
    assert KEY not in everything_said(asked.error)
    assert "overloaded" in str(asked.error)


STRANGE: dict[str, bytes] = {
    "empty object": b"{}",
    "null": b"null",
    "list": b"[]",
    "wrong types": json.dumps(
        dict.fromkeys(("choices", "output", "content", "candidates", "message", "usage", "id", "model", "status"), 7)
    ).encode(),
    "empty lists": b'{"choices": [], "output": null, "content": null, "candidates": [], "message": []}',
    "nulls": json.dumps(dict.fromkeys(("choices", "output", "content", "candidates", "message", "usage"))).encode(),
    "invalid UTF-8": b'{"choices": "\xff\xfe"}',
    "cut": b'{"choices": [{"message": {"content": "',
    "web page": b"<html><title>502</title></html>",
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("wire", WIRES)
async def test_what_is_no_answer_of_the_wire_is_a_typed_error(wire: str, body: bytes, stream: bool) -> None:
    for content_type in ("text/event-stream", "image/png") if body == b"{}" else ("application/json",):
        asked = await ask(wire, [Fault(body=body, content_type=content_type)], stream=stream, max_attempts=1)
        assert isinstance(asked.error, ProviderError), asked.response
        assert f"({asked.row}/m" in str(asked.error)
        assert "Fix: " in str(asked.error)


@pytest.mark.parametrize("wire", WIRES)
async def test_silence_in_the_middle_of_an_answer_meets_the_idle_timeout(wire: str) -> None:
    asked = await ask(wire, [Fault(answer=GOOD, stall_after_events=2)], idle_timeout_s=0.2, max_attempts=1)
    assert asked.error is not None
    assert asked.error.message.startswith(f"{asked.row} was silent for 0.2 s.")


@pytest.mark.parametrize("wire", WIRES)
async def test_a_redirect_is_not_followed_with_the_key(wire: str) -> None:
    async with ScriptedProvider([GOOD]) as elsewhere:
        to = Fault(status=308, headers={"location": elsewhere.base_url + "/chat/completions"}, body={})
        asked = await ask(wire, [to])
        assert elsewhere.requests == []
    assert asked.error is not None
    assert "redirects are not followed" in str(asked.error)
