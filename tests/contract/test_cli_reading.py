"""`runs`, `show`, `calls`, `stats`, `db` on real ledgers, in process and, where that matters, in one of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.cli.app import run_app
from equitrcoder.ledger import CallQuery, Ledger, Reader, RunRecorder
from equitrcoder.ledger.checking import check_index
from equitrcoder.records import ToolCall
from equitrcoder.wires.values import Turn, Usage, WireCall

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "160")
    return folder


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: exit code, stdout, stderr."""

    def invoke(*arguments: str) -> tuple[int, str, str]:
        code = run_app(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return invoke


def start(ledger: Ledger, *, task: str = "fix it", provider: str = "groq", **fields: Any) -> RunRecorder:
    return ledger.start_run(
        provider=provider,
        model_requested=f"{provider}/model-x",
        repo_path=fields.pop("repo_path", "/repo"),
        task=task,
        capture=fields.pop("capture", "middleware"),
        **fields,
    )


def answer(recorder: RunRecorder, step: int, *calls: WireCall, cost: int | None = 1_000_000, text: str = "") -> Any:
    return recorder.record_turn(
        Turn(
            text=text,
            calls=calls,
            usage=Usage(input_tokens=1000, cached_read_tokens=400, output_tokens=50),
            model_answered="model-x-2",
        ),
        step=step,
        duration_ms=120.0,
        time_to_first_byte_ms=None,
        attempts=1,
        cost_nanousd=cost,
        price_version="p",
    )


def asked(name: str, arguments: Any, index: int = 0, **fields: Any) -> WireCall:
    return WireCall(name=name, arguments=arguments, id=f"call_{index}", index=index, **fields)


def record(state: Path) -> list[str]:
    """Two runs: one with every kind of ending, one that failed at once. Their ids, oldest first."""
    with Ledger(state) as ledger:
        one = start(ledger, task="make the failing\ntest pass \x1b[31m")
        one.request_failed(
            step=1, attempt=1, error_type="rate_limit", message="E303 slow down", status=429, wait_s=1.0, cost_nanousd=0
        )
        calls = answer(
            one,
            1,
            asked("read_file", {"file_path": "a.py"}, 0),
            asked("run_command", {"command": "pytest -q"}, 1),
            asked("web_search", {"q": "x"}, 2, kind="provider-executed", result="found"),
            asked("read_file", '{"file_path": ', 3),
            text="I look first.",
        )
        one.start(calls[0])
        one.close_call(calls[0], outcome="success", result="print()\n" * 1000, duration_ms=8.25)
        one.start(calls[1], sandbox="bubblewrap")
        one.close_call(
            calls[1],
            outcome="failed",
            error_type="exit_status",
            error_message="exit 1",
            result="1 failed \x1b[2J",
            result_metadata={"exit_code": 1},
            duration_ms=910.0,
        )
        one.close_call(calls[3], outcome="invalid", error_type="invalid_arguments", error_message="no JSON object")
        answer(one, 2, cost=None, text="Fixed it.")
        one.message(role="check", text="pytest -q\npassed\n4 passed")
        one.finish(status="completed", response="Fixed it.")
        two = start(ledger, task="another", provider="local", repo_path="/other")
        two.finish(status="failed", error="E311 the key was refused. Fix: another", error_type="authentication")
    return [one.run_id, two.run_id]


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# calls


def test_calls_as_json_are_whole_records_oldest_first(state: Path, run: Run) -> None:
    (first, _) = record(state)
    code, out, err = run("calls", "--json")
    assert (code, err) == (0, "")
    records = lines(out)
    assert [list(one) for one in records] == [list(ToolCall.__dataclass_fields__)] * 4
    assert [(one["ordinal"], one["tool_name"], one["outcome"]) for one in records] == [
        (1, "read_file", "success"),
        (2, "run_command", "failed"),
        (3, "web_search", "success"),
        (4, "read_file", "invalid"),
    ]
    assert {one["run_id"] for one in records} == {first}
    assert records[0]["result"] == "print()\n" * 1000 and records[0]["truncated_to"] is None
    assert records[1]["result_metadata"] == {"exit_code": 1}
    assert (records[2]["executed_by"], records[2]["duration_ms"]) == ("provider", None)
    assert (records[3]["arguments"], records[3]["arguments_raw"]) == (None, '{"file_path": ')
    for one in records:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", one["requested_at"])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (["--tool", "read_file"], [1, 4]),
        (["--outcome", "failed"], [2]),
        (["--failed"], [2, 4]),
        (["--provider", "groq"], [1, 2, 3, 4]),
        (["--provider", "local"], []),
        (["--model", "model-x-2"], [1, 2, 3, 4]),
        (["--limit", "2"], [3, 4]),
        (["--since", "1h"], [1, 2, 3, 4]),
        (["--since", "2999-01-01"], []),
        (["--tool", "read_file", "--outcome", "invalid"], [4]),
        (["--run", "last"], []),
        (["--session", "last"], []),
        (["--agent", "single"], [1, 2, 3, 4]),
        (["--agent", "worker"], []),
    ],
)
def test_calls_can_be_chosen(state: Path, run: Run, choice: list[str], expected: list[int]) -> None:
    record(state)
    code, out, _ = run("calls", "--json", *choice)
    assert code == 0
    assert [one["ordinal"] for one in lines(out)] == expected


