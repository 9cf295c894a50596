"""Middleware of the user's own: order, what it may do, and what the ledger has of it. On both ways of capture."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equitrcoder import (
    EquitrAPI,
    ModelFunction,
    ModelMiddleware,
    ModelRequest,
    ModelResponse,
    RunStopped,
    SyncEquitrAPI,
)
from equitrcoder.errors import BudgetExceeded, MiddlewareError, ProviderError, StepLimitReached
from equitrcoder.ledger.audit import audit
from equitrcoder.testing import Answer, Call, Fault, ProviderCall, ScriptedProvider, Usage

TOKENS = Usage(input_tokens=1000, output_tokens=100)
LOOK = Answer(calls=[Call("list_directory", {"path": "."})], usage=TOKENS)
WRITE = Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "beta"})], usage=TOKENS)
DONE = Answer(text="Done.", usage=TOKENS)

CAPTURES = {"middleware": "openai/gpt-6-luna", "native": "gemini/gemini-3.8-flash"}
"""A model for each way in which answers are captured."""


@pytest.fixture(params=CAPTURES)
def model(request: pytest.FixtureRequest) -> str:
    return CAPTURES[request.param]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ScriptedProvider]]:
    """Starts a scripted provider and points two rows at it; the current folder is a repository."""
    started: list[ScriptedProvider] = []
    monkeypatch.chdir(tmp_path)

    def start(*script: Answer | Fault) -> ScriptedProvider:
        provider = ScriptedProvider(script)
        started.append(provider)
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        monkeypatch.setenv("GEMINI_BASE_URL", provider.base_url.removesuffix("/v1"))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        monkeypatch.setenv("GEMINI_API_KEY", "test-0123456789abcdef")
        return provider

    yield start
    for provider in started:
        provider.close()


def api(model: str, *middleware: Any, **arguments: Any) -> EquitrAPI:
    options: dict[str, Any] = {"approve": "all", "sandbox": "off", "settings": {"max_attempts": 1}}
    return EquitrAPI(model=model, middleware=middleware, **options | arguments)


def recorded(agent: EquitrAPI) -> tuple[list[tuple[str, str, int]], list[tuple[int, int, int | None]]]:
    """Calls as (tool, outcome, step); turns as (calls, attempts, input tokens)."""
    calls = [(call.tool_name, call.outcome, call.step) for call in agent.calls()]
    with agent._reader() as reader:
        (run,) = reader.runs(session=agent.session_id)
        turns = [(turn.calls, turn.attempts, turn.input_tokens) for turn in reader.turns(run.run_id)]
        assert (run.calls, run.steps_taken) == (len(calls), len(turns))
    assert audit(Path(os.environ["EQUITRCODER_STATE_DIR"])).differences == []
    return calls, turns


async def test_the_first_of_the_list_is_the_outermost_and_each_sees_every_request(model: str, serve: Any) -> None:
    seen: list[str] = []

    def named(name: str) -> ModelMiddleware:
        def middleware(call_next: ModelFunction) -> ModelFunction:
            async def ask(request: ModelRequest) -> ModelResponse:
                seen.append(f"{name} asks with {len(request.conversation.messages)}")
                response = await call_next(request)
                seen.append(f"{name} has {len(response.turn.calls)}")
                return response

            return ask

        return middleware

    serve(LOOK, DONE)
    async with api(model, named("outer"), named("inner")) as agent:
        assert str(await agent.chat("look")) == "Done."
    first = ["outer asks with 1", "inner asks with 1", "inner has 1", "outer has 1"]
    assert seen == [*first, "outer asks with 3", "inner asks with 3", "inner has 0", "outer has 0"]
    assert recorded(agent) == ([("list_directory", "success", 1)], [(1, 1, 1000), (0, 1, 1000)])


@pytest.mark.parametrize("taken", [0, 1])
async def test_of_two_answers_both_are_recorded_and_the_calls_of_the_other_never_run(
    model: str, taken: int, serve: Any, tmp_path: Path
) -> None:
    def twice(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            if len(request.conversation.messages) > 1:
                return await call_next(request)
            return [await call_next(request), await call_next(request)][taken]

        return ask

    events: list[dict[str, Any]] = []
    serve(LOOK, WRITE, DONE)
    async with api(model, twice, on_event=events.append) as agent:
        result = await agent.chat("look")
    outcomes = ["cancelled", "cancelled"]
    outcomes[taken] = "success"
    calls, turns = recorded(agent)
    assert calls == [("list_directory", outcomes[0], 1), ("write_file", outcomes[1], 2)]
    assert turns == [(1, 1, 1000), (1, 1, 1000), (0, 1, 1000)]
    (dropped,) = [call for call in agent.calls() if call.outcome == "cancelled"]
    assert dropped.error_type == "not_taken" and "middleware" in str(dropped.error_message)
    assert (tmp_path / "b.txt").exists() == (taken == 1)
    assert result.steps_taken == 3 and result.input_tokens == 3000
    told = [event["call_uid"] for event in events if event["type"] == "call.finished"]
    assert sorted(told) == sorted(call.call_uid for call in agent.calls())


async def test_an_answer_out_of_a_cache_is_recorded_once_more_and_costs_nothing(model: str, serve: Any) -> None:
    kept: list[ModelResponse] = []

    def cached(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            if len(kept) == 1:
                kept.append(kept[0])
                return kept[0]
            kept.append(await call_next(request))
            return kept[-1]

        return ask

    provider = serve(LOOK, DONE)
    async with api(model, cached) as agent:
        result = await agent.chat("look")
    assert len(provider.requests) == 2
    calls, turns = recorded(agent)
    assert calls == [("list_directory", "success", 1), ("list_directory", "success", 2)]
    assert turns == [(1, 1, 1000), (1, 0, None), (0, 1, 1000)]
    with agent._reader() as reader:
        costs = [turn.cost_nanousd for turn in reader.turns(result.run_id)]
    assert costs[1] == 0 and result.unpriced_turns == costs.count(None) == 0 and result.input_tokens == 2000
    assert len({call.call_uid for call in agent.calls()}) == 2
    if model.startswith("gemini"):  # a kept answer goes back as the provider's own message
        signed = [part for m in provider.requests[1].messages for part in m["parts"] if "thoughtSignature" in part]
        assert len(signed) == 2
    ids = [m.get("tool_call_id") for m in provider.requests[1].messages if m.get("role") == "tool"]
    assert len(ids) == len(set(ids))  # the repeated id was replaced, in call and result


async def test_an_answer_that_was_changed_is_one_of_its_own(model: str, serve: Any, tmp_path: Path) -> None:
    def without_calls(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            response = await call_next(request)
            if not response.turn.calls:
                return response
            return replace(response, turn=replace(response.turn, text="No writing.", calls=(), stop="end"))

        return ask

    provider = serve(replace(WRITE, text="I write."), DONE)
    async with api(model, without_calls) as agent:
        assert str(await agent.chat("write")) == "No writing."
        assert recorded(agent) == ([("write_file", "cancelled", 1)], [(1, 1, 1000), (0, 0, None)])
        assert not (tmp_path / "b.txt").exists()
        assert str(await agent.chat("and now?")) == "Done."
    # what goes back is what the changed answer says, and no call without a result
    sent = json.dumps(provider.requests[1].messages)
    assert "tool_calls" not in sent and "functionCall" not in sent and provider.errors == []
    assert "No writing." in sent and "I write." not in sent


async def test_a_call_that_the_provider_ran_stays_what_it_was_when_its_answer_is_not_taken(serve: Any) -> None:
    def second(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            await call_next(request)
            return await call_next(request)

        return ask

    serve(Answer(calls=[ProviderCall("web_search", result="hit"), Call("git_status")]), DONE)
    async with api(CAPTURES["middleware"], second) as agent:
        await agent.chat("look")
    assert {(call.tool_name, call.outcome) for call in agent.calls()} == {
        ("search", "success"),
        ("git_status", "cancelled"),
    }


async def test_answers_asked_for_at_the_same_time_take_turns(model: str, serve: Any) -> None:
    def both(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            return (await asyncio.gather(call_next(request), call_next(request)))[0]

        return ask

    provider = serve(DONE, DONE)
    async with api(model, both, budget=1.0) as agent:
        result = await agent.chat("look")
    assert len(provider.requests) == 2 and result.cost_nanousd > 0
    with agent._reader() as reader:
        (run,) = reader.runs(session=agent.session_id)
    journal = Path(os.environ["EQUITRCODER_STATE_DIR"]) / run.journal
    kinds = [json.loads(line)["type"] for line in journal.read_text().splitlines()]
    assert [kind for kind in kinds if kind in ("request_sent", "turn")] == ["request_sent", "turn"] * 2
    assert recorded(agent)[1] == [(0, 1, 1000), (0, 1, 1000)]


async def test_no_middleware_gets_around_the_limits(model: str, serve: Any) -> None:
    def always_again(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            while True:
                await call_next(request)

        return ask

    provider = serve(*[DONE] * 9)
    async with api(model, always_again, max_turns=3) as agent:
        with pytest.raises(StepLimitReached):
            await agent.chat("look")
    assert len(provider.requests) == 3
    async with api(model, always_again, budget=0.0000001) as agent:
        with pytest.raises(BudgetExceeded):
            await agent.chat("look")
    assert len(provider.requests) == 3

    def from_nowhere(call_next: ModelFunction) -> ModelFunction:
        kept: list[ModelResponse] = []

        async def ask(request: ModelRequest) -> ModelResponse:
            if not kept:
                kept.append(await call_next(request))
            return kept[0]

        return ask

    serve(LOOK)
    async with api(model, from_nowhere, max_turns=4) as agent:
        with pytest.raises(StepLimitReached):
            await agent.chat("look")
    assert len(recorded(agent)[1]) == 4


def raises_before(call_next: ModelFunction) -> ModelFunction:
    async def ask(request: ModelRequest) -> ModelResponse:
        raise KeyError("before")

    return ask


def raises_after(call_next: ModelFunction) -> ModelFunction:
    async def ask(request: ModelRequest) -> ModelResponse:
        await call_next(request)
        raise RuntimeError("after")

    return ask


def gives_nothing(call_next: ModelFunction) -> ModelFunction:
    async def ask(request: ModelRequest) -> ModelResponse:
        await call_next(request)
        return None  # type: ignore[return-value]

    return ask


def is_no_middleware(call_next: ModelFunction) -> ModelFunction:
    return None  # type: ignore[return-value]


def raises_at_once(call_next: ModelFunction) -> ModelFunction:
    raise ValueError("at once")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (raises_before, "raised KeyError: 'before'"),
        (raises_after, "raised RuntimeError: after"),
        (gives_nothing, "gave back None and no ModelResponse"),
        (is_no_middleware, "returned None and no function"),
        (raises_at_once, "raised ValueError: at once"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_goes_wrong_in_a_middleware_names_it_and_ends_the_run(
    model: str, broken: ModelMiddleware, words: str, serve: Any
) -> None:
    def fine(call_next: ModelFunction) -> ModelFunction:
        return call_next

    serve(LOOK)
    async with api(model, fine, broken, fine) as agent:
        with pytest.raises(MiddlewareError) as raised:
            await agent.chat("look")
        said = str(raised.value)
        assert f"The middleware {broken.__name__} (number 2 of the list) {words}" in said and said.startswith("E207 ")
        assert isinstance(raised.value, RunStopped) and raised.value.result.status == "failed"
    with agent._reader() as reader:
        (run,) = reader.runs(session=agent.session_id)
    assert (run.status, run.error) == ("failed", said)
    assert all(call.outcome == "cancelled" for call in agent.calls())
    assert len(agent.calls()) == (broken in (raises_after, gives_nothing))


async def test_errors_of_the_provider_pass_through_as_they_are_and_can_be_caught(model: str, serve: Any) -> None:
    met: list[BaseException] = []

    def second_chance(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            try:
                return await call_next(request)
            except ProviderError as error:
                met.append(error)
                return await call_next(request)

        return ask

    refused = Fault(status=400, body={"error": {"message": "no such thing"}})
    serve(refused, DONE)
    async with api(model, second_chance) as agent:
        assert str(await agent.chat("look")) == "Done."
    assert [type(error).__name__ for error in met] == ["RequestRefusedError"]
    serve(refused)
    async with api(model, raises_nothing_itself) as agent:
        with pytest.raises(ProviderError, match="no such thing"):
            await agent.chat("look")


def raises_nothing_itself(call_next: ModelFunction) -> ModelFunction:
    async def ask(request: ModelRequest) -> ModelResponse:
        return await call_next(request)

    return ask


async def test_a_middleware_can_change_what_is_asked(model: str, serve: Any) -> None:
    def without_tools(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            return await call_next(replace(request, tools=()))

        return ask

    provider = serve(DONE, DONE)
    async with api(model, without_tools) as agent:
        await agent.chat("look")
    async with api(model) as agent:
        await agent.chat("look")
    assert ["tools" in request.json for request in provider.requests] == [False, True]


def test_the_other_face_takes_them_too(model: str, serve: Any) -> None:
    serve(DONE)
    asked: list[int] = []

    def counting(call_next: ModelFunction) -> ModelFunction:
        async def ask(request: ModelRequest) -> ModelResponse:
            asked.append(len(request.tools))
            return await call_next(request)

        return ask

    with SyncEquitrAPI(model=model, middleware=[counting], approve="all", sandbox="off") as agent:
        assert str(agent.chat("look")) == "Done."
    assert len(asked) == 1 and asked[0] > 5
