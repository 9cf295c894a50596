"""What a command costs behind the walls: the sandbox row of DESIGN.md section 9.

    python -m bench.sandbox [--rounds 20] [--commands 25]

In every round each contender runs `true` some times, one contender after the other (a busy machine slows all alike).
Printed are p50 and p95 of all commands, and the median over the rounds of p50 divided by the p50 of the floor.

  floor       `bash --noprofile --norc -c true` by subprocess, its output read from a pipe to the end, waited for
  none        `run` of the sandbox without walls
  warm        `run` of the bubblewrap sandbox, sent to the one that stays
  cold        `run` of the bubblewrap sandbox, a new one for each command
  first       the first command of a session: folders, looking round, starting the warm one beside it
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
from equitrcoder.sandbox.plain import PlainSandbox, find_bash


async def floor() -> None:
    read_end, write_end = os.pipe()
    words = [find_bash(), "--noprofile", "--norc", "-c", "true"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end)
    os.close(write_end)
    while os.read(read_end, 65536):
        pass
    os.close(read_end)
    process.wait()


def command(sandbox: BubblewrapSandbox | PlainSandbox) -> Callable[[], Awaitable[object]]:
    return lambda: sandbox.run("true", timeout_s=60, output_limit_bytes=10_000)


async def measure(repo: Path, rounds: int, commands: int) -> dict[str, list[list[float]]]:
    warm = BubblewrapSandbox(repo, environ=os.environ)
    if not await warm.warm_up():
        raise SystemExit("no warm sandbox can be had here")
    cold = BubblewrapSandbox(repo, environ=os.environ, warm=False)
    contenders: dict[str, Callable[[], Awaitable[object]]] = {
        "floor": floor,
        "none": command(PlainSandbox(repo, environ=os.environ)),
        "warm": command(warm),
        "cold": command(cold),
    }
    found: dict[str, list[list[float]]] = {name: [] for name in (*contenders, "first")}
    for round_ in range(-1, rounds):  # round -1 warms up and is not counted
        for name, run in contenders.items():
            times = [await timed(run) for _ in range(commands)]
            if round_ >= 0:
                found[name].append(times)
        fresh = BubblewrapSandbox(repo, environ=os.environ)
        times = [await timed(command(fresh))]
        await fresh.aclose()
        if round_ >= 0:
            found["first"].append(times)
    await warm.aclose()
    await cold.aclose()
    return found


async def timed(run: Callable[[], Awaitable[object]]) -> float:
    await asyncio.sleep(0.002)  # far less than the time between two turns
    began = time.perf_counter()
    await run()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--commands", type=int, default=25)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-sandbox-") as folder:
        repo = Path(folder)
        subprocess.run(["git", "init", "-q", str(repo)], check=True)
        found = asyncio.run(measure(repo, options.rounds, options.commands))
    print(f"{'':8}{'p50 ms':>10}{'p95 ms':>10}{'to floor':>10}")
    for name, rounds in found.items():
        times = sorted(time for round_ in rounds for time in round_)
        ratios = [
            statistics.median(mine) / statistics.median(base) for mine, base in zip(rounds, found["floor"], strict=True)
        ]
        p95 = times[int(0.95 * (len(times) - 1))]
        print(f"{name:8}{statistics.median(times):10.3f}{p95:10.3f}{statistics.median(ratios):9.2f}x")


if __name__ == "__main__":
    main()