def test_calls_of_a_session_by_the_tail_of_its_id(state: Path, run: Run) -> None:
    record(state)
    session = lines(run("calls", "--json")[1])[0]["session_id"]
    for given in (session, session[-6:].lower()):
        assert len(lines(run("calls", "--json", "--session", given)[1])) == 4
    code, out, err = run("calls", "--session", "NONE")
    assert (code, out) == (1, "")
    assert err.startswith('E604 No session ends in "NONE"')


def test_calls_as_a_table(state: Path, run: Run) -> None:
    (first, _) = record(state)
    tail = first[-4:]
    code, out, err = run("calls")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["run", "step", "tool", "about", "outcome", "time"],
        [tail, "1", "read_file", "a.py", "success", "8", "ms"],
        [tail, "1", "run_command", "pytest", "-q", "failed", "(exit", "1)", "910", "ms"],
        [tail, "1", "web_search", '{"q":"x"}', "success", "-"],
        [tail, "1", "read_file", '{"file_path":', "invalid", "(invalid_arguments)", "-"],
    ]


# runs


def test_runs_newest_first(state: Path, run: Run) -> None:
    first, second = record(state)
    code, out, err = run("runs")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["run", "when", "status", "model", "calls", "failed", "turns", "cost", "time", "task"]
    assert [row.split()[0] for row in rows] == [second[-4:], first[-4:]]
    assert "$0.0010+" in rows[1] and r"make the failing test pass \x1b[31m" in rows[1]
    assert " - " in rows[0]  # no answer, so no cost: neither "$0" nor "unpriced"
    _, out, _ = run("runs", "--json")
    assert [one["run_id"] for one in lines(out)] == [second, first]
    assert lines(out)[1]["failed_calls"] == 2


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (["--status", "failed"], ["another"]),
        (["--repo", "/other"], ["another"]),
        (["--since", "1h", "--limit", "1"], ["another"]),
        (["--status", "budget"], []),
    ],
)
def test_runs_can_be_chosen(state: Path, run: Run, choice: list[str], expected: list[str]) -> None:
    record(state)
    _, out, _ = run("runs", "--json", *choice)
    assert [one["task"] for one in lines(out)] == expected


def test_runs_says_that_there_are_older_ones(state: Path, run: Run) -> None:
    record(state)
    _, out, err = run("runs", "--limit", "1")
    assert len(out.splitlines()) == 2
    assert "--limit 5" in err


def test_a_cost_nobody_knows_is_unpriced_and_never_zero(state: Path, run: Run) -> None:
    with Ledger(state) as ledger:
        recorder = start(ledger)
        answer(recorder, 1, cost=None, text="Done.")
        recorder.finish(status="completed", response="Done.")
    for arguments in (["runs"], ["show"]):
        _, out, _ = run(*arguments)
        assert "unpriced" in out and "$0" not in out


def test_a_broken_request_of_unknown_cost_is_unpriced_everywhere(state: Path, run: Run) -> None:
    with Ledger(state) as ledger:
        recorder = start(ledger)
        recorder.request_failed(step=1, attempt=1, error_type="broken", message="the stream broke off")
        recorder.finish(status="failed", error="the stream broke off")
    with Reader(state) as reader:
        found = reader.run("last")
        assert (found.cost_nanousd, found.unpriced_turns, found.unpriced_requests) == (0, 0, 1)
        for query in (CallQuery(), CallQuery(since=found.started_at)):  # from the sums, and counted now
            everything = reader.breakdown("model", query)
            assert [row.unpriced_requests for row in (*everything.groups, everything.all)] == [1, 1]
            assert everything.source == ("exact" if query.since else "sketch")
    for arguments in (["runs"], ["show"], ["tail", "last"], ["stats", "--by", "model"], ["stats", "--by", "day"]):
        _, out, _ = run(*arguments)
        assert "unpriced" in out.replace("turns  unpriced", "") and "$" not in out and "no charge" not in out
    assert json.loads(run("stats", "--by", "role", "--json")[1])["unpriced_requests"] == 1
    assert check_index(state) == []


