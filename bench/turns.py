"""Rows 1 to 4 of DESIGN.md section 9: start, time per turn, CPU and memory of a whole run, beside the httpx floor.

    python -m bench.turns [--rounds 5] [--turns 20]

The floor and each form of the agent run in turn in every round (a busy machine slows all alike); printed are medians
and the medians of the per-round ratios to the floor.

  start_s   process start until the first byte of the first request
  turn_ms   last byte of an answer until the whole next request has arrived, the tool's run included; median
  cpu_s     user and system time of the process and of everything it waited for
  rss_mb    highest sum of resident memory over the process tree, sampled every 20 ms
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
TASK = "Print the files f1.txt, f2.txt and so on, one at a time, then say done."
FIGURES = ("start_s", "turn_ms", "cpu_s", "rss_mb")


def agent(*options: str) -> list[str]:
    command = [str(Path(sys.executable).parent / "equitrcoder"), "run", "--model", "openai/m", "--approve", "all"]
    return [*command, *options, TASK]


CONTENDERS = {
    "floor (httpx loop)": [sys.executable, str(HERE / "floor.py"), TASK],
    "--sandbox off": agent("--sandbox", "off"),
    "--sandbox off --no-stream": agent("--sandbox", "off", "--no-stream"),
    "--sandbox auto": agent("--sandbox", "auto"),
}


def make_repository(folder: Path) -> None:
    """Some forty files under git, as the peers were measured on."""
    folder.mkdir(parents=True)
    for k in range(1, 41):
        (folder / f"f{k}.txt").write_text(f"file {k}\n" + "line of text\n" * 5)
    identity = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {"HOME": str(folder), "PATH": os.environ["PATH"]} | identity
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "init"]):
        subprocess.run(["git", *words], cwd=folder, env=environ, check=True)


def tree_rss_mb(root: int) -> float:
    children: dict[int, list[int]] = {}
    rss: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it has ended
        children.setdefault(int(fields[1]), []).append(int(name))
        rss[int(name)] = int(fields[21]) * resource.getpagesize()
    total, todo = 0, [root]
    while todo:
        process = todo.pop()
        total += rss.get(process, 0)
        todo += children.get(process, [])
    return total / 2**20


def measure(command: list[str], work: Path, turns: int) -> dict[str, float]:
    repository, home, log = work / "repo", work / "home", work / "requests.jsonl"
    make_repository(repository)
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    model = subprocess.Popen(
        [sys.executable, str(HERE / "model_server.py"), str(port), str(log), "--turns", str(turns)]
    )
    wait_until_up(port)
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb", "OPENAI_API_KEY": "x"}
    environ["OPENAI_BASE_URL"] = f"http://127.0.0.1:{port}/v1"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak, done = [0.0], threading.Event()
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=repository,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )

    def sample() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], tree_rss_mb(process.pid))
            done.wait(0.02)

    sampler = threading.Thread(target=sample)
    sampler.start()
    _, errors = process.communicate(timeout=180)
    done.set()
    sampler.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    model.terminate()
    model.wait()
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    if process.returncode or len(rows) != turns + 1:
        raise SystemExit(f"{command} ended with {process.returncode} after {len(rows)} requests:\n{errors.decode()}")
    gaps = [(later["read"] - row["answered"]) * 1000 for row, later in itertools.pairwise(rows)]
    return {
        "start_s": rows[0]["first"] - started,
        "turn_ms": statistics.median(gaps),
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss_mb": peak[0],
    }


def wait_until_up(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit("the model server did not come up")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    folder = Path(tempfile.mkdtemp(prefix="bench-turns-"))
    try:
        for turn in range(-1, options.rounds):  # round -1 warms up and is not counted
            for k, (name, command) in enumerate(CONTENDERS.items()):
                figures = measure(command, folder / f"{turn}-{k}", options.turns)
                if turn >= 0:
                    results[name].append(figures)
    finally:
        shutil.rmtree(folder)
    report(results, options)


def report(results: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    floor = next(iter(results.values()))
    print(
        f"medians of {options.rounds} rounds of {options.turns} turns; in brackets: median of the ratios to the floor"
    )
    print(f"{'':28}" + "".join(f"{figure:>18}" for figure in FIGURES))
    for name, rounds in results.items():
        cells = []
        for figure in FIGURES:
            ratio = statistics.median(row[figure] / base[figure] for row, base in zip(rounds, floor, strict=True))
            cells.append(f"{statistics.median(row[figure] for row in rounds):10.3f} ({ratio:4.2f})")
        print(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
