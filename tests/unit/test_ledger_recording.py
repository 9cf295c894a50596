"""Recording a run and reading it back, through the public classes."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import CallQuery, Ledger, Reader, call_to_dict, log_entry
from equitrcoder.ledger.queries import EVERY_CALL
from equitrcoder.records import ToolCall, format_time, utc_now
from equitrcoder.wires.values import Turn, WireCall
from tests.ledger_runs import ask, dump, journal_of, one_call, start


def read_calls(state_dir: Path, query: CallQuery = EVERY_CALL, *, full: bool = True) -> list[ToolCall]:
    with Reader(state_dir) as reader:
        return list(reader.calls(query, full=full))


def test_a_call_is_recorded_with_all_its_fields(tmp_path: Path) -> None:
    began = utc_now()
    with Ledger(tmp_path) as ledger:
        run = start(ledger, parent_run_id="P" * 26, agent_role="worker", agent_name="w1", attempt=2)
        (call,) = ask(run, ("run_command", {"command": "pytest -q"}))
        run.approval(call, decision="granted", by="user", waited_ms=12.0)
        run.start(call, sandbox="bubblewrap", approval="granted")
        run.close_call(
            call,
            outcome="failed",
            result="1 failed",
            result_metadata={"exit_code": 1},
            error_type="exit_status",
            error_message="exit 1",
            duration_ms=912.25,
        )
        run.finish(status="completed", response="done")
    (found,) = read_calls(tmp_path)
    expected = {
        "call_uid": call.call_uid,
        "provider_call_id": "call_1_0",
        "session_id": run.session_id,
        "run_id": run.run_id,
        "parent_run_id": "P" * 26,
        "step": 1,
        "position": 0,
        "ordinal": 1,
        "provider": "groq",
        "model_requested": "groq/openai/gpt-oss-120b",
        "model_answered": "openai/gpt-oss-120b",
        "agent_role": "worker",
        "agent_name": "w1",
        "tool_name": "run_command",
        "tool_kind": "function",
        "executed_by": "client",
        "capture": "middleware",
        "arguments": {"command": "pytest -q"},
        "arguments_raw": None,
        "result": "1 failed",
        "result_metadata": {"exit_code": 1},
        "result_bytes": 8,
        "result_sha256": hashlib.sha256(b"1 failed").hexdigest(),
        "truncated_to": None,
        "outcome": "failed",
        "error_type": "exit_status",
        "error_message": "exit 1",
        "duration_ms": 912.25,
        "duration_source": "measured",
        "approval": "granted",
        "attempt": 2,
        "sandbox": "bubblewrap",
        "redactions": None,
    }
    times = {name: getattr(found, name) for name in ("requested_at", "started_at", "ended_at")}
    assert (
        began - timedelta(seconds=1) <= times["requested_at"] <= times["started_at"] <= times["ended_at"] <= utc_now()
    )
    assert call_to_dict(found) == expected | {name: format_time(moment) for name, moment in times.items()}
    assert list(call_to_dict(found)) == list(ToolCall.__dataclass_fields__)


def test_the_journal_is_chained_numbered_and_private(tmp_path: Path) -> None:
    with Ledger(tmp_path / "state") as ledger:
        run = start(ledger)
        run.message(role="user", text="fix it")
        run.request_failed(step=1, attempt=1, error_type="rate_limit", message="429", status=429, wait_s=1.5)
        one_call(run)
        run.finish(status="completed", response="done")
    path = journal_of(tmp_path / "state")
    lines = path.read_bytes().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events] == [
        "run_started",
        "message",
        "request_failed",
        "turn",
        "call_requested",
        "call_started",
        "call_finished",
        "run_finished",
    ]
    assert [event["seq"] for event in events] == list(range(1, 9))
    assert [event["prev"] for event in events] == ["", *(hashlib.sha256(line).hexdigest() for line in lines[:-1])]
    assert path.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in (path.parent, *path.parents[:4]) if folder != tmp_path} == {
        0o700
    }
    registered = [json.loads(line) for line in (tmp_path / "state" / "runs.jsonl").read_text().splitlines()]
    assert registered[0]["journal"] == path.relative_to(tmp_path / "state").as_posix()
    assert registered[1]["entries"] == 8
    assert registered[1]["last"] == hashlib.sha256(lines[-1]).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "expected", "raw"),
    [
        ({"n": 123456789012345678901234567890}, {"n": 123456789012345678901234567890}, None),
        ('{"broken', None, '{"broken'),
        (None, None, None),
        ({}, {}, None),
        ({"text": "a\x00b \ud800 c"}, {"text": "a\x00b \ufffd c"}, None),
        ({"text": "x" * 40_000}, {"text": "x" * 40_000}, None),
        ("y" * 40_000, None, "y" * 40_000),
        ({"": {"": [1.5, True, None, "ü"]}}, {"": {"": [1.5, True, None, "ü"]}}, None),
    ],
)
def test_arguments_come_back_as_they_were(tmp_path: Path, arguments: object, expected: object, raw: object) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        ask(run, ("tool\x00\ud800", arguments))
        run.finish(status="failed")
    for _ in range(2):  # as handed over by the recorder, and as read from the journal
        (found,) = read_calls(tmp_path)
        assert (found.arguments, found.arguments_raw) == (expected, raw)
        assert found.tool_name == "tool\x00\ufffd"
        (tmp_path / "index.sqlite").unlink()


@pytest.mark.parametrize(
    "result",
    [
        "short",
        "",
        "x" * 5000,
        "ü" * 3000,
        {"a": [1, 2.5, None]},
        {"a": "x" * 5000},
        [1] * 2000,
        12345678901234567890123,
        False,
        "a\x00b",
    ],
)
def test_results_come_back_whole_or_marked_cut(tmp_path: Path, result: object) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        call = one_call(run, result=result)
        run.finish(status="completed")
    text = result if isinstance(result, str) else json.dumps(result, separators=(",", ":"))
    with Reader(tmp_path) as reader:
        (whole,) = reader.calls(full=True)
        (seen,) = reader.calls()
        assert whole.result == result == reader.full_result(call.call_uid)
        assert whole.truncated_to is None
        assert whole.result_bytes == len(text.encode())
        assert whole.result_sha256 == hashlib.sha256(text.encode()).hexdigest()
        if len(text.encode()) <= 2048:
            assert seen == whole
        else:
            assert isinstance(seen.result, str)
            assert text.startswith(seen.result)
            assert seen.truncated_to == len(seen.result.encode()) <= 2048


def test_a_result_that_the_tool_cut_keeps_the_size_of_the_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        (call,) = ask(run, ("read_file", {}))
        run.start(call)
        run.close_call(
            call, outcome="success", result="head", result_bytes=90_000, result_sha256="ab" * 32, truncated_to=4
        )
    (found,) = read_calls(tmp_path)
    assert (found.result_bytes, found.result_sha256, found.truncated_to) == (90_000, "ab" * 32, 4)


def test_values_that_are_no_json_lose_no_call(tmp_path: Path) -> None:
    deep: object = "x"
    for _ in range(5_000):
        deep = [deep]
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        calls = ask(run, ("a", {}), ("b", {}), ("c", {"deep": deep}))
        run.close_call(calls[0], outcome="success", result={"path": Path("/x"), "nan": float("nan"), 1: {2}})  # type: ignore[dict-item]
        run.close_call(calls[1], outcome="success", result=deep)  # type: ignore[arg-type]
        run.finish(status="completed")
    odd, nested, asked = read_calls(tmp_path)
    assert odd.result == {"path": "/x", "nan": None, "1": "{2}"}
    assert json.dumps(nested.result).count("[") == 5_000
    assert json.dumps(asked.arguments).count("[") == 5_000


def test_what_the_provider_ran_is_closed_at_once(tmp_path: Path) -> None:
    wire_calls = (
        WireCall(name="web_search", arguments={"q": "a"}, id="1", index=0, kind="provider-executed", result=["hit"]),
        WireCall(name="web_search", arguments={"q": "b"}, id="2", index=1, kind="provider-executed", error="blocked"),
        WireCall(name="web_search", arguments={"q": "c"}, id="3", index=2, kind="provider-executed"),
    )
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        run.record_turn(
            Turn(calls=wire_calls),
            step=1,
            duration_ms=1.0,
            time_to_first_byte_ms=None,
            attempts=1,
            cost_nanousd=None,
            price_version=None,
        )
        run.finish(status="completed")
    found = read_calls(tmp_path)
    assert [call.outcome for call in found] == ["success", "failed", "unknown"]
    assert {(call.executed_by, call.tool_kind, call.duration_ms, call.duration_source) for call in found} == {
        ("provider", "builtin", None, "unknown")
    }
    assert found[0].result == ["hit"]
    assert found[1].error_message == "blocked"


def test_misuse_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        call = one_call(run)
        with pytest.raises(LedgerError, match="closed already"):
            run.close_call(call, outcome="failed")
        with pytest.raises(LedgerError, match="has started or is closed"):
            run.start(call)
        (other,) = ask(run, ("list_directory", {}), step=2)
        with pytest.raises(LedgerError, match="closes no call"):
            run.close_call(other, outcome="running")
        run.start(other)
        with pytest.raises(LedgerError, match="has started"):
            run.start(other)
        run.finish(status="completed")
        run.finish(status="failed")
        with pytest.raises(LedgerError, match="finished"):
            run.message(role="user", text="late")
    assert [found.outcome for found in read_calls(tmp_path)] == ["success", "cancelled"]
    with Reader(tmp_path) as reader:
        assert reader.run("last").status == "completed"
        assert reader.damage() == []


def test_finish_closes_what_is_open_as_cancelled(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        calls = ask(run, ("a", {}), ("b", {}), ("c", {}))
        run.start(calls[1])
        run.start(calls[2])
        run.close_call(calls[2], outcome="timeout", duration_ms=5.0)
        run.finish(status="cancelled")
    assert [call.outcome for call in read_calls(tmp_path)] == ["cancelled", "cancelled", "timeout"]


def test_closing_the_ledger_ends_its_runs_as_interrupted(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        one_call(start(ledger))
    with Reader(tmp_path) as reader:
        run = reader.run("last")
    assert (run.status, run.calls, run.failed_calls) == ("interrupted", 1, 0)
    assert run.error == "the ledger was closed while the run was open"


def test_a_reader_in_the_same_process_sees_everything_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, Reader(tmp_path) as reader:
        run = start(ledger)
        for number in range(1, 30):
            (call,) = ask(run, ("a", {}), step=number)
            assert [found.outcome for found in reader.calls(CallQuery(outcome="requested"))] == ["requested"]
            run.start(call)
            assert [found.outcome for found in reader.calls(CallQuery(outcome="running"))] == ["running"]
            run.close_call(call, outcome="success")
            assert reader.stats()["total_calls"] == number
        assert reader.run("last").status == "running"
        run.finish(status="completed")
        assert reader.run("last").status == "completed"


def test_parallel_threads_record_into_one_run(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        calls = ask(run, *(("tool", {"n": number}) for number in range(200)))

        def work(part: int) -> None:
            for call in calls[part::4]:
                run.start(call)
                run.close_call(call, outcome="success", result=f"r{call.ordinal}", duration_ms=float(call.ordinal))

        threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run.finish(status="completed")
    found = read_calls(tmp_path)
    assert [(call.ordinal, call.arguments, call.result, call.duration_ms) for call in found] == [
        (number + 1, {"n": number}, f"r{number + 1}", float(number + 1)) for number in range(200)
    ]
    live = dump(tmp_path)
    (tmp_path / "index.sqlite").unlink()
    read_calls(tmp_path)
    assert dump(tmp_path) == live


def test_turns_and_runs_add_up(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger, session_id="s1", previous_run_id="Q" * 26)
        run.request_failed(step=1, attempt=1, error_type="overloaded", message="503", cost_nanousd=5)
        one_call(run, step=1)
        one_call(run, step=2, outcome="failed")
        ask(run, step=3, cost=None)
        run.finish(status="limit", response="so far", error="100 turns", error_type="turns")
    with Reader(tmp_path) as reader:
        found = reader.run(run.run_id)
        turns = reader.turns(run.run_id)
    assert (found.session_id, found.previous_run_id, found.status, found.response, found.error) == (
        "s1",
        "Q" * 26,
        "limit",
        "so far",
        "100 turns",
    )
    assert (found.steps_taken, found.calls, found.failed_calls) == (3, 2, 1)
    assert (found.input_tokens, found.cached_read_tokens, found.output_tokens, found.reasoning_tokens) == (
        300,
        120,
        21,
        6,
    )
    assert (found.cost_nanousd, found.unpriced_turns) == (25, 1)
    assert found.completed_at is not None
    assert found.model_answered == "openai/gpt-oss-120b"
    assert [(turn.step, turn.calls, turn.cost_nanousd, turn.text) for turn in turns] == [
        (1, 1, 10, "let me see"),
        (2, 1, 10, "let me see"),
        (3, 0, None, "let me see"),
    ]
    assert (turns[0].duration_ms, turns[0].time_to_first_byte_ms, turns[0].price_version) == (20.5, 3.0, "2026-11")


def test_log_entries_begin_with_the_seeds_eight_keys(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        one_call(run, result="contents")
        call = one_call(run, step=2, outcome="failed", result="no such file")
        ask(run, ("open", {}), step=3)
        ok, failed, still_open = map(log_entry, read_calls(tmp_path))
        assert call.ordinal == 2
    keys = ["timestamp", "session_id", "tool_name", "tool_args", "result", "success", "duration_ms", "error"]
    assert list(ok)[:8] == keys
    assert {name: ok[name] for name in keys[1:]} == {
        "session_id": run.session_id,
        "tool_name": "read_file",
        "tool_args": {"file_path": "a.py"},
        "result": {"success": True, "content": "contents", "metadata": {}},
        "success": True,
        "duration_ms": 1.5,
        "error": None,
    }
    assert (failed["success"], failed["error"]) == (False, "failed")
    assert (still_open["result"], still_open["error"], still_open["success"]) == (None, None, False)
    json.dumps([ok, failed, still_open])


def test_the_run_view_has_the_second_seeds_fields(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        (call,) = ask(run, ("f_list_directory", {"path": "."}))
        run.approval(call, decision="denied", by="user", reason="no", waited_ms=1.0)
        run.close_call(call, outcome="denied", error_type="denied", error_message="no")
        run.request_failed(step=2, attempt=1, error_type="overloaded", message="503")
        run.finish(status="completed", response="done")
    with Reader(tmp_path) as reader:
        view = reader.run_view("last")
    assert (view["response"], view["steps_taken"], view["status"]) == ("done", 1, "completed")
    assert view["completed_at"] is not None
    assert view["token_usage"] == {
        "input_tokens": 100,
        "output_tokens": 7,
        "total_tokens": 107,
        "cached_read_tokens": 40,
        "reasoning_tokens": 2,
    }
    (shown,) = view["tool_calls"]  # type: ignore[misc]
    assert isinstance(shown, dict)
    assert {name: shown[name] for name in ("tool_name", "input", "step", "output", "status", "error")} == {
        "tool_name": "f_list_directory",
        "input": {"path": "."},
        "step": 1,
        "output": None,
        "status": "denied",
        "error": "no",
    }
    steps = view["execution_steps"]
    assert isinstance(steps, list)
    assert [(step["step"], step["type"]) for step in steps if isinstance(step, dict)] == [
        (1, "model"),
        (2, "tool_call"),
        (3, "approval"),
        (4, "tool_result"),
        (5, "error"),
    ]
    json.dumps(view)


def test_importing_the_recorder_loads_no_database() -> None:
    import subprocess
    import sys

    code = (
        "import sys, equitrcoder.ledger.ledger; print(*sorted({'sqlite3', 'yaml', 're2', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
