"""How fast an index is made anew: real journals of calls with 1 KB of arguments and 4 KB of result."""

from __future__ import annotations

import time
from pathlib import Path

from bench.recording import ARGUMENTS, RESULT
from equitrcoder.ledger import Ledger, rebuild_index
from equitrcoder.wires.values import Turn, WireCall

CALLS_PER_RUN = 200
CALLS_PER_ANSWER = 10


def record(state_dir: Path, calls: int) -> None:
    """Record so many calls."""
    with Ledger(state_dir) as ledger:
        for _ in range(calls // CALLS_PER_RUN):
            run = ledger.start_run(
                provider="groq", model_requested="groq/x", repo_path="/r", task="measure", capture="middleware"
            )
            for step in range(1, CALLS_PER_RUN // CALLS_PER_ANSWER + 1):
                asked = tuple(
                    WireCall(name="edit_file", arguments=ARGUMENTS, id=f"call_{step}_{index}", index=index)
                    for index in range(CALLS_PER_ANSWER)
                )
                recorded = run.record_turn(
                    Turn(calls=asked, model_answered="x"),
                    step=step,
                    duration_ms=1.0,
                    time_to_first_byte_ms=None,
                    attempts=1,
                    cost_nanousd=1,
                    price_version="p",
                )
                for call in recorded:
                    run.start(call, sandbox="none")
                    run.close_call(call, outcome="success", result=RESULT, duration_ms=1.5)
            run.finish(status="completed")


def calls_per_second(state_dir: Path) -> float:
    """Make the index anew and say how many calls a second that were."""
    began = time.perf_counter()
    report = rebuild_index(state_dir)
    return report.calls / (time.perf_counter() - began)
