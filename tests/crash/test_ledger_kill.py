"""kill -9 at random moments: everything acknowledged is there once, what was in flight is interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from equitrcoder.ledger import CallQuery, Reader, rebuild_index
from tests.ledger_runs import dump

pytestmark = pytest.mark.crash

RECORDING = """
import os, sys
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import ask, start

def tell(word, call):
    os.write(1, f"{word} {call.call_uid}\\n".encode())

with Ledger(Path(sys.argv[1])) as ledger:
    run = start(ledger, session_id=sys.argv[2])
    step = 0
    while True:
        step += 1
        calls = ask(run, ("work", {"n": step, "pad": "x" * 500}), ("never", {"n": step}), step=step)
        for call in calls:
            tell("requested", call)
        run.start(calls[0])
        tell("started", calls[0])
        run.close_call(calls[0], outcome="success", result="y" * (step * 37 % 9000), duration_ms=1.0)
        tell("closed", calls[0])
"""


class Recording:
    """A process that records calls as fast as it can and says what is done."""

    def __init__(self, state_dir: Path, session: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RECORDING, str(state_dir), session], stdout=subprocess.PIPE, text=True
        )

    def read(self, words: int) -> list[tuple[str, str]]:
        """The next acknowledgements."""
        assert self.process.stdout is not None
        return [_split(self.process.stdout.readline()) for _ in range(words)]

    def kill(self) -> list[tuple[str, str]]:
        """Kill it; what it had still said."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout is not None
        rest = [_split(line) for line in self.process.stdout if line.endswith("\n")]
        self.process.stdout.close()
        self.process.wait()
        return rest


def _split(line: str) -> tuple[str, str]:
    word, uid = line.split()
    return word, uid


def test_thirty_kills_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    with Reader(tmp_path) as reader:
        for number in range(30):
            session = f"s{number}"
            recording = Recording(tmp_path, session)
            told = recording.read(chance.randrange(1, 120))
            if number % 5 == 0:
                running = reader.runs(session=session)
                assert [run.status for run in running] == ["running"]
                assert not {"interrupted", "cancelled"} & {
                    call.outcome for call in reader.calls(CallQuery(session=session))
                }
            if chance.random() < 0.5:
                os.sched_yield()
            told += recording.kill()
            check_the_run(reader, session, told)
        assert len(reader.runs()) == 30
    live = dump(tmp_path)
    report = rebuild_index(tmp_path)
    assert report.runs == 30
    after = dump(tmp_path)
    assert {name: after[name] for name in ("agent_runs", "tool_calls", "model_turns")} == {
        name: live[name] for name in ("agent_runs", "tool_calls", "model_turns")
    }


def check_the_run(reader: Reader, session: str, told: list[tuple[str, str]]) -> None:
    """Every acknowledgement has its entry, once; what was not closed is interrupted or cancelled, never a success."""
    (run,) = reader.runs(session=session)
    assert run.status == "interrupted"
    calls = list(reader.calls(CallQuery(session=session), full=True))
    by_uid = {call.call_uid: call for call in calls}
    assert len(by_uid) == len(calls) == run.calls
    last = {uid: word for word, uid in told}
    assert set(last) <= set(by_uid)
    for uid, word in last.items():
        call = by_uid[uid]
        if word == "closed":
            assert (call.outcome, call.duration_ms, call.result_bytes) == ("success", 1.0, len(str(call.result)))
        elif word == "started":  # it was closed a moment later, or was in flight
            assert call.outcome in ("interrupted", "success")
        else:
            assert call.outcome in ("cancelled", "interrupted", "success")
        if call.outcome in ("interrupted", "cancelled"):
            assert (call.error_type, call.duration_ms, call.ended_at) == ("process_died", None, None)
    assert all(call.outcome == "cancelled" for call in calls if call.tool_name == "never")
    assert sum(call.outcome == "interrupted" for call in calls) <= 1


def test_a_run_that_lives_is_never_closed_by_another(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "alive")
    try:
        recording.read(30)
        for _ in range(5):
            recording.read(3)
            with Reader(tmp_path) as reader:
                assert reader.run("last").status == "running"
    finally:
        recording.kill()
    with Reader(tmp_path) as reader:
        assert reader.run("last").status == "interrupted"
