"""Calls of the provider's that one answer opens and a later one closes, and those that wait for our approval."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.agent.session import Session, SessionOptions
from equitrcoder.ledger import Ledger, Reader
from equitrcoder.ledger.audit import audit
from equitrcoder.records import ToolCall
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ProviderCall, ScriptedProvider
from equitrcoder.wires import wire
from equitrcoder.wires.values import LateResult, Turn, WireCall
from tests.ledger_runs import start

KEY = "sk-test-0123456789abcdefSECRET"
ANTHROPIC = {"ANTHROPIC_BASE_URL": "ORIGIN", "ANTHROPIC_API_KEY": KEY}
GEMINI = {"GEMINI_BASE_URL": "ORIGIN/v1beta", "GEMINI_API_KEY": KEY}
OPENAI = {"OPENAI_BASE_URL": "ORIGIN/v1", "OPENAI_API_KEY": KEY}
RESPONSES = {"openai": {"wire": "openai-responses"}}


class Agent:
    """Runs a script on a row and keeps what it left."""

    def __init__(self, folder: Path) -> None:
        self.repo = folder / "repo"
        self.state = folder / "state"
        self.repo.mkdir()
        (self.repo / "a.txt").write_text("alpha\n")
        self.events: list[dict[str, Any]] = []
        self.result: Any = None
        self.error: BaseException | None = None

    async def run(
        self, provider: ScriptedProvider, environ: dict[str, str], *, stream: bool = True, **settings: Any
    ) -> None:
        origin = provider.base_url.removesuffix("/v1")
        environ = {name: value.replace("ORIGIN", origin) for name, value in environ.items()}
        environ |= {"PATH": os.environ["PATH"], "EQUITRCODER_STATE_DIR": str(self.state)}
        row = next(iter(environ)).partition("_")[0].lower()
        chosen = Settings(approve="all", sandbox="off", stream=stream, max_attempts=1, **settings)
        options = SessionOptions(sink=self.events.append)
        async with Session(self.repo, chosen, environ, model=f"{row}/scripted", options=options) as session:
            try:
                self.result = await session.run("do it")
            except BaseException as error:  # whatever ends the run
                self.error = error

    def calls(self) -> list[ToolCall]:
        with Reader(self.state) as reader:
            return list(reader.calls())

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def totals_agree(self) -> bool:
        """Whether result, events and ledger count alike."""
        with Reader(self.state) as reader:
            run = reader.run("last")
        (finished,) = self.told("run.finished")
        counted = (run.calls, run.failed_calls)
        assert audit(self.state).differences == []
        return counted == tuple(finished["totals"][name] for name in ("calls", "failed_calls"))


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


# A paused answer, and one whose calls of ours come first


SEARCH = ProviderCall("web_search", {"query": "ulid"}, result=None, id="srvtoolu_1")
FOUND = ProviderCall("web_search", result="26 characters", id="srvtoolu_1")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_that_a_pause_left_open_is_closed_by_the_next_answer(agent: Agent, stream: bool) -> None:
    script = [
        Answer(text="I search.", calls=[SEARCH], finish="pause_turn"),
        Answer(late=[FOUND], text="Found."),
    ]
    with ScriptedProvider(script) as provider:
        await agent.run(provider, ANTHROPIC, stream=stream)
        assert provider.errors == []
    assert str(agent.result) == "Found."
    (call,) = agent.calls()
    assert (call.tool_name, call.outcome, call.executed_by, call.step) == ("web_search", "success", "provider", 1)
    assert call.arguments == {"query": "ulid"} and call.duration_ms is None
    assert isinstance(call.result, list) and call.result[0]["title"] == "26 characters"  # type: ignore[index]
    kinds = [
        event["type"] for event in agent.events if event["type"] in ("turn.finished", "call.requested", "call.finished")
    ]
    assert kinds == ["turn.finished", "call.requested", "turn.finished", "call.finished"]
    assert agent.told("call.finished")[0]["outcome"] == "success"
    assert (agent.result.calls, agent.result.failed_calls) == (1, 0) and agent.totals_agree()
    # the paused answer went back as it was, and nothing after it
    sent = provider.requests[1].json["messages"][-1]
    assert sent["role"] == "assistant" and sent["content"][-1]["id"] == "srvtoolu_1"


async def test_a_late_error_fails_the_call(agent: Agent) -> None:
    late = ProviderCall("web_search", error="unavailable", id="srvtoolu_1")
    script = [Answer(calls=[SEARCH], finish="pause_turn"), Answer(late=[late], text="No luck.")]
    with ScriptedProvider(script) as provider:
        await agent.run(provider, ANTHROPIC)
    (call,) = agent.calls()
    assert (call.outcome, call.error_type, call.error_message) == ("failed", "provider_reported", "unavailable")
    assert agent.told("call.finished")[0]["error"] == {"type": "provider_reported", "message": "unavailable"}
    assert agent.result.failed_calls == 1 and agent.totals_agree()


@pytest.mark.parametrize("environ", [ANTHROPIC, GEMINI], ids=["anthropic", "gemini"])
async def test_a_call_that_waited_for_calls_of_ours_is_closed_after_them(agent: Agent, environ: dict[str, str]) -> None:
    ran = ProviderCall("code_execution", {"code": "1"}, result=None, id="ran_1")
    done = ProviderCall("code_execution", result="1", id="ran_1")
    script = [
        Answer(calls=[ran, Call("read_file", {"file_path": "a.txt"})]),
        Answer(calls=[Call("read_file", {"file_path": "a.txt"})]),
        Answer(late=[done], text="Done."),
    ]
    with ScriptedProvider(script) as provider:
        await agent.run(provider, environ)
        assert provider.errors == []
    calls = agent.calls()
    assert [(call.executed_by, call.outcome, call.step) for call in calls] == [
        ("provider", "success", 1),
        ("client", "success", 1),
        ("client", "success", 2),
    ]
    assert "1" in str(calls[0].result) and agent.totals_agree()


@pytest.mark.parametrize(
    "last", [Answer(text="Gave up."), Fault(status=500, body={"error": {"message": "down"}})], ids=["end", "error"]
)
async def test_what_no_answer_closes_is_unknown_at_the_end_of_the_run(agent: Agent, last: Any) -> None:
    with ScriptedProvider([Answer(calls=[SEARCH], finish="pause_turn"), last]) as provider:
        await agent.run(provider, ANTHROPIC)
    (call,) = agent.calls()
    assert (call.outcome, call.error_type, call.result) == ("unknown", "run_ended", None)
    assert [event["outcome"] for event in agent.told("call.finished")] == ["unknown"]
    assert agent.events[-1]["type"] == "run.finished" and agent.totals_agree()


async def test_while_the_run_goes_on_the_call_is_open_and_a_kill_leaves_it_unknown(agent: Agent) -> None:
    script = [Answer(calls=[SEARCH], finish="pause_turn"), Fault(stall_before_answer=True)]
    with ScriptedProvider(script) as provider:
        running = asyncio.create_task(agent.run(provider, ANTHROPIC))
        await asyncio.to_thread(provider.wait_for_stalled)
        with Reader(agent.state) as reader:
            assert [call.outcome for call in reader.calls()] == ["requested"]
        running.cancel()
        await running
    assert isinstance(agent.error, asyncio.CancelledError)
    (call,) = agent.calls()
    assert (call.outcome, call.error_type) == ("unknown", "run_ended")


def test_a_dead_process_leaves_an_open_call_of_the_provider_unknown(tmp_path: Path) -> None:
    with Ledger(tmp_path / "alive") as ledger:
        run = start(ledger)
        record(run, Turn(calls=(open_call(0, "1"),)))
        shutil.copytree(tmp_path / "alive", tmp_path / "dead")  # nobody holds the lock there
        run.finish(status="completed")
    with Reader(tmp_path / "dead") as reader:
        assert [(call.outcome, call.error_type) for call in reader.calls()] == [("unknown", "process_died")]


# The ledger


def open_call(index: int, wire_id: str | None) -> WireCall:
    return WireCall(
        name="web_search", arguments={"n": index}, id=wire_id, kind="provider-executed", index=index, pending="result"
    )


def record(run: Any, turn: Turn, step: int = 1) -> Any:
    measured = {"duration_ms": 1.0, "time_to_first_byte_ms": None, "cost_nanousd": None, "price_version": None}
    return run.record_turn(turn, step=step, attempts=1, **measured)


def test_each_late_result_closes_one_call_the_newest_of_its_id(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        record(run, Turn(calls=(open_call(0, "a"), open_call(1, None), open_call(2, "a"), open_call(3, "b"))))
        ours = WireCall(name="t", arguments={}, id="ours", index=0)
        late = [LateResult(id=name, result=f"for {name}") for name in ("a", None, "nobody", "ours")]
        record(run, Turn(calls=(ours,), late_results=tuple(late)), step=2)
        record(run, Turn(late_results=(LateResult(id="a", error="broke"), LateResult(id="a", result="x"))), step=3)
        run.finish(status="completed")
    with Reader(tmp_path) as reader:
        found = [(call.outcome, call.result or call.error_message) for call in reader.calls()]
    assert found == [
        ("failed", "broke"),
        ("success", "for None"),
        ("success", "for a"),
        ("unknown", None),
        ("cancelled", None),
    ]


# The readers


def test_responses_outputs_of_earlier_calls_and_calls_without_output() -> None:
    shell = {
        "type": "shell_call",
        "call_id": "s1",
        "action": {"commands": ["ls"]},
        "environment": {"type": "container_reference"},
    }
    output = {"type": "shell_call_output", "call_id": "s0", "output": [{"stdout": "x"}]}
    body = {"object": "response", "status": "completed", "output": [output, shell]}
    turn = wire("openai-responses").read_response(json.dumps(body).encode())
    assert [(call.name, call.kind, call.pending) for call in turn.calls] == [("shell", "provider-executed", "result")]
    assert turn.late_results == (LateResult(id="s0", result=[{"stdout": "x"}]),)


def test_gemini_results_without_an_id_belong_to_the_open_call_without_one() -> None:
    parts = [{"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no"}}, {"executableCode": {"code": "2"}}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    turn = wire("gemini-generate").read_response(json.dumps(body).encode())
    result = {"outcome": "OUTCOME_FAILED", "output": "no"}
    assert turn.late_results == (LateResult(id=None, result=result, error="OUTCOME_FAILED"),)
    assert [call.pending for call in turn.calls] == ["result"]


# Approvals that the provider asks for


ASKED = ProviderCall("delete_issue", {"number": 7}, awaits_approval=True, id="mcpr_1")


@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_provider_asks_to_approve_is_denied_and_the_run_goes_on(agent: Agent, stream: bool) -> None:
    script = [
        Answer(text="May I?", calls=[ASKED, Call("read_file", {"file_path": "a.txt"})]),
        Answer(text="I leave it."),
    ]
    with ScriptedProvider(script) as provider:
        await agent.run(provider, OPENAI, stream=stream, providers=RESPONSES)
        assert provider.errors == []
    assert str(agent.result) == "I leave it."
    asked, read = agent.calls()
    assert (asked.tool_name, asked.arguments, asked.executed_by) == ("delete_issue", {"number": 7}, "provider")
    assert (asked.outcome, asked.approval, asked.error_type, asked.duration_ms) == ("denied", "denied", "denied", None)
    assert "never approved" in str(asked.error_message) and asked.started_at is None
    assert read.outcome == "success"
    items = provider.requests[1].json["input"]
    (request,) = [item for item in items if item["type"] == "mcp_approval_request"]
    (answer,) = [item for item in items if item["type"] == "mcp_approval_response"]
    assert request["id"] == answer["approval_request_id"] == "mcpr_1"
    assert answer["approve"] is False and answer["reason"] == asked.result
    assert [item["type"] for item in items[-2:]] == ["mcp_approval_response", "function_call_output"]
    assert [event["outcome"] for event in agent.told("call.finished")] == ["denied", "success"]
    assert agent.totals_agree()


async def test_the_conversation_with_a_denied_call_goes_on_at_another_provider(agent: Agent) -> None:
    script = [Answer(text="May I?", calls=[ASKED]), Answer(text="No then."), Answer(text="Hello.")]
    with ScriptedProvider(script) as provider:
        origin = provider.base_url.removesuffix("/v1")
        environ = {**OPENAI, **ANTHROPIC, "PATH": os.environ["PATH"], "EQUITRCODER_STATE_DIR": str(agent.state)}
        environ = {name: value.replace("ORIGIN", origin) for name, value in environ.items()}
        settings = Settings(approve="all", sandbox="off", providers=RESPONSES)
        async with Session(agent.repo, settings, environ, model="openai/scripted") as session:
            await session.run("first")
            await session.change_model("anthropic/scripted")
            assert str(await session.run("second")) == "Hello."
        assert provider.errors == []
    content = [block for message in provider.requests[2].json["messages"] for block in message["content"]]
    (call,) = [block for block in content if block["type"] == "tool_use"]
    (result,) = [block for block in content if block["type"] == "tool_result"]
    assert call["id"] == result["tool_use_id"] and result["is_error"] is True


async def test_a_provider_that_keeps_asking_is_stopped(agent: Agent) -> None:
    with ScriptedProvider([Answer(calls=[ASKED])] * 9) as provider:
        await agent.run(provider, OPENAI, providers=RESPONSES)
        assert len(provider.requests) == 5
    assert "E206" in str(agent.error)
    assert [call.outcome for call in agent.calls()] == ["denied"] * 5
