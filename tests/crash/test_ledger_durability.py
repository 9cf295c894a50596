"""`durability: full`: each entry is on the disk before it is acknowledged; the clock; eight processes with 1,000 calls.

Source: DESIGN.md section 5, promises 6 and 8.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equitrcoder.ledger import CallQuery, Ledger, Reader, files, rebuild_index
from equitrcoder.ledger.audit import audit
from tests.ledger_runs import ask, dump, journal_of, one_call, start

pytestmark = pytest.mark.crash


def test_every_entry_is_synced_before_it_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a method returns, all that the journal has was synced, and each entry by a sync of its own."""
    synced: list[int] = []  # how long the journal was each time

    def sync(fd: int) -> None:
        os.fdatasync(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(files, "sync_data", sync)
    with Ledger(tmp_path, durability="full") as ledger:
        run = start(ledger)

        def is_safe() -> bool:
            data = run.journal_path.read_bytes()
            return synced[-1] == len(data) and len(synced) == data.count(b"\n")

        assert is_safe()
        run.message(role="user", text="hi")
        assert is_safe()
        run.request_sent(step=1, attempt=1)
        assert is_safe()
        (call,) = ask(run, ("work", {}))
        assert is_safe()
        run.start(call)
        assert is_safe()
        run.close_call(call, outcome="success", result="x")
        assert is_safe()
        run.finish(status="completed")
        assert is_safe()


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
def test_the_kernel_sees_a_sync_after_every_write(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import one_call, start
with Ledger(Path(sys.argv[1]), durability=sys.argv[2]) as ledger:
    run = start(ledger)
    one_call(run)
    run.finish(status="completed")
"""
    for durability in ("process", "full"):
        state, trace = tmp_path / durability, tmp_path / f"{durability}.trace"
        command = ["strace", "-f", "-y", "-e", "trace=write,fdatasync", "-o", str(trace), sys.executable, "-c", code]
        done = subprocess.run([*command, str(state), durability], capture_output=True, text=True, check=False)
        if not trace.exists() or not trace.read_text():
            pytest.skip(f"strace may not trace here: {done.stderr}")
        assert done.returncode == 0, done.stderr
        name = journal_of(state).name
        seen = [line.split()[1].partition("(")[0] for line in trace.read_text().splitlines() if name in line]
        assert seen == (["write", "fdatasync"] if durability == "full" else ["write"]) * 6


# The clock.

STEPS = (0, 3600, -7200, 86_400 * 400, -86_400 * 800, 5, -1)
"""Seconds by which somebody sets it, one after the other: back and forth over months and years."""


def test_the_clock_set_back_and_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No order and no duration changes, and everything balances; a process in between sees another clock."""
    real_ns, real = time.time_ns, time.time
    offset_s = 0
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + offset_s * 1_000_000_000)
    monkeypatch.setattr(time, "time", lambda: real() + offset_s)
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        for number, jump_s in enumerate(STEPS):
            run = start(ledger, session_id=f"s{number}")
            calls = ask(run, ("a", {"n": number}), ("b", {"n": number}))
            run.start(calls[0])
            offset_s += jump_s
            run.close_call(calls[0], outcome="success", result="x", duration_ms=12.5)
            one_call(run, step=2)
            run.finish(status="completed", response=str(number))
    assert told == []
    with Reader(tmp_path) as reader:
        assert [run.session_id for run in reader.runs()] == [f"s{number}" for number in reversed(range(len(STEPS)))]
        calls_found = list(reader.calls())
        assert [(call.session_id, call.ordinal) for call in calls_found] == [
            (f"s{number}", ordinal) for number in range(len(STEPS)) for ordinal in (1, 2, 3)
        ]
        assert {call.duration_ms for call in calls_found if call.ordinal == 1} == {12.5}
        assert reader.damage() == []
    before = dump(tmp_path)
    rebuild_index(tmp_path)
    assert dump(tmp_path) == before
    assert audit(tmp_path).balanced


def test_durations_are_those_of_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    """A whole run whose clock is set an hour back and forth in the middle of each command."""
    code = """
import itertools, sys, time
real_ns, real = time.time_ns, time.time
jumps = itertools.cycle((0, 3600, -3600, 10_000_000))
time.time_ns = lambda: real_ns() + next(jumps) * 1_000_000_000
time.time = lambda: real() + next(jumps)
from equitrcoder.cli import main
main()
"""
    from equitrcoder.testing import Answer, Call, ScriptedProvider
    from tests.command import World

    script = [Answer(calls=[Call("run_command", {"command": "sleep 0.1"})]) for _ in range(3)]
    with ScriptedProvider([*script, Answer(text="done")]) as provider:
        world = World(tmp_path, provider.base_url)
        common = ["--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "--json"]
        done = subprocess.run(
            [sys.executable, "-c", code, "run", *common, "wait"],
            cwd=world.repo,
            env=world.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    records = world.calls()
    assert [record["ordinal"] for record in records] == [1, 2, 3]
    for record in records:
        assert record["outcome"] == "success"
        assert 100 <= record["duration_ms"] < 60_000  # nothing of an hour's jump is in it


# Eight processes.

RECORDING = """
import sys
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import ask, start

name, calls = sys.argv[2], int(sys.argv[3])
told = []
with Ledger(Path(sys.argv[1]), on_trouble=told.append) as ledger:
    run = start(ledger, session_id=name)
    for step in range(1, calls + 1):
        (call,) = ask(run, ("tool", {"who": name, "n": step}), step=step)
        run.start(call)
        run.close_call(call, outcome="success", result=f"{name} {step}", duration_ms=float(step))
    run.finish(status="completed", response=name)
assert not told, told
"""
PROCESSES = 8
CALLS = 1_000


def test_eight_processes_with_a_thousand_calls_each(tmp_path: Path) -> None:
    """While others read, rebuild and audit: no loss, no mixing."""
    names = [f"p{number}" for number in range(PROCESSES)]
    processes = [subprocess.Popen([sys.executable, "-c", RECORDING, str(tmp_path), name, str(CALLS)]) for name in names]
    looks = 0
    while any(process.poll() is None for process in processes):
        with Reader(tmp_path) as reader:
            reader.stats()
        if looks in (0, 2):
            rebuild_index(tmp_path)
        looks += 1
    assert [process.returncode for process in processes] == [0] * PROCESSES
    with Reader(tmp_path) as reader:
        for name in names:
            found = list(reader.calls(CallQuery(session=name)))
            assert [(call.arguments, call.result, call.duration_ms) for call in found] == [
                ({"who": name, "n": step}, f"{name} {step}", float(step)) for step in range(1, CALLS + 1)
            ]
            (run,) = reader.runs(session=name)
            assert (run.status, run.response, run.calls, run.steps_taken) == ("completed", name, CALLS, CALLS)
        assert reader.stats()["total_calls"] == PROCESSES * CALLS
        assert reader.damage() == []
    live = dump(tmp_path)
    rebuild_index(tmp_path)
    assert dump(tmp_path) == live
    report = audit(tmp_path)
    assert report.balanced, report.to_dict()["differences"][:3]
    assert report.calls == PROCESSES * CALLS
