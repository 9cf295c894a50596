"""The anthropic row, end to end: what it is sent, at its own path and in its own words, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from equitrcoder import __version__
from equitrcoder.errors import ConfigError, ProviderOverloadedError, QuotaExhaustedError, RequestRefusedError
from equitrcoder.providers import ModelChoice, ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider, Usage
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
from tests.command import World

KEY = "test-key-0123456789"
TOOL = ToolSpec(name="read_file", description="Read a file.", parameters={"type": "object", "properties": {}})
MARK = {"cache_control": {"type": "ephemeral"}}
THINKING = {"type": "thinking", "thinking": "first look", "signature": "sig"}


def choice_for(server: ScriptedProvider, path: str = "", model: str = "claude-sonnet-5-5") -> ModelChoice:
    origin = server.base_url.removesuffix("/v1")
    environ = {"ANTHROPIC_BASE_URL": origin + path, "ANTHROPIC_API_KEY": KEY}
    return choose_model(Settings(), environ, f"anthropic/{model}")


def conversation() -> Conversation:
    use = {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {}}
    call = EchoedCall(wire_id="toolu_1", name="read_file", arguments={}, index=0)
    native = {"role": "assistant", "content": [THINKING, use]}
    return Conversation(
        system="Be brief.",
        messages=[
            UserMessage(text="What is in a.py?"),
            AssistantMessage(text="", calls=(call,), native=native, origin="anthropic"),
            ToolResults(results=(ResultForModel(wire_id="toolu_1", name="read_file", text="no", is_error=True),)),
        ],
    )


async def ask(choice: ModelChoice, *, stream: bool = True, **keywords: Any) -> Any:
    options = RequestOptions(
        model=choice.model,
        stream=stream,
        output_limit_tokens=100,
        reasoning_effort="low",
        parallel_calls=False,
    )
    async with ModelClient(choice, **keywords) as client:
        return await client.ask(ModelRequest(conversation=conversation(), tools=[TOOL], options=options))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "arrives"), [("", "/v1/messages"), ("/v1", "/v1/messages"), ("/anthropic", "/anthropic/v1/messages")]
)
async def test_it_is_asked_in_its_own_words_and_its_answer_is_read(path: str, arrives: str, stream: bool) -> None:
    usage = Usage(input_tokens=90, cached_read_tokens=64, cache_write_tokens=6, output_tokens=7, reasoning_tokens=3)
    answer = Answer(
        text="Look.",
        reasoning="Hm.",
        calls=[Call("read_file", {"file_path": "a.py"}), Call("git_status")],
        usage=usage,
    )
    async with ScriptedProvider([answer]) as server:
        response = await ask(choice_for(server, path), stream=stream)
    assert server.errors == []
    turn = response.turn
    assert (turn.text, turn.reasoning, turn.stop, turn.usage) == ("Look.", "Hm.", "calls", usage)
    assert [(call.id, call.name, call.arguments) for call in turn.calls] == [
        ("toolu_1_0", "read_file", {"file_path": "a.py"}),
        ("toolu_1_1", "git_status", {}),
    ]
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", arrives)
    assert request.headers["x-api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["user-agent"] == f"equitrcoder/{__version__}"
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 100,
        "tools": [
            {
                "name": "read_file",
                "description": "Read a file.",
                "input_schema": {"type": "object", "properties": {}},
                **MARK,
            }
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "system": [{"type": "text", "text": "Be brief.", **MARK}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is in a.py?", **MARK}]},
            {
                "role": "assistant",
                "content": [THINKING, {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no", "is_error": True, **MARK}
                ],
            },
        ],
        "output_config": {"effort": "low"},
        **({"stream": True} if stream else {}),
    }


async def test_overload_is_tried_again_and_a_spend_limit_is_not() -> None:
    async def no_wait(_seconds: float) -> None: ...

    busy = Fault(status=529, body={"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    async with ScriptedProvider([busy, Answer(text="ok")]) as server:
        response = await ask(choice_for(server), sleep=no_wait)
    assert (response.turn.text, response.attempts) == ("ok", 2)
    spent = Fault(status=429, body={"type": "error", "error": {"type": "rate_limit_error", "message": "limit"}})
    async with ScriptedProvider([spent, Answer(text="ok")]) as server:
        with pytest.raises(QuotaExhaustedError, match="limit"):
            await ask(choice_for(server), sleep=no_wait)
    assert len(server.requests) == 1
    inside = Fault(
        answer=Answer(text="Hi"), error={"type": "overloaded_error", "message": "busy"}, insert_after_events=3
    )
    async with ScriptedProvider([inside]) as server:
        with pytest.raises(ProviderOverloadedError, match="busy") as caught:
            await ask(choice_for(server), max_attempts=1)
    assert caught.value.partial is not None and caught.value.partial.text == "H"


async def test_a_retired_model_names_the_one_of_today() -> None:
    body: Any = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-3-haiku-20240307"}}
    async with ScriptedProvider([Fault(status=404, body=body)]) as server:
        with pytest.raises(RequestRefusedError) as caught:
            await ask(choice_for(server, model="claude-3-haiku-20240307"))
    assert caught.value.code == "E102"
    assert "anthropic/claude-haiku-5-5" in caught.value.hint


async def test_a_row_of_the_users_own_speaks_this_wire() -> None:
    async with ScriptedProvider([Answer(text="hi")]) as server:
        row = {
            "wire": "anthropic-messages",
            "base_url": server.base_url,
            "key_env": ["MINE_KEY"],
            "headers": {"anthropic-version": "2026-10-21"},
            "dialect": {"cache": False, "reasoning_effort": False},
        }
        choice = choose_model(Settings(providers={"mine": row}), {"MINE_KEY": KEY}, "mine/glm")
        response = await ask(choice)
    (request,) = server.requests
    assert (response.turn.text, request.path) == ("hi", "/v1/messages")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert "cache_control" not in json.dumps(request.json) and "output_config" not in request.json
    with pytest.raises(ConfigError, match="unknown departure"):
        wrong: Any = {**row, "dialect": {"max_tokens_field": "max_tokens"}}
        choose_model(Settings(providers={"mine": wrong}), {"MINE_KEY": KEY}, "mine/glm")


def test_a_whole_run_repeats_its_start_letter_for_letter(tmp_path: Path) -> None:
    """What stands before is the same in every request of a run: caches hold, and thinking stays bound to it."""
    script = [
        Answer(reasoning="Hm.", calls=[Call("list_directory", {"path": "."})]),
        Answer(reasoning="Hm?", calls=[Call("read_file", {"file_path": "missing"}), Call("git_status")]),
        Answer(text="Done."),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path)
        environ = {"ANTHROPIC_BASE_URL": provider.base_url, "ANTHROPIC_API_KEY": KEY}
        model = ["--model", "anthropic/claude-opus-5-5", "--sandbox", "off", "--approve", "all"]
        done = world.equitrcoder("run", *model, "look", environ=environ)
        assert (done.code, done.out.strip(), provider.errors) == (0, "Done.", [])
    for before, after in zip(provider.requests, provider.requests[1:], strict=False):
        for key in ("system", "tools", "model", "max_tokens"):
            assert before.json[key] == after.json[key]
        kept = after.json["messages"][: len(before.json["messages"])]
        assert json.dumps(kept).replace(f", {json.dumps(MARK)[1:-1]}", "") == json.dumps(
            before.json["messages"]
        ).replace(f", {json.dumps(MARK)[1:-1]}", "")
    assert provider.requests[2].json["messages"][3]["content"][0] == {
        "type": "thinking",
        "thinking": "Hm?",
        "signature": "scripted-2",
    }


def test_a_paused_answer_goes_on(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="Searching.", finish="pause_turn"), Answer(text="Found.")]) as provider:
        world = World(tmp_path)
        environ = {"ANTHROPIC_BASE_URL": provider.base_url, "ANTHROPIC_API_KEY": KEY}
        done = world.equitrcoder("run", "--model", "anthropic/claude-opus-5-5", "look", environ=environ)
        assert (done.code, done.out.strip(), provider.errors) == (0, "Found.", [])
    first, second = provider.requests
    assert second.json["messages"] == [
        *first.json["messages"],
        {"role": "assistant", "content": [{"type": "text", "text": "Searching."}]},
    ]
