"""`equitrcoder resume` through the real command: killed at every place, limits, errors, two at once."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, ScriptedProvider
from tests.command import Done, World

QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def write(mark: str, *, then: str = "") -> Call:
    """A command that leaves its mark on disk, each time that it runs."""
    return Call("run_command", {"command": f"echo {mark} >> log{then}"})


def resume(world: World, *arguments: str, json_events: bool = True, **keywords: Any) -> Done:
    common = ["--approve", "all", "--sandbox", "off", *(["--json"] if json_events else [])]
    return world.equitrcoder("resume", *common, *(arguments or ("last",)), **keywords)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def until(process: subprocess.Popen[bytes], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if wanted(event):
            return event
    raise AssertionError("the run ended before that")


def wait_for(found: Callable[[], bool]) -> None:
    while not found():
        time.sleep(0.01)


def balanced(world: World) -> None:
    done = world.equitrcoder("audit")
    assert done.code == 0, done.out + done.err


def same_prefix(before: ReceivedRequest, after: ReceivedRequest) -> None:
    """The later request begins with the very bytes of the earlier one."""
    old, new = before.json, after.json
    for name in old:
        if name not in ("messages", "input", "contents"):
            assert json.dumps(new[name]) == json.dumps(old[name]), name
    (field,) = [name for name in ("messages", "input", "contents") if name in old]
    assert json.dumps(new[field][: len(old[field])]) == json.dumps(old[field])


def test_killed_before_the_first_answer_the_request_is_asked_again(tmp_path: Path) -> None:
    with ScriptedProvider([Fault(stall_before_answer=True), Answer(text="done")]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(**QUIET)
        provider.wait_for_stalled(1)
        kill(process)
        done = resume(world)
        assert (done.code, done.event("run.finished")["response"]) == (0, "done")
        first, second = provider.requests
        assert json.dumps(first.json) == json.dumps(second.json)
    newest, oldest = world.runs()
    assert done.event("run.started")["previous_run"] == newest["previous_run_id"] == oldest["run_id"]
    assert (newest["session_id"], newest["task"]) == (oldest["session_id"], oldest["task"])
    assert (newest["status"], oldest["status"]) == ("completed", "interrupted")
    balanced(world)
