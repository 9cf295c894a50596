"""`SyncEquitrAPI`: the same face without `await`, from any thread, inside a running loop, at a program's end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.api import EquitrAPI, SyncEquitrAPI
from equitrcoder.api.portal import Portal
from equitrcoder.errors import StepLimitReached, UsageError
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider, repeated
from tests.command import World

LOOK = Answer(calls=[Call("list_directory", {"path": "."})])
DONE = Answer(text="Done.")
NOT_AWAITED = {"__aenter__": "__enter__", "__aexit__": "__exit__"}


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedProvider]:
    monkeypatch.chdir(tmp_path)
    with ScriptedProvider(repeated([LOOK, DONE])) as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        yield provider


def portal_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "equitrcoder-api"]


def public_methods(face: type) -> dict[str, Any]:
    names = [name for name in dir(face) if not name.startswith("_")]
    return {name: getattr(face, name) for name in [*names, "__init__"]}


def test_both_faces_have_the_same_methods_signatures_and_docstrings() -> None:
    asynchronous, synchronous = public_methods(EquitrAPI), public_methods(SyncEquitrAPI)
    assert list(asynchronous) == list(synchronous)
    assert {"chat", "close", "get_tool_call_stats", "get_tool_call_logs", "export_tool_logs", "runs", "calls"} <= set(
        asynchronous
    )
    for name, method in asynchronous.items():
        assert inspect.signature(method) == inspect.signature(synchronous[name]), name
        assert inspect.getdoc(method) == inspect.getdoc(synchronous[name]), name
        assert len(inspect.getdoc(method) or "") > 40, name
        assert not inspect.iscoroutinefunction(synchronous[name]), name
    for theirs, ours in NOT_AWAITED.items():
        assert hasattr(EquitrAPI, theirs)
        assert hasattr(SyncEquitrAPI, ours)


def test_the_signature_is_the_one_of_the_guide() -> None:
    parameters = inspect.signature(SyncEquitrAPI).parameters
    first = {name: p.default for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    assert first == {
        "repo_path": ".",
        "model": None,
        "budget": None,
        "multi_agent": False,
        "supervisor_model": None,
        "worker_model": None,
        "log_tool_calls": False,
        "tool_log_file": "tool_calls.log",
    }


def test_a_chat(provider: ScriptedProvider) -> None:
    with SyncEquitrAPI(approve="all", sandbox="off") as api:
        result = api.chat("look")
        assert (str(result), result.calls) == ("Done.", 1)
        assert api.get_tool_call_stats()["total_calls"] == 1
        assert [entry["tool_name"] for entry in api.get_tool_call_logs()] == ["list_directory"]
        api.chat("again")
        assert len(api.runs()) == 2
    assert portal_threads() == []


async def test_it_works_inside_a_running_loop(provider: ScriptedProvider) -> None:
    async with EquitrAPI(sandbox="off") as outer:
        await outer.chat("look")
        with SyncEquitrAPI(sandbox="off") as inner:
            assert str(inner.chat("look")) == "Done."
        assert str(await outer.chat("look")) == "Done."
        assert len(outer.calls()) == 2


def test_commands_run_in_its_thread_too(provider: ScriptedProvider) -> None:
    provider._script = repeated([Answer(calls=[Call("run_command", {"command": "echo from here"})]), DONE])
    with SyncEquitrAPI(approve="all", sandbox="off") as api:
        api.chat("run")
        (call,) = api.calls()
    assert call.outcome == "success"
    assert "from here" in str(call.result)


def test_several_threads_may_share_one(provider: ScriptedProvider) -> None:
    with SyncEquitrAPI(sandbox="off") as api:
        said: list[str] = []
        threads = [threading.Thread(target=lambda: said.append(str(api.chat("look")))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert said == ["Done."] * 4
        assert api.get_tool_call_stats()["total_calls"] == 4


def test_errors_arrive_as_they_are(provider: ScriptedProvider) -> None:
    with SyncEquitrAPI(sandbox="off", max_turns=1) as api, pytest.raises(StepLimitReached) as raised:
        api.chat("look")
    assert raised.value.result.calls == 1


def test_an_error_on_entering_leaves_no_thread(provider: ScriptedProvider) -> None:
    with pytest.raises(UsageError), SyncEquitrAPI(repo_path="no/such/place"):
        pass
    assert portal_threads() == []


def test_a_closed_one_says_so(provider: ScriptedProvider) -> None:
    used = SyncEquitrAPI(sandbox="off")
    used.chat("look")
    for api in (used, SyncEquitrAPI()):
        api.close()
        api.close()
        with pytest.raises(UsageError, match="closed"):
            api.chat("look")
        api.close()
    assert used.get_tool_call_stats()["total_calls"] == 1
    assert portal_threads() == []


def test_a_callback_cannot_wait_for_the_agent_it_belongs_to(provider: ScriptedProvider) -> None:
    trouble: list[BaseException] = []

    def listen(event: dict[str, Any]) -> None:
        if event["type"] == "run.started":
            try:
                api.chat("inside")
            except UsageError as error:
                trouble.append(error)

    with SyncEquitrAPI(sandbox="off", on_event=listen) as api:
        assert str(api.chat("outside")) == "Done."
    assert "callback" in str(trouble[0])


def test_one_that_nobody_holds_is_closed(provider: ScriptedProvider) -> None:
    api = SyncEquitrAPI(sandbox="off")
    api.chat("look")
    (thread,) = portal_threads()
    gone = weakref.ref(api)
    del api
    gc.collect()
    assert gone() is None
    thread.join(10)
    assert not thread.is_alive()


FORGETFUL = """
import sys
from equitrcoder.api import SyncEquitrAPI
api = SyncEquitrAPI(approve="all", sandbox="off")
print(api.chat("look"))
print(api.get_tool_call_stats()["total_calls"])
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)\n", "raise RuntimeError('mine')\n"])
def test_a_program_that_forgets_to_close_ends(tmp_path: Path, end: str) -> None:
    with ScriptedProvider([LOOK, DONE]) as provider:
        world = World(tmp_path, provider.base_url)
        done = subprocess.run(
            [sys.executable, "-c", FORGETFUL + end],
            cwd=world.repo,
            env=world.environ,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.stdout == "Done.\n1\n", done.stderr
    assert done.returncode == {"": 0, "sys.exit(3)\n": 3}.get(end, 1)
    if "raise" not in end:
        assert done.stderr == ""
    assert [run["status"] for run in world.runs()] == ["completed"]


INTERRUPTED = """
from equitrcoder.api import SyncEquitrAPI
with SyncEquitrAPI(approve="all", sandbox="off") as api:
    try:
        api.chat("wait")
    except KeyboardInterrupt:
        print([run.status for run in api.runs()])
    print(api.chat("go on"))
"""


def test_ctrl_c_stops_the_run_and_the_program_may_go_on(tmp_path: Path) -> None:
    with ScriptedProvider([Fault(stall_before_answer=True), DONE]) as provider:
        world = World(tmp_path, provider.base_url)
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED],
            cwd=world.repo,
            env=world.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        provider.wait_for_stalled()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "['cancelled']\nDone.\n"), err


# The portal by itself.


def test_the_portal_gives_back_and_raises() -> None:
    async def fail() -> None:
        raise KeyError("mine")

    portal = Portal()
    assert portal.run(asyncio.sleep, 0, "value") == "value"
    with pytest.raises(KeyError, match="mine"):
        portal.run(fail)
    portal.end()
    portal.end()
    with pytest.raises(UsageError, match="closed"):
        portal.run(asyncio.sleep, 0)


def test_ending_the_portal_stops_what_runs() -> None:
    began = threading.Event()
    ends: list[BaseException] = []

    async def wait_for_ever() -> None:
        began.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            portal.run(wait_for_ever)
        except BaseException as error:
            ends.append(error)

    portal = Portal()
    waiting = threading.Thread(target=wait)
    waiting.start()
    began.wait()
    portal.end()
    waiting.join(10)
    assert [type(error) for error in ends] == [asyncio.CancelledError]
