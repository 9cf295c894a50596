"""Two runs of four threads record as fast as they can, the process is killed: what was acknowledged is there, once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from equitrcoder.ledger import Reader
from equitrcoder.ledger.audit import audit

pytestmark = pytest.mark.crash

RECORDING = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import ask, start

def work(run, calls, step):
    for call in calls:
        run.start(call)
        run.close_call(call, outcome="success", result=f"{step} " + "y" * 4000, duration_ms=1.0)
        os.write(1, f"{call.call_uid} {step}\\n".encode())  # one write: the lines of threads do not mix

def go_on(run):
    step = 0
    with ThreadPoolExecutor(4) as threads:
        while True:
            step += 1
            calls = ask(run, *(("work", {"n": step, "pad": "x" * 1000}) for _ in range(40)), step=step)
            list(threads.map(lambda part: work(run, calls[part::4], step), range(4)))

ledger = Ledger(Path(sys.argv[1]))
for number in range(2):
    threading.Thread(target=go_on, args=(start(ledger, session_id=f"s{number}"),)).start()
threading.Event().wait()
"""


def test_a_kill_at_full_speed_loses_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    with subprocess.Popen([sys.executable, "-c", RECORDING, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            told.append(line)
            if len(told) == 3_000:
                child.send_signal(signal.SIGKILL)
    acknowledged = dict(line.split() for line in told if line.endswith("\n"))
    assert len(acknowledged) >= 3_000
    with Reader(tmp_path) as reader:
        found = list(reader.calls(full=True))
    assert max(Counter(call.call_uid for call in found).values()) == 1
    known = {call.call_uid: call for call in found}
    for uid, step in acknowledged.items():
        assert (known[uid].outcome, known[uid].result) == ("success", f"{step} " + "y" * 4000)
    in_flight = [call.outcome for call in found if call.call_uid not in acknowledged]
    assert set(in_flight) <= {"interrupted", "cancelled", "success"}  # cancelled: never started
    assert in_flight.count("success") <= 8  # closed, and not yet said so: one in each thread
    assert audit(tmp_path).differences == []
