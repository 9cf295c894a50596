"""Makes tests/golden/ledger_v1: a small ledger with something of everything. It was run once and stays as it is: what a
released version wrote must open for ever. A new version of the journal gets a folder of its own.

    python -m tests.golden.make_ledger tests/golden/ledger_v2
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from equitrcoder.ledger import AgentRuns, Ledger, RecordedCall, RunRecorder
from equitrcoder.wires.values import Turn, Usage, WireCall

SESSION = "01KDZ0000000000000000SESSN"


def call(name: str, arguments: object, index: int, **more: object) -> WireCall:
    return WireCall(name=name, arguments=arguments, id=f"call_{name}_{index}", index=index, **more)  # type: ignore[arg-type]


def answer(
    run: RunRecorder, step: int, text: str, *calls: WireCall, cost: int | None = 1_500_000
) -> list[RecordedCall]:
    turn = Turn(
        text=text,
        calls=calls,
        usage=Usage(input_tokens=1000 * step, cached_read_tokens=100, output_tokens=50, reasoning_tokens=5),
        finish="tool_calls" if calls else "stop",
        stop="calls" if calls else "end",
        model_answered="gpt-6.1-sol-2026-09-01",
        native={"role": "assistant", "content": text},
    )
    return [
        *run.record_turn(
            turn,
            step=step,
            duration_ms=812.5,
            time_to_first_byte_ms=210.25,
            attempts=1,
            cost_nanousd=cost,
            price_version="2026-11-01" if cost is not None else None,
            tool_kinds={"read_file": "builtin", "run_command": "builtin", "write_file": "builtin"},
        )
    ]


def watched(ledger: Ledger) -> None:
    run = ledger.start_run(
        provider="openai",
        model_requested="openai/gpt-6.1-sol",
        repo_path="/home/ada/project",
        task="make the failing test pass",
        capture="middleware",
        session_id=SESSION,
        system="You are a coding agent.",
        settings={"approve": "ask"},
    )
    run.message(role="user", text="make the failing test pass")
    run.request_failed(step=1, attempt=1, error_type="rate_limit", message="slow down", status=429, wait_s=2.0)
    read, test, bad = answer(
        run,
        1,
        "I look first.",
        call("read_file", {"file_path": "src/main.py", "start_line": 1, "end_line": 50}, 0),
        call("run_command", {"command": "pytest -q"}, 1),
        call("write_file", '{"file_path": ', 2),
    )
    run.start(read)
    run.close_call(read, outcome="success", result="print('hello')\n", result_metadata={"lines": 1}, duration_ms=23.4)
    run.start(test, sandbox="bubblewrap", approval="granted")
    run.close_call(
        test,
        outcome="failed",
        result="Exit 1.\n1 failed\n",
        result_metadata={"exit_code": 1},
        error_type="exit_status",
        error_message="exit 1",
        duration_ms=910.125,
    )
    run.close_call(bad, outcome="invalid", result="no JSON", error_type="invalid_arguments", error_message="no JSON")
    search, write = answer(
        run,
        2,
        "",
        call("web_search", {"query": "splitting bills"}, 0, kind="provider-executed"),
        call("write_file", {"file_path": "src/main.py", "content": "print('hi')\n"}, 1),
        cost=None,
    )
    assert search.call.kind == "provider-executed"
    run.approval(write, decision="denied", by="user", reason="not like this", waited_ms=1500.0)
    run.close_call(
        write, outcome="denied", result="Denied.", error_type="denied", error_message="not like this", approval="denied"
    )
    answer(run, 3, "I could not.")
    run.finish(status="failed", response="I could not.", error="the model reported failure")


def reported(folder: Path) -> None:
    """The second guide's example with four calls."""
    paths = ["/", "/home/user/project", "/home/user/project/internal", "/home/user/project/cmd"]
    names = ["f_list_directory", "f_list_directory", "f_directory_tree", "f_directory_tree"]
    calls = [
        {"tool_name": name, "input": {"path": path}, "step": number, "output": {"entries": number}}
        for number, (name, path) in enumerate(zip(names, paths, strict=True), 1)
    ]
    steps = [{"type": "model", "content": "Looking.", "tokens": {"input_tokens": 8546, "output_tokens": 364}}]
    with AgentRuns(folder) as runs:
        run = runs.create(
            task="what is here?", provider="gemini", model="gemini/gemini-3-pro", session_id=SESSION, capture="native"
        )
        at = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
        runs.update_completion(run.run_id, "A project.", 5, calls, steps, "completed", at)


def main(folder: Path) -> None:
    with Ledger(folder) as ledger:
        watched(ledger)
    reported(folder)
    for path in folder.glob("index.*"):
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
