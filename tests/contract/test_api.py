"""`EquitrAPI`, against a real server, with the real agent, tools and ledger."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from equitrcoder import ApprovalAnswer, ApprovalRequest, EquitrError, ProviderError, RunResult, RunStopped
from equitrcoder.api import EquitrAPI
from equitrcoder.errors import (
    ApprovalNeeded,
    AuthenticationError,
    BudgetExceeded,
    ConfigError,
    ExportError,
    IndexBusy,
    MissingKeyError,
    MultiAgentNotReadyError,
    StepLimitReached,
    ToolLogError,
    ToolsUnsupportedError,
    UsageError,
)
from equitrcoder.ledger import Reader
from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, ScriptedProvider, Usage
from equitrcoder.testing.script import Script

LOOK = Answer(calls=[Call("list_directory", {"path": "."})])
WRITE = Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "beta\n"})])
BREAK = Answer(calls=[Call("run_command", {"command": "exit 3"})])
DONE = Answer(text="Done.", usage=Usage(input_tokens=100, output_tokens=7))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a repository with one file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    (tmp_path / "a.txt").write_text("alpha\n")
    return tmp_path


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts a scripted provider and points the provider `openai` at it."""
    started: list[ScriptedProvider] = []

    def start(script: Script) -> ScriptedProvider:
        provider = ScriptedProvider(script)
        started.append(provider)
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        return provider

    yield start
    for provider in started:
        provider.close()


def api(**arguments: Any) -> EquitrAPI:
    return EquitrAPI(**{"approve": "all", "sandbox": "off"} | arguments)


async def test_a_chat_gives_the_text_and_what_it_took(folder: Path, serve: Any) -> None:
    provider = serve([LOOK, BREAK, DONE])
    async with api() as agent:
        result = await agent.chat("look around")
    assert provider.errors == []
    assert (str(result), result.response, result.status, result.error) == ("Done.", "Done.", "completed", None)
    assert (result.steps_taken, result.calls, result.failed_calls) == (3, 2, 1)
    assert [(c["tool_name"], c["input"], c["step"], c["status"]) for c in result.tool_calls] == [
        ("list_directory", {"path": "."}, 1, "success"),
        ("run_command", {"command": "exit 3"}, 2, "failed"),
    ]
    assert "a.txt" in str(result.tool_calls[0]["output"])
    assert [step["type"] for step in result.execution_steps] == [
        "model",
        "tool_call",
        "tool_result",
        "model",
        "tool_call",
        "tool_result",
        "model",
    ]
    assert result.token_usage["total_tokens"] == result.input_tokens + result.output_tokens > 107
    assert result.session_id == agent.session_id


async def test_the_result_says_what_the_ledger_says(folder: Path, serve: Any) -> None:
    serve([LOOK, DONE])
    async with api() as agent:
        result = await agent.chat("look around")
        (run,) = agent.runs()
        (call,) = agent.calls()
    assert (run.run_id, run.response, run.status) == (result.run_id, "Done.", "completed")
    assert (run.steps_taken, run.calls, run.input_tokens, run.output_tokens, run.cost_nanousd) == (
        result.steps_taken,
        result.calls,
        result.input_tokens,
        result.output_tokens,
        result.cost_nanousd,
    )
    assert (call.run_id, call.tool_name, call.success) == (run.run_id, "list_directory", True)


async def test_cost_is_dollars_or_none(folder: Path, serve: Any) -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    serve([Answer(text="a", usage=usage), Answer(text="b", usage=usage)])
    prices = {"openai/mine": {"input": 2.5, "output": 1.0}}
    async with api(model="openai/mine", settings={"prices": prices}) as agent:
        assert (await agent.chat("hi")).cost == 2.5
    async with api(model="openai/unheard-of") as agent:
        result = await agent.chat("hi")
    assert result.cost is None
    assert (result.cost_nanousd, result.unpriced_turns) == (0, 1)


