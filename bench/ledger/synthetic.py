"""A ledger of any size in minutes: rows and statistics of made-up runs, written straight into an index.

Metadata only: there are no journals behind it. Tables, indexes and statistics are those of the package.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from equitrcoder.ledger import cells, days, rows, schema
from equitrcoder.ledger.index import NAME, Index
from equitrcoder.records import format_time

CALLS_PER_RUN = 100
CALLS_PER_ANSWER = 5
RUNS_PER_SESSION = 5
DAYS = 365
END = datetime(2026, 11, 1, tzinfo=UTC)
TOOLS = {
    "read_file": 40,
    "run_command": 25,
    "edit_file": 20,
    "search": 8,
    "list_directory": 3,
    "write_file": 2,
    "git_diff": 1,
    "git_status": 0.5,
    "directory_tree": 0.3,
    "git_commit": 0.15,
    "web_search": 0.04,
    "rare": 0.01,
}
MODELS = [
    ("anthropic", "claude-large", 40),
    ("anthropic", "claude-small", 25),
    ("openai", "gpt-large", 20),
    ("groq", "oss-120b", 10),
    ("ollama", "local-8b", 4.9),
    ("mistral", "seldom", 0.1),
]
ROLES = [("single", "single", 80), ("supervisor", "supervisor", 4), ("worker", "w1", 8), ("worker", "w2", 8)]
OUTCOMES = {"success": 91, "failed": 6, "timeout": 1, "invalid": 1, "denied": 0.5, "cancelled": 0.49, "unknown": 0.01}
ARGUMENTS = '{"file_path":"src/package/module.py"}'
RUNS_AT_ONCE = 500

_Row = tuple[Any, ...]


def make(state_dir: Path, calls: int, seed: int = 1) -> None:
    """Make the index of a ledger with so many calls, the last of them just before `END`."""
    state_dir.mkdir(parents=True, exist_ok=True)
    index = Index(state_dir / NAME, state_dir)
    connection = index.connection
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -500000")
    later = re.findall(r"CREATE (?:UNIQUE )?INDEX (tool_calls\w+) .*", schema.TABLES)
    statements = [found[0] for found in re.finditer(r"CREATE (?:UNIQUE )?INDEX tool_calls\w+ .*", schema.TABLES)]
    for name in later:
        connection.execute(f"DROP INDEX {name}")
    maker = _Maker(random.Random(seed), max(calls // CALLS_PER_RUN, 1))
    for first in range(0, maker.runs, RUNS_AT_ONCE):
        with index.transaction():
            numbers = [maker.write(connection, n) for n in range(first, min(first + RUNS_AT_ONCE, maker.runs))]
            cells.fold(connection, numbers)
    for statement in statements:
        connection.execute(statement)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    index.close()


class _Maker:
    def __init__(self, chance: random.Random, runs: int) -> None:
        self.runs = runs
        self._chance = chance
        self._step = timedelta(days=DAYS) / (runs * CALLS_PER_RUN)
        self._places = {name: place for place, name in enumerate(rows.CALL_COLUMNS)}
        self._blank = list(rows.CALL_COLUMNS.values())
        self._enter = _insert("tool_calls", tuple(rows.CALL_COLUMNS))

    def write(self, connection: Any, n: int) -> int:
        number = n * 1000
        run_id = f"01RUN{n:021d}"
        provider, model, _ = self._chance.choices(MODELS, [model[2] for model in MODELS])[0]
        role, name, _ = self._chance.choices(ROLES, [one[2] for one in ROLES])[0]
        words = (provider, f"{provider}/{model}", role, name)
        actor = cells.enter_actor(connection, cells.actor_of(words, model))
        start = END - timedelta(days=DAYS) + n * CALLS_PER_RUN * self._step
        counted: cells.Cells = {}
        calls = list(self._calls(n, run_id, number, actor, start, counted))
        connection.executemany(self._enter, calls)
        connection.executemany(_TURN, list(self._turns(run_id, actor, model, start, counted)))
        failed = sum(cell.calls - cell.success for cell in counted.values())
        ended = start + CALLS_PER_RUN * self._step
        at, end = format_time(start), format_time(ended)
        connection.execute(
            _insert("journals", ("run_id", "path", "number", "clock", "finished", "offset", "registered_entries")),
            (run_id, f"journals/2026/01/{run_id}.jsonl", number, end, 1, 0, 0),
        )
        answers = CALLS_PER_RUN // CALLS_PER_ANSWER
        row = {
            "run_id": run_id,
            "number": number,
            "session_id": f"01SESSION{n // RUNS_PER_SESSION:017d}",
            "agent_role": role,
            "agent_name": name,
            "attempt": 1,
            "provider": provider,
            "model_answered": model,
            "model_requested": words[1],
            "capture": "middleware",
            "repo_path": f"/repo/{n % 20}",
            "task": "a task",
            "status": "failed" if n % 10 == 0 else "completed",
            "started_at": at,
            "completed_at": end,
            "steps_taken": answers,
            "calls": len(calls),
            "failed_calls": failed,
            "input_tokens": 1000 * answers,
            "output_tokens": 50 * answers,
            "cost_nanousd": 1_000_000 * answers,
        }
        connection.execute(_insert("agent_runs", tuple(row)), tuple(row.values()))
        cells.add_to_run(connection, number, counted)
        return number

    def _calls(
        self, n: int, run_id: str, number: int, actor: int, start: datetime, counted: cells.Cells
    ) -> Iterator[_Row]:
        chance, places = self._chance, self._places
        tools = chance.choices(list(TOOLS), list(TOOLS.values()), k=CALLS_PER_RUN)
        outcomes = chance.choices(list(OUTCOMES), list(OUTCOMES.values()), k=CALLS_PER_RUN)
        for place, (tool, outcome) in enumerate(zip(tools, outcomes, strict=True)):
            at = format_time(start + place * self._step)
            duration_ms = None if tool == "web_search" else round(chance.lognormvariate(2 + len(tool) / 4, 1.2), 3)
            row = self._blank.copy()
            for name, value in (
                *(("call_uid", f"01CALL{n:012d}{place:08d}"), ("run_id", run_id), ("ordinal", place + 1)),
                *(("step", place // CALLS_PER_ANSWER + 1), ("position", place % CALLS_PER_ANSWER)),
                *(("tool_name", tool), ("tool_kind", "builtin"), ("actor", actor), ("outcome", outcome)),
                *(("arguments", ARGUMENTS), ("arguments_form", rows.WHOLE), ("requested_at", at), ("order_at", at)),
                *(("run_number", number), ("started_at", at), ("ended_at", at), ("duration_ms", duration_ms)),
                *(("duration_source", "measured" if duration_ms else "unknown"), ("result_bytes", 4096)),
            ):
                row[places[name]] = value
            key = (days.quarter_of(at), tool, actor)
            cell = counted.get(key)
            if cell is None:
                cell = counted[key] = cells.Cell()
            cell.take_call(outcome, duration_ms)
            yield tuple(row)

    def _turns(self, run_id: str, actor: int, model: str, start: datetime, counted: cells.Cells) -> Iterator[_Row]:
        for step in range(1, CALLS_PER_RUN // CALLS_PER_ANSWER + 1):
            at = format_time(start + (step - 1) * CALLS_PER_ANSWER * self._step)
            row = {
                "run_id": run_id,
                "step": step,
                "at": at,
                "model_answered": model,
                "input_tokens": 1000,
                "cached_read_tokens": 400,
                "cache_write_tokens": 0,
                "output_tokens": 50,
                "reasoning_tokens": 5,
                "finish": "tool_calls",
                "duration_ms": 800.5,
                "time_to_first_byte_ms": 200.25,
                "attempts": 1,
                "cost_nanousd": 1_000_000,
                "price_version": "2026-11",
                "text": "",
                "calls": CALLS_PER_ANSWER,
            }
            counted.setdefault((days.quarter_of(at), "", actor), cells.Cell()).take_turn(row)
            yield tuple(row.values())


def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


_TURN = _insert(
    "model_turns",
    (
        *("run_id", "step", "at", "model_answered", "input_tokens", "cached_read_tokens", "cache_write_tokens"),
        *("output_tokens", "reasoning_tokens", "finish", "duration_ms", "time_to_first_byte_ms", "attempts"),
        *("cost_nanousd", "price_version", "text", "calls"),
    ),
)
