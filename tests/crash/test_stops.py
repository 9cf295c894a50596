"""Ctrl-C, SIGTERM, SIGHUP, a closed pipe and a closed terminal end a run properly, wherever it is.

The run ends as cancelled, with its end in journal and register; nothing of it runs on; no call is left open.

Source: DESIGN.md section 5, promise 9.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from tests.command import World
from tests.contract.test_interactive import Screen

pytestmark = pytest.mark.crash

WAITS = Answer(
    calls=[Call("run_command", {"command": "echo $$ > pid; sleep 61"}), Call("read_file", {"file_path": "a"})]
)
MOMENTS = {
    "a command runs": [WAITS],
    "an answer comes": [Fault(answer=Answer(text="a long story " * 50), stall_after_bytes=900)],
    "nothing comes": [Fault(stall_before_answer=True)],
}
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
RUN = ("run", "--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "do it")


def wait_for(moment: str, world: World, provider: ScriptedProvider, process: subprocess.Popen[Any]) -> None:
    if moment != "a command runs":
        provider.wait_for_stalled(1)
        return
    pid = world.repo / "pid"
    while not pid.exists() or not pid.read_text().strip():
        assert process.poll() is None


def check(world: World, moment: str) -> None:
    (run,) = world.runs()
    assert (run["status"], run["completed_at"] is None) == ("cancelled", False)
    outcomes = [record["outcome"] for record in world.calls()]
    assert outcomes[:1] == (["cancelled"] if moment == "a command runs" else [])
    assert set(outcomes) <= {"cancelled", "success", "failed"}  # the read beside it has ended
    (journal,) = world.state.glob("journals/*/*/*.jsonl")
    end = json.loads(journal.read_bytes().splitlines()[-1])
    assert (end["type"], end["status"], "recovered" in end) == ("run_finished", "cancelled", False)
    last = json.loads((world.state / "runs.jsonl").read_bytes().splitlines()[-1])
    assert (last["type"], last["status"]) == ("finished", "cancelled")
    pid = world.repo / "pid"
    if pid.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    with ScriptedProvider(MOMENTS[moment]) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a").write_text("a\n")
        process = world.start()
        wait_for(moment, world, provider, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert json.loads(out.splitlines()[-1])["status"] == "cancelled"
    check(world, moment)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_closed_terminal(tmp_path: Path, moment: str) -> None:
    with ScriptedProvider(MOMENTS[moment]) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a").write_text("a\n")
        screen = Screen(world, *RUN)
        wait_for(moment, world, provider, screen.process)
        assert screen.hang_up() == 130
    check(world, moment)


def test_a_closed_pipe(tmp_path: Path) -> None:
    """The next event finds nobody: the run is cancelled, and so is what runs beside it."""
    beside = Call("run_command", {"command": "while [ ! -e go ]; do sleep 0.01; done"})
    with ScriptedProvider([Answer(calls=[*WAITS.calls[:1], beside])]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start()
        assert process.stdout is not None and process.stderr is not None
        wait_for("a command runs", world, provider, process)
        process.stdout.close()
        (world.repo / "go").touch()
        process.wait(timeout=20)
        err = process.stderr.read()
        process.stderr.close()
    assert b"Traceback" not in err and b"Exception ignored" not in err
    check(world, "a command runs")
