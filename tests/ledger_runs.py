"""What the ledger's tests share: runs with calls, and the index as plain data."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from equitrcoder.ledger import Ledger, RecordedCall, RunRecorder
from equitrcoder.wires.values import Turn, Usage, WireCall

TABLES = ("agent_runs", "model_turns", "tool_calls", "journals", "damage", "progress")


def start(ledger: Ledger, **changes: Any) -> RunRecorder:
    """A run of groq, unless told otherwise."""
    facts: dict[str, Any] = {
        "provider": "groq",
        "model_requested": "groq/openai/gpt-oss-120b",
        "repo_path": "/repo",
        "task": "fix it",
        "capture": "middleware",
    }
    return ledger.start_run(**(facts | changes))


def ask(
    run: RunRecorder, *calls: tuple[str, Any], step: int = 1, cost: int | None = 10, **changes: Any
) -> tuple[RecordedCall, ...]:
    """A model's answer that asks for calls, each a name and its arguments."""
    wire_calls = tuple(
        WireCall(name=name, arguments=arguments, id=f"call_{step}_{index}", index=index)
        for index, (name, arguments) in enumerate(calls)
    )
    turn: dict[str, Any] = {
        "text": "let me see",
        "calls": wire_calls,
        "usage": Usage(input_tokens=100, cached_read_tokens=40, output_tokens=7, reasoning_tokens=2),
        "finish": "tool_calls",
        "stop": "calls",
        "model_answered": "openai/gpt-oss-120b",
        "native": {"role": "assistant", "content": "let me see"},
    }
    return run.record_turn(
        Turn(**(turn | changes)),
        step=step,
        duration_ms=20.5,
        time_to_first_byte_ms=3.0,
        attempts=1,
        cost_nanousd=cost,
        price_version="2026-11",
    )


def one_call(run: RunRecorder, *, step: int = 1, outcome: Any = "success", result: Any = "fine") -> RecordedCall:
    """A call that was asked for, started and closed."""
    (call,) = ask(run, ("read_file", {"file_path": "a.py"}), step=step)
    run.start(call, sandbox="none")
    run.close_call(call, outcome=outcome, result=result, duration_ms=1.5)
    return call


def journal_of(state_dir: Path) -> Path:
    """The only journal."""
    (path,) = state_dir.glob("journals/*/*/*.jsonl")
    return path


def dump(state_dir: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The whole index, table by table, in a fixed order."""
    connection = sqlite3.connect(state_dir / "index.sqlite")
    try:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}
    finally:
        connection.close()
