"""Several processes write into one state directory while others read and rebuild: no loss, no mixing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from equitrcoder.ledger import CallQuery, Reader, rebuild_index
from tests.ledger_runs import dump

pytestmark = pytest.mark.crash

PROCESSES = 4
CALLS = 200

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


def test_processes_do_not_lose_or_mix_records(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(PROCESSES)]
    processes = [subprocess.Popen([sys.executable, "-c", RECORDING, str(tmp_path), name, str(CALLS)]) for name in names]
    while any(process.poll() is None for process in processes):
        with Reader(tmp_path) as reader:
            reader.stats()
        rebuild_index(tmp_path)
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