async def test_the_conversation_goes_on_over_chats(folder: Path, serve: Any) -> None:
    provider = serve([LOOK, Answer(text="One file."), Answer(text="It is called a.txt.")])
    async with api() as agent:
        first = await agent.chat("how many files?")
        second = await agent.chat("what is it called?")
        runs = agent.runs()
    assert [m["role"] for m in provider.requests[2].messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert provider.requests[2].messages[-1]["content"] == "what is it called?"
    assert [run.run_id for run in runs] == [second.run_id, first.run_id]
    assert {run.session_id for run in runs} == {agent.session_id}
    assert (second.calls, second.steps_taken) == (0, 1)


async def test_chats_at_the_same_time_take_turns(folder: Path, serve: Any) -> None:
    provider = serve([Answer(text="one"), Answer(text="two"), Answer(text="three")])
    async with api() as agent:
        results = await asyncio.gather(*(agent.chat(word) for word in ("a", "b", "c")))
    assert [str(result) for result in results] == ["one", "two", "three"]
    assert [len(request.messages) for request in provider.requests] == [2, 4, 6]


async def test_it_can_be_used_without_a_with_block_and_asked_after_it_is_closed(folder: Path, serve: Any) -> None:
    serve([LOOK, DONE])
    agent = api()
    assert agent.get_tool_call_stats()["total_calls"] == 0
    await agent.chat("look")
    await agent.close()
    await agent.close()
    assert agent.get_tool_call_stats()["total_calls"] == 1
    with pytest.raises(UsageError, match="closed"):
        await agent.chat("again")


async def test_making_one_does_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(folder / "state"))
    monkeypatch.delenv("OPENAI_API_KEY")
    EquitrAPI(repo_path="/nowhere/at/all", model="no such model", approve="neither", budget=-1)
    assert not (folder / "state").exists()


async def test_a_call_is_counted_when_chat_returns(folder: Path, serve: Any) -> None:
    rounds = 20
    serve([reply for _ in range(rounds) for reply in (LOOK, DONE)])
    async with api() as agent:
        for done in range(1, rounds + 1):
            await agent.chat("look")
            assert agent.get_tool_call_stats()["total_calls"] == done