def test_what_is_free_is_no_charge_and_neither_unpriced_nor_zero(state: Path, run: Run) -> None:
    with Ledger(state) as ledger:
        recorder = start(ledger, provider="local")
        (call,) = answer(recorder, 1, asked("read_file", {"file_path": "a"}), cost=0)
        recorder.close_call(call, outcome="success", duration_ms=1.0)
        recorder.finish(status="completed")
    for arguments in (["runs"], ["show"], ["stats"]):
        _, out, _ = run(*arguments)
        assert "no charge" in out and "$" not in out and "unpriced" not in out


# show


def test_show_tells_the_run_in_order(state: Path, run: Run) -> None:
    (first, _) = record(state)
    code, out, err = run("show", first[-4:])
    assert (code, err) == (0, "")
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, .*", "WHEN", out.replace(first, "RUN")).splitlines() == [
        "run       RUN",
        "status    completed",
        "task      make the failing",
        r"          test pass \x1b[31m",
        "model     groq/model-x (answered: model-x-2)",
        "provider  groq",
        "repo      /repo",
        "when      WHEN",
        out.splitlines()[8],
        "",
        "   1  attempt 1 gave no answer: E303 slow down",
        "   1  I look first.",
        "        read_file a.py               8 ms",
        "        run_command pytest -q      910 ms  failed (exit 1)",
        '        web_search {"q":"x"}            -  run by the provider',
        '        read_file {"file_path":         -  invalid (invalid_arguments): no JSON object',
        "   2  Fixed it.",
        "",
        "check  pytest -q",
        "passed",
        "4 passed",
        "",
        out.splitlines()[22],
        "",
        "🔧 Middleware captured 4 tool calls from groq",
        "💰 Token usage - Input: 2000, Output: 100, Total: 2100",
        "",
        "🔧 Tool Calls (4):",
        '  1. {"input": {"file_path": "a.py"}, "step": 1, "tool_name": "read_file"}',
        '  2. {"input": {"command": "pytest -q"}, "step": 2, "tool_name": "run_command"}',
        '  3. {"input": {"q": "x"}, "step": 3, "tool_name": "web_search"}',
        r'  4. {"input": "{\"file_path\": ", "step": 4, "tool_name": "read_file"}',
    ]
    sums = "4 calls, 2 failed · 2 turns · 2,000 tokens in (800 cached), 100 out · $0.0010 and 1 turn unpriced · "
    assert out.splitlines()[22].startswith(sums)


def test_show_verbose_adds_what_was_asked_and_given_made_harmless(state: Path, run: Run) -> None:
    (first, _) = record(state)
    _, out, _ = run("show", first, "-v")
    assert '         asked  {"command": "pytest -q"}' in out
    assert r"          gave  1 failed \x1b[2J" in out
    assert out.count("print()") == 1000
    assert "\x1b" not in out


def test_show_last_is_the_newest_and_tells_its_error(state: Path, run: Run) -> None:
    (_, second) = record(state)
    outs = {run(*arguments)[1] for arguments in (["show"], ["show", "last"], ["show", second.lower()])}
    assert len(outs) == 1
    (out,) = outs
    assert "error  E311 the key was refused. Fix: another" in out.splitlines()
    assert "status    failed" in out.splitlines()


def test_show_leaves_out_the_first_line_for_native_capture(state: Path, run: Run) -> None:
    with Ledger(state) as ledger:
        recorder = start(ledger, provider="ollama", capture="native")
        answer(recorder, 1, text="Hi")
        recorder.finish(status="completed", response="Hi")
    _, out, _ = run("show")
    assert "Middleware captured" not in out and "🔧 Tool Calls (0):" in out


