"""Every provider row, end to end: what it is sent, at its own path and in its own words, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from equitrcoder import __version__
from equitrcoder.providers import PROVIDERS, ModelChoice, ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, ReceivedRequest, ScriptedProvider
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ResultForModel,
    ToolResults,
    ToolSpec,
    UserMessage,
)

KEY = "test-key-0123456789"
TOOL = ToolSpec(name="read_file", description="Read a file.", parameters={"type": "object", "properties": {}})

ROWS: dict[str, dict[str, Any]] = {
    # path: where it must arrive when the base URL is given as the vendor's own client wants it (`base`).
    # body: what must stand in the body with an output limit of 100, effort low, and calls one at a time.
    # absent: what must not. reasoning: the field with the old reasoning in the assistant message, or None.
    "openai": {
        "variable": "OPENAI_BASE_URL",
        "base": "/v1",
        "path": "/v1/chat/completions",
        "body": {"max_completion_tokens": 100, "parallel_tool_calls": False, "reasoning_effort": "low"},
        "absent": {"max_tokens"},
        "reasoning": "reasoning_content",
        "stream_usage": True,
    },
    "groq": {
        "variable": "GROQ_BASE_URL",
        "base": "",
        "path": "/openai/v1/chat/completions",
        "body": {"max_completion_tokens": 100, "parallel_tool_calls": False, "reasoning_effort": "low"},
        "absent": {"max_tokens", "store", "metadata"},
        "reasoning": None,
        "stream_usage": True,
    },
    "deepseek": {
        "variable": "DEEPSEEK_BASE_URL",
        "base": "",
        "path": "/chat/completions",
        "body": {"max_tokens": 100, "reasoning_effort": "low"},
        "absent": {"max_completion_tokens", "parallel_tool_calls", "store"},
        "reasoning": "reasoning_content",
        "stream_usage": True,
    },
    "together": {
        "variable": "TOGETHER_BASE_URL",
        "base": "",
        "path": "/v1/chat/completions",
        "body": {"max_tokens": 100, "reasoning_effort": "low"},
        "absent": {"max_completion_tokens", "parallel_tool_calls", "stream_options", "store", "prompt_cache_key"},
        "reasoning": "reasoning_content",
        "stream_usage": False,
    },
    "fireworks": {
        "variable": "FIREWORKS_BASE_URL",
        "base": "/inference/v1",
        "path": "/inference/v1/chat/completions",
        "body": {
            "max_tokens": 100,
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "context_length_exceeded_behavior": "error",
        },
        "absent": {"max_completion_tokens", "store"},
        "reasoning": "reasoning_content",
        "stream_usage": True,
    },
    "mistral": {
        "variable": "MISTRAL_BASE_URL",
        "base": "",
        "path": "/v1/chat/completions",
        "body": {"max_tokens": 100, "parallel_tool_calls": False, "reasoning_effort": "low"},
        "absent": {"max_completion_tokens", "store", "stream_options"},
        "reasoning": None,  # in the content list, or not at all
        "stream_usage": False,
    },
    "huggingface": {
        "variable": "HUGGINGFACE_BASE_URL",
        "base": "",
        "path": "/v1/chat/completions",
        "body": {"max_tokens": 100},
        "absent": {"max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "store"},
        "reasoning": "reasoning_content",
        "stream_usage": True,
    },
    "anyscale": {
        "variable": "ANYSCALE_SERVICE_URL",
        "base": "",
        "path": "/v1/chat/completions",
        "body": {"max_tokens": 100, "parallel_tool_calls": False},
        "absent": {"max_completion_tokens", "store"},
        "reasoning": "reasoning_content",
        "stream_usage": True,
    },
    "local": {
        "variable": "LOCAL_BASE_URL",
        "base": "",
        "path": "/v1/chat/completions",
        "body": {"max_tokens": 100},  # one call at a time is what llama.cpp does unasked
        "absent": {"max_completion_tokens", "parallel_tool_calls", "store"},
        "reasoning": "reasoning_content",
        "stream_usage": True,
    },
}


def choice_for(row: str, server: ScriptedProvider) -> ModelChoice:
    origin = server.base_url.removesuffix("/v1")
    environ = {ROWS[row]["variable"]: origin + ROWS[row]["base"], PROVIDERS[row].keys[0]: KEY}
    return choose_model(Settings(), environ, f"{row}/some/model")


def conversation(origin: str) -> Conversation:
    native = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "first look",
        "gateway_field": "opaque",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}],
    }
    call = EchoedCall(wire_id="call_1", name="read_file", arguments={}, index=0)
    result = ResultForModel(wire_id="call_1", name="read_file", text="empty")
    return Conversation(
        system="Be brief.",
        messages=[
            UserMessage(text="What is in a.py?"),
            AssistantMessage(text="", calls=(call,), native=native, origin=origin),
            ToolResults(results=(result,)),
        ],
    )


async def ask(choice: ModelChoice, *, stream: bool, parallel_calls: bool = False) -> Any:
    options = RequestOptions(
        model=choice.model,
        stream=stream,
        output_limit_tokens=100,
        reasoning_effort="low",
        parallel_calls=parallel_calls,
    )
    async with ModelClient(choice) as client:
        return await client.ask(
            ModelRequest(conversation=conversation(choice.provider.name), tools=[TOOL], options=options)
        )


def test_every_row_of_the_chat_wire_is_here() -> None:
    chat = {"openai-chat", "mistral"}
    on_chat = {name for name, row in PROVIDERS.items() if chat & {row.wire, row.wire_with_base_url}}
    assert set(ROWS) == on_chat


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("row", ROWS)
async def test_a_row_asks_in_its_own_words_and_reads_the_answer(row: str, stream: bool) -> None:
    answer = Answer(text="Look.", calls=[Call("read_file", {"file_path": "a.py"}), Call("git_status")])
    async with ScriptedProvider([answer]) as server:
        response = await ask(choice_for(row, server), stream=stream)
    assert server.errors == []
    assert response.turn.text == "Look."
    assert [(call.name, call.arguments) for call in response.turn.calls] == [
        ("read_file", {"file_path": "a.py"}),
        ("git_status", {}),
    ]
    assert response.attempts == 1
    assert 0 < response.time_to_first_byte_ms <= response.duration_ms
    check_request(server.requests[0], row, stream=stream)


def check_request(request: ReceivedRequest, row: str, *, stream: bool) -> None:
    expected = ROWS[row]
    assert (request.method, request.path) == ("POST", expected["path"])
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"] == f"equitrcoder/{__version__}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"].startswith("text/event-stream" if stream else "application/json")
    body = request.json
    assert body["model"] == "some/model"
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert expected["body"].items() <= body.items()
    assert not expected["absent"] & body.keys()
    assert None not in body.values()
    assert body.get("stream", False) is stream
    asked_for_usage = {"include_usage": True} if stream and expected["stream_usage"] else None
    assert body.get("stream_options") == asked_for_usage
    echoed = body["messages"][2]
    found = {field: echoed[field] for field in ("reasoning", "reasoning_content") if field in echoed}
    assert found == ({expected["reasoning"]: "first look"} if expected["reasoning"] else {})
    assert ("gateway_field" in echoed) is (row not in ("groq", "mistral"))  # they refuse fields that they do not know


async def test_only_a_local_server_is_told_that_it_may_call_in_parallel() -> None:
    told = {}
    for row in ROWS:
        async with ScriptedProvider([Answer(text="ok")]) as server:
            await ask(choice_for(row, server), stream=False, parallel_calls=True)
        told[row] = server.requests[0].json.get("parallel_tool_calls")
    assert told == {**dict.fromkeys(ROWS), "local": True}


@pytest.mark.parametrize("stream", [True, False])
async def test_tokens_are_known_on_every_row_that_tells_them(stream: bool) -> None:
    for row in ROWS:
        async with ScriptedProvider([Answer(text="four words of text")]) as server:
            response = await ask(choice_for(row, server), stream=stream)
        asked = not stream or ROWS[row]["stream_usage"]
        assert (response.turn.usage.output_tokens is not None) is asked, row


async def test_a_row_of_the_users_own_needs_no_code() -> None:
    async with ScriptedProvider([Answer(text="hi")]) as server:
        row = {
            "wire": "openai-chat",
            "base_url": server.base_url,
            "key_env": ["MINE_KEY"],
            "auth": "x-api-key",
            "headers": {"x-team": "blue"},
            "dialect": {"max_tokens_field": "max_completion_tokens"},
        }
        choice = choose_model(Settings(providers={"mine": row}), {"MINE_KEY": KEY}, "mine/qwen")
        response = await ask(choice, stream=True)
    request = server.requests[0]
    assert response.turn.text == "hi"
    assert (request.headers["x-api-key"], request.headers["x-team"]) == (KEY, "blue")
    assert "authorization" not in request.headers
    assert request.json["max_completion_tokens"] == 100


async def test_a_server_without_a_key_gets_no_authorization() -> None:
    async with ScriptedProvider([Answer(text="hi")]) as server:
        await ask(choose_model(Settings(), {"LOCAL_BASE_URL": server.base_url}, "local/m"), stream=True)
    assert "authorization" not in server.requests[0].headers
