"""`AgentRuns`: runs of the agent and runs that are reported, through the journal, found by filters and pages."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from equitrcoder import AgentRuns, Run
from equitrcoder.api import EquitrAPI
from equitrcoder.errors import LedgerError, UsageError
from equitrcoder.ledger import CallQuery, Reader, rebuild_index
from equitrcoder.testing import Answer, Call, ScriptedProvider

CALLS: list[dict[str, Any]] = [
    {"tool_name": "f_list_directory", "input": {"path": "."}, "step": 1, "output": "go.mod\nmain.go"},
    {"tool_name": "f_directory_tree", "input": {"path": "go.mod"}, "step": 2, "error": "not a folder"},
    {"tool_name": "f_edit_file", "input": {"dryRun": True, "edits": [{"old": "a"}]}, "step": 3},
]
STEPS: list[dict[str, Any]] = [
    {"type": "model", "content": "I look.", "tokens": {"input_tokens": 1000, "output_tokens": 100}},
    {"type": "tool_call", "content": {"tool_name": "f_list_directory"}, "timestamp": "2026-01-02T03:04:05+00:00"},
    {"type": "tool_call", "content": {"tool_name": "f_directory_tree"}},
    {"type": "model", "content": "Now I edit.", "tokens": {"input_tokens": 270, "output_tokens": 57}},
    {"type": "tool_call", "content": {"tool_name": "f_edit_file"}, "note": "kept"},
]
AT = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


@pytest.fixture
def runs(tmp_path: Path) -> Any:
    with AgentRuns(tmp_path / "state") as runs:
        yield runs


def begin(runs: AgentRuns, **given: Any) -> Run:
    return runs.create(**({"task": "look", "provider": "openai", "model": "openai/gpt-6.1-sol"} | given))


def test_a_run_is_running_until_it_is_completed(runs: AgentRuns) -> None:
    run = begin(runs, agent_name="scout", repo_path="/src/station")
    assert (run.status, run.completed_at, run.agent_name, run.repo_path) == ("running", None, "scout", "/src/station")
    done = runs.update_completion(run.run_id, "Edited.", 4, CALLS, STEPS, "completed", AT)
    assert (done.status, done.response, done.steps_taken, done.completed_at) == ("completed", "Edited.", 4, AT)
    assert (done.calls, done.failed_calls) == (3, 2)  # one failed, of one nobody knows
    assert (done.input_tokens, done.output_tokens, done.unpriced_turns) == (1270, 157, 2)


def test_what_was_reported_is_given_back(runs: AgentRuns) -> None:
    run = begin(runs)
    runs.update_completion(run.run_id, "Edited.", 4, CALLS, STEPS, "completed", AT)
    view = runs.get(run.run_id)
    assert (view["response"], view["steps_taken"], view["status"]) == ("Edited.", 4, "completed")
    assert view["completed_at"] == "2026-01-02T03:04:06.000000+00:00"
    assert view["execution_steps"] == [
        {"step": number, "timestamp": None, "tokens": None, **given} for number, given in enumerate(STEPS, 1)
    ]
    shown = [
        (c["tool_name"], c["input"], c["step"], c["output"], c["status"], c["model_step"]) for c in tool_calls(view)
    ]
    assert shown == [
        ("f_list_directory", {"path": "."}, 1, "go.mod\nmain.go", "success", 1),
        ("f_directory_tree", {"path": "go.mod"}, 2, None, "failed", 1),
        ("f_edit_file", {"dryRun": True, "edits": [{"old": "a"}]}, 3, None, "unknown", 2),
    ]
    assert view["token_usage"] == {
        "input_tokens": 1270,
        "output_tokens": 157,
        "total_tokens": 1427,
        "cached_read_tokens": 0,
        "reasoning_tokens": 0,
    }


def tool_calls(view: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = view["tool_calls"]
    return found


def test_its_calls_are_calls_like_any_other(runs: AgentRuns) -> None:
    run = begin(runs, session_id="the-session")
    given = [CALLS[0] | {"duration_ms": 12.5, "provider_call_id": "call_1"}, CALLS[1] | {"status": "timeout"}]
    runs.update_completion(run.run_id, "ok", 1, given, [], "completed")
    with Reader(runs.state_dir) as reader:
        first, second = reader.calls(CallQuery(session="the-session"))
        stats = reader.stats(CallQuery(session="the-session"))
    assert (first.provider_call_id, first.duration_ms, first.duration_source) == ("call_1", 12.5, "measured")
    assert (first.provider, first.model_requested, first.capture) == ("openai", "openai/gpt-6.1-sol", "middleware")
    assert (second.outcome, second.error_message, second.duration_ms) == ("timeout", "not a folder", None)
    assert (stats["total_calls"], stats["successful_calls"], stats["total_duration_ms"]) == (2, 1, 12.5)


def test_it_is_in_the_journal_and_a_new_index_says_the_same(runs: AgentRuns) -> None:
    run = begin(runs)
    done = runs.update_completion(run.run_id, "Edited.", 4, CALLS, STEPS, "completed", AT)
    before = runs.get(run.run_id)
    events = [json.loads(line) for line in (runs.state_dir / done.journal).read_text().splitlines()]
    assert [event["type"] for event in events] == [
        "run_started",
        "turn",
        "call_requested",
        "call_requested",
        "call_finished",
        "call_finished",
        "turn",
        "call_requested",
        "call_finished",
        "run_finished",
    ]
    assert rebuild_index(runs.state_dir).damage == []
    assert runs.get(run.run_id) == before


def test_the_index_that_the_writer_makes_says_the_same_too(tmp_path: Path) -> None:
    """The thread takes events from memory, readers take them from the journal."""
    with AgentRuns(tmp_path) as runs:
        run = begin(runs)
        runs._writing().close()  # no reader has looked: the thread has indexed the start
        runs._ledger = None
    with AgentRuns(tmp_path) as runs:
        recorder = runs._writing().start_run(
            provider="openai", model_requested="m", repo_path=".", task="t", capture="middleware"
        )
        recorder.finish(
            status="completed", reported={"steps_taken": 7, "usage": {"input_tokens": 5}, "execution_steps": []}
        )
        runs._writing().close()
        runs._ledger = None
        found = runs.list()
    assert [(one.steps_taken, one.input_tokens) for one in found] == [(7, 5), (0, 0)]
    assert found[1].run_id == run.run_id
    assert found[1].status == "interrupted"


def test_token_usage_may_be_said(runs: AgentRuns) -> None:
    run = begin(runs)
    usage = {"input_tokens": 8546, "output_tokens": 364, "cached_read_tokens": 9}
    done = runs.update_completion(run.run_id, "ok", 1, None, None, token_usage=usage)
    assert (done.input_tokens, done.output_tokens, done.cached_read_tokens) == (8546, 364, 9)
    assert (done.steps_taken, done.calls, runs.get(run.run_id)["execution_steps"]) == (1, 0, [])


def test_a_failed_run_keeps_what_there_is(runs: AgentRuns) -> None:
    run = begin(runs)
    done = runs.update_completion(run.run_id, None, 1, CALLS[:1], None, "failed", error="the provider went away")
    assert (done.status, done.response, done.error, done.calls) == ("failed", None, "the provider went away", 1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"status": "running"}, "does not end as 'running'"),
        ({"status": "done"}, "does not end as 'done'"),
        ({"steps_taken": -1}, "steps_taken"),
        ({"steps_taken": "3"}, "steps_taken"),
        ({"tool_calls": [{"input": {}}]}, "Tool call 1 has no tool_name"),
        ({"tool_calls": [CALLS[0], {"tool_name": "x", "status": "fine"}]}, "Tool call 2 cannot end as 'fine'"),
        ({"tool_calls": [{"tool_name": "x", "model_step": 0}]}, "model_step of tool call 1"),
        ({"execution_steps": ["looked"]}, "Execution step 1"),
        ({"completed_at": datetime(2026, 1, 1)}, "no time zone"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(
    runs: AgentRuns, wrong: dict[str, Any], told: str
) -> None:
    run = begin(runs)
    before = (runs.state_dir / run.journal).read_bytes()
    given = {"response": "ok", "steps_taken": 1, "tool_calls": CALLS, "execution_steps": STEPS} | wrong
    with pytest.raises(UsageError, match=told):
        runs.update_completion(run.run_id, **given)
    assert (runs.state_dir / run.journal).read_bytes() == before
    assert runs.update_completion(run.run_id, "ok", 1, CALLS, STEPS).status == "completed"


def test_an_ended_run_is_not_changed(runs: AgentRuns) -> None:
    run = begin(runs)
    runs.update_completion(run.run_id, "ok", 1, [], [])
    with pytest.raises(LedgerError, match=r"has ended \(completed\).*previous_run_id"):
        runs.update_completion(run.run_id, "better", 2, [], [])
    assert runs.get(run.run_id)["response"] == "ok"
    with pytest.raises(LedgerError, match="No run"):
        runs.update_completion("01J00000000000000000000000", "ok", 1, [], [])


def test_who_did_not_begin_a_run_cannot_end_it(runs: AgentRuns) -> None:
    run = begin(runs)
    with AgentRuns(runs.state_dir) as others, pytest.raises(LedgerError, match="begun elsewhere"):
        others.update_completion(run.run_id, "mine", 1, [], [])
    assert runs.update_completion(run.run_id, "ok", 1, [], []).response == "ok"


KILLED = """
import os, pathlib, sys
from equitrcoder import AgentRuns
runs = AgentRuns(pathlib.Path(sys.argv[1]))
print(runs.create(task="look").run_id, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_run_whose_program_died_is_interrupted(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=30)
    with AgentRuns(tmp_path) as runs:
        assert runs.get(done.stdout.strip())["status"] == "interrupted"


def test_a_secret_of_the_environment_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "gsk_0123456789abcdefSECRET"
    monkeypatch.setenv("GROQ_API_KEY", secret)
    with AgentRuns(tmp_path) as runs:
        run = begin(runs, task=f"use {secret}")
        calls = [{"tool_name": "x", "input": {"key": secret}, "output": secret}]
        runs.update_completion(run.run_id, secret, 1, calls, [{"type": "model", "content": secret}])
    held = [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert held == []


# Filters and pages.


def test_filters_and_pages(runs: AgentRuns) -> None:
    made = []
    for number in range(10):
        provider = "openai" if number % 2 else "gemini"
        run = begin(runs, provider=provider, model=f"{provider}/m", agent_name=f"agent-{number % 3}")
        made.append(run.run_id)
        if number < 8:
            runs.update_completion(run.run_id, "ok", 1, [], [], "completed" if number < 5 else "failed")

    def ids(**query: Any) -> list[int]:
        return [made.index(run.run_id) for run in runs.list(**query)]

    assert ids() == list(range(9, -1, -1))
    assert ids(limit=3) == [9, 8, 7]
    assert ids(limit=3, offset=3) == [6, 5, 4]
    assert ids(limit=3, before=made[7]) == [6, 5, 4]
    assert ids(limit=None, offset=8) == [1, 0]
    assert ids(status="failed") == [7, 6, 5]
    assert ids(status="running") == [9, 8]
    assert ids(provider="gemini", status="completed") == [4, 2, 0]
    assert ids(model="openai/m", limit=2) == [9, 7]
    assert ids(agent="agent-0") == [9, 6, 3, 0]
    assert ids(agent="single") == list(range(9, -1, -1))
    assert ids(session=runs.get(made[4])["session_id"]) == [4]
    assert ids(until=datetime.now(UTC) - timedelta(days=1)) == []
    assert ids(since=datetime.now(UTC) - timedelta(days=1), limit=1) == [9]
    assert ids(provider="nobody") == []
    assert ids(before="no such run") == []


def test_a_page_costs_the_page(runs: AgentRuns) -> None:
    """The database chooses, orders and counts off: no row that was not asked for comes out of it."""
    for _ in range(30):
        begin(runs)
    reader = runs._reading()
    taken: list[int] = []
    inner = reader._ask
    reader._ask = lambda question: taken_from(inner(question), taken)  # type: ignore[method-assign]  # counts rows
    assert len(runs.list(limit=5, offset=10, status="running")) == 5
    assert taken == [5]


def taken_from(rows: Any, taken: list[int]) -> Any:
    taken.append(len(rows))
    return rows


async def test_runs_of_the_agent_are_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = [Answer(calls=[Call("list_directory", {"path": "."})]), Answer(text="Nothing here.")]
    with ScriptedProvider(script) as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        async with EquitrAPI(sandbox="off") as api:
            result = await api.chat("look")
    with AgentRuns() as runs:
        (run,) = runs.list(session=result.session_id)
        view = runs.get(run.run_id)
    assert view["response"] == "Nothing here."
    assert view["tool_calls"] == result.tool_calls
    assert view["execution_steps"] == result.execution_steps
    assert view["token_usage"] == result.token_usage
