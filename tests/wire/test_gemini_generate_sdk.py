"""The official google-genai SDK as oracle of Gemini's wire.

What we send must be valid by the SDK's own types, with no field that they do not know; what we read must equal what the
SDK reads from the same bytes, which it gets from the scripted provider's kind of server on loopback.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from equitrcoder.errors import ProviderError
from equitrcoder.wires.values import RequestOptions, ToolSpec, Turn
from tests.wire.gemini_bodies import GEMINI, after, answer, call, chunk, events, read_stream, stream_of, text

# --- what we send --------------------------------------------------------------------------------------------------

TOOL = ToolSpec(
    name="read_file",
    description="Read.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": False},
)
BODIES = {
    "text": answer(text("Hi")),
    "signed": answer(
        text("Hm", thought=True), text("", thoughtSignature="c2ln"), call("f", {}, thoughtSignature="c2ln")
    ),
    "calls": answer(call("f", {"x": "é🔧"}, "a"), call("g", {}), call("h", "not json"), call("i i", None)),
    "executed": answer(
        {"executableCode": {"language": "PYTHON", "code": "1", "id": "c"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1", "id": "c"}},
        {"toolCall": {"toolType": "URL_CONTEXT", "args": {"u": 1}, "id": "t"}},
        {"toolResponse": {"toolType": "URL_CONTEXT", "response": {"x": 1}, "id": "t"}},
        call("f", {}),
    ),
}


def by_the_sdk(kind: Any, value: Any) -> Any:
    """The value as the SDK's type reads and writes it: wrong types and unknown fields raise."""
    return kind.model_validate(value).model_dump(by_alias=True, exclude_none=True, mode="json")


@pytest.mark.parametrize("origin", ["row", "elsewhere"])
@pytest.mark.parametrize("case", BODIES)
def test_every_content_we_send_is_one_of_the_sdks_with_no_field_beside(case: str, origin: str) -> None:
    turn = GEMINI.read_response(BODIES[case])
    options = RequestOptions(model="gemini-3.8-flash", output_limit_tokens=5, reasoning_effort="low")
    body = GEMINI.request(after(turn, origin), [TOOL], options, None, origin="row").body
    assert [by_the_sdk(types.Content, content) for content in body["contents"]] == body["contents"]
    assert by_the_sdk(types.Content, body["systemInstruction"]) == body["systemInstruction"]
    assert by_the_sdk(types.Tool, body["tools"][0]) == body["tools"][0]
    assert by_the_sdk(types.GenerationConfig, body["generationConfig"]) == body["generationConfig"]


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
@pytest.mark.parametrize("model", ["gemini-4-argon", "gemini-2.5-pro"])
def test_every_effort_is_one_of_the_sdks(model: str, effort: str) -> None:
    options = RequestOptions(model=model, reasoning_effort=effort)
    config = GEMINI.request(after(Turn()), [], options, None, origin="row").body["generationConfig"]
    assert by_the_sdk(types.GenerationConfig, config) == config


# --- the same bytes, read by both ----------------------------------------------------------------------------------


class Answers(ThreadingHTTPServer):
    """Gives the same answer to every request, and keeps the last request."""

    daemon_threads = True
    status, body, kind = 200, b"", ""
    path, headers, asked = "", {}, b""  # type: ignore[var-annotated]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        server.asked = self.rfile.read(int(self.headers["content-length"]))
        server.path, server.headers = self.path, dict(self.headers)
        self.send_response(server.status)
        self.send_header("content-type", server.kind)
        self.send_header("content-length", str(len(server.body)))
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
def client(server: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[genai.Client]:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.server_port}", api_version="v1beta")
    made = genai.Client(api_key="k", http_options=options)
    yield made
    made.close()


def ask(client: genai.Client, server: Answers, body: bytes, *, stream: bool, status: int = 200) -> list[Any]:
    """What the SDK makes of this answer: one response, or one for each chunk."""
    server.status, server.body = status, body
    server.kind = "text/event-stream" if stream and status == 200 else "application/json"
    if stream:
        return list(client.models.generate_content_stream(model="m", contents="Hi"))
    return [client.models.generate_content(model="m", contents="Hi")]