def test_show_as_json_is_the_run_with_calls_steps_and_tokens(state: Path, run: Run) -> None:
    (first, _) = record(state)
    code, out, _ = run("show", first, "--json")
    assert code == 0
    (view,) = lines(out)
    assert view["run_id"] == first and view["status"] == "completed" and view["steps_taken"] == 2
    assert [(one["step"], one["tool_name"], one["status"]) for one in view["tool_calls"]] == [
        (1, "read_file", "success"),
        (2, "run_command", "failed"),
        (3, "web_search", "success"),
        (4, "read_file", "invalid"),
    ]
    assert view["tool_calls"][0]["output"] == "print()\n" * 1000
    assert view["token_usage"]["total_tokens"] == 2100
    assert {step["type"] for step in view["execution_steps"]} == {"model", "tool_call", "tool_result", "error"}
    assert view["completed_at"] is not None


def test_a_run_that_is_not_there(state: Path, run: Run) -> None:
    record(state)
    code, out, err = run("show", "ZZZZ")
    assert (code, out) == (1, "")
    assert err == 'E604 No run ends in "ZZZZ". Fix: equitrcoder runs\n'


def test_show_still_tells_what_the_index_knows_when_the_journal_is_gone(state: Path, run: Run) -> None:
    (first, _) = record(state)
    run("runs")
    (journal,) = state.glob(f"journals/*/*/{first}.jsonl")
    journal.unlink()
    code, out, _ = run("show", first)
    assert code == 0
    assert "no journal" in out and "run_command pytest -q" in out


# stats


def test_stats_as_a_table(state: Path, run: Run) -> None:
    with Ledger(state) as ledger:
        recorder = start(ledger)
        calls = answer(recorder, 1, *(asked("read_file", {"file_path": "a"}, number) for number in range(11)))
        for number, call in enumerate(calls):
            recorder.start(call)
            outcome = "failed" if number == 10 else "success"
            recorder.close_call(call, outcome=outcome, result="x", duration_ms=float(number + 1))
        calls = answer(recorder, 2, *(asked("run_command", {"command": "x"}, number) for number in range(2)), cost=None)
        recorder.start(calls[0])
        recorder.close_call(calls[0], outcome="success", result="x", duration_ms=3100.0)
        recorder.start(calls[1])  # still running: not counted
        code, out, err = run("stats")
        recorder.close_call(calls[1], outcome="success", duration_ms=1.0)
        recorder.finish(status="completed")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "tool         calls  failed  p50 ms  p95 ms  p99 ms  total",
        "read_file       11  1 (9%)     6.0      11      11  66 ms",
        "run_command      1       0   3,071   3,071   3,071  3.1 s",
        "all             12  1 (8%)  sketch                  3.2 s  $0.0010, 1 turn unpriced",
    ]


def test_stats_as_json_have_the_seeds_shape(state: Path, run: Run) -> None:
    code, out, _ = run("stats", "--json")
    assert code == 0
    assert lines(out) == [
        {
            "total_calls": 0,
            "successful_calls": 0,
            "failed_calls": 0,
            "success_rate": 0.0,
            "total_duration_ms": 0.0,
            "average_duration_ms": 0.0,
            "tool_usage": {},
            "source": "sketch",
        }
    ]
    record(state)
    _, out, _ = run("stats", "--json")
    (stats,) = lines(out)
    assert (stats["total_calls"], stats["successful_calls"], stats["failed_calls"]) == (4, 2, 2)
    assert stats["success_rate"] == 0.5
    assert stats["total_duration_ms"] == 918.25
    assert stats["average_duration_ms"] == pytest.approx(229.562, abs=0.001)
    assert list(stats["tool_usage"]) == ["read_file", "run_command", "web_search"]
    assert stats["tool_usage"]["read_file"] == {"count": 2, "success_count": 1, "total_duration_ms": 8.25}


def test_stats_of_a_run_and_of_a_time(state: Path, run: Run) -> None:
    (first, _) = record(state)
    assert "$0.0010, 1 turn unpriced" in run("stats", "--run", first[-4:])[1]
    assert lines(run("stats", "--run", "last", "--json")[1])[0]["total_calls"] == 0
    assert lines(run("stats", "--since", "1h", "--json")[1])[0]["total_calls"] == 4
    assert run("stats", "--since", "2999-01-01")[:2] == (0, "")


