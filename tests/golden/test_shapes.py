"""The views that must not change shape (design/record.md), on a ledger that stays as it was written.

After a change that only adds fields: `EQUITRCODER_WRITE_GOLDEN=1 pytest tests/golden/test_shapes.py`, and read the
difference.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.api.records import SessionRecords
from equitrcoder.ledger import AgentRuns, CallQuery, Reader, call_to_dict, run_to_dict
from equitrcoder.ledger.views import turn_to_dict
from tests.golden.make_ledger import SESSION

HERE = Path(__file__).parent
LEDGER = HERE / "ledger_v1"
WRITE = os.environ.get("EQUITRCODER_WRITE_GOLDEN") == "1"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LEDGER, tmp_path / "state"))


def logs(state: Path) -> Any:
    return SessionRecords(SESSION, lambda: state).get_tool_call_logs()


def stats(state: Path) -> Any:
    return SessionRecords(SESSION, lambda: state).get_tool_call_stats()


def stats_of_nothing(state: Path) -> Any:
    return SessionRecords("another session", lambda: state).get_tool_call_stats()


def calls(state: Path) -> Any:
    with Reader(state) as reader:
        return [call_to_dict(call) for call in reader.calls(CallQuery(session=SESSION), full=True)]


def runs(state: Path) -> Any:
    with Reader(state) as reader:
        return [run_to_dict(run) for run in reader.runs(session=SESSION)]


def turns(state: Path) -> Any:
    with Reader(state) as reader:
        return [turn_to_dict(turn) for run in reader.runs() for turn in reader.turns(run.run_id)]


def agent_run(state: Path) -> Any:
    with AgentRuns(state) as repository:
        return repository.get(repository.list(status="failed")[0].run_id)


def agent_run_reported(state: Path) -> Any:
    with AgentRuns(state) as repository:
        return repository.get(repository.list(status="completed")[0].run_id)


VIEWS: list[Callable[[Path], Any]] = [
    logs,
    stats,
    stats_of_nothing,
    calls,
    runs,
    turns,
    agent_run,
    agent_run_reported,
]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_the_view_is_as_it_was(view: Callable[[Path], Any], state: Path) -> None:
    golden = HERE / "shapes" / f"{view.__name__}.json"
    shown = json.dumps(view(state), indent=1, ensure_ascii=False) + "\n"  # in order: order is part of the shape
    if WRITE:
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_the_ledger_is_whole(state: Path) -> None:
    with Reader(state) as reader:
        assert reader.damage() == []
        assert len(reader.runs()) == 2


def test_a_log_entry_begins_with_the_eight_keys_of_the_guide(state: Path) -> None:
    first = ["timestamp", "session_id", "tool_name", "tool_args", "result", "success", "duration_ms", "error"]
    assert all(list(entry)[:8] == first for entry in logs(state))
    assert all(list(entry["result"]) == ["success", "content", "metadata"] for entry in logs(state))


def test_statistics_have_the_same_keys_with_and_without_calls(state: Path) -> None:
    assert list(stats(state)) == list(stats_of_nothing(state))
    assert all(
        list(usage) == ["count", "success_count", "total_duration_ms"] for usage in stats(state)["tool_usage"].values()
    )


@pytest.mark.parametrize("view", [agent_run, agent_run_reported])
def test_a_run_has_what_the_second_guide_stores(view: Callable[[Path], Any], state: Path) -> None:
    run = view(state)
    stored = {"response", "steps_taken", "tool_calls", "execution_steps", "token_usage", "status", "completed_at"}
    assert stored <= set(run)
    assert [call["step"] for call in run["tool_calls"]] == list(range(1, len(run["tool_calls"]) + 1))
    assert all(list(call)[:5] == ["tool_name", "input", "step", "output", "status"] for call in run["tool_calls"])
    assert [step["step"] for step in run["execution_steps"]] == list(range(1, len(run["execution_steps"]) + 1))
    assert {kind for step in run["execution_steps"] for kind in step} == {
        "step",
        "type",
        "timestamp",
        "content",
        "tokens",
    }
    assert list(run["token_usage"])[:3] == ["input_tokens", "output_tokens", "total_tokens"]
