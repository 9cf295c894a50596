"""Which typed error an error answer is. Bodies are those that hosts document or that were seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ToolsUnsupportedError,
)
from equitrcoder.wires.failures import error_from_http, error_inside


def said(message: str = "no", **words: Any) -> dict[str, Any]:
    return {"error": {"message": message, **words}}


CASES: list[tuple[int, Any, type[ProviderError]]] = [
    (401, said("Incorrect API key provided", code="invalid_api_key"), AuthenticationError),
    (401, {}, AuthenticationError),
    (403, said("Country not supported"), AuthenticationError),
    (403, said("This key does not support tools"), AuthenticationError),
    (400, said("API key not valid. Please pass a valid API key.", status="INVALID_ARGUMENT"), AuthenticationError),
    (402, said("Insufficient Balance"), QuotaExhaustedError),
    (403, said("Your credit balance is too low"), QuotaExhaustedError),
    (
        429,
        said("You exceeded your current quota, please check your plan", code="insufficient_quota"),
        QuotaExhaustedError,
    ),
    (429, said("Rate limit reached for m: Limit 30000, Used 29000", code="rate_limit_exceeded"), RateLimitError),
    (429, said("Requests rate limit exceeded", type="rate_limited", code="1300"), RateLimitError),
    (429, [said("You exceeded your current quota", details=[{"retryDelay": "34s"}])], RateLimitError),
    (
        429,
        said("You exceeded your current quota", details=[{"quotaId": "GenerateRequestsPerDay"}, {"retryDelay": "34s"}]),
        QuotaExhaustedError,
    ),
    (429, said("Request too large for m in organization o on tokens per min (TPM): Limit 6000"), ContextTooLongError),
    (413, said("Request too large for model `m`", code="rate_limit_exceeded"), ContextTooLongError),
    (400, said("too long", code="context_length_exceeded"), ContextTooLongError),
    (400, said("This model's maximum context length is 8192 tokens."), ContextTooLongError),
    (400, said("Please reduce the length of the messages or completion."), ContextTooLongError),
    (400, said("The total length of all messages is too long.", type="too_many_prompt_tokens"), ContextTooLongError),
    (400, said("the request exceeds the available context size, try increasing it"), ContextTooLongError),
    (400, said("The number of tokens to keep is greater than the context length"), ContextTooLongError),
    (400, said("registry.ollama.ai/library/gemma:2b does not support tools"), ToolsUnsupportedError),
    (404, said("No endpoints found that support tool use."), ToolsUnsupportedError),
    (400, said("`tool calling` is not supported with this model"), ToolsUnsupportedError),
    (400, said('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'), ToolsUnsupportedError),
    (500, said("tools param requires --jinja flag"), ToolsUnsupportedError),
    (400, said("This model does not support function calling."), ToolsUnsupportedError),
    (400, said("Unsupported parameter: 'tools' is not supported with this model."), ToolsUnsupportedError),
    (400, said("Unsupported parameter: 'tool_choice' is not supported with this model."), RequestRefusedError),
    (400, said("This model does not support parallel tool calls."), RequestRefusedError),
    (400, said("Unsupported parameter: 'parallel_tool_calls' is not supported with this model."), RequestRefusedError),
    (
        400,
        said("Function tools with reasoning_effort are not supported for m in /v1/chat/completions"),
        RequestRefusedError,
    ),
    (404, said("The model `m` does not exist", code="model_not_found"), RequestRefusedError),
    (
        422,
        {"detail": [{"loc": ["body"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]},
        RequestRefusedError,
    ),
    (400, {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, RequestRefusedError),
    (400, {"error": "bad"}, RequestRefusedError),
    (408, {}, ProviderTimeoutError),
    (504, {}, ProviderTimeoutError),
    (409, {}, RequestRefusedError),
    (500, said("The server had an error"), ProviderOverloadedError),
    (503, said("Model is overloaded"), ProviderOverloadedError),
    (529, {}, ProviderOverloadedError),
    (400, said("Tool call validation failed", code="tool_use_failed", failed_generation="{}"), BadResponseError),
    (302, {}, BadResponseError),
]


@pytest.mark.parametrize(("status", "body", "kind"), CASES)
def test_the_class(status: int, body: Any, kind: type[ProviderError]) -> None:
    error = error_from_http(status, {}, json.dumps(body).encode())
    assert type(error) is kind, error
    assert error.status == status


@pytest.mark.parametrize(("status", "body", "kind"), CASES)
def test_what_is_worth_another_attempt(status: int, body: Any, kind: type[ProviderError]) -> None:
    error = error_from_http(status, {}, json.dumps(body).encode())
    retryable = kind in (RateLimitError, ProviderTimeoutError, ProviderOverloadedError)
    assert error.retryable == (retryable or status == 409 or "tool_use_failed" in json.dumps(body))


def test_the_message_is_the_providers_and_the_excerpt_has_the_body() -> None:
    error = error_from_http(404, {}, json.dumps(said("The model `x` does not exist", code="model_not_found")).encode())
    text = "E308 The provider answered 404: The model `x` does not exist Fix: see which there are: equitrcoder models"
    assert str(error) == text
    assert '"model_not_found"' in error.excerpt


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no message"),
        (b"upstream connect error", "upstream connect error"),
        (b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>", "an HTML page titled 502 Bad Gateway"),
        (b"<p>oops", "an HTML page"),
        (b'{"message":"m"}', "m"),
        (b'{"detail":"d"}', "d"),
        (
            b'{"error":{"message":"Provider returned error","metadata":{"raw":"too busy"}}}',
            "Provider returned error (too busy)",
        ),
        (b'{"error":{"code":7}}', '{"code":7}'),
        (b'[{"error":{"message":"listed"}}]', "listed"),
        (b'"text"', "text"),
        (b"\xff\xfe\x00", "\ufffd\ufffd"),
        (b'{"message":"a\\u001b[31m red\\r\\nb"}', "a [31m red  b"),  # nothing that moves a cursor
    ],
)
def test_bodies_of_every_shape_give_a_message(body: bytes, message: str) -> None:
    assert error_from_http(502, {}, body).message == f"The provider answered 502: {message}"


def test_headers_count_in_any_case_and_only_where_waiting_helps() -> None:
    headers = {"Retry-After": "7"}
    assert error_from_http(429, headers, b"").retry_after_s == 7.0
    assert error_from_http(503, headers, b"").retry_after_s == 7.0
    assert error_from_http(400, headers, b"").retry_after_s is None
    assert error_from_http(429, {}, json.dumps(said("Please try again in 1m2s")).encode()).retry_after_s == 62.0
    assert error_from_http(429, {}, b"").retry_after_s is None


def test_a_long_wait_is_not_capped_here() -> None:
    assert error_from_http(429, {"retry-after": "3600"}, b"").retry_after_s == 3600.0


def test_the_provider_may_say_that_another_attempt_is_in_vain() -> None:
    assert error_from_http(500, {"X-Should-Retry": "false"}, b"").retryable is False
    assert error_from_http(400, {"X-Should-Retry": "true"}, b"").retryable is False


@pytest.mark.parametrize(
    ("data", "kind", "retryable"),
    [
        ({"message": "slow down", "code": 429}, RateLimitError, True),
        ({"message": "slow down", "type": "rate_limit_error"}, RateLimitError, True),
        ({"message": "busy", "type": "server_error"}, ProviderOverloadedError, True),
        ({"message": "busy", "code": "503"}, ProviderOverloadedError, True),
        ({"message": "no", "type": "invalid_request_error"}, RequestRefusedError, False),
        ({"message": "long", "code": "context_length_exceeded"}, ContextTooLongError, False),
        ({"message": "m", "code": "insufficient_quota", "type": "insufficient_quota"}, QuotaExhaustedError, False),
        ({"message": "m", "code": "tool_use_failed", "status_code": 400}, BadResponseError, True),
        ({"message": "does not support tools"}, ToolsUnsupportedError, False),
        ({"message": "something"}, BadResponseError, False),
        ("only text", BadResponseError, False),
        (True, BadResponseError, False),
    ],
)
def test_errors_inside_an_answer(data: Any, kind: type[ProviderError], retryable: bool) -> None:
    error = error_inside(data)
    assert (type(error), error.retryable, error.status) == (kind, retryable, 200)
    assert error.message.startswith("The provider put an error into its answer: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "details", "x"]), inner)
    ),
)


@given(st.integers(300, 599), st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_gives_a_typed_error(status: int, body: bytes) -> None:
    error = error_from_http(status, {"retry-after": "x"}, body)
    assert isinstance(error, ProviderError)
    assert str(error).isprintable()


@given(JSON)
def test_any_error_object_gives_a_typed_error(data: Any) -> None:
    assert isinstance(error_inside(data), ProviderError)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"error":' * 900 + b"1" + b"}" * 900, b'{"message":"' + b"a" * 5_000_000 + b'"}']
)
def test_monstrous_bodies(body: bytes) -> None:
    error = error_from_http(500, {}, body)
    assert len(str(error)) < 700