def same(turn: Turn, responses: list[Any]) -> None:
    """Our turn and the SDK's responses say the same."""
    parts = [part for each in responses for part in (each.candidates[0].content.parts or [])]
    assert turn.text == "".join(part.text or "" for part in parts if not part.thought)
    assert turn.reasoning == "".join(part.text or "" for part in parts if part.thought)
    theirs = [part.function_call for part in parts if part.function_call]
    ours = [each for each in turn.calls if each.kind == "client"]
    assert [(each.id, each.name, each.arguments) for each in ours] == [(c.id, c.name, c.args) for c in theirs]
    assert turn.finish == responses[-1].candidates[0].finish_reason.value
    assert (turn.model_answered, turn.response_id) == (responses[-1].model_version, responses[-1].response_id)
    # the parts that go back are the SDK's own, one by one
    assert [types.Part.model_validate(part) for part in turn.native["parts"]] == parts
    usage = responses[-1].usage_metadata
    if usage:
        assert turn.usage.input_tokens == usage.prompt_token_count
        assert turn.usage.reasoning_tokens == usage.thoughts_token_count
        assert turn.usage.output_tokens == usage.candidates_token_count + (usage.thoughts_token_count or 0)


USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": 4, "totalTokenCount": 18}
SAID = {
    "text": ([text("Grü"), text("ße 🔧")], "STOP"),
    "thoughts": ([text("Hm.", thought=True), text("Hi", thoughtSignature="c2ln")], "STOP"),
    "calls": ([text("Look."), call("f", {"x": "é"}, "a", thoughtSignature="c2ln"), call("g", {}), call("h")], "STOP"),
    "executed": (
        [
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            text("One."),
        ],
        "STOP",
    ),
    "cut": ([text("cu")], "MAX_TOKENS"),
    "filtered": ([text("x")], "SAFETY"),
}


@pytest.mark.parametrize("case", SAID)
def test_complete_answers(client: genai.Client, server: Answers, case: str) -> None:
    parts, finish = SAID[case]
    body = answer(*parts, finish=finish, usageMetadata=USAGE)
    same(GEMINI.read_response(body), ask(client, server, body, stream=False))


@pytest.mark.parametrize("case", SAID)
def test_streams(client: genai.Client, server: Answers, case: str) -> None:
    parts, finish = SAID[case]
    body = stream_of(*parts, finish=finish, usageMetadata=USAGE)
    same(read_stream(body), ask(client, server, body, stream=True))


@pytest.mark.parametrize("stream", [True, False])
def test_both_ask_at_the_same_path_with_the_same_header(client: genai.Client, server: Answers, stream: bool) -> None:
    ask(client, server, stream_of(text("Hi")) if stream else answer(text("Hi")), stream=stream)
    conversation = after(Turn())
    made = GEMINI.request(conversation, [], RequestOptions(model="m", stream=stream), None, origin="row")
    assert server.path == "/v1beta" + made.path
    assert {name.lower(): value for name, value in server.headers.items()}["x-goog-api-key"] == "k"


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_errors(client: genai.Client, server: Answers, status: int) -> None:
    body = json.dumps([{"error": {"code": status, "message": "told", "status": "X"}}]).encode()
    with pytest.raises(errors.APIError, match="told") as caught:
        ask(client, server, body, stream=False, status=status)
    assert caught.value.code == status
    found = GEMINI.error(status, {}, body)
    assert isinstance(found, ProviderError) and "told" in found.message and found.status == status


def test_a_blocked_prompt(client: genai.Client, server: Answers) -> None:
    body = json.dumps({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}).encode()
    (theirs,) = ask(client, server, body, stream=False)
    assert theirs.prompt_feedback.block_reason.value == GEMINI.read_response(body).finish


def test_the_sdk_loses_what_this_wire_reads(client: genai.Client, server: Answers) -> None:
    """Why the SDK is the oracle of the specification only: it takes a stream that broke off for an answer."""
    body = events(chunk(text("Hi")), chunk(call("f", {"a": 1})))
    assert len(ask(client, server, body, stream=True)) == 2
    with pytest.raises(ProviderError, match="broke off"):
        read_stream(body)
