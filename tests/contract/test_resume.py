"""`equitrcoder resume` through the real command: killed at every place, limits, errors, two at once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.agent.rebuilding import ARGUMENTS_NOT_KEPT, OUTCOME_UNKNOWN, RESULT_NOT_KEPT
from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, ScriptedProvider, by_turn
from equitrcoder.testing.script import Usage
from tests.command import Done, World

QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def write(mark: str, *, then: str = "") -> Call:
    """A command that leaves its mark on disk, each time that it runs."""
    return Call("run_command", {"command": f"echo {mark} >> log{then}"})


def resume(world: World, *arguments: str, json_events: bool = True, **keywords: Any) -> Done:
    common = ["--approve", "all", "--sandbox", "off", *(["--json"] if json_events else [])]
    return world.equitrcoder("resume", *common, *(arguments or ("last",)), **keywords)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def until(process: subprocess.Popen[bytes], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if wanted(event):
            return event
    raise AssertionError("the run ended before that")


def wait_for(found: Callable[[], bool]) -> None:
    while not found():
        time.sleep(0.01)


def same_prefix(before: ReceivedRequest, after: ReceivedRequest) -> None:
    """The later request begins with the very bytes of the earlier one."""
    old, new = before.json, after.json
    for name in old:
        if name not in ("messages", "input", "contents"):
            assert json.dumps(new[name]) == json.dumps(old[name]), name
    (field,) = [name for name in ("messages", "input", "contents") if name in old]
    assert json.dumps(new[field][: len(old[field])]) == json.dumps(old[field])


def test_killed_before_the_first_answer_the_request_is_asked_again(tmp_path: Path) -> None:
    with ScriptedProvider([Fault(stall_before_answer=True), Answer(text="done")]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(**QUIET)
        provider.wait_for_stalled(1)
        kill(process)
        done = resume(world)
        assert (done.code, done.event("run.finished")["response"]) == (0, "done")
        first, second = provider.requests
        assert json.dumps(first.json) == json.dumps(second.json)
    newest, oldest = world.runs()
    assert done.event("run.started")["previous_run"] == newest["previous_run_id"] == oldest["run_id"]
    assert (newest["session_id"], newest["task"]) == (oldest["session_id"], oldest["task"])
    assert (newest["status"], oldest["status"]) == ("completed", "interrupted")


def test_killed_in_a_stream_nothing_of_the_broken_answer_runs(tmp_path: Path) -> None:
    answer = Answer(text="I do it.", calls=[write("a")])
    script = [Fault(answer=answer, stall_after_events=6), Answer(calls=[write("b")]), Answer(text="done")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(**QUIET)
        provider.wait_for_stalled(1)
        kill(process)
        assert resume(world).code == 0
        assert json.dumps(provider.requests[0].json) == json.dumps(provider.requests[1].json)
    assert lines(world.repo / "log") == ["b"]


def test_killed_while_parallel_calls_run_each_is_told_as_it_stands(tmp_path: Path) -> None:
    calls = [write("a"), write("b", then="; sleep 60"), Call("read_file", {"file_path": "none"})]
    with ScriptedProvider(by_turn([Answer(text="Go.", calls=calls), Answer(text="done")])) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start()
        for _ in range(2):
            until(process, lambda event: event["type"] == "call.finished")
        wait_for(lambda: sorted(lines(world.repo / "log")) == ["a", "b"])
        kill(process)
        assert resume(world).code == 0
        first, second = provider.requests
        same_prefix(first, second)
        ran, unknown, failed = second.tool_results
    assert (ran, unknown) == ("exit 0, no output", OUTCOME_UNKNOWN) or unknown == OUTCOME_UNKNOWN
    assert "none" in failed
    assert sorted(lines(world.repo / "log")) == ["a", "b"]
    outcomes = [record["outcome"] for record in world.calls()]
    assert outcomes == ["success", "interrupted", "failed"]


def test_killed_when_all_calls_have_ended_the_same_request_goes_out_again(tmp_path: Path) -> None:
    script = [Answer(calls=[write("a"), write("b")]), Fault(stall_before_answer=True), Answer(text="done")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(**QUIET)
        provider.wait_for_stalled(1)
        kill(process)
        assert resume(world).code == 0
        _, dead, again = provider.requests
        assert json.dumps(dead.json) == json.dumps(again.json)
    assert sorted(lines(world.repo / "log")) == ["a", "b"]


def test_killed_after_the_last_answer_there_is_nothing_to_go_on_with_but_words(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="All done."), Answer(text="And that too.")]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start("--check", "[ -e go ] || sleep 60")
        until(process, lambda event: event["type"] == "check.started")
        kill(process)
        (world.repo / "go").touch()
        refused = resume(world, json_events=False)
        assert refused.code == 2
        assert "E121" in refused.err and "had given its last answer when it was interrupted" in refused.err
        done = resume(world, "last", "and now that")
        assert done.event("run.finished")["response"] == "And that too."
        assert done.event("check.finished")["passed"]
        first, second = provider.requests
        same_prefix(first, second)
        assert [message["content"] for message in second.messages[-2:]] == ["All done.", "and now that"]


def test_a_run_that_is_done_goes_on_with_words_only(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="One."), Answer(text="Two."), Answer(text="Three.")]) as provider:
        world = World(tmp_path, provider.base_url)
        first = world.run().event("run.started")["run"]
        refused = resume(world, first[-6:])
        assert (refused.code, refused.event("run.finished")["error"]["code"]) == (2, "E121")
        assert resume(world, first[-6:], "more").code == 0
        again = resume(world, first[-6:], "even more")  # names a run that was gone on with
        assert again.code == 0
        newest, second, _ = world.runs()
        assert f"run {first[-4:]} was gone on with already: going on from {second['run_id'][-4:]}" in again.err
        assert newest["previous_run_id"] == second["run_id"]
        told = [message["content"] for message in provider.requests[-1].messages[1:]]
    assert told == ["do it", "One.", "more", "Two.", "even more"]


LIMITS: dict[str, tuple[list[str], list[str], str]] = {
    "turns": (["--max-turns", "1"], [], "limit"),
    "time": (["--max-time", "1"], [], "limit"),
    "dollars": (["--budget", "0.8"], ["--budget", "5"], "budget"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_after_a_limit(tmp_path: Path, limit: str) -> None:
    flags, more, status = LIMITS[limit]
    first = Answer(
        calls=[write("a", then="; sleep 60" if limit == "time" else "")],
        usage=Usage(input_tokens=7000, output_tokens=100),
    )
    with ScriptedProvider(by_turn([first, Answer(text="done")])) as provider:
        world = World(tmp_path, provider.base_url)
        config = world.home / ".config" / "equitrcoder" / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text("prices:\n  openai/scripted: {input: 100.0, output: 100.0}\n")
        stopped = world.run(*flags, environ={"EQUITRCODER_OUTPUT_LIMIT_TOKENS": "1000"})
        assert stopped.event("run.finished")["status"] == status
        if limit == "dollars":  # what was spent counts against the same budget
            refused = resume(world)
            assert refused.event("run.finished")["status"] == "budget"
            assert refused.event("run.started")["budget"] == 0.8
        assert resume(world, *more, "last").code == 0
        same_prefix(provider.requests[0], provider.requests[-1])
        (result,) = provider.requests[-1].tool_results
    assert (result == OUTCOME_UNKNOWN) == (limit == "time")
    assert lines(world.repo / "log") == ["a"]


def test_after_an_error_of_the_provider_and_after_ctrl_c(tmp_path: Path) -> None:
    refused = Fault(status=401, error={"message": "no such key"})
    running = Answer(calls=[write("b", then="; sleep 60")])
    script = [Answer(calls=[write("a")]), refused, running, Answer(text="done")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        assert world.run().code == 4
        process = subprocess.Popen(
            world.command("resume", "--approve", "all", "--sandbox", "off", "--json", "last"),
            cwd=world.repo,
            env=world.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        until(process, lambda event: event["type"] == "call.started")
        wait_for(lambda: lines(world.repo / "log") == ["a", "b"])
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 130
        assert resume(world).code == 0
        _, failed, again, last = provider.requests
        assert json.dumps(failed.json) == json.dumps(again.json)
        same_prefix(again, last)
        assert last.tool_results == [OUTCOME_UNKNOWN]
    assert lines(world.repo / "log") == ["a", "b"]
    assert [run["status"] for run in world.runs()] == ["completed", "cancelled", "failed"]


def test_a_run_that_lives_is_refused_with_its_place(tmp_path: Path) -> None:
    with ScriptedProvider([Fault(stall_before_answer=True)]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(**QUIET)
        provider.wait_for_stalled(1)
        refused = resume(world, json_events=False)
        assert refused.code == 2
        assert f"E122 Run {world.runs()[0]['run_id'][-4:]} still goes on in process {process.pid}" in refused.err
        assert str(world.repo) in refused.err
        kill(process)
        assert len(provider.requests) == 1


def test_of_several_at_once_exactly_one_goes_on(tmp_path: Path) -> None:
    wait = Call("run_command", {"command": "while [ ! -e go ]; do sleep 0.02; done; echo b >> log"})
    script = by_turn([Answer(calls=[write("a", then="; sleep 60")]), Answer(calls=[wait]), Answer(text="done")])
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start()
        until(process, lambda event: event["type"] == "call.started")
        wait_for(lambda: lines(world.repo / "log") == ["a"])
        kill(process)
        dead = world.runs()[0]["run_id"]
        command = world.command("resume", "--approve", "all", "--sandbox", "off", "--json", dead)
        several = [
            subprocess.Popen(command, cwd=world.repo, env=world.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(3)
        ]
        wait_for(lambda: sum(each.poll() is not None for each in several) == 2)
        (world.repo / "go").touch()
        said = [each.communicate() for each in several]
    assert sorted(each.returncode for each in several) == [0, 2, 2]
    winner, _ = world.runs()
    assert winner["previous_run_id"] == dead
    for each, (out, err) in zip(several, said, strict=True):
        if each.returncode:
            assert json.loads(out)["error"]["code"] == "E122"
            assert f"is gone on with already: run {winner['run_id'][-4:]} lives in process" in err.decode()
    assert lines(world.repo / "log") == ["a", "b"]


def test_what_cannot_go_on_says_why(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[write("a")]), Answer(text="done")]) as provider:
        world = World(tmp_path, provider.base_url)
        assert resume(world).code == 1
        assert "There are no runs yet" in resume(world).err
        assert world.run("--max-turns", "1").code == 6
        assert "No run ends in" in resume(world, "zzzz", json_events=False).err
        gone = resume(world, "--model", "groq/openai/gpt-oss-120b", "last", json_events=False)
        assert (gone.code, "E101" in gone.err) == (3, True)
        moved = world.repo.with_name("moved")
        world.repo.rename(moved)
        world.repo = moved
        nowhere = resume(world, json_events=False)
        assert nowhere.code == 2 and "E124" in nowhere.err and "--repo DIR" in nowhere.err
        assert resume(world, "--repo", str(moved), "last").code == 0
        assert str(moved) in provider.requests[-1].messages[0]["content"]
    assert len(world.runs()) == 2  # none of the refusals began a run


def test_what_is_not_kept_is_refused_or_told_as_not_kept(tmp_path: Path) -> None:
    with ScriptedProvider(by_turn([Answer(calls=[write("a")]), Answer(text="done")])) as provider:
        world = World(tmp_path, provider.base_url)
        assert world.run("--max-turns", "1", environ={"EQUITRCODER_CONTENT": "off"}).code == 6
        refused = resume(world, json_events=False)
        assert (refused.code, "E123" in refused.err) == (2, True)
        assert "the arguments of call 1 (step 1) are not kept" in refused.err
        assert "the result of call 1 (success) is not kept" in refused.err
        done = resume(world, "--anyway", "last")
        assert done.code == 0 and "is told that this is not kept" in done.err
        (result,) = provider.requests[-1].tool_results
    assert result.splitlines() == [ARGUMENTS_NOT_KEPT, RESULT_NOT_KEPT.format(outcome="success")]


def test_what_was_redacted_goes_back_redacted_and_is_said(tmp_path: Path) -> None:
    secret = "sk-proj-" + "Ab3dEf6h" * 6
    with ScriptedProvider(
        by_turn([Answer(calls=[Call("read_file", {"file_path": "k"})]), Answer(text="done")])
    ) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "k").write_text(secret)
        assert world.run("--max-turns", "1").code == 6
        done = resume(world)
        assert done.code == 0 and "stands redacted in the journal and goes back so: the result of call 1" in done.err
        assert secret not in json.dumps(provider.requests[-1].json)
        assert "1 redacted" in provider.requests[-1].tool_results[0] or "[" in provider.requests[-1].tool_results[0]


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random_moments_and_resumed_nothing_is_done_twice(tmp_path: Path, seed: int) -> None:
    """Four kills each: of the run, and of the runs that go on with it."""
    chance = random.Random(seed)
    turns = 4
    script = [Answer(calls=[write(f"{turn}-{k}", then=f"; sleep 0.0{k}") for k in range(2)]) for turn in range(turns)]
    with ScriptedProvider(by_turn([*script, Answer(text="done")])) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(**QUIET)
        for _ in range(4):
            asked = len(provider.requests)
            wait_for(lambda: len(provider.requests) > asked or process.poll() is not None)  # noqa: B023
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
            process.wait()
            command = world.command("resume", "--approve", "all", "--sandbox", "off", "last")
            process = subprocess.Popen(command, cwd=world.repo, env=world.environ, **QUIET)
        process.wait()
        told = [request.tool_results for request in provider.requests]
    marks = lines(world.repo / "log")
    assert len(marks) == len(set(marks)), marks
    records = world.calls()
    ran = {record["arguments"]["command"].split()[1] for record in records if record["started_at"] is not None}
    assert set(marks) <= ran
    done = [record for record in records if record["outcome"] == "success"]
    assert {record["arguments"]["command"].split()[1] for record in done} <= set(marks)
    assert len(records) == 2 * turns  # no answer was asked for twice
    assert all(len(results) in (0, 2) for results in told)
    assert world.runs()[0]["status"] == "completed"
