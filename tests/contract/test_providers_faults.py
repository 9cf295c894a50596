"""What the client does when a provider fails: what is tried again, after what wait, and what the caller is told."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from equitrcoder.errors import (
    AuthenticationError,
    BadResponseError,
    ContextTooLongError,
    ProviderError,
    ProviderOverloadedError,
    ProviderTimeoutError,
    ProviderUnreachableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    StreamBrokenError,
)
from equitrcoder.providers import ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, Reply, ScriptedProvider
from equitrcoder.wires.values import Conversation, Delta, RequestOptions, UserMessage
from tests.asking import KEY, Asked, everything_said

GOOD = Answer(text="All good.", calls=[Call("git_status")])


async def ask(script: Sequence[Reply], **options: Any) -> Asked:
    asked = Asked()
    async with ScriptedProvider(script) as server:
        await asked.run(server.base_url, **options)
    asked.requests = len(server.requests)
    assert asked.requests == len(script), "the script was not used up, or more was asked for"
    return asked


def refused(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Fault:
    return Fault(status=status, headers=headers or {}, body={"error": {"message": message, **error}})


def in_20_s() -> dict[str, str]:
    now = datetime.now(UTC).replace(microsecond=0)
    return {
        "date": format_datetime(now, usegmt=True),
        "retry-after": format_datetime(now + timedelta(seconds=20), True),
    }


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (in_20_s(), 20.0),
        ({"retry-after": "3600"}, 60.0),
        ({"retry-after": "-3"}, 0.0),
    ],
)
async def test_the_wait_that_a_provider_asks_for_is_kept_to_a_minute(headers: dict[str, str], wait_s: float) -> None:
    asked = await ask([refused(429, "slow down", headers), GOOD])
    assert asked.waits == [wait_s]
    assert asked.response is not None
    assert asked.response.attempts == 2
    failed = asked.failed[0]
    assert (failed.attempt, failed.wait_s) == (1, wait_s)
    assert isinstance(failed.error, RateLimitError)
    assert (failed.error.provider, failed.error.model, failed.error.status) == ("groq", "openai/gpt-oss-20b", 429)
    assert failed.error.message == "groq answered 429: slow down (groq/openai/gpt-oss-20b)"


@pytest.mark.parametrize("headers", [{}, {"retry-after": "soon"}, {"retry-after": "nan"}])
async def test_without_a_readable_wait_it_backs_off(headers: dict[str, str]) -> None:
    asked = await ask([refused(429, headers=headers)] * 4 + [GOOD])
    assert len(asked.waits) == 4
    for wait, most in zip(asked.waits, (1.0, 2.0, 4.0, 8.0), strict=True):
        assert 0.75 * most <= wait <= most


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 529])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    asked = await ask([refused(status), refused(status), GOOD])
    assert asked.response is not None
    assert asked.response.turn.text == "All good."
    assert [failed.error.status for failed in asked.failed] == [status, status]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refused(400, "bad field"), RequestRefusedError),
        (refused(401, "Invalid API Key"), AuthenticationError),
        (refused(403, "not yours"), AuthenticationError),
        (refused(404, "The model `x` does not exist", code="model_not_found"), RequestRefusedError),
        (refused(422, "unknown field"), RequestRefusedError),
        (refused(422, "unknown field", {"x-should-retry": "true"}), RequestRefusedError),
        (refused(429, "You exceeded your current quota", code="insufficient_quota"), QuotaExhaustedError),
        (refused(402, "Insufficient balance"), QuotaExhaustedError),
        (refused(400, "This model's maximum context length is 8192 tokens"), ContextTooLongError),
        (refused(500, headers={"x-should-retry": "false"}), ProviderOverloadedError),
        (Fault(body="<!doctype html>\n<h1>Bad   gateway</h1>"), BadResponseError),
        (Fault(body="<p>It works!</p>", content_type="text/event-stream"), BadResponseError),
        (Fault(body="Not Found", content_type="text/plain"), BadResponseError),
        (Fault(body={"choices": []}), BadResponseError),
        (Fault(body={"status": "ok"}), BadResponseError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_will_not_pass_is_not_tried_again(reply: Fault, kind: type[ProviderError], stream: bool) -> None:
    asked = await ask([reply], stream=stream)
    assert type(asked.error) is kind
    assert asked.waits == []
    assert [(failed.attempt, failed.wait_s) for failed in asked.failed] == [(1, None)]
    assert asked.failed[0].error is asked.error
    assert asked.error.provider == "groq"
    assert not asked.error.retryable


async def test_a_web_page_is_shown_by_its_start() -> None:
    asked = await ask([Fault(body="<!doctype html>\n<h1>Bad   gateway</h1>" + "x" * 5000)])
    assert asked.error is not None
    assert asked.error.excerpt.startswith("<!doctype html> <h1>Bad gateway</h1>x")
    assert len(asked.error.excerpt) == 200
    assert "base URL" in asked.error.hint


async def test_should_retry_makes_a_refusal_worth_a_second_try() -> None:
    asked = await ask([refused(418, headers={"x-should-retry": "true", "retry-after": "3"}), GOOD])
    assert asked.waits == [3.0]


async def test_an_unknown_model_brings_the_closest_names() -> None:
    asked = await ask([refused(404, "The model `openai/gpt-oss-20b` does not exist", code="model_not_found")])
    assert asked.error is not None
    assert asked.error.code == "E102"
    assert asked.error.hint == "closest: groq/openai/gpt-oss-120b, groq/qwen/qwen3.8-27b; all: equitrcoder models groq"


async def test_after_the_last_attempt_the_error_is_raised_and_told() -> None:
    asked = await ask([refused(503, "busy")] * 3, max_attempts=3)
    assert isinstance(asked.error, ProviderOverloadedError)
    assert [(failed.attempt, failed.wait_s is None) for failed in asked.failed] == [(1, False), (2, False), (3, True)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(answer=GOOD, close_after_events=3),
        Fault(answer=GOOD, close_after_events=3, reset=True),
        Fault(answer=GOOD, close_after_bytes=70),
        Fault(answer=GOOD, drop_finish=True),
        Fault(answer=GOOD, drop_finish=True, drop_done=True),
        Fault(answer=GOOD, error={"message": "overloaded", "type": "server_error"}, insert_after_events=2),
    ],
)
async def test_a_stream_that_ends_without_its_finish_is_no_answer(fault: Fault) -> None:
    asked = await ask([fault, GOOD])
    assert asked.response is not None
    assert asked.response.turn.text == "All good."
    assert asked.response.attempts == 2
    assert isinstance(asked.failed[0].error, StreamBrokenError | ProviderOverloadedError | BadResponseError)
    assert asked.texts[-3:] == ["All", " go", "od."]


async def test_what_a_broken_stream_held_is_kept_with_the_failed_attempt() -> None:
    asked = await ask([Fault(answer=GOOD, close_after_events=3), GOOD])
    error = asked.failed[0].error
    assert type(error) is StreamBrokenError
    assert "All good.".startswith(error.partial.text)
    assert error.partial.text


async def test_a_connection_closed_without_an_answer_is_tried_again() -> None:
    asked = await ask([Fault(close_before_answer=True), Fault(close_before_answer=True, reset=True), GOOD])
    assert [type(failed.error) for failed in asked.failed] == [ProviderUnreachableError] * 2
    assert asked.failed[0].error.message == "groq closed the connection without an answer. (groq/openai/gpt-oss-20b)"


async def test_a_whole_body_cut_short_is_tried_again() -> None:
    asked = await ask([Fault(answer=GOOD, close_after_bytes=40), GOOD], stream=False)
    assert asked.failed[0].error.retryable
    assert asked.response is not None


@pytest.mark.parametrize("fault", [Fault(drop_done=True, answer=GOOD), Fault(answer=GOOD, insert=": ping\n\n")])
async def test_a_stream_with_its_finish_is_an_answer_whatever_else_it_lacks(fault: Fault) -> None:
    asked = await ask([fault])
    assert asked.response is not None
    assert asked.response.turn.calls[0].name == "git_status"


async def test_a_silent_provider_is_given_up() -> None:
    for fault in (Fault(stall_before_answer=True), Fault(answer=GOOD, stall_after_events=2)):
        asked = await ask([fault], idle_timeout_s=0.4, max_attempts=1)
        assert type(asked.error) is ProviderTimeoutError
        assert asked.error.message.startswith("groq was silent for 0.4 s. (groq/openai/gpt-oss-20b")
        assert asked.error.retryable


async def test_without_a_stream_silence_is_no_fault_but_the_deadline_holds() -> None:
    asked = await ask([Fault(delay_s=0.3)], stream=False, idle_timeout_s=0.1)
    assert asked.response is not None
    asked = await ask([Fault(stall_before_answer=True)], stream=False, deadline_s=0.3)
    assert type(asked.error) is ProviderTimeoutError
    assert "request_timeout_s" in asked.error.hint


async def test_an_attempt_without_end_meets_its_deadline_and_is_not_tried_again() -> None:
    endless = Fault(answer=GOOD, insert=": still there\n\n" * 100_000, drip_bytes=15, drip_pause_s=0.01)
    asked = await ask([endless], idle_timeout_s=5.0, deadline_s=0.4)
    assert type(asked.error) is ProviderTimeoutError
    assert asked.error.message == "groq was not done after 0.4 s. (groq/openai/gpt-oss-20b, status 200)"


@pytest.mark.parametrize("stream", [True, False])
async def test_either_form_is_read_whatever_was_asked_for(stream: bool) -> None:
    document = {"choices": [{"message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}]}
    event = b'data: {"choices":[{"index":0,"delta":{"content":"piece"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    asked = await ask([Fault(body=document)], stream=stream)
    assert asked.response is not None
    assert asked.response.turn.text == "whole"
    assert asked.texts == (["whole"] if stream else [])
    for content_type in ("text/event-stream", "application/json", "text/plain"):
        asked = await ask([Fault(body=event, content_type=content_type)], stream=stream)
        assert asked.response is not None
        assert asked.response.turn.text == "piece"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_without_end_is_cut_off(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equitrcoder.providers.reception.MAX_ANSWER_BYTES", 1 << 20)
    asked = await ask([Answer(text="x" * (2 << 20))], stream=stream)
    assert type(asked.error) is BadResponseError
    assert asked.error.message == "groq sent more than 1 MiB in one answer. (groq/openai/gpt-oss-20b, status 200)"


async def test_a_redirect_is_not_followed_and_takes_the_key_nowhere() -> None:
    async with ScriptedProvider([GOOD]) as elsewhere:
        target = elsewhere.base_url + "/chat/completions?secret=1"
        asked = await ask([Fault(status=307, headers={"location": target}, body={})])
    assert elsewhere.requests == []
    assert type(asked.error) is RequestRefusedError
    assert "secret" not in str(asked.error)


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:  # bound and not listening: connections are refused, and nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def test_nobody_at_home_on_this_machine_is_said_at_once(closed_port: int) -> None:
    asked = Asked()
    await asked.run(f"http://127.0.0.1:{closed_port}/v1")
    assert type(asked.error) is ProviderUnreachableError
    assert str(asked.error) == (
        f"E302 groq does not answer at http://127.0.0.1:{closed_port} (connection refused). (groq/openai/gpt-oss-20b) "
        "Fix: start the server there, or set GROQ_BASE_URL"
    )
    assert asked.waits == []


@pytest.mark.parametrize(
    "reply",
    [
        refused(401, f"Incorrect API key provided: {KEY}"),
        refused(500, f"failed with Bearer {KEY}", headers={"x-request-id": KEY}),
        Fault(body=f"<html>{KEY}</html>"),
        Fault(status=302, headers={"location": f"http://127.0.0.1:1/{KEY}"}, body={}),
        Fault(error={"message": f"upstream refused {KEY}"}),
        Fault(body={"error": KEY}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_the_key_is_in_no_error(reply: Fault, stream: bool) -> None:
    asked = await ask([reply], stream=stream, max_attempts=1)
    assert asked.error is not None
    assert KEY not in everything_said(asked.error)
    assert KEY not in repr(asked.failed)


async def test_the_key_is_in_no_repr() -> None:
    choice = choose_model(Settings(), {"GROQ_API_KEY": KEY}, "groq/m")
    async with ModelClient(choice) as client:
        assert KEY not in f"{client!r} {choice!r} {choice}"


class HalfAnswer:
    """A server that sends the start of a stream and then nothing; says when the other side hangs up."""

    def __init__(self) -> None:
        self.sent, self.hung_up = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        event = b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        await writer.drain()
        self.sent.set()
        while await reader.read(1024):
            pass
        self.hung_up.set()
        writer.close()


def local_client(port: int) -> ModelClient:
    return ModelClient(choose_model(Settings(), {"LOCAL_BASE_URL": f"http://127.0.0.1:{port}/v1"}, "local/m"))


ANY_REQUEST = ModelRequest(conversation=Conversation(system="s"), options=RequestOptions(model="m"))


async def test_cancelling_closes_the_connection_at_once() -> None:
    half = HalfAnswer()
    server = await asyncio.start_server(half.serve, "127.0.0.1", 0)
    async with server, local_client(server.sockets[0].getsockname()[1]) as client:
        task = asyncio.create_task(client.ask(ANY_REQUEST))
        await asyncio.wait_for(half.sent.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(half.hung_up.wait(), 10)  # while the client itself is still open


async def test_a_caller_that_fails_while_it_is_told_text_leaves_no_connection_open() -> None:
    def fail(delta: Delta) -> None:
        raise LookupError(delta.text)

    half = HalfAnswer()
    server = await asyncio.start_server(half.serve, "127.0.0.1", 0)
    async with server, local_client(server.sockets[0].getsockname()[1]) as client:
        with pytest.raises(LookupError, match="half") as caught:
            await client.ask(ANY_REQUEST, on_delta=fail)
        await asyncio.wait_for(half.hung_up.wait(), 10)
        assert caught.tb is not None  # holds the frames, so that no collection of garbage closes it for us


async def test_a_connection_that_stays_open_after_the_end_does_not_hold_the_answer_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("equitrcoder.providers.reception._LAST_BYTES_S", 3600.0)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        event = b'data: {"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event + b"\n\ndata: [DONE]\n\n")
        while await reader.read(1024):
            pass
        ended.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        asked = Asked()
        await asyncio.wait_for(asked.run(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"), 10)
        await asyncio.wait_for(ended.wait(), 10)
    assert asked.response is not None
    assert asked.response.turn.text == "ok"


async def test_one_connection_serves_many_turns() -> None:
    connections = set()  # the scripted provider has a thread for each

    def note(_request: ReceivedRequest) -> None:
        connections.add(threading.get_ident())

    async with ScriptedProvider(lambda _request: GOOD, on_request=note) as server:
        choice = choose_model(Settings(), {"LOCAL_BASE_URL": server.base_url}, "local/m")
        async with ModelClient(choice) as client:
            for stream in (True, False, True):
                options = RequestOptions(model="m", stream=stream)
                await client.ask(ModelRequest(conversation=Conversation(system="s"), options=options))
    assert len(server.requests) == 3
    assert len(connections) == 1


async def test_many_may_be_asked_at_a_time() -> None:
    async with ScriptedProvider(lambda request: Answer(text=request.messages[-1]["content"])) as server:
        choice = choose_model(Settings(), {"LOCAL_BASE_URL": server.base_url}, "local/m")

        async def one(client: ModelClient, number: int) -> str:
            conversation = Conversation(system="s", messages=[UserMessage(text=f"number {number}")])
            options = RequestOptions(model="m", stream=number % 2 == 0)
            return (await client.ask(ModelRequest(conversation=conversation, options=options))).turn.text

        async with ModelClient(choice) as client:
            texts = await asyncio.gather(*(one(client, number) for number in range(40)))
    assert texts == [f"number {number}" for number in range(40)]


async def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedProvider([GOOD, GOOD]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        asked = Asked()
        await asked.run("http://models.example/v1")
        assert asked.response is not None
        assert proxy.requests[0].path == "http://models.example/v1/chat/completions"
        async with ScriptedProvider([GOOD]) as local:
            await asked.run(local.base_url)
        assert len(proxy.requests) == 1


async def test_certificates_are_not_read_for_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("certificates were read")

    monkeypatch.setattr(httpx2, "create_ssl_context", refuse)
    assert (await ask([GOOD])).response is not None


async def test_a_client_that_was_given_stays_open() -> None:
    async with ScriptedProvider([GOOD, GOOD]) as server, httpx2.AsyncClient(trust_env=False) as http:
        for _ in range(2):
            asked = Asked()
            await asked.run(server.base_url, http=http)
            assert asked.response is not None
        assert not http.is_closed


async def test_the_request_id_is_kept_and_told_in_errors() -> None:
    asked = await ask([Fault(answer=GOOD, headers={"x-request-id": "req_42"})])
    assert asked.response is not None
    assert asked.response.request_id == "req_42"
    asked = await ask([refused(400, headers={"x-request-id": "req_43"})])
    assert "(groq/openai/gpt-oss-20b, request id req_43)" in str(asked.error)
