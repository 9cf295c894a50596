"""`python -m bench.ledger --calls 10_000_000`: what reading a large ledger costs. Nothing of this size runs in CI.

Ten million calls take some 15 minutes to make and 6.5 GB of room, which is freed in the end. `--keep FOLDER` keeps the
ledger, and uses it again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from bench.ledger import rebuilding, synthetic
from equitrcoder.ledger import CallQuery, Reader, export
from equitrcoder.ledger.index import NAME

BYTES_PER_CALL = 800
PAGE = 50
ROUNDS = 5
EXPORTED = 1_000_000
REBUILT = 20_000


def main() -> None:
    """Make a ledger, print the figures, one line each."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        state_dir = given.keep or Path(scratch) / "state"
        if not (state_dir / NAME).exists():
            _check_room(state_dir, given.calls)
            say("making the ledger, s", seconds(lambda: synthetic.make(state_dir, given.calls)))
        with Reader(state_dir) as reader:
            statistics_of(reader)
            pages_of(reader)
            exports_of(reader)
        processes_of(state_dir)
        rebuilding.record(Path(scratch) / "journals", REBUILT)
        say("rebuild, calls/s at 5 KB", rebuilding.calls_per_second(Path(scratch) / "journals"))


def _check_room(state_dir: Path, calls: int) -> None:
    state_dir.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(state_dir).free < 2 * calls * BYTES_PER_CALL:
        sys.exit(f"{calls * BYTES_PER_CALL / 1e9:.1f} GB are needed in {state_dir}, and as much while it is made.")


def statistics_of(reader: Reader) -> None:
    """Statistics inside an open reader."""
    since = datetime(2026, 10, 25, tzinfo=UTC)
    (last,) = reader.runs(limit=1)
    say("opening a reader, ms", milliseconds(lambda: Reader(reader.state_dir).close()))
    say("stats, ms", milliseconds(reader.stats))
    for by in ("tool", "model", "provider", "agent", "role", "day"):
        say(f"stats --by {by}, ms", milliseconds(lambda by=by: reader.breakdown(by)))  # type: ignore[misc]
    queries: dict[str, dict[str, Any]] = {
        "since a week ago": {"since": since},
        "of a tool": {"tool": "read_file"},
        "of a provider": {"provider": "anthropic"},
        "of a model since a week ago": {"model": "anthropic/claude-large", "since": since},
        "of a run": {"run": last.run_id},
        "of a session": {"session": last.session_id},
    }
    for name, chosen in queries.items():
        query = CallQuery(**chosen)
        say(f"stats {name}, ms", milliseconds(lambda query=query: reader.breakdown("tool", query)))  # type: ignore[misc]
    say("runs, first page, ms", milliseconds(lambda: reader.runs(limit=20)))
    say("runs --status failed, first page, ms", milliseconds(lambda: reader.runs(limit=20, status="failed")))


def pages_of(reader: Reader) -> None:
    """The newest calls of every filter, and of every two of them."""
    (last,) = reader.runs(limit=1)
    filters: dict[str, dict[str, Any]] = {
        "none": {},
        "a tool": {"tool": "git_commit"},
        "a rare tool": {"tool": "rare"},
        "an outcome": {"outcome": "failed"},
        "a rare outcome": {"outcome": "unknown"},
        "failed": {"failed": True},
        "a provider": {"provider": "anthropic"},
        "a rare provider": {"provider": "mistral"},
        "a model": {"model": "groq/oss-120b"},
        "a rare model": {"model": "seldom"},
        "since a week ago": {"since": datetime(2026, 10, 25, tzinfo=UTC)},
        "a run": {"run": last.run_id},
        "a session": {"session": last.session_id},
        "an agent": {"agent": "w1"},
    }

    def page(**chosen: Any) -> float:
        return milliseconds(lambda: list(reader.calls(CallQuery(limit=PAGE, **chosen))))

    for name, chosen in filters.items():
        say(f"calls, first page, {name}, ms", page(**chosen))
    pairs = {
        f"{one} and {other}": page(**filters[one], **filters[other])
        for one, other in combinations(filters, 2)
        if not filters[one].keys() & filters[other].keys()
    }
    slowest = max(pairs, key=lambda name: pairs[name])
    say(f"calls, first page, slowest of {len(pairs)} pairs ({slowest}), ms", pairs[slowest])


def exports_of(reader: Reader) -> None:
    """Records a second."""

    class Nowhere:
        def write(self, data: bytes) -> int:
            return len(data)

        def flush(self) -> None: ...

    query = CallQuery(since=_start_of_last(reader, EXPORTED))
    for name, records in (("records", True), ("log entries", False)):
        for format_ in ("jsonl", "csv"):
            began = time.perf_counter()
            count = export.export_calls(reader, query, Nowhere(), format_, records=records)  # type: ignore[arg-type]
            say(f"export of {count:,} {name} as {format_}, a second", count / (time.perf_counter() - began))


def _start_of_last(reader: Reader, calls: int) -> datetime:
    runs = reader.runs(limit=1, offset=calls // synthetic.CALLS_PER_RUN - 1) or reader.runs(after="", limit=1)
    return runs[0].started_at


def processes_of(state_dir: Path) -> None:
    """`equitrcoder stats` as a process, beyond the same command with nothing to read."""
    with tempfile.TemporaryDirectory() as empty:
        Reader(Path(empty)).close()
        took = {
            folder: statistics.median(_process(folder) for _ in range(ROUNDS)) for folder in (empty, str(state_dir))
        }
    say("equitrcoder stats, process, ms", took[str(state_dir)])
    say("beyond that of an empty ledger, ms", took[str(state_dir)] - took[empty])


def _process(folder: str) -> float:
    environ = {**os.environ, "EQUITRCODER_STATE_DIR": folder}
    command = [sys.executable, "-m", "equitrcoder", "stats"]
    return 1000 * seconds(lambda: subprocess.run(command, env=environ, check=True, capture_output=True))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def milliseconds(work: Callable[[], object]) -> float:
    """The median of some rounds."""
    return 1000 * statistics.median(seconds(work) for _ in range(ROUNDS))


def say(what: str, value: float) -> None:
    print(f"{what:72} {value:12,.2f}", flush=True)


if __name__ == "__main__":
    main()
