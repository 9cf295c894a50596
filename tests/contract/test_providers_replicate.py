"""Replicate over real sockets: predictions made, watched and canceled; the key at home; whole runs without tools."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from equitrcoder.errors import (
    BadResponseError,
    ProviderError,
    ProviderOverloadedError,
    ProviderTimeoutError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
)
from equitrcoder.providers import ModelClient, ModelRequest, choose_model
from equitrcoder.providers.client import FailedAttempt
from equitrcoder.providers.predictions import Predictions
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, ScriptedProvider
from equitrcoder.wires.values import Conversation, RequestOptions, Usage, UserMessage
from tests.command import World

KEY = "r8_0123456789abcdefSECRET"
both_ways = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def paths(server: ScriptedProvider) -> list[str]:
    return [f"{request.method} {request.path.removeprefix('/v1')}" for request in server.requests]


class Asked:
    """One question, and what came with the answer."""

    def __init__(self, server: ScriptedProvider, *, stream: bool, **client: Any) -> None:
        environ = {"REPLICATE_API_TOKEN": KEY, "REPLICATE_BASE_URL": server.base_url}
        self.choice = choose_model(Settings(), environ, "replicate/meta/llama")
        self.stream = stream
        self.deltas: list[str] = []
        self.failed: list[FailedAttempt] = []
        self.slept: list[float] = []
        self._client = client

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def ask(self) -> Any:
        options = RequestOptions(model=self.choice.model, stream=self.stream, output_limit_tokens=50)
        conversation = Conversation(system="Be brief.", messages=[UserMessage(text="Hi")])
        async with ModelClient(self.choice, **{"sleep": self._sleep, **self._client}) as client:
            return await client.ask(
                ModelRequest(conversation=conversation, options=options),
                on_delta=lambda delta: self.deltas.append(delta.text),
                on_failed_attempt=self.failed.append,
            )


@both_ways
async def test_an_answer_comes_about_over_several_requests(stream: bool) -> None:
    answer = Answer(text="Hello, world.", usage=Usage(input_tokens=5, output_tokens=4), extra={"looks": 2})
    with ScriptedProvider([answer]) as server:
        asked = Asked(server, stream=stream)
        response = await asked.ask()
    assert (response.turn.text, response.turn.usage) == ("Hello, world.", Usage(input_tokens=5, output_tokens=4))
    made = server.requests[1]
    assert made.json["input"] == {"prompt": "Hi", "system_prompt": "Be brief.", "max_tokens": 50}
    looks = ["GET /predictions/prediction1"] * 3
    events = ["GET /predictions/prediction1/stream"] if stream else []
    assert paths(server) == ["GET /models/meta/llama", "POST /models/meta/llama/predictions", *events, *looks]
    assert asked.slept == [0.5, 0.5]
    assert "".join(asked.deltas) == ("Hello, world." if stream else "")
    assert len(asked.deltas) == (3 if stream else 0)
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


async def test_the_fields_of_a_model_are_asked_for_once() -> None:
    with ScriptedProvider([Answer(text="1"), Answer(text="2")]) as server:
        asked = Asked(server, stream=False)
        async with ModelClient(asked.choice) as client:
            for _ in range(2):
                conversation = Conversation(system="", messages=[UserMessage(text="Hi")])
                await client.ask(
                    ModelRequest(conversation=conversation, options=RequestOptions(model="meta/llama", stream=False))
                )
    assert paths(server).count("GET /models/meta/llama") == 1


@pytest.mark.parametrize(
    ("fault", "kind", "attempts"),
    [
        (
            Fault(status=401, body={"title": "Unauthenticated", "detail": "Invalid token.", "status": 401}),
            ProviderError,
            1,
        ),
        (Fault(status=402, body={"detail": "Insufficient credit.", "status": 402}), QuotaExhaustedError, 1),
        (Fault(status=422, body={"detail": "- input: prompt is required", "status": 422}), RequestRefusedError, 1),
        (Fault(status=429, body={"detail": "Throttled.", "status": 429, "retry_after": 7}), RateLimitError, 2),
        (Fault(status=503, body={}), ProviderOverloadedError, 2),
        (Fault(body="<html>hi</html>"), BadResponseError, 1),
        (Fault(body={"hello": "you"}), BadResponseError, 1),
        (Fault(answer=Answer(text="half", extra={"status": "failed", "error": "boom"})), BadResponseError, 1),
        (
            Fault(answer=Answer(extra={"status": "failed", "error": "Prediction interrupted; please retry"})),
            ProviderOverloadedError,
            2,
        ),
        (Fault(answer=Answer(text="half", extra={"status": "canceled"})), BadResponseError, 1),
    ],
    ids=["401", "402", "422", "429", "503", "page", "other", "failed", "interrupted", "canceled"],
)
@both_ways
async def test_what_goes_wrong_is_told(fault: Fault, kind: type[ProviderError], attempts: int, stream: bool) -> None:
    with ScriptedProvider([fault] * 2) as server:
        asked = Asked(server, stream=stream, max_attempts=2)
        with pytest.raises(kind) as caught:
            await asked.ask()
    assert len(asked.failed) == attempts
    assert (caught.value.provider, caught.value.model) == ("replicate", "meta/llama")
    assert KEY not in str(caught.value)
    if fault.status == 429:
        assert asked.slept == [7.0]


async def test_a_stream_that_breaks_off_costs_nothing() -> None:
    with ScriptedProvider([Fault(answer=Answer(text="Hello, world."), close_after_events=1)]) as server:
        asked = Asked(server, stream=True, max_attempts=1)
        response = await asked.ask()
    assert response.turn.text == "".join(asked.deltas) == "Hello, world."
    assert sum(path.startswith("POST") for path in paths(server)) == 1


@both_ways
async def test_who_stops_waiting_cancels_at_the_provider(stream: bool) -> None:
    waiting = Fault(answer=Answer(text="Hello, world.", extra={"looks": 10**6}), stall_after_events=1)
    with ScriptedProvider([waiting]) as server:
        asked = Asked(server, stream=stream)
        task = asyncio.create_task(asked.ask())
        await asyncio.to_thread(server.wait_for_requests, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert paths(server)[-1] == "POST /predictions/prediction1/cancel"


@both_ways
async def test_the_deadline_cancels_at_the_provider(stream: bool) -> None:
    waiting = Fault(answer=Answer(text="Hello, world.", extra={"looks": 10**6}), stall_after_events=1)
    with ScriptedProvider([waiting]) as server, pytest.raises(ProviderTimeoutError, match="not done after"):
        await Asked(server, stream=stream, deadline_s=0.3).ask()
    assert paths(server)[-1] == "POST /predictions/prediction1/cancel"


async def test_an_answer_that_was_read_is_not_canceled() -> None:
    with ScriptedProvider([Answer(text="Hello.")]) as server:
        await Asked(server, stream=True).ask()
    assert not any(path.endswith("/cancel") for path in paths(server))


@pytest.mark.parametrize(
    "link", ["elsewhere", "http://169.254.169.254/latest", "file:///etc/passwd", "https://", 7, None]
)
async def test_links_of_an_answer_lead_nowhere_else(link: Any) -> None:
    with ScriptedProvider([]) as elsewhere:
        url = elsewhere.base_url + "/steal" if link == "elsewhere" else link
        links = {"get": url, "cancel": url, "stream": url}
        with ScriptedProvider([Answer(text="Hello.", extra={"urls": links})]) as server:
            asked = Asked(server, stream=True)
            assert (await asked.ask()).turn.text == "Hello."
        assert "".join(asked.deltas) == "Hello."
        assert elsewhere.requests == []
    assert not any(path.endswith("/stream") for path in paths(server))


async def test_a_stream_at_a_sister_host_is_asked_for_without_the_key() -> None:
    headers = {"authorization": f"Bearer {KEY}", "user-agent": "equitrcoder", "x-team": "blue"}
    predictions = Predictions("https://api.replicate.com/v1", headers, asyncio.sleep)
    async with httpx2.AsyncClient() as http:
        sister = predictions.stream_request(http, "https://stream.replicate.com/v1/files/abc", None)
        same = predictions.stream_request(http, "https://api.replicate.com/v1/files/abc", None)
        assert sister is not None and same is not None
        assert KEY not in str(sister.headers.raw) and "x-team" not in sister.headers
        assert same.headers["authorization"] == f"Bearer {KEY}"
        for elsewhere in (
            "https://stream.example.com/a",
            "http://stream.replicate.com/a",
            "https://evilreplicate.com/a",
        ):
            assert predictions.stream_request(http, elsewhere, None) is None
        for port in ("https://api.replicate.com:444/a", "https://me:you@api.replicate.com/a"):
            assert predictions.stream_request(http, port, None) is None


@pytest.mark.parametrize("document", [{"status": "resting"}, {}, {"status": 7}])
@both_ways
async def test_a_prediction_that_turns_into_something_else_is_given_up(document: Any, stream: bool) -> None:
    answer = Answer(text="Hello.", extra={"status": None, **document})
    with ScriptedProvider([answer]) as server:
        asked = Asked(server, stream=stream, max_attempts=1)
        with pytest.raises(BadResponseError, match="no prediction"):
            await asked.ask()
    assert paths(server)[-1] == "POST /predictions/prediction1/cancel"
    assert sum(path == "GET /predictions/prediction1" for path in paths(server)) == 5


@pytest.mark.parametrize("identity", ["../models", "a/b", "a?x", "", "é", "x" * 200])
async def test_an_id_that_is_none_becomes_no_path(identity: str) -> None:
    server = ScriptedProvider([Answer(text="Hello.", extra={"id": identity})])
    with server, pytest.raises(BadResponseError, match="id that is none"):
        await Asked(server, stream=True).ask()
    assert len(server.requests) == 2


# whole runs with the real command


@pytest.fixture
def replicate(tmp_path: Path) -> Iterator[tuple[World, list[Any], ScriptedProvider]]:
    script: list[Any] = []

    def reply(_request: ReceivedRequest) -> Any:
        return script.pop(0)

    with ScriptedProvider(reply) as server:
        world = World(tmp_path)
        world.environ |= {"REPLICATE_API_TOKEN": KEY, "REPLICATE_BASE_URL": server.base_url}
        yield world, script, server
        assert server.errors == []


CALL_SHAPED = '{"name": "write_file", "arguments": {"file_path": "x.py", "content": "boom"}}'


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_a_run_answers_in_words_and_touches_nothing(replicate: Any, way: str) -> None:
    world, script, server = replicate
    script.append(Answer(text=f"I would call\n```json\n{CALL_SHAPED}\n```"))
    done = world.run("--model", "replicate/meta/llama", way, task="add x.py")
    assert done.code == 0, done.err
    assert "replicate/meta/llama takes no tools" in done.err
    assert done.event("run.started")["tools"] is False
    assert CALL_SHAPED in done.event("run.finished")["response"]
    assert list(world.repo.iterdir()) == []
    assert world.calls() == []
    (run,) = world.runs()
    assert (run["provider"], run["status"], run["steps_taken"]) == ("replicate", "completed", 1)
    totals = done.event("run.finished")["totals"]
    assert (totals["cost_nanousd"], totals["unpriced_turns"], totals["calls"]) == (0, 1, 0)
    assert done.event("turn.finished")["tokens"]["input_tokens"] is None
    sent = server.requests[1].json["input"]
    assert (
        sent["prompt"] == "add x.py" and "no tools" in sent["system_prompt"] and "tools" not in server.requests[1].json
    )
    assert world.files_holding(KEY) == []
    page = world.equitrcoder("show", "last").out
    assert "none: this provider takes none" in page


def test_what_it_cannot_do_is_told_before_the_first_request(replicate: Any) -> None:
    world, script, _ = replicate
    script.append(Fault(status=402, body={"detail": "Insufficient credit.", "status": 402}))
    done = world.equitrcoder("run", "--model", "replicate/meta/llama", "say hi")
    assert done.code == 4
    lines = done.err.splitlines()
    assert lines[0].startswith("replicate/meta/llama takes no tools: it answers from what stands in the prompt")
    assert "· no tools ·" in lines[1]
    assert "replicate" in lines[2] and "402" in lines[2]


def test_failure_that_the_model_reports_is_failure(replicate: Any) -> None:
    world, script, _ = replicate
    script.append(Answer(text="FAILED: this model has no tools. Add the file yourself."))
    assert world.run("--model", "replicate/meta/llama").code == 1


def test_ctrl_c_cancels_the_prediction(replicate: Any) -> None:
    world, script, server = replicate
    script.append(Fault(answer=Answer(text="Hello, world."), stall_after_events=1))
    process = world.start("--model", "replicate/meta/llama")
    server.wait_for_stalled()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert paths(server)[-1] == "POST /predictions/prediction1/cancel"
    finished = [json.loads(line) for line in out.splitlines()][-1]
    assert (finished["type"], finished["status"]) == ("run.finished", "cancelled")


def test_a_budget_needs_a_price(replicate: Any) -> None:
    world, _, server = replicate
    done = world.run("--model", "replicate/meta/llama", "--budget", "1")
    assert done.code == 3 and "E202" in done.err
    assert server.requests == []


async def test_another_model_begins_with_tools_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from equitrcoder.agent.session import Session, SessionOptions

    notices: list[str] = []
    with ScriptedProvider(
        [Answer(text="Hm."), Answer(calls=[Call("list_directory", {})]), Answer(text="Done.")]
    ) as server:
        environ = {
            "REPLICATE_API_TOKEN": KEY,
            "REPLICATE_BASE_URL": server.base_url,
            "OPENAI_BASE_URL": server.base_url,
            "EQUITRCODER_STATE_DIR": str(tmp_path / "state"),
        }
        options = SessionOptions(on_notice=notices.append)
        settings = Settings(sandbox="off", approve="all")
        async with Session(tmp_path, settings, environ, model="replicate/meta/llama", options=options) as session:
            await session.run("Think.")
            await session.change_model("openai/scripted")
            assert (await session.run("Look.")).calls == 1
    assert len([line for line in notices if "takes no tools" in line]) == 1
    chat = [request for request in server.requests if request.path.endswith("/chat/completions")]
    assert chat[0].json["tools"] and "through the tools you are given" in chat[0].json["messages"][0]["content"]
