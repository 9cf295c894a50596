"""`equitrcoder run`, from the prompt to the ledger, in a process of its own against a real server."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from equitrcoder.testing.script import Usage
from tests.command import KEY, World


def _world(folder: Path, provider: ScriptedProvider) -> World:
    world = World(folder, provider.base_url)
    (world.repo / "a.txt").write_text("alpha\n")
    return world


def test_a_task_is_done_and_every_call_stands_in_the_ledger(tmp_path: Path) -> None:
    script = [
        Answer(calls=[Call("read_file", {"file_path": "a.txt"}), Call("list_directory", {"path": "."})]),
        Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "beta\n"})]),
        Answer(text="Wrote b.txt.", usage=Usage(input_tokens=100, output_tokens=7)),
    ]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run(task="write b.txt")
        assert provider.errors == []
    assert done.code == 0, done.err
    assert (world.repo / "b.txt").read_text() == "beta\n"
    finished = done.event("run.finished")
    assert (finished["status"], finished["exit_code"], finished["response"]) == ("completed", 0, "Wrote b.txt.")
    assert finished["totals"]["calls"] == 3
    records = world.calls()
    assert [(r["ordinal"], r["step"], r["position"], r["tool_name"], r["outcome"]) for r in records] == [
        (1, 1, 0, "read_file", "success"),
        (2, 1, 1, "list_directory", "success"),
        (3, 2, 0, "write_file", "success"),
    ]
    assert records[0]["arguments"] == {"file_path": "a.txt"}
    assert "alpha" in records[0]["result"]
    assert all(r["duration_ms"] > 0 and r["started_at"] and r["capture"] == "middleware" for r in records)
    # the second request carries the results of the first answer's calls, in order
    second = json.loads(provider.requests[1].body)["messages"]
    assert [m["role"] for m in second] == ["system", "user", "assistant", "tool", "tool"]
    assert [m["tool_call_id"] for m in second[3:]] == [c["id"] for c in second[2]["tool_calls"]]


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_streaming_and_not_give_the_same_records(tmp_path: Path, stream: str) -> None:
    script = [Answer(calls=[Call("read_file", {"file_path": "a.txt"})]), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        assert world.run(stream).code == 0
        assert provider.requests[0].streaming is (stream == "--stream")
    (record,) = world.calls()
    assert (record["tool_name"], record["outcome"]) == ("read_file", "success")


def test_a_command_that_exits_non_zero_is_failed_and_the_model_is_told(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("run_command", {"command": "echo broken; exit 3"})]), Answer(text="It fails.")]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        assert world.run().code == 0
        (told,) = provider.requests[1].tool_results
    (record,) = world.calls()
    assert (record["outcome"], record["error_type"]) == ("failed", "exit_status")
    assert record["result_metadata"]["exit_code"] == 3
    assert "broken" in told and "3" in told


def test_four_sleeping_calls_run_at_once_and_each_has_its_own_duration(tmp_path: Path) -> None:
    sleeps = [0.4, 0.8, 1.2, 1.6]
    script = [Answer(calls=[Call("run_command", {"command": f"sleep {s}"}) for s in sleeps]), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run()
    assert done.code == 0, done.err
    records = world.calls()
    durations = [r["duration_ms"] / 1000 for r in records]
    for slept, measured in zip(sleeps, durations, strict=True):
        assert measured >= slept
    assert durations == sorted(durations)
    # all four were started before the first had ended: ISO times of one process compare as text
    assert max(r["started_at"] for r in records) < min(r["ended_at"] for r in records)


def test_bad_calls_are_closed_as_invalid_and_the_run_goes_on(tmp_path: Path) -> None:
    script = [
        Answer(
            calls=[
                Call("read_fil", {"file_path": "a.txt"}),
                Call("read_file", '{"file_path": '),
                Call("read_file", {"path": "a.txt"}),
            ]
        ),
        Answer(text="ok"),
    ]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        assert world.run().code == 0
        told = provider.requests[1].tool_results
    records = world.calls()
    assert [(r["outcome"], r["error_type"]) for r in records] == [
        ("invalid", "unknown_tool"),
        ("invalid", "invalid_arguments"),
        ("invalid", "invalid_arguments"),
    ]
    assert records[1]["arguments"] is None and records[1]["arguments_raw"] == '{"file_path": '
    assert "read_file" in told[0]
    assert all(r["started_at"] is None and r["duration_ms"] is None for r in records)


def test_turn_limit(tmp_path: Path) -> None:
    endless = lambda request: Answer(calls=[Call("list_directory", {"path": "."})])  # noqa: E731
    with ScriptedProvider(endless) as provider:
        world = _world(tmp_path, provider)
        done = world.run("--max-turns", "3")
        assert len(provider.requests) == 3
    assert done.code == 6
    assert "E203" in done.err
    (run,) = world.runs()
    assert (run["status"], run["steps_taken"], run["calls"]) == ("limit", 3, 3)
    assert [r["outcome"] for r in world.calls()] == ["success"] * 3


def test_time_limit_ends_the_call_that_is_running(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("run_command", {"command": "sleep 60"})])]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run("--max-time", "1.5")
    assert done.code == 6
    (run,) = world.runs()
    assert run["status"] == "limit"
    (record,) = world.calls()
    assert record["outcome"] == "cancelled"


def test_budget_stops_before_the_call_that_could_pass_it(tmp_path: Path) -> None:
    settings = "prices:\n  openai/scripted: {input: 100.0, output: 100.0}\n"
    answer = Answer(calls=[Call("list_directory", {"path": "."})], usage=Usage(input_tokens=4000, output_tokens=100))
    with ScriptedProvider(lambda request: answer) as provider:
        world = _world(tmp_path, provider)
        config = world.home / ".config" / "equitrcoder" / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text(settings)
        done = world.run("--budget", "2")
        asked = len(provider.requests)
    assert done.code == 5
    assert "E201" in done.err
    (run,) = world.runs()
    assert run["status"] == "budget"
    assert run["cost_nanousd"] == asked * 4100 * 100_000
    assert 0 < run["cost_nanousd"] <= 2_000_000_000
    assert len(world.calls()) == asked


def test_answers_without_their_tokens_count_as_much_as_was_reserved(tmp_path: Path) -> None:
    answer = Answer(calls=[Call("list_directory", {"path": "."})], usage=None)
    with ScriptedProvider(lambda request: answer) as provider:
        world = _world(tmp_path, provider)
        config = world.home / ".config" / "equitrcoder" / "config.yaml"
        config.parent.mkdir(parents=True)
        config.write_text("prices:\n  openai/scripted: {input: 100.0, output: 100.0}\n")
        done = world.run("--budget", "5", "--max-turns", "20")
    assert done.code == 5, done.err
    (run,) = world.runs()
    assert (run["status"], run["cost_nanousd"]) == ("budget", 0)
    assert run["unpriced_turns"] == run["steps_taken"] > 0


def test_an_unpriced_model_refuses_a_budget_unless_it_is_allowed(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="ok")]) as provider:
        world = _world(tmp_path, provider)
        refused = world.run("--budget", "1")
        assert (refused.code, len(provider.requests)) == (3, 0)
        assert "E202" in refused.err
        assert refused.event("run.finished")["error"]["code"] == "E202"
        assert world.run("--budget", "1", "--allow-unpriced").code == 0
    (run,) = world.runs()
    assert (run["cost_nanousd"], run["unpriced_turns"]) == (0, 1)


def test_provider_error_ends_the_run_and_keeps_its_calls(tmp_path: Path) -> None:
    script = [
        Answer(calls=[Call("read_file", {"file_path": "a.txt"})]),
        Fault(status=401, body={"error": {"message": "bad key", "code": "invalid_api_key"}}),
    ]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run()
        assert len(provider.requests) == 2  # 401 is not tried again
    assert done.code == 4
    (run,) = world.runs()
    assert (run["status"], run["calls"]) == ("failed", 1)
    assert "E311" in run["error"]


def test_a_broken_stream_is_no_answer_and_is_asked_again(tmp_path: Path) -> None:
    writes = Answer(text="I write.", calls=[Call("write_file", {"file_path": "b.txt", "content": "x"})])
    script = [Fault(answer=writes, close_after_events=3), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run()
        assert len(provider.requests) == 2
    assert done.code == 0
    assert not (world.repo / "b.txt").exists()
    assert world.calls() == []
    assert done.event("request.failed")["error"]["type"] == "stream_broken"


def test_the_model_reports_failure(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="FAILED: there is no such file.")]) as provider:
        world = _world(tmp_path, provider)
        done = world.run()
    assert done.code == 1
    assert done.event("run.finished")["status"] == "failed"


@pytest.mark.parametrize(("check", "code"), [("test -f a.txt", 0), ("test -f missing.txt", 1)])
def test_check_decides_the_exit_code(tmp_path: Path, check: str, code: int) -> None:
    with ScriptedProvider([Answer(text="ok")]) as provider:
        world = _world(tmp_path, provider)
        done = world.run("--check", check)
    assert done.code == code
    assert done.event("check.finished")["passed"] is (code == 0)


def test_approval_without_a_terminal_stops_with_7(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "x"})])]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run("--approve", "ask")
    assert done.code == 7
    assert "E401" in done.err and "Fix: --approve all" in done.err
    assert not (world.repo / "b.txt").exists()
    (record,) = world.calls()
    assert (record["outcome"], record["error_type"]) == ("denied", "approval_needed")


def test_deny_tells_the_model_and_goes_on(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("run_command", {"command": "touch b.txt"})]), Answer(text="I may not.")]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        assert world.run("--approve", "deny").code == 0
        (told,) = provider.requests[1].tool_results
    assert "denied" in told
    (record,) = world.calls()
    assert (record["outcome"], record["approval"], record["duration_ms"]) == ("denied", "denied", None)


def test_the_same_failing_call_again_and_again_is_stopped(tmp_path: Path) -> None:
    script = lambda request: Answer(calls=[Call("read_file", {"file_path": "missing.txt"})])  # noqa: E731
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run()
        assert len(provider.requests) == 5
        assert "has failed 3 times in a row" in provider.requests[3].tool_results[-1]
    assert done.code == 6 and "E206" in done.err
    assert [r["error_type"] for r in world.calls()] == ["not_found"] * 5
    assert "has failed 3 times in a row" in world.calls()[2]["result"]


def _wait_until_gone(pid: int) -> None:
    """Return when the process has ended; whoever inherits it may still have to collect it."""
    while True:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return


def test_two_signals_leave_at_once_and_nothing_behind(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("run_command", {"command": "echo $$ > pid; sleep 61"})])]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        process = world.start()
        while not (world.repo / "pid").exists() or not (world.repo / "pid").read_text().strip():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err
    _wait_until_gone(int((world.repo / "pid").read_text()))
    (record,) = world.calls()
    assert record["outcome"] in ("cancelled", "interrupted")


def test_keys_stand_in_no_file_and_on_no_screen(tmp_path: Path) -> None:
    other = "hunter2-correct-horse-battery"
    script = [
        Answer(
            calls=[Call("run_command", {"command": "env"}), Call("run_command", {"command": f"echo {KEY} {other}"})]
        ),
        Answer(text=f"The key is {KEY}."),
    ]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        done = world.run(task=f"say {other}", environ={"DATABASE_PASSWORD": other})
        assert provider.requests[0].headers["authorization"] == f"Bearer {KEY}"
        environment, _ = provider.requests[1].tool_results
    assert done.code == 0
    assert KEY not in environment and other not in environment
    assert "OPENAI_API_KEY" not in environment
    for secret in (KEY, other):
        assert world.files_holding(secret) == []
        assert secret not in done.out + done.err
    assert world.calls()[1]["redactions"]


def test_two_processes_on_one_state_directory_do_not_mix(tmp_path: Path) -> None:
    def script(marker: str) -> list[Answer]:
        calls = [Answer(calls=[Call("run_command", {"command": f"echo {marker}{k}"})]) for k in range(15)]
        return [*calls, Answer(text=marker)]

    with ScriptedProvider(script("left")) as left, ScriptedProvider(script("right")) as right:
        worlds = [World(tmp_path, left.base_url), World(tmp_path, right.base_url)]
        processes = [world.start(task=f"task {k}") for k, world in enumerate(worlds)]
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
    world = worlds[0]
    runs = {run["response"]: run["run_id"] for run in world.runs()}
    for marker in ("left", "right"):
        records = world.calls("--run", runs[marker])
        assert [r["arguments"]["command"] for r in records] == [f"echo {marker}{k}" for k in range(15)]
        assert [r["ordinal"] for r in records] == list(range(1, 16))


def test_nothing_is_written_into_the_repository_that_was_not_asked_for(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("read_file", {"file_path": "a.txt"})]), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = _world(tmp_path, provider)
        subprocess.run(["git", "init", "-q"], cwd=world.repo, check=True, env=world.environ)
        assert world.run().code == 0
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=world.repo, check=True, env=world.environ, capture_output=True
        )
    assert status.stdout.split() == [b"??", b"a.txt"]
    assert list(world.home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--model", "openai/x", "--repo", "missing", "task"], 2, "missing"),
        (["run"], 2, "TASK"),
        (["rnu", "task"], 2, "run"),
        (["run", "--model", "gpt-6-luna", "task"], 3, "E103"),
        (["run", "--model", "opnai/gpt-6-luna", "task"], 3, "E102"),
        (["run", "--model", "groq/openai/gpt-oss-120b", "task"], 3, "E101 No key for groq: GROQ_API_KEY is not set."),
        (["run", "--model", "anthropic/claude-sonet-5-5", "task"], 3, "E102"),
        (["run", "--model", "openai/x", "  "], 2, "empty"),
    ],
)
def test_bad_input_gets_a_code_and_a_fix(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    world = World(tmp_path)
    done = world.equitrcoder(*arguments, environ={"ANTHROPIC_API_KEY": KEY})
    assert done.code == code, done.err
    assert words in done.err
    assert done.out == ""


def test_a_fallback_model_goes_on_where_the_first_stopped_answering(tmp_path: Path) -> None:
    calls = [Call("write_file", {"file_path": "b.txt", "content": "x"})]
    gone = Fault(status=404, body={"error": {"message": "model not found", "code": "model_not_found"}})
    with (
        ScriptedProvider([Answer(calls=calls), gone]) as first,
        ScriptedProvider([Answer(calls=calls), Answer(text="Done.")]) as second,
    ):
        world = _world(tmp_path, first)
        environ = {"GROQ_API_KEY": "gsk-second-key-0123", "GROQ_BASE_URL": second.base_url}
        done = world.run("--fallback-model", "groq/other", environ=environ)
        assert (len(first.requests), len(second.requests)) == (2, 2)
        roles = [m["role"] for m in json.loads(second.requests[0].body)["messages"]]
    assert done.code == 0, done.err
    assert "Going on with groq/other" in done.err
    assert roles == ["system", "user", "assistant", "tool"]
    newer, older = world.runs()
    assert (older["status"], older["provider"], older["calls"]) == ("failed", "openai", 1)
    assert (newer["status"], newer["provider"], newer["calls"]) == ("completed", "groq", 1)
    assert newer["previous_run_id"] == older["run_id"]
    assert world.files_holding("gsk-second-key-0123") == []


def test_a_wrong_request_does_not_fall_back(tmp_path: Path) -> None:
    wrong = Fault(status=400, body={"error": {"message": "bad schema", "code": "invalid_value"}})
    with ScriptedProvider([wrong]) as first, ScriptedProvider([]) as second:
        world = _world(tmp_path, first)
        environ = {"GROQ_API_KEY": "gsk-second-key-0123", "GROQ_BASE_URL": second.base_url}
        assert world.run("--fallback-model", "groq/other", environ=environ).code == 4
        assert second.requests == []