async def test_an_index_that_fails_takes_no_result_away(
    folder: Path, serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve([LOOK, DONE])

    def fail(reader: Reader, which: str) -> Any:
        raise IndexBusy("Another process holds the index.")  # which is hard to arrange with a real one

    async with api() as agent:
        with monkeypatch.context() as patched:
            patched.setattr(Reader, "run_view", fail)
            result = await agent.chat("look")
        assert (str(result), result.calls, result.tool_calls) == ("Done.", 1, [])
        assert "without its calls and steps: E603" in caplog.text
        assert len(agent.calls()) == 1


# How failures surface.


async def test_a_limit_raises_and_carries_the_partial_result(folder: Path, serve: Any) -> None:
    serve(lambda request: LOOK)
    async with api(max_turns=2) as agent:
        with pytest.raises(StepLimitReached) as raised:
            await agent.chat("look for ever")
    error = raised.value
    assert isinstance(error, RunStopped)
    assert isinstance(error.result, RunResult)
    assert (error.result.status, error.result.calls, len(error.result.tool_calls)) == ("limit", 2, 2)
    assert "max_turns" in str(error)
    assert "--" not in str(error)


async def test_after_a_limit_the_conversation_can_go_on(folder: Path, serve: Any) -> None:
    serve([LOOK, DONE])
    async with api(max_turns=1) as agent:
        with pytest.raises(StepLimitReached):
            await agent.chat("look")
        assert str(await agent.chat("go on")) == "Done."


async def test_a_provider_that_refuses_raises_with_what_was_done(folder: Path, serve: Any) -> None:
    serve([LOOK, Fault(status=401, body={"error": {"message": "bad key", "code": "invalid_api_key"}})])
    async with api() as agent:
        with pytest.raises(AuthenticationError) as raised:
            await agent.chat("look")
        (run,) = agent.runs()
    assert isinstance(raised.value, ProviderError)
    assert (raised.value.result.status, len(raised.value.result.tool_calls)) == ("failed", 1)
    assert raised.value.result.execution_steps[-1]["type"] == "error"
    assert (run.status, run.calls) == ("failed", 1)


async def test_a_model_that_reports_failure_returns_a_failed_result(folder: Path, serve: Any) -> None:
    serve([Answer(text="FAILED: there is no such function.")])
    async with api() as agent:
        result = await agent.chat("rename it")
    assert (result.status, result.error) == ("failed", "the model reported failure")


async def test_a_check_that_fails_returns_a_failed_result(folder: Path, serve: Any) -> None:
    serve([DONE, DONE])
    async with api(check="test -e b.txt") as agent:
        result = await agent.chat("make b.txt")
        assert (result.status, result.check and result.check.passed) == ("failed", False)
        (folder / "b.txt").write_text("")
        assert (await agent.chat("again")).status == "completed"


async def test_cancelling_a_chat_leaves_a_cancelled_run(folder: Path, serve: Any) -> None:
    provider = serve([Fault(stall_before_answer=True), DONE])
    async with api() as agent:
        chat = asyncio.create_task(agent.chat("wait"))
        await asyncio.to_thread(provider.wait_for_stalled)
        chat.cancel()
        with pytest.raises(asyncio.CancelledError):
            await chat
        (run,) = agent.runs()
        assert run.status == "cancelled"
        assert str(await agent.chat("now")) == "Done."


async def test_a_budget_holds_over_all_chats(folder: Path, serve: Any) -> None:
    serve(lambda request: Answer(text="ok", usage=Usage(input_tokens=2_000, output_tokens=0)))
    prices = {"openai/mine": {"input": 10.0, "output": 10.0}}
    async with api(model="openai/mine", budget=0.1, settings={"prices": prices}) as agent:
        await agent.chat("a")
        with pytest.raises(BudgetExceeded) as raised:
            while True:
                await agent.chat("b")
        spent = sum(run.cost_nanousd for run in agent.runs())
    assert "a larger budget" in str(raised.value)
    assert 0 < spent <= 100_000_000


@pytest.mark.parametrize("message", ["", "  \n", None, 7])
async def test_a_message_must_say_something(folder: Path, serve: Any, message: Any) -> None:
    serve([])
    async with api() as agent:
        with pytest.raises(UsageError, match="chat takes a text"):
            await agent.chat(message)


# Approvals.


async def test_without_an_approval_nothing_is_written(folder: Path, serve: Any) -> None:
    serve([WRITE])
    async with api(approve="ask") as agent:
        with pytest.raises(ApprovalNeeded) as raised:
            await agent.chat("write")
    assert not (folder / "b.txt").exists()
    assert 'approve="all"' in raised.value.hint
    assert "approve=…" in raised.value.hint


@pytest.mark.parametrize("said", [True, ApprovalAnswer(granted=True, by="Ada")])
async def test_a_function_is_asked_and_grants(folder: Path, serve: Any, said: Any) -> None:
    serve([LOOK, WRITE, DONE])
    asked: list[ApprovalRequest] = []

    def ask(request: ApprovalRequest) -> Any:
        assert threading.current_thread() is not threading.main_thread(), "it may block"
        asked.append(request)
        return said

    async with api(approve=ask) as agent:
        await agent.chat("write")
        last = agent.calls()[-1]
    (request,) = asked
    assert (request.tool_name, request.effect, request.subject) == ("write_file", "write", "b.txt")
    assert "+beta" in request.preview
    assert (folder / "b.txt").read_text() == "beta\n"
    assert (last.outcome, last.approval) == ("success", "granted")


async def test_an_async_function_denies_and_the_model_is_told_why(folder: Path, serve: Any) -> None:
    provider = serve([WRITE, DONE])

    async def ask(request: ApprovalRequest) -> ApprovalAnswer:
        await asyncio.sleep(0)
        return ApprovalAnswer(granted=False, reason="not on a Friday")

    async with api(approve=ask) as agent:
        result = await agent.chat("write")
    assert (result.failed_calls, result.tool_calls[0]["status"]) == (1, "denied")
    assert not (folder / "b.txt").exists()
    assert "not on a Friday" in provider.requests[1].tool_results[0]


@pytest.mark.parametrize("said", [None, 1, "yes"])
async def test_an_answer_that_is_none_allows_nothing(folder: Path, serve: Any, said: Any) -> None:
    serve([WRITE])
    async with api(approve=lambda request: said) as agent:
        with pytest.raises(UsageError, match="must say True, False"):
            await agent.chat("write")
        (run,) = agent.runs()
    assert not (folder / "b.txt").exists()
    assert run.status == "failed"


async def test_a_function_that_raises_ends_the_run_and_allows_nothing(folder: Path, serve: Any) -> None:
    serve([WRITE])

    def ask(request: ApprovalRequest) -> bool:
        raise KeyError("mine")

    async with api(approve=ask) as agent:
        with pytest.raises(KeyError, match="mine"):
            await agent.chat("write")
        (call,) = agent.calls()
    assert call.outcome == "cancelled"
    assert not (folder / "b.txt").exists()


# Events, middleware, notices.


async def test_events_arrive_and_what_their_listener_raises_changes_nothing(
    folder: Path, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    serve([LOOK, DONE])
    kinds: list[str] = []

    def listen(event: dict[str, Any]) -> None:
        kinds.append(event["type"])
        raise ValueError("not my day")

    async with api(on_event=listen) as agent:
        assert (await agent.chat("look")).status == "completed"
    assert (kinds[0], kinds[-1]) == ("run.started", "run.finished")
    assert {"call.requested", "call.started", "call.finished", "turn.finished"} <= set(kinds)
    assert "not my day" in caplog.text


async def test_middleware_wraps_every_model_call(folder: Path, serve: Any) -> None:
    serve([LOOK, DONE])
    seen: list[int] = []

    def count(call_next: Any) -> Any:
        async def ask(request: Any) -> Any:
            response = await call_next(request)
            seen.append(len(response.turn.calls))
            return response

        return ask

    async with api(middleware=[count]) as agent:
        await agent.chat("look")
    assert seen == [1, 0]


async def test_a_missing_folder_is_made_and_said(folder: Path, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    serve([WRITE, DONE])
    async with api(repo_path="./new_project") as agent:
        await agent.chat("write")
    assert (folder / "new_project" / "b.txt").exists()
    assert [record.levelno for record in caplog.records if "new_project was missing" in record.message] == [
        logging.WARNING
    ]


@pytest.mark.parametrize("path", ["no/such/place", "a.txt"])
async def test_a_folder_that_cannot_be_is_an_error(folder: Path, serve: Any, path: str) -> None:
    serve([])
    with pytest.raises(UsageError, match="is not a folder") as raised:
        await api(repo_path=path).chat("look")
    assert "repo_path" in raised.value.hint


# Statistics, logs, exports.


async def test_statistics_have_every_key_when_there_are_none(folder: Path, serve: Any) -> None:
    serve([])
    async with api() as agent:
        assert agent.get_tool_call_stats() == {
            "total_calls": 0,
            "successful_calls": 0,
            "failed_calls": 0,
            "success_rate": 0.0,
            "total_duration_ms": 0.0,
            "average_duration_ms": 0.0,
            "tool_usage": {},
        }


async def test_statistics_count_this_session_only(folder: Path, serve: Any) -> None:
    serve([LOOK, BREAK, LOOK, DONE, LOOK, DONE])
    async with api() as agent, api() as other:
        await agent.chat("look")
        await other.chat("look")
        stats = agent.get_tool_call_stats()
        assert other.get_tool_call_stats()["total_calls"] == 1
        assert len(agent.calls(all_sessions=True)) == 4
        assert len(agent.runs(all_sessions=True)) == 2
    assert (stats["total_calls"], stats["successful_calls"], stats["failed_calls"]) == (3, 2, 1)
    assert stats["success_rate"] == pytest.approx(2 / 3)
    assert list(stats["tool_usage"]) == ["list_directory", "run_command"]
    assert stats["tool_usage"]["list_directory"]["count"] == 2
    assert stats["tool_usage"]["run_command"]["success_count"] == 0
    assert stats["average_duration_ms"] == pytest.approx(stats["total_duration_ms"] / 3, abs=0.001)


async def test_statistics_since_a_moment(folder: Path, serve: Any) -> None:
    serve([LOOK, DONE, LOOK, LOOK, DONE])
    async with api() as agent:
        await agent.chat("look")
        between = datetime.now(UTC)
        await agent.chat("look")
        assert agent.get_tool_call_stats(since=between)["total_calls"] == 2
        assert agent.get_tool_call_stats(since=between + timedelta(days=1))["total_calls"] == 0
        assert len(agent.calls(since=between)) == 2
        with pytest.raises(UsageError, match="no time zone"):
            agent.get_tool_call_stats(since=between.replace(tzinfo=None))


async def test_logs_are_the_newest_oldest_first_and_whole(folder: Path, serve: Any) -> None:
    big = "x" * 20_000
    (folder / "big.txt").write_text(big)
    reads = [Answer(calls=[Call("read_file", {"file_path": name})]) for name in ("a.txt", "none.txt", "big.txt")]
    serve([*reads, DONE])
    async with api() as agent:
        await agent.chat("read")
        logs = agent.get_tool_call_logs()
        assert agent.get_tool_call_logs(limit=2) == logs[1:]
        assert agent.get_tool_call_logs(limit=0) == []
        for wrong in (-1, "2", True):
            with pytest.raises(UsageError, match="limit takes"):
                agent.get_tool_call_logs(limit=wrong)  # type: ignore[arg-type]  # that is the test
    assert [entry["tool_args"] for entry in logs] == [
        {"file_path": "a.txt"},
        {"file_path": "none.txt"},
        {"file_path": "big.txt"},
    ]
    assert [entry["success"] for entry in logs] == [True, False, True]
    assert logs[0]["error"] is None
    assert "none.txt" in str(logs[1]["error"])
    assert big in json.dumps(logs[2]["result"])


@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
async def test_exports(folder: Path, serve: Any, format: Any) -> None:  # noqa: A002 - as the argument is called
    serve([LOOK, BREAK, DONE])
    async with api() as agent:
        empty = folder / f"empty.{format}"
        assert agent.export_tool_logs(empty, format=format) == 0
        await agent.chat("look")
        assert agent.export_tool_logs(f"out.{format}", format) == 2
        logs = agent.get_tool_call_logs()
    written = (folder / f"out.{format}").read_text()
    if format == "json":
        assert json.loads(empty.read_text()) == []
        assert json.loads(written) == logs
    elif format == "jsonl":
        assert empty.read_text() == ""
        assert [json.loads(line) for line in written.splitlines()] == logs
    else:
        assert written.splitlines()[0] == empty.read_text().splitlines()[0] == ",".join(logs[0])


async def test_exports_that_cannot_be(folder: Path, serve: Any) -> None:
    serve([])
    async with api() as agent:
        with pytest.raises(ExportError, match=r"a\.txt/out\.json"):
            agent.export_tool_logs("a.txt/out.json")
        with pytest.raises(UsageError, match="xml"):
            agent.export_tool_logs("out.xml", format="xml")  # type: ignore[arg-type]  # that is the test


async def test_calls_and_runs_can_be_chosen(folder: Path, serve: Any) -> None:
    serve([LOOK, BREAK, DONE, Answer(text="FAILED: no.")])
    async with api() as agent:
        first = await agent.chat("look")
        await agent.chat("look")
        assert [call.tool_name for call in agent.calls(failed=True)] == ["run_command"]
        assert [call.tool_name for call in agent.calls(tool="list_directory")] == ["list_directory"]
        assert [call.tool_name for call in agent.calls(outcome="failed", limit=1)] == ["run_command"]
        assert len(agent.calls(run=first.run_id)) == 2
        assert [run.status for run in agent.runs(limit=1)] == ["failed"]
        assert [run.run_id for run in agent.runs(status="completed")] == [first.run_id]


# Settings, keys, names.


async def test_arguments_come_before_the_settings(folder: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = serve([DONE, DONE])
    monkeypatch.setenv("EQUITRCODER_AI_MODEL", "openai/from-the-environment")
    async with api() as agent:
        await agent.chat("hi")
    async with api(model="openai/from-the-argument", stream=False, reasoning_effort="low") as agent:
        await agent.chat("hi")
    sent = [request.json for request in provider.requests]
    assert [body["model"] for body in sent] == ["from-the-environment", "from-the-argument"]
    assert (provider.requests[1].streaming, sent[1]["reasoning_effort"]) == (False, "low")


async def test_key_and_address_can_be_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("EQUITRCODER_AI_PROVIDER", "groq")  # the key is for the model that is named
    with ScriptedProvider([DONE]) as provider:
        key = "sk-given-0123456789abcdef"
        async with api(model="openai/mine", api_key=key, base_url=provider.base_url) as agent:
            await agent.chat(f"my key is {key}")
        assert provider.requests[0].headers["authorization"] == f"Bearer {key}"
        assert key not in json.dumps([run.task for run in agent.runs()])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"budget": -1}, "budget"),
        ({"approve": "maybe"}, "approve"),
        ({"max_turns": 0}, "max_turns"),
        ({"settings": {"max_turn": 3}}, "max_turns"),
        ({"sandbox": "on"}, "sandbox"),
    ],
)
async def test_a_wrong_argument_is_named(folder: Path, serve: Any, arguments: Any, named: str) -> None:
    serve([])
    with pytest.raises(ConfigError, match=named):
        async with api(**arguments):
            pass
    with pytest.raises(EquitrError, match="approve takes"):
        async with api(approve=7):
            pass


