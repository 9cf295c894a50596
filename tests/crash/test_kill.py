"""500 times kill -9 over whole runs: nothing lost, nothing invented.

Single calls, parallel calls and streams; at random moments, after the n-th request, byte of a stream and journal line,
and before, in the middle of and after every single write to the ledger. Several runs at once share one ledger. Each is
compared with what the provider saw and what is on disk, and the whole ledger is audited.

Source: DESIGN.md section 5, promises 1 and 2.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from equitrcoder.ledger import CallQuery, Reader
from equitrcoder.ledger.audit import audit
from equitrcoder.records import Run, ToolCall
from equitrcoder.testing import Answer, Call, Fault, ReceivedRequest, ScriptedProvider
from equitrcoder.testing.script import Reply
from tests.command import World
from tests.crash.warm import Child, Warm

pytestmark = pytest.mark.crash

TURNS = 4
AT_ONCE = 3
KILLS = 40
"""Per shape and moment: 10 x 40, and 3 x 34 at the writes."""
WRITES = 34
USUAL_S = 0.3
COMMON = ["run", "--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "--json"]


# What the model asks for.


def _answer(turn: int, commands: int, turns: int = TURNS) -> Answer:
    """Commands that leave a line on disk when they start and one when they end, and with several of them a read."""
    if turn >= turns:
        return Answer(text="done")
    calls = [
        Call("run_command", {"command": f"echo {turn}-{k} >> effects; sleep 0.0{k}; echo {turn}-{k} >> ends"})
        for k in range(commands)
    ]
    return Answer(calls=calls if commands == 1 else [*calls, Call("read_file", {"file_path": "a.txt"})])


def _single(request: ReceivedRequest) -> Reply:
    return _answer(request.turn, 1)


def _parallel(request: ReceivedRequest) -> Reply:
    return _answer(request.turn, 2)


def _stream(request: ReceivedRequest) -> Reply:
    """The same in pieces of 100 bytes."""
    return Fault(answer=_answer(request.turn, 2), drip_bytes=100, drip_pause_s=0.002)


SHAPES: dict[str, tuple[Callable[[ReceivedRequest], Reply], int, str]] = {
    "single": (_single, 1, "--no-stream"),
    "parallel": (_parallel, 3, "--no-stream"),
    "stream": (_stream, 3, "--stream"),
}
"""The script, how many calls an answer has, and how it is asked for."""


# One killed run.


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    warm = Warm()
    folder = tmp_path_factory.mktemp("learn")
    with ScriptedProvider(_parallel) as provider:
        world = World(folder, provider.base_url)
        warm.learn([*COMMON, "do it"], folder=world.repo, environ=world.environ)
    World.made.remove(world)
    yield warm
    warm.close()


class Killed:
    """A run in a repository of its own, in a ledger that others share."""

    def __init__(self, warm: Warm, world: World, number: int, shape: str) -> None:
        self.script, self.calls_each, self.stream = SHAPES[shape]
        self.chance = random.Random(f"{shape} {number}")
        self.number = number
        self.repo = world.repo.with_name(f"repo-{number}")
        self.repo.mkdir()
        (self.repo / "a.txt").write_text("alpha\n")
        self.provider: ScriptedProvider
        self._state = world.state
        self._warm = warm
        self._environ = world.environ

    @contextlib.contextmanager
    def running(self, *, die_at_write: tuple[int, str] | None = None) -> Iterator[Child]:
        """While the provider is there; the run has ended when this is left."""
        with ScriptedProvider(self.script) as self.provider:
            environ = self._environ | {"OPENAI_BASE_URL": self.provider.base_url}
            arguments = [*COMMON, self.stream, "do it"]
            yield self._warm.start(arguments, folder=self.repo, environ=environ, die_at_write=die_at_write)
        _wait_for_commands(self.repo)

    def journal(self) -> Path | None:
        """Its journal, when it has begun."""
        needle = json.dumps(str(self.repo)).encode()
        for path in self._state.glob("journals/*/*/*.jsonl"):
            if needle in path.read_bytes()[:4096]:
                return path
        return None


def _at_any_moment(killed: Killed) -> None:
    with killed.running() as child:
        time.sleep(killed.chance.uniform(0, USUAL_S))
        child.kill()


def _after_a_request(killed: Killed) -> None:
    with killed.running() as child:
        killed.provider.wait_for_requests(killed.chance.randint(1, TURNS), timeout_s=30)
        time.sleep(killed.chance.uniform(0, 0.06))
        child.kill()


def _after_a_line(killed: Killed) -> None:
    lines = killed.chance.randint(1, 6 + TURNS * (2 + 3 * killed.calls_each))
    with killed.running() as child:
        journal = None
        while not child.ended:
            journal = journal or killed.journal()
            if journal is not None and journal.read_bytes().count(b"\n") >= lines:
                break
            time.sleep(0.001)
        child.kill()


def _after_a_byte(killed: Killed) -> None:
    """The answer stands still after the n-th byte, so the kill finds the run in mid-stream."""
    turn = killed.number % TURNS
    bytes_sent = killed.chance.randint(1, 1400)

    def script(request: ReceivedRequest) -> Reply:
        answer = _answer(request.turn, 2)
        return answer if request.turn != turn else Fault(answer=answer, stall_after_bytes=bytes_sent)

    killed.script = script
    with killed.running() as child:
        killed.provider.wait_for_stalled(1, timeout_s=30)
        child.kill()


MOMENTS = {
    "at any moment": _at_any_moment,
    "after a request": _after_a_request,
    "after a line": _after_a_line,
    "after a byte": _after_a_byte,
}


@pytest.mark.parametrize(
    ("shape", "moment"),
    [
        (shape, moment)
        for shape, moment in itertools.product(SHAPES, MOMENTS)
        if shape == "stream" or moment != "after a byte"
    ],
)
def test_kill(in_memory: Path, warm: Warm, shape: str, moment: str) -> None:
    world = World(in_memory)
    runs = [Killed(warm, world, number, shape) for number in range(KILLS)]
    _all_at(runs, MOMENTS[moment])
    found = _check(world, runs)
    assert found["interrupted"] > 0


@pytest.mark.parametrize("how", ["before", "half", "after"])
def test_kill_at_every_write(in_memory: Path, warm: Warm, how: str) -> None:
    """Two answers with a command and a read each: every write to journal and register is the last one once."""
    world = World(in_memory)
    runs = [Killed(warm, world, number, "parallel") for number in range(WRITES)]
    for killed in runs:
        killed.script = lambda request: _answer(request.turn, 2, turns=2)

    def run(killed: Killed) -> None:
        with killed.running(die_at_write=(killed.number + 1, how)) as child:
            child.wait()

    _all_at(runs, run)
    found = _check(world, runs, turns=2)
    # Beyond the last write there is nothing to die at; at the last one, the register's, the run has ended already.
    writes = WRITES - found["completed"] + (how != "after") * 1
    assert 24 < writes < WRITES, (writes, found)


def _all_at(runs: list[Killed], kill: Callable[[Killed], None]) -> None:
    """Several at once."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(kill, runs))


