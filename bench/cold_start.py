"""Cold start: how long a person waits for the commands that only read, beside what their imports alone cost.

    python -m bench.cold_start [--rounds 25]

Each command runs right after its floor in every round (a busy machine slows both alike). Printed are medians and the
median of the ratios within rounds; more than "at most" ends with exit code 1. Byte code is compiled before, the ledger
holds some runs, and every process has the same short environment.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

IMPORTS = (sys.executable, "-c", "import click, sqlite3")
COMMAND = str(Path(sys.executable).parent / "equitrcoder")


def tab(words: str) -> Mapping[str, str]:
    """The variables by which bash asks what may follow."""
    count = len(words.split(" "))
    return {"_EQUITRCODER_COMPLETE": "bash_complete", "COMP_WORDS": f"equitrcoder {words}", "COMP_CWORD": str(count)}


class Row(NamedTuple):
    """One command, and how many times its floor it may take."""

    name: str
    command: Sequence[str]
    at_most: float
    environ: Mapping[str, str] = MappingProxyType({})
    floor: tuple[str, ...] = IMPORTS


ROWS = (
    Row("stats", [COMMAND, "stats"], 2.0),
    Row("stats --by model", [COMMAND, "stats", "--by", "model"], 2.0),
    Row("--help", [COMMAND, "--help"], 1.5),
    Row("Tab after show", [COMMAND], 2.0, tab("show ")),
    Row("Tab after run --model gro", [COMMAND], 2.0, tab("run --model gro")),
)


def record_runs(state_dir: Path) -> None:
    """A ledger as one has it after a day: 20 runs of 30 calls."""
    from equitrcoder.ledger import Ledger
    from equitrcoder.wires.values import Turn, WireCall

    with Ledger(state_dir) as ledger:
        for _ in range(20):
            run = ledger.start_run(
                provider="groq", model_requested="groq/m", repo_path="/r", task="t", capture="middleware"
            )
            for step in range(1, 11):
                calls = tuple(
                    WireCall(name=name, arguments={"path": "a"}, id=str(index), index=index)
                    for index, name in enumerate(("read_file", "search", "run_command"))
                )
                recorded = run.record_turn(
                    Turn(calls=calls),
                    step=step,
                    duration_ms=900.0,
                    time_to_first_byte_ms=None,
                    attempts=1,
                    cost_nanousd=1000,
                    price_version="p",
                )
                for call in recorded:
                    run.start(call)
                    run.close_call(call, outcome="success", result="x" * 500, duration_ms=8.0)
            run.finish(status="completed")


def seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def measure(row: Row, environ: dict[str, str], rounds: int) -> tuple[float, float, float]:
    """Median seconds of the command and of its floor, and the median ratio."""
    pairs = []
    for _ in range(-2, rounds):
        pairs.append((seconds(row.floor, environ), seconds(row.command, environ | dict(row.environ))))
    floors, commands = zip(*pairs[2:], strict=True)  # the first two compile and warm up
    ratio = statistics.median(command / floor for floor, command in pairs[2:])
    return statistics.median(commands), statistics.median(floors), ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    too_slow = []
    print(f"medians of {rounds} rounds; the floor is what stands in brackets")
    print(f"{'':28}{'ms':>8}{'floor':>8}{'ratio':>8}{'at most':>9}")
    with tempfile.TemporaryDirectory(prefix="bench-cold-") as folder:
        environ = {"HOME": folder, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        environ["EQUITRCODER_STATE_DIR"] = str(Path(folder) / "state")
        record_runs(Path(environ["EQUITRCODER_STATE_DIR"]))
        for row in ROWS:
            took, floor, ratio = measure(row, environ, rounds)
            print(
                f"{row.name:28}{took * 1000:8.1f}{floor * 1000:8.1f}{ratio:8.2f}{row.at_most:9.2f}  ({row.floor[-1]})"
            )
            too_slow += [row.name] if ratio > row.at_most else []
    if too_slow:
        sys.exit(f"too slow: {', '.join(too_slow)}")


if __name__ == "__main__":
    main()
