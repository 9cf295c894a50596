"""The official openai SDK as oracle of the Chat Completions wire.

What we send must be valid by the SDK's own types; what we read must equal what the SDK reads from the same bytes, which
it gets from a server on loopback, as from OpenAI.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import (
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
    CompletionCreateParams,
    completion_create_params,
)
from pydantic import TypeAdapter

from equitrcoder.errors import (
    AuthenticationError,
    ProviderError,
    ProviderOverloadedError,
    RateLimitError,
    RequestRefusedError,
)
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

# --- what we send --------------------------------------------------------------------------------------------------


def forced(value: Any) -> Any:
    """A validated value with its lazy iterables read, so that everything in it has been validated."""
    if isinstance(value, dict):
        return {key: forced(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return value
    return [forced(item) for item in value]


def by_the_sdk(kind: Any, value: Any) -> Any:
    """The value as the SDK's type reads it: wrong types raise, keys that it does not know are missing afterwards."""
    adapter = TypeAdapter(kind)  # must outlive the lazy iterables in what it gives
    return forced(adapter.validate_python(value))


TOOL = ToolSpec(
    name="read_file", description="Read.", parameters={"type": "object", "properties": {"path": {"type": "string"}}}
)
BODIES = {
    "text": answer({"content": "Hi"}),
    "calls": answer({"tool_calls": [call("a", "read_file", '{"path": "x"}'), call("b", "read_file", "not json")]}),
    "text and calls": answer({"content": "Hi", "tool_calls": [call("a", "read_file", "{}")]}),
    "refusal": answer({"refusal": "No."}),
    "what only answers have": answer({"content": "Hi", "annotations": [], "audio": None, "function_call": None}),
    "parts": answer({"content": [{"type": "text", "text": "Hi"}]}),
    "legacy": answer({"function_call": {"name": "read_file", "arguments": "{}"}}),
    "custom": answer({"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}]}),
    "no ids": answer({"tool_calls": [call("", "read_file", "{}"), {"function": {"name": "read_file"}}]}),
}


def conversation_after(turn: Turn, origin: str = "row") -> Conversation:
    calls = tuple(
        EchoedCall(
            wire_id=f"made{each.index}",
            name=each.name,
            arguments=each.arguments if isinstance(each.arguments, dict) else None,
            index=each.index,
        )
        for each in turn.calls
    )
    results = tuple(ResultForModel(wire_id=each.wire_id, name=each.name, text="done") for each in calls)
    said = AssistantMessage(text=turn.text, calls=calls, native=turn.native, origin=origin)
    return Conversation(
        system="S", messages=[UserMessage(text="go"), said, ToolResults(results=results), UserMessage(text="on")]
    )


@pytest.mark.parametrize("origin", ["row", "elsewhere"])
@pytest.mark.parametrize("case", BODIES)
def test_every_message_we_send_is_one_of_the_sdks_with_no_field_beside(case: str, origin: str) -> None:
    turn = CHAT.read_response(BODIES[case])
    options = RequestOptions(model="m", output_limit_tokens=5, reasoning_effort="low", parallel_calls=False)
    dialect = ChatDialect(max_tokens_field="max_completion_tokens")
    body = CHAT.request(conversation_after(turn, origin), [TOOL], options, dialect, origin="row").body
    assert by_the_sdk(list[ChatCompletionMessageParam], body["messages"]) == body["messages"]
    assert by_the_sdk(list[ChatCompletionToolUnionParam], body["tools"]) == body["tools"]
    TypeAdapter(CompletionCreateParams).validate_python(body)
    streaming = by_the_sdk(completion_create_params.CompletionCreateParamsStreaming, body)
    assert streaming == body, "no key that the SDK does not know"


@pytest.mark.parametrize("case", ["text", "calls"])
def test_reasoning_is_the_only_thing_we_send_that_the_sdk_does_not_know(case: str) -> None:
    message = json.loads(BODIES[case])["choices"][0]["message"]
    turn = CHAT.read_response(answer({**message, "reasoning_content": "Hm."}))
    body = CHAT.request(conversation_after(turn), [], RequestOptions(model="m"), ChatDialect(), origin="row").body
    known = by_the_sdk(list[ChatCompletionMessageParam], body["messages"])
    known[2]["reasoning_content"] = "Hm."
    assert known == body["messages"]


# --- what we read --------------------------------------------------------------------------------------------------


class Answers(ThreadingHTTPServer):
    """Gives the same answer to every request."""

    daemon_threads = True
    status, headers, body = 200, {}, b""  # type: ignore[var-annotated]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(server.status)
        for name, value in {"content-length": str(len(server.body)), **server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def client(server: Answers) -> Iterator[openai.OpenAI]:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, server: Answers, body: bytes, *, stream: bool, status: int = 200, **headers: str) -> Any:
    """What the SDK makes of this answer."""
    kind = "text/event-stream" if stream else "application/json"
    server.status, server.body, server.headers = status, body, {"content-type": kind, **headers}
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    if not stream:
        return client.chat.completions.create(**asked)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    with client.chat.completions.create(**asked, stream=True) as chunks:
        for each in chunks:
            state.handle_chunk(each)
    return state.current_completion_snapshot


def same(turn: Turn, completion: Any) -> None:
    """Our turn and the SDK's completion say the same."""
    choice = completion.choices[0]
    assert turn.text == (choice.message.content or "")
    assert turn.refusal == choice.message.refusal
    assert turn.finish == choice.finish_reason
    assert (turn.model_answered, turn.response_id) == (completion.model, completion.id)
    theirs = [(each.id, each.function.name, each.function.arguments) for each in choice.message.tool_calls or []]
    ours = [
        (each["id"], each["function"]["name"], each["function"]["arguments"])
        for each in turn.native.get("tool_calls") or []
    ]
    assert ours == theirs
    assert [(each.id, each.name, each.arguments) for each in turn.calls] == [
        (each_id, name, json.loads(arguments)) for each_id, name, arguments in theirs
    ]
    if completion.usage:
        assert turn.usage.input_tokens == completion.usage.prompt_tokens
        assert turn.usage.output_tokens == completion.usage.completion_tokens


USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
CALLS = [call("a", "f", '{"x": "é🔧"}'), call("b", "g", "{}")]


@pytest.mark.parametrize(
    "body",
    [
        answer({"content": "Hi"}, usage=USAGE),
        answer({"content": None, "tool_calls": CALLS}, "tool_calls", usage=USAGE),
        answer({"content": "Hi", "tool_calls": CALLS}, "tool_calls"),
        answer({"content": None, "refusal": "No."}),
        answer({"content": "cut"}, "length"),
    ],
)
def test_complete_answers(client: openai.OpenAI, server: Answers, body: bytes) -> None:
    same(CHAT.read_response(body), ask(client, server, body, stream=False))


STREAMS = {
    "text": events(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Grü"}),
        chunk({"content": "ße 🔧"}),
        chunk({}, "stop"),
    ),
    "usage last": events(chunk({"content": "Hi"}), chunk({}, "stop"), chunk(usage=USAGE)),
    "one call": events(
        chunk(piece(0, "a", "f", "")),
        chunk(piece(0, arguments='{"x"')),
        chunk(piece(0, arguments=":1}")),
        chunk({}, "tool_calls"),
    ),
    "two calls, one after the other": events(
        chunk(piece(0, "a", "f", "{")),
        chunk(piece(0, arguments="}")),
        chunk(piece(1, "b", "g", "{}")),
        chunk({}, "tool_calls"),
    ),
    "two calls, interleaved": events(
        chunk(piece(0, "a", "f", "{")),
        chunk(piece(1, "b", "g", "{")),
        chunk(piece(0, arguments="}")),
        chunk(piece(1, arguments="}")),
        chunk({}, "tool_calls"),
    ),
    "all in one delta": events(
        chunk({"tool_calls": [{"index": n, **each} for n, each in enumerate(CALLS)]}, "tool_calls")
    ),
    "text, then a call": events(chunk({"content": "Hi"}), chunk(piece(0, "a", "f", "{}")), chunk({}, "tool_calls")),
    "refusal": events(chunk({"refusal": "N"}), chunk({"refusal": "o."}), chunk({}, "stop")),
    "carriage returns and comments": b": hello\r\n\r\n"
    + events(chunk({"content": "Hi"}), chunk({}, "stop")).replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams(client: openai.OpenAI, server: Answers, case: str) -> None:
    same(read_stream(STREAMS[case]), ask(client, server, STREAMS[case], stream=True))


@pytest.mark.parametrize(
    ("status", "error", "theirs", "ours"),
    [
        (400, {"message": "m", "code": "invalid_value"}, openai.BadRequestError, RequestRefusedError),
        (401, {"message": "m", "code": "invalid_api_key"}, openai.AuthenticationError, AuthenticationError),
        (404, {"message": "m", "code": "model_not_found"}, openai.NotFoundError, RequestRefusedError),
        (422, {"message": "m"}, openai.UnprocessableEntityError, RequestRefusedError),
        (429, {"message": "m", "code": "rate_limit_exceeded"}, openai.RateLimitError, RateLimitError),
        (500, {"message": "m"}, openai.InternalServerError, ProviderOverloadedError),
        (503, {"message": "m"}, openai.InternalServerError, ProviderOverloadedError),
    ],
)
def test_errors(
    client: openai.OpenAI,
    server: Answers,
    status: int,
    error: dict[str, str],
    theirs: type[Exception],
    ours: type[ProviderError],
) -> None:
    body = json.dumps({"error": error}).encode()
    with pytest.raises(theirs) as caught:
        ask(client, server, body, stream=False, status=status)
    assert type(CHAT.error(status, {}, body)) is ours
    would_retry = openai.OpenAI._should_retry  # the same answer: worth another attempt or not
    assert CHAT.error(status, {}, body).retryable == would_retry(client, caught.value.response)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "headers", [{"retry-after": "7"}, {"retry-after-ms": "1500"}, {"retry-after": "0.5", "retry-after-ms": "x"}]
)
def test_the_asked_wait(client: openai.OpenAI, server: Answers, headers: dict[str, str]) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, server, b'{"error":{"message":"m"}}', stream=False, status=429, **headers)
    theirs = client._parse_retry_after_header(caught.value.response.headers)
    assert CHAT.error(429, dict(caught.value.response.headers), b"{}").retry_after_s == theirs


def test_an_error_inside_a_stream(client: openai.OpenAI, server: Answers) -> None:
    body = events(chunk({"content": "Hi"}), {"error": {"message": "busy", "type": "server_error"}}, done=False)
    with pytest.raises(openai.APIError, match="busy"):
        ask(client, server, body, stream=True)
    with pytest.raises(ProviderOverloadedError, match="busy"):
        read_stream(body)


def test_the_sdk_loses_what_this_wire_reads(client: openai.OpenAI, server: Answers) -> None:
    """Why the SDK is the oracle of the specification only: an index used again makes one broken call of two."""
    body = events(chunk(piece(0, "a", "f", '{"x":1}')), chunk(piece(0, "b", "g", '{"y":2}')), chunk({}, "tool_calls"))
    theirs = ask(client, server, body, stream=True).choices[0].message.tool_calls
    assert [each.function.name for each in theirs] == ["fg"]
    assert [(each.name, each.arguments) for each in read_stream(body).calls] == [("f", {"x": 1}), ("g", {"y": 2})]