def _wait_for_commands(repo: Path) -> None:
    """A killed agent's commands may still write: wait until what began has ended, or nothing changes any more."""
    before: tuple[list[str], list[str]] | None = None
    while True:
        now = (_lines(repo / "effects"), _lines(repo / "ends"))
        if len(now[0]) == len(now[1]) or now == before:
            return
        before = now
        time.sleep(0.15)


# What must be true afterwards.


def _check(world: World, runs: list[Killed], turns: int = TURNS) -> Counter[str]:
    """Compare what the providers saw and what is on disk with the ledger, and audit it; how the runs ended."""
    found: Counter[str] = Counter()
    with Reader(world.state) as reader:
        for killed in runs:
            stderr = killed.repo.with_name(f"{killed.repo.name}.stderr").read_text()
            assert "Traceback" not in stderr, stderr
            found[_check_one(reader, killed, turns)] += 1
        assert [item for item in reader.damage() if item.what not in EXPECTED] == []
    report = audit(world.state)
    assert report.balanced, report.to_dict()["differences"]
    assert report.runs == len(runs) - found["none"]
    World.made.remove(world)  # it was audited just now
    return found


EXPECTED = ("the last entry was cut off", "it is empty", "a line cannot be read")
"""What a kill may leave, and is told."""


def _check_one(reader: Reader, killed: Killed, turns: int) -> str:
    requests = killed.provider.requests
    journal = killed.journal()
    text = journal.read_text() if journal else ""
    # every request that the provider saw was written down before it went out
    assert text.count('"type":"request_sent"') >= len(requests)
    runs = reader.runs(repo=str(killed.repo))
    if not runs:
        assert requests == []
        return "none"
    (run,) = runs
    calls = list(reader.calls(CallQuery(run=run.run_id), full=True))
    _check_calls(killed, calls)
    _check_what_the_provider_saw(killed, requests, calls)
    assert run.status in ("interrupted", "completed")
    if run.status == "completed":
        assert [call.outcome for call in calls] == ["success"] * killed.calls_each * turns
    _check_each_once(run, calls, text)
    return run.status


