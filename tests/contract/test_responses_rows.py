"""The rows on the Responses wire end to end: path, headers and body, and runs at an address of the user's own."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import ConfigError
from equitrcoder.providers import PROVIDERS, ModelChoice, ModelClient, ModelRequest, choose_model
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from equitrcoder.wires.values import Conversation, RequestOptions, ToolSpec, UserMessage
from tests.command import KEY, World

TOOL = ToolSpec(name="read_file", description="Read a file.", parameters={"type": "object", "properties": {}})


def choice_for(row: str, server: ScriptedProvider) -> ModelChoice:
    """The row as it is without a base URL of the user's own, but for the address."""
    environ = {PROVIDERS[row].keys[0]: KEY, "OPENAI_ORG_ID": "org-1"}
    model = PROVIDERS[row].default_model
    return replace(choose_model(Settings(), environ, f"{row}/{model}"), base_url=server.base_url)


async def ask(choice: ModelChoice, *, stream: bool) -> Any:
    options = RequestOptions(model=choice.model, stream=stream, output_limit_tokens=100, reasoning_effort="low")
    conversation = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
    async with ModelClient(choice, max_attempts=2, sleep=_at_once) as client:
        return await client.ask(ModelRequest(conversation=conversation, tools=[TOOL], options=options))


async def _at_once(_seconds: float) -> None:
    pass


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("row", "path"), [("openai", "/v1/responses"), ("perplexity", "/v1/agent")])
async def test_a_row_asks_at_its_own_path_and_reads_the_answer(row: str, path: str, stream: bool) -> None:
    answer = Answer(text="Look.", reasoning="Hm", calls=[Call("read_file", {"file_path": "a.py"}), Call("git_status")])
    async with ScriptedProvider([answer]) as server:
        response = await ask(choice_for(row, server), stream=stream)
    (request,) = server.requests
    assert server.errors == []
    assert (response.turn.text, response.turn.reasoning, response.turn.stop) == ("Look.", "Hm", "calls")
    assert [(each.name, each.arguments) for each in response.turn.calls] == [
        ("read_file", {"file_path": "a.py"}),
        ("git_status", {}),
    ]
    assert response.turn.usage.output_tokens is not None
    assert (request.method, request.path) == ("POST", path)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept"].startswith("text/event-stream" if stream else "application/json")
    assert request.headers.get("openai-organization") == ("org-1" if row == "openai" else None)
    body = request.json
    assert (body["instructions"], body["store"], body["max_output_tokens"]) == ("Be brief.", False, 100)
    assert (body["tools"][0]["strict"], body["reasoning"], body.get("stream", False)) == (
        False,
        {"effort": "low"},
        stream,
    )
    assert ("include" in body, "prompt_cache_key" in body) == (row == "openai", row == "openai")


def test_openai_stays_on_chat_completions_at_an_own_base_url_unless_the_settings_say_the_wire() -> None:
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": KEY}
    assert choose_model(Settings(), environ, "openai/m").provider.wire == "openai-chat"
    assert choose_model(Settings(), {"OPENAI_API_KEY": KEY}, "openai/gpt-6-luna").provider.wire == "openai-responses"
    settings = Settings(providers={"openai": {"wire": "openai-responses"}})
    chosen = choose_model(settings, environ, "openai/m")
    assert (chosen.provider.wire, chosen.base_url) == ("openai-responses", "http://127.0.0.1:9/v1")
    assert chosen.provider.dialect.path == "/responses"


def test_departures_of_a_row_are_those_of_its_wire() -> None:
    row = {"wire": "openai-responses", "base_url": "http://127.0.0.1:9/v1", "dialect": {"cache_key": False}}
    assert choose_model(Settings(providers={"mine": row}), {}, "mine/m").provider.dialect.cache_key is False
    with pytest.raises(ConfigError, match="max_tokens_field"):
        wrong = {**row, "dialect": {"max_tokens_field": "max_tokens"}}
        choose_model(Settings(providers={"mine": wrong}), {}, "mine/m")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(answer=Answer(text="All good."), close_after_events=4),
        Fault(answer=Answer(text="All good."), drop_finish=True),
        Fault(error={"message": "busy", "type": "server_error"}, insert_after_events=3),
        Fault(status=429, body={"error": {"message": "slow", "code": "rate_limit_exceeded"}}),
    ],
)
async def test_a_stream_that_ends_without_its_finish_is_asked_for_again(fault: Fault) -> None:
    async with ScriptedProvider([fault, Answer(text="All good.")]) as server:
        response = await ask(choice_for("openai", server), stream=True)
    assert (response.turn.text, response.attempts) == ("All good.", 2)


SCRIPT = [
    Answer(text="One.", reasoning="Hm", calls=[Call("read_file", {"file_path": "a.txt"})]),
    Answer(calls=[Call("run_command", {"command": f"echo {n}"}) for n in range(4)]),
    Answer(calls=[Call("run_command", {"command": "exit 3"}), Call("read_file", '{"file_path": '), Call("no_such")]),
    Answer(text="Done."),
]


def run(folder: Path, stream: str, wire: str) -> tuple[list[dict[str, Any]], list[Any]]:
    with ScriptedProvider(SCRIPT) as provider:
        world = World(folder, provider.base_url)
        (world.repo / "a.txt").write_text("alpha\n")
        settings = world.home / ".config" / "equitrcoder" / "config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"providers": {"mine": {"wire": wire, "base_url": provider.base_url}}}))
        arguments = ["--model", "mine/scripted", "--approve", "all", "--sandbox", "off", "--json", stream, "do it"]
        done = world.equitrcoder("run", *arguments)
        assert (done.code, provider.errors) == (0, []), done.err
        return world.calls(), provider.requests


OWN = ("_id", "_uid", "_at", "_ms", "model_", "provider_", "sha256", "tokens", "cost", "price", "repo_path", "capture")


def alike(record: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in record.items() if not any(own in key for own in OWN) and key != "arguments_raw"
    }


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_a_run_at_an_address_of_the_users_own_leaves_the_records_of_chat_completions(
    tmp_path: Path, stream: str
) -> None:
    found, requests = run(tmp_path / "responses", stream, "openai-responses")
    reference, _ = run(tmp_path / "chat", stream, "openai-chat")
    assert [record["outcome"] for record in found] == ["success"] * 5 + ["failed", "invalid", "invalid"]
    assert list(map(alike, found)) == list(map(alike, reference))
    assert {request.path for request in requests} == {"/v1/responses"}
    # each request holds the one before it, so that the provider's cache is met; reasoning goes back sealed
    for earlier, later in pairwise(requests):
        assert later.json["input"][: len(earlier.json["input"])] == earlier.json["input"]
        assert later.json["prompt_cache_key"] == earlier.json["prompt_cache_key"]
    assert [item["type"] for item in requests[1].json["input"]] == [
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert len(requests[2].tool_results) == 4
    assert [request.turn for request in requests] == [0, 1, 2, 3]
