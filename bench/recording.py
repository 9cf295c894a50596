"""What recording one tool call costs, against a JSON line with flush (the floor), in one process, interleaved.

One call: 1 KB of arguments, a result of 4 KB; requested, started and finished entries, chained, looked through for five
known secrets, with the index thread on. Run it: `python -m bench.recording`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path

from equitrcoder.ledger import Ledger, Redactor, RunRecorder
from equitrcoder.ledger.recorder import RecordedCall
from equitrcoder.wires.values import Turn, WireCall

ROUNDS = 5
CALLS = 5_000
BURST = 500
PAUSE_S = 0.4
"""Calls come in bursts with pauses, as they do while a model thinks; the index thread works then. So does the floor."""
CALLS_PER_ANSWER = 10
LENGTHS = {"sk-ant-api03-": 95, "sk-proj-": 156, "gsk_": 52, "AIza": 35, "ghp_": 36}
"""Keys as providers make them: prefix and the length of the rest."""
SECRETS = [prefix + (f"{length}f8Zq0PnTx7Lr2Vb" * 10)[:length] for prefix, length in LENGTHS.items()]
CODE = 'def parse_date(text: str) -> date:\n    """Read a date."""\n    return date(*map(int, text.split("-")))\n'
ARGUMENTS = {"file_path": "src/dates.py", "old_text": (CODE * 5)[:480], "new_text": (CODE * 5)[:480]}
RESULT = (CODE * 50)[:4096]


def main() -> None:
    """Print the figures, one line each."""
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    for name, value in figures.items():
        print(f"{name:44} {value:8.2f}")


def measure(folder: Path, *, rounds: int = ROUNDS, calls: int = CALLS) -> dict[str, float]:
    """Measure in interleaved rounds; medians over the rounds, ratios of the same round."""
    floors: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    for number in range(rounds):
        floors.append(_round(_in_bursts(repeat(_floor(folder / f"floor{number}.jsonl"), calls))))
        ours.append(_record_round(folder / f"state{number}", calls))
    p50 = statistics.median(floor[0] for floor in floors)
    return {
        "JSON line with flush: p50, us": p50,
        "ledger: p50, us": statistics.median(our[0] for our in ours),
        "ledger / JSON line: p50": statistics.median(
            our[0] / floor[0] for our, floor in zip(ours, floors, strict=True)
        ),
        "JSON line with flush: CPU per call, us": statistics.median(floor[1] for floor in floors),
        "ledger, index included: CPU per call, us": statistics.median(our[1] for our in ours),
        "ledger / JSON line: CPU": statistics.median(
            our[1] / floor[1] for our, floor in zip(ours, floors, strict=True)
        ),
    }


def _round(steps: Iterable[Callable[[int], None]]) -> tuple[float, float]:
    """p50 of one step and CPU time of the process per step, microseconds."""
    taken: list[int] = []
    cpu_began = time.process_time_ns()
    for number, step in enumerate(steps):
        began = time.perf_counter_ns()
        step(number)
        taken.append(time.perf_counter_ns() - began)
    return statistics.median(taken) / 1000, (time.process_time_ns() - cpu_began) / len(taken) / 1000


def _in_bursts(steps: Iterable[Callable[[int], None]]) -> Iterator[Callable[[int], None]]:
    for number, step in enumerate(steps):
        if number % BURST == 0:
            time.sleep(PAUSE_S)
        yield step


def _record_round(state_dir: Path, calls: int) -> tuple[float, float]:
    with Ledger(state_dir) as ledger:  # makes the folder and the index: a cost of the first run, not of a call
        _started(ledger).finish(status="completed")
    answers = _Answers(calls)
    with Ledger(state_dir, redactor=Redactor(SECRETS)) as ledger:
        run = _started(ledger)
        cpu_began = time.process_time_ns()
        p50, _ = _round(_in_bursts(answers.steps(run)))
        run.finish(status="completed")
    # What the index costs stands in here: `close` waits for it.
    cpu_ns = time.process_time_ns() - cpu_began - answers.cpu_ns
    return p50, cpu_ns / calls / 1000


def _started(ledger: Ledger) -> RunRecorder:
    return ledger.start_run(
        provider="groq", model_requested="groq/x", repo_path="/r", task="measure", capture="middleware"
    )


class _Answers:
    """The model's answers that ask for the calls. A JSON line has none of them, so their CPU time is kept apart."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self.cpu_ns = 0

    def steps(self, run: RunRecorder) -> Iterator[Callable[[int], None]]:
        """One step per call."""
        recorded: tuple[RecordedCall, ...] = ()
        for number in range(self._calls):
            if number % CALLS_PER_ANSWER == 0:
                recorded = self._answer(run, number)
            yield partial(_record, run, recorded[number % CALLS_PER_ANSWER])

    def _answer(self, run: RunRecorder, number: int) -> tuple[RecordedCall, ...]:
        began_ns = time.thread_time_ns()
        wire_calls = tuple(
            WireCall(name="edit_file", arguments=ARGUMENTS, id=f"call_{number + index}", index=index)
            for index in range(CALLS_PER_ANSWER)
        )
        recorded = run._number(wire_calls, 1 + number // CALLS_PER_ANSWER)
        run._answer(
            Turn(calls=wire_calls, native={"role": "assistant"}), recorded, {}, step=1 + number // CALLS_PER_ANSWER
        )
        self.cpu_ns += time.thread_time_ns() - began_ns
        return recorded


def _record(run: RunRecorder, call: RecordedCall, _: int) -> None:
    run._request(call, {})
    run.start(call, sandbox="none")
    run.close_call(call, outcome="success", result=RESULT, duration_ms=1.5)


def _floor(path: Path) -> Callable[[int], None]:
    file = path.open("a", encoding="utf-8")
    guard = threading.Lock()

    def step(number: int) -> None:
        entry = {
            "timestamp": time.time(),
            "session_id": "s",
            "tool_name": "edit_file",
            "tool_args": ARGUMENTS,
            "result": {"success": True, "content": RESULT, "metadata": {}},
            "success": True,
            "duration_ms": 1.5,
            "error": None,
            "call": number,
        }
        with guard:
            file.write(json.dumps(entry) + "\n")
            file.flush()

    return step


if __name__ == "__main__":
    main()