async def test_nothing_set_up_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    with pytest.raises(MissingKeyError, match="equitrcoder demo"):
        async with api():
            pass


async def test_a_retired_model_names_the_one_of_today(folder: Path, serve: Any) -> None:
    gone = {"error": {"message": "The model `gpt-4` does not exist", "code": "model_not_found"}}
    serve([Fault(status=404, body=gone)])
    async with api(model="openai/gpt-4") as agent:
        with pytest.raises(ProviderError) as raised:
            await agent.chat("hi")
    assert raised.value.code == "E102"
    assert raised.value.hint.startswith("closest: openai/gpt-6.1-sol")


async def test_a_model_without_tools_is_refused_with_the_fix(folder: Path, serve: Any) -> None:
    serve([Fault(status=400, body={"error": {"message": "`tools` is not supported with this model."}})])
    async with api() as agent:
        with pytest.raises(ToolsUnsupportedError, match="equitrcoder models --tools") as raised:
            await agent.chat("hi")
    assert raised.value.code == "E501"


async def test_a_log_file_that_cannot_be_written_stops_before_anything_is_run(folder: Path, serve: Any) -> None:
    provider = serve([])
    with pytest.raises(ToolLogError, match=r"E301 .*a\.txt/tools\.log.* Nothing was run") as raised:
        async with api(log_tool_calls=True, tool_log_file="a.txt/tools.log"):
            pass
    assert 'tool_log_file="./tools.log"' in str(raised.value)
    assert provider.requests == []