def test_of_a_run_that_began_before_only_the_later_turns_are_paid(state: Path, run: Run) -> None:
    (first, _) = record(state)
    _, out, _ = run("show", first, "--json")
    models = [step["timestamp"] for step in lines(out)[0]["execution_steps"] if step["type"] == "model"]
    calls = lines(run("calls", "--json")[1])
    moment = calls[-1]["requested_at"]  # after the first answer, before the second
    assert datetime.fromisoformat(models[0]) <= datetime.fromisoformat(moment) <= datetime.fromisoformat(models[1])
    _, out, _ = run("stats", "--since", moment)
    assert out.splitlines()[-1].endswith("unpriced, 1 turn")


# nothing there, damage, db


@pytest.mark.parametrize("arguments", [["runs"], ["calls"], ["stats"]])
def test_with_nothing_there_the_next_step_is_told(state: Path, run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (0, "")
    assert err.endswith(" yet. See it work: equitrcoder demo\n")
    record(state)
    code, out, err = run(*arguments, "--since", "2999-01-01")
    assert (code, out) == (0, "")
    assert " match. All: equitrcoder " in err


def test_show_with_nothing_there(run: Run) -> None:
    code, _, err = run("show")
    assert code == 1
    assert "There is no run yet" in err


def test_damage_is_told_and_rebuild_says_where(state: Path, run: Run) -> None:
    (first, _) = record(state)
    assert run("db", "rebuild")[0] == 0
    (journal,) = state.glob(f"journals/*/*/{first}.jsonl")
    data = journal.read_bytes()
    journal.write_bytes(data.replace(b'"exit_code":1', b'"exit_code":7'))
    code, out, _ = run("db", "rebuild")
    assert code == 1
    assert out.splitlines()[0].startswith("2 runs, 4 calls in ")
    assert out.splitlines()[1].startswith(f"damaged: {journal.relative_to(state)} at byte ")
    code, out, err = run("runs")
    assert code == 0 and len(out.splitlines()) == 3
    assert err.startswith(f"The ledger is damaged: {journal.relative_to(state)}: ")


def test_rebuild_gives_the_same_answers(state: Path, run: Run) -> None:
    record(state)
    before = run("calls", "--json"), run("runs", "--json"), run("stats", "--json")
    (state / "index.sqlite").unlink()
    assert run("db", "rebuild")[0] == 0
    assert (run("calls", "--json"), run("runs", "--json"), run("stats", "--json")) == before


def test_db_path_is_one_line(state: Path, run: Run) -> None:
    assert run("db", "path") == (0, f"{state}/index.sqlite\n", "")


def test_an_index_where_there_can_be_none_is_an_error_with_a_fix(state: Path, run: Run) -> None:
    state.write_text("in the way")
    for arguments in (["db", "rebuild"], ["runs"]):
        code, _, err = run(*arguments)
        assert code == 1
        assert err.startswith("E601 ") and "Fix: " in err


# processes of their own


HEAVY = ("httpx2", "equitrcoder.agent", "equitrcoder.providers", "equitrcoder.tools", "asyncio", "ssl", "re2", "yaml")


@pytest.mark.parametrize(
    "arguments",
    [["stats"], ["calls"], ["runs"], ["show"], ["calls", "--json"], ["show", "--json"], ["stats", "--json"]],
    ids=" ".join,
)
def test_reading_loads_neither_agent_nor_http(state: Path, arguments: list[str]) -> None:
    record(state)
    program = (
        "import sys\n"
        "from equitrcoder.cli.app import run_app\n"
        f"code = run_app({arguments!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout


@pytest.mark.parametrize("arguments", [["calls", "--json"], ["calls"], ["runs", "--json"]], ids=" ".join)
def test_a_reader_that_leaves_ends_the_command_quietly(state: Path, arguments: list[str]) -> None:
    with Ledger(state) as ledger:
        recorder = start(ledger)
        for step in range(1, 40):
            for call in answer(recorder, step, *(asked("read_file", {"file_path": "a"}, n) for n in range(30))):
                recorder.close_call(call, outcome="success", result="x" * 200, duration_ms=1.0)
        recorder.finish(status="completed")
    process = subprocess.Popen(
        [sys.executable, "-m", "equitrcoder", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    with process:
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(60), said) == (0, b"")


def test_a_pipe_that_is_closed_from_the_start(state: Path) -> None:
    record(state)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([sys.executable, "-m", "equitrcoder", "stats"], stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_that_knows_only_ascii_gets_what_it_can_show(state: Path) -> None:
    record(state)
    environ = dict(os.environ) | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "equitrcoder", "show"], capture_output=True, env=environ, timeout=60)
    assert done.returncode == 0
    assert b"? Tool Calls (0):" in done.stdout