def _check_calls(killed: Killed, calls: list[ToolCall]) -> None:
    commands = {_marker(call): call for call in calls if call.tool_name == "run_command"}
    # every side effect has its entry, started before it happened
    for marker in _lines(killed.repo / "effects"):
        assert commands[marker].started_at is not None, marker
    # nothing shows as done that was not
    ended = set(_lines(killed.repo / "ends"))
    for marker, call in commands.items():
        if call.outcome == "success":
            assert marker in ended, marker
        else:
            assert call.outcome in ("interrupted", "cancelled"), call


def _check_what_the_provider_saw(killed: Killed, requests: list[ReceivedRequest], calls: list[ToolCall]) -> None:
    """Every result that the provider saw is in the ledger, closed, with that text."""
    kept = {(call.step, call.position): call for call in calls}
    each = killed.calls_each
    for request in requests:
        answers = [message for message in request.messages if message["role"] == "assistant"]
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        assert len(results) == each * len(answers)
        for place, told in enumerate(results):
            call = kept[(place // each + 1, place % each)]
            assert (call.outcome, call.result) == ("success", told)


def _check_each_once(run: Run, calls: list[ToolCall], text: str) -> None:
    assert len({call.call_uid for call in calls}) == len(calls) == run.calls
    assert [call.ordinal for call in calls] == list(range(1, len(calls) + 1))
    for call in calls:
        ends = text.count('"type":"call_finished","call_uid":"' + call.call_uid)
        assert ends == 1, call


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _marker(call: ToolCall) -> str:
    assert isinstance(call.arguments, dict)
    return str(call.arguments["command"]).split()[1]


# Single moments, each with a process of its own.


def test_a_process_that_starts_is_killed(tmp_path: Path) -> None:
    """Anywhere from its first instruction on."""
    for attempt in range(8):
        with ScriptedProvider(_parallel) as provider:
            world = World(tmp_path / str(attempt), provider.base_url)
            process = world.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(attempt * 0.03)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert [run["status"] for run in world.runs()] in ([], ["interrupted"])
        shutil.rmtree(world.repo)


def test_a_request_in_flight_at_the_kill_is_told_as_failed(tmp_path: Path) -> None:
    with ScriptedProvider([Fault(stall_before_answer=True)]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        provider.wait_for_stalled(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (run,) = world.runs()
    assert run["status"] == "interrupted"
    shown = json.loads(world.equitrcoder("show", "last", "--json").out)
    (error,) = [step for step in shown["execution_steps"] if step["type"] == "error"][:1]
    assert error["content"]["error_type"] == "interrupted"
    assert error["content"]["attempt"] == 1


def test_a_reader_sees_running_while_the_process_lives_and_interrupted_after(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("run_command", {"command": "echo begun; sleep 60"})])]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start()
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if json.loads(line)["type"] == "call.started":
                break
        (record,) = world.calls()
        assert (record["outcome"], record["ended_at"]) == ("running", None)
        (run,) = world.runs()
        assert run["status"] == "running"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (record,) = world.calls()
        assert record["outcome"] == "interrupted"
        assert record["duration_ms"] is None
        (run,) = world.runs()
        assert run["status"] == "interrupted"