async def test_the_log_file_holds_what_the_logs_hold(folder: Path, serve: Any) -> None:
    serve([LOOK, BREAK, DONE])
    async with api(log_tool_calls=True, tool_log_file="logs/mine.log") as agent:
        await agent.chat("look")
        logs = agent.get_tool_call_logs()
    lines = (folder / "logs" / "mine.log").read_text().splitlines()
    assert [json.loads(line) for line in lines] == logs
    assert len((folder / "logs" / "mine.log.txt").read_text().splitlines()) == 2


# A supervisor with workers comes next.

TEAM = {"multi_agent": True, "supervisor_model": "openai/gpt-6.1-sol", "worker_model": "groq/openai/gpt-oss-20b"}


async def test_multi_agent_says_that_it_comes_next(folder: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = serve([])
    monkeypatch.setenv("GROQ_API_KEY", "gsk_0123456789abcdef")
    with pytest.raises(MultiAgentNotReadyError, match=r"E503 .*come next.*argument use_multi_agent.* Fix: "):
        async with api(**TEAM):
            pass
    assert provider.requests == []


async def test_both_keys_that_are_missing_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(MissingKeyError) as raised:
        async with api(**TEAM):
            pass
    assert "supervisor: No key for openai: OPENAI_API_KEY is not set" in str(raised.value)
    assert "worker: No key for groq: GROQ_API_KEY is not set" in str(raised.value)
    assert raised.value.hint == "export OPENAI_API_KEY=… and export GROQ_API_KEY=…"


async def test_a_key_that_both_need_is_named_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingKeyError) as raised:
        async with api(multi_agent=True, model="groq/openai/gpt-oss-20b"):
            pass
    assert str(raised.value).count("GROQ_API_KEY is not set") == 1


async def test_a_worker_without_tools_is_refused(folder: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve([])
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_0123456789abcdef")
    with pytest.raises(ToolsUnsupportedError, match="worker needs them"):
        async with api(multi_agent=True, worker_model="replicate/meta/meta-llama-3-70b-instruct"):
            pass


async def test_a_request_carries_no_more_than_it_should(folder: Path, serve: Any) -> None:
    """The API sends what the command sends: system prompt, message, tools."""

    def look(request: ReceivedRequest) -> Answer:
        assert [m["role"] for m in request.messages] == ["system", "user"]
        assert request.messages[1]["content"] == "hi"
        return DONE

    provider = serve(look)
    async with api() as agent:
        await agent.chat("hi")
    assert provider.errors == []
