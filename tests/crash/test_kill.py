"""kill -9 at random moments of a whole run: nothing lost, nothing invented.

Source: DESIGN.md section 5, promises 1 and 2.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, ScriptedProvider
from tests.command import World

TURNS = 6
KILLS_EACH = 10


def _script(request: ReceivedRequest) -> Answer:
    """Per turn two commands in parallel that leave a line on disk, and one read."""
    turn = request.turn
    if turn >= TURNS:
        return Answer(text="done")
    commands = [f"echo {turn}-{k} >> effects; sleep 0.0{k}; echo {turn}-{k} >> ends" for k in range(2)]
    calls = [Call("run_command", {"command": command}) for command in commands]
    return Answer(calls=[*calls, Call("read_file", {"file_path": "a.txt"})])


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _marker(record: dict[str, Any]) -> str:
    return record["arguments"]["command"].split()[1]


def _check(world: World, requests: list[ReceivedRequest]) -> str:
    """Compare what the provider saw and what is on disk with the ledger; return the run's status."""
    records = world.calls()
    assert len({r["call_uid"] for r in records}) == len(records)
    assert [r["ordinal"] for r in records] == list(range(1, len(records) + 1))
    commands = {_marker(r): r for r in records if r["tool_name"] == "run_command"}

    # every side effect has its entry, started before it happened
    for marker in _lines(world.repo / "effects"):
        assert commands[marker]["started_at"] is not None, marker
    # nothing shows as done that was not
    ended = set(_lines(world.repo / "ends"))
    for marker, record in commands.items():
        if record["outcome"] == "success":
            assert marker in ended, marker
        else:
            assert record["outcome"] in ("interrupted", "cancelled"), record
    # every result that the provider saw is in the ledger, closed, with that text
    kept = {(r["step"], r["position"]): r for r in records}
    for request in requests:
        answers = [m for m in request.messages if m["role"] == "assistant"]
        results = [m["content"] for m in request.messages if m["role"] == "tool"]
        assert len(results) == 3 * len(answers)
        for place, told in enumerate(results):
            record = kept[(place // 3 + 1, place % 3)]
            assert record["outcome"] == "success"
            assert record["result"] == told
    # every request that the provider saw was written down before it went out
    journals = [path.read_text() for path in world.state.glob("journals/*/*/*.jsonl")]
    assert sum(text.count('"type":"request_sent"') for text in journals) >= len(requests)
    runs = world.runs()
    if not runs:
        assert requests == []
        return "none"
    (run,) = runs
    assert run["status"] in ("interrupted", "completed")
    if run["status"] == "completed":
        assert [r["outcome"] for r in records] == ["success"] * 3 * TURNS
    return str(run["status"])


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(10))
def test_kill_at_random_moments(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    statuses = []
    usual_s = 1.5
    for attempt in range(KILLS_EACH):
        with ScriptedProvider(_script) as provider:
            world = World(tmp_path / str(attempt), provider.base_url)
            (world.repo / "a.txt").write_text("alpha\n")
            # half of the kills anywhere, half soon after some request has arrived
            process = world.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if attempt % 2:
                time.sleep(chance.uniform(0.05, usual_s))
            else:
                provider.wait_for_requests(chance.randint(1, TURNS), timeout_s=30)
                time.sleep(chance.uniform(0, 0.06))
            process.send_signal(signal.SIGKILL)
            process.wait()
            _wait_for_commands(world)
            statuses.append(_check(world, list(provider.requests)))
    assert "interrupted" in statuses


def _wait_for_commands(world: World) -> None:
    """A killed agent's commands may still write: wait until what began has ended, or nothing changes any more."""
    before: tuple[list[str], list[str]] | None = None
    while True:
        now = (_lines(world.repo / "effects"), _lines(world.repo / "ends"))
        if len(now[0]) == len(now[1]) or now == before:
            return
        before = now
        time.sleep(0.15)


@pytest.mark.crash
def test_a_request_in_flight_at_the_kill_is_told_as_failed(tmp_path: Path) -> None:
    with ScriptedProvider([Fault(stall_before_answer=True)]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        provider.wait_for_stalled(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (run,) = world.runs()
    assert run["status"] == "interrupted"
    shown = json.loads(world.equitrcoder("show", "last", "--json").out)
    (error,) = [step for step in shown["execution_steps"] if step["type"] == "error"][:1]
    assert error["content"]["error_type"] == "interrupted"
    assert error["content"]["attempt"] == 1


@pytest.mark.crash
def test_a_reader_sees_running_while_the_process_lives_and_interrupted_after(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("run_command", {"command": "echo begun; sleep 60"})])]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start()
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if json.loads(line)["type"] == "call.started":
                break
        (record,) = world.calls()
        assert (record["outcome"], record["ended_at"]) == ("running", None)
        (run,) = world.runs()
        assert run["status"] == "running"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (record,) = world.calls()
        assert record["outcome"] == "interrupted"
        assert record["duration_ms"] is None
        (run,) = world.runs()
        assert run["status"] == "interrupted"
