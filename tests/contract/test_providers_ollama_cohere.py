"""The rows of Ollama and Cohere, end to end: what is sent, at its own path and in its words, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from equitrcoder import __version__
from equitrcoder.errors import ProviderOverloadedError, ToolsUnsupportedError
from equitrcoder.providers import ModelChoice, ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from equitrcoder.testing.script import Reply, Usage
from equitrcoder.wires.values import Conversation, RequestOptions, ToolSpec, UserMessage

KEY = "test-key-0123456789"
TOOL = ToolSpec(name="read_file", description="Read a file.", parameters={"type": "object", "properties": {}})

ROWS: dict[str, dict[str, Any]] = {
    "ollama": {
        "bases": ("", "/v1", "/api"),
        "variable": "OLLAMA_BASE_URL",
        "key": "OLLAMA_API_KEY",
        "path": "/api/chat",
        "body": {"options": {"num_ctx": 32768, "num_predict": 100}, "think": "low"},
    },
    "cohere": {
        "bases": ("", "/v1", "/v2"),
        "variable": "CO_API_URL",
        "key": "CO_API_KEY",
        "path": "/v2/chat",
        "body": {"max_tokens": 100, "thinking": {"type": "enabled", "token_budget": 4096}},
    },
}


def choice_for(row: str, server: ScriptedProvider, base: str = "", *, key: bool = True) -> ModelChoice:
    origin = server.base_url.removesuffix("/v1")
    environ = {ROWS[row]["variable"]: origin + base, **({ROWS[row]["key"]: KEY} if key else {})}
    return choose_model(Settings(), environ, f"{row}/m")


async def ask(choice: ModelChoice, *, stream: bool = True, **client: Any) -> Any:
    options = RequestOptions(
        model=choice.model, stream=stream, output_limit_tokens=100, reasoning_effort="low", parallel_calls=False
    )
    conversation = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
    async with ModelClient(choice, **client) as model:
        return await model.ask(ModelRequest(conversation=conversation, tools=[TOOL], options=options))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("row", ROWS)
async def test_a_row_asks_in_its_own_words_and_reads_the_answer(row: str, stream: bool) -> None:
    calls = [Call("read_file", {"file_path": "a.py"}), Call("git_status")]
    reply = Answer(text="Look.", reasoning="Hm.", calls=calls, usage=Usage(input_tokens=9, output_tokens=4))
    async with ScriptedProvider([reply]) as server:
        response = await ask(choice_for(row, server), stream=stream)
    assert server.errors == []
    turn = response.turn
    assert (turn.text, turn.reasoning) == ("Look.", "Hm.")
    assert [(call.name, call.arguments) for call in turn.calls] == [
        ("read_file", {"file_path": "a.py"}),
        ("git_status", {}),
    ]
    assert (turn.usage.input_tokens, turn.usage.output_tokens) == (9, 4)
    assert 0 < response.time_to_first_byte_ms <= response.duration_ms
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", ROWS[row]["path"])
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"] == f"equitrcoder/{__version__}"
    assert request.json["stream"] is stream
    assert ROWS[row]["body"].items() <= request.json.items()
    assert not {"parallel_tool_calls", "stream_options", "reasoning_effort", "store"} & set(request.json)
    assert None not in request.json.values()


@pytest.mark.parametrize(("row", "base"), [(row, base) for row in ROWS for base in ROWS[row]["bases"]])
async def test_a_base_url_may_hold_a_version(row: str, base: str) -> None:
    async with ScriptedProvider([Answer(text="ok")]) as server:
        await ask(choice_for(row, server, base))
    assert server.requests[0].path == ROWS[row]["path"]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(answer=Answer(text="All good."), close_after_events=2),
        Fault(answer=Answer(text="All good."), drop_finish=True),
        Fault(status=503, body={"error": "busy", "message": "busy"}),
    ],
)
async def test_what_broke_is_asked_again(row: str, fault: Reply) -> None:
    async def no_sleep(_: float) -> None:
        return None

    async with ScriptedProvider([fault, Answer(text="All good.")]) as server:
        response = await ask(choice_for(row, server), sleep=no_sleep)
    assert (response.turn.text, response.attempts) == ("All good.", 2)


async def test_a_local_ollama_needs_no_key() -> None:
    async with ScriptedProvider([Answer(text="ok")]) as server:
        await ask(choice_for("ollama", server, key=False))
    assert "authorization" not in server.requests[0].headers


async def test_an_installed_model_is_found() -> None:
    async with ScriptedProvider([], models=["gemma:2b", "qwen3:8b"]) as server:
        environ = {"OLLAMA_HOST": server.base_url.removesuffix("/v1").removeprefix("http://")}
        assert choose_model(Settings(), environ, "ollama").model == "qwen3:8b"
        assert choose_model(Settings(), environ).model_requested == "ollama/qwen3:8b"


async def test_a_row_sets_the_room_for_the_context() -> None:
    async with ScriptedProvider([Answer(text="ok")]) as server:
        settings = Settings(providers={"ollama": {"dialect": {"num_ctx": 65536}}})
        environ = {"OLLAMA_BASE_URL": server.base_url}
        await ask(choose_model(settings, environ, "ollama/m"))
    assert server.requests[0].json["options"]["num_ctx"] == 65536


async def test_what_ollama_says_of_tools_and_of_itself_is_typed() -> None:
    refused = Fault(status=400, body={"error": "registry.ollama.ai/library/gemma:2b does not support tools"})
    async with ScriptedProvider([refused, Fault(status=500, body={"error": "llama runner terminated"})]) as server:
        for kind in (ToolsUnsupportedError, ProviderOverloadedError):
            with pytest.raises(kind):
                await ask(choice_for("ollama", server), max_attempts=1)
