"""The agent under fire: a model that goes round, floods, or calls nonsense, and providers that drip, lie or die.

Whatever comes, a run ends in time, its exit code is that of DESIGN.md section 8, its error is a sentence with the fix,
and the ledger balances (tests/conftest.py audits it after every test).
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from equitrcoder.agent.calls import PARALLEL_CALLS, LoopGuard
from equitrcoder.agent.events import EventSink
from equitrcoder.agent.session import Session, SessionOptions
from equitrcoder.errors import EquitrError
from equitrcoder.ledger import Reader
from equitrcoder.ledger.views import call_to_dict, run_to_dict
from equitrcoder.sandbox.plain import PlainSandbox
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ProviderCall, ReceivedRequest, Script, ScriptedProvider
from equitrcoder.tools import InvalidCall, Toolbox
from equitrcoder.tools.workspace import Workspace
from tests.command import KEY, World
from tests.contract.test_fifteen_alike import CASES, MODEL, Row

ROW = CASES["openai"]
WIRES = {name: CASES[name] for name in ("openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere")} | {
    "mistral": CASES["mistral"]
}
"""A row of each wire that has calls."""
DONE = Answer(text="Done.")
READ = Call("read_file", {"file_path": "a.txt"})


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the runs of a session ended."""

    runs: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    codes: list[int]
    errors: list[EquitrError | None]
    events: list[dict[str, Any]]
    requests: list[ReceivedRequest]

    def of(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["run_id"] == run["run_id"]]


async def fire(
    repo: Path, script: Script, *, row: Row = ROW, tasks: int = 1, sink: EventSink | None = None, **settings: Any
) -> Ended:
    """Run tasks in one session with the real agent; everything is real but the model."""
    repo.mkdir(parents=True, exist_ok=True)
    (repo / "a.txt").write_text("alpha\n")
    events: list[dict[str, Any]] = []
    errors: list[EquitrError | None] = []
    with ScriptedProvider(script) as provider:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "EQUITRCODER_STATE_DIR": os.environ["EQUITRCODER_STATE_DIR"],
            f"{row.name.upper()}_BASE_URL": provider.base_url.removesuffix("/v1") + row.base,
        } | ({row.key: KEY} if row.key else {})
        chosen = Settings(**{"approve": "all", "sandbox": "off", "max_attempts": 1, **row.settings, **settings})

        def hear(event: dict[str, Any]) -> None:
            events.append(event)
            if sink is not None:
                sink(event)

        options = SessionOptions(sink=hear)
        async with Session(repo, chosen, environ, model=f"{row.name}/{MODEL}", options=options) as agent:
            for _ in range(tasks):
                try:
                    await agent.run("do it")
                    errors.append(None)
                except EquitrError as error:
                    errors.append(error)
        requests = provider.requests
        assert provider.errors == []
    with Reader(Path(environ["EQUITRCODER_STATE_DIR"])) as reader:
        runs = sorted((run_to_dict(run) for run in reader.runs(limit=10_000)), key=lambda run: str(run["run_id"]))
        calls = [call_to_dict(call) for call in reader.calls()]
    codes = [event["exit_code"] for event in events if event["type"] == "run.finished"]
    assert len(codes) == len(runs) == tasks
    return Ended(runs=runs, calls=calls, codes=codes, errors=errors, events=events, requests=requests)


def stopped(ended: Ended, code: int, error_code: str) -> EquitrError:
    """The error of the one run, which must end so and say how to go on."""
    (error,) = ended.errors
    assert error is not None
    assert (ended.codes, error.code, ended.runs[0]["completed_at"] is None) == ([code], error_code, False)
    assert error.hint
    assert error_code in ended.runs[0]["error"]
    return error


# A model that goes round


def test_the_guard_lets_a_run_go_on_that_gets_somewhere() -> None:
    """pytest fails, an edit, pytest fails, …: the same failing call, and every time something new in between."""
    guard = LoopGuard()
    for number in range(50):
        guard.next_answer()
        assert guard.settled("run_command", {"command": "pytest"}, "failed") == ""
        assert not guard.stuck
        guard.next_answer()
        guard.settled("edit_file", {"old": number}, "success")


ROUNDS: dict[str, tuple[Any, int]] = {
    "the same": (lambda turn: "missing.txt", LoopGuard.STOP_AT),
    "a and b": (lambda turn: "ab"[turn % 2], 2 * LoopGuard.STOP_ALIKE_AT - 1),
    "a, b and c": (lambda turn: "abc"[turn % 3], 3 * LoopGuard.STOP_ALIKE_AT - 2),
    "a counter": (lambda turn: f"missing-{turn}.txt", LoopGuard.STOP_ALIKE_AT),
    "a and what works": (lambda turn: ["a", "a.txt"][turn % 2], 2 * LoopGuard.STOP_ALIKE_AT + 1),
}


@pytest.mark.parametrize("kind", ROUNDS)
async def test_a_model_that_goes_round_is_told_and_then_stopped(tmp_path: Path, kind: str) -> None:
    path, answers = ROUNDS[kind]
    ended = await fire(
        tmp_path, lambda request: Answer(calls=[Call("read_file", {"file_path": path(request.turn)})]), max_turns=60
    )
    error = stopped(ended, 6, "E206")
    assert "same failing call" in error.message
    assert len(ended.requests) == len(ended.calls) == answers
    told = [call["result"] for call in ended.calls if call["outcome"] != "success"]
    assert "times" in told[-1] and "Change something" in told[-1] and "Change something" not in told[0]


async def test_endless_turns_end_at_the_default_limit(tmp_path: Path) -> None:
    ended = await fire(tmp_path, lambda request: Answer(calls=[READ]))
    assert "100 turns" in stopped(ended, 6, "E203").message
    assert len(ended.requests) == len(ended.calls) == 100


async def test_a_model_that_pauses_forever_ends_at_the_limit(tmp_path: Path) -> None:
    paused = Answer(text="…", finish="pause_turn")
    ended = await fire(tmp_path, lambda request: paused, row=WIRES["anthropic"], max_turns=7)
    stopped(ended, 6, "E203")
    assert (len(ended.requests), ended.calls) == (7, [])


# A flood


async def test_a_thousand_calls_in_one_answer(tmp_path: Path) -> None:
    """Each has its row; never more than the bound run at once; those that write one file do so in order."""
    calls = [
        Call("write_file", {"file_path": "one.txt", "content": f"{n}\n"})
        if n % 2
        else Call("read_file", {"file_path": "a.txt"})
        for n in range(1000)
    ]
    ended = await fire(tmp_path, [Answer(calls=calls), DONE])
    assert ended.codes == [0]
    assert [call["ordinal"] for call in ended.calls] == list(range(1, 1001))
    assert {call["outcome"] for call in ended.calls} == {"success"}
    assert (tmp_path / "one.txt").read_text() == "999\n"
    running = most = 0
    finished: list[str] = []
    for event in ended.events:
        if event["type"] == "call.started":
            most = max(most, running := running + 1)
        elif event["type"] == "call.finished":
            running -= 1
            finished.append(event["call_uid"])
    assert 0 < most <= PARALLEL_CALLS
    writes = [call["call_uid"] for call in ended.calls if call["tool_name"] == "write_file"]
    assert [uid for uid in finished if uid in set(writes)] == writes
    assert len(ended.requests[1].tool_results) == 1000


async def test_no_more_than_the_bound_run_at_the_same_moment(tmp_path: Path) -> None:
    """Every command waits until as many have begun as may; so more would begin if more could."""
    running: list[int] = [0]

    def count(event: dict[str, Any]) -> None:
        running.append(running[-1] + {"call.started": 1, "call.finished": -1}.get(event["type"], 0))
        if running[-1] == PARALLEL_CALLS:
            (tmp_path / "go").touch()

    waits = [Call("run_command", {"command": "until [ -e go ]; do sleep 0.01; done"})] * (PARALLEL_CALLS + 10)
    ended = await fire(tmp_path, [Answer(calls=waits), DONE], sink=count)
    assert {call["outcome"] for call in ended.calls} == {"success"}
    assert (max(running), len(ended.calls)) == (PARALLEL_CALLS, PARALLEL_CALLS + 10)


def test_ctrl_c_during_a_thousand_calls(tmp_path: Path) -> None:
    """Each is closed: what ran was ended, what waited never began; no process is left."""
    calls = [Call("run_command", {"command": f"echo $$ >> pids; sleep {600 + n}"}) for n in range(1000)]
    with ScriptedProvider([Answer(calls=calls)]) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start()
        assert process.stdout is not None and process.stderr is not None
        started = 0
        for line in process.stdout:
            started += json.loads(line)["type"] == "call.started"
            if started == PARALLEL_CALLS:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in err
    records = world.calls("--limit", "2000")
    outcomes = Counter((record["outcome"], record["started_at"] is not None) for record in records)
    assert set(outcomes) == {("cancelled", True), ("interrupted", False)} or set(outcomes) == {
        ("cancelled", True),
        ("cancelled", False),
    }, outcomes
    assert (len(records), outcomes["cancelled", True]) == (1000, PARALLEL_CALLS)
    for pid in (world.repo / "pids").read_text().split():
        assert "sleep" not in _command_line(pid)


def _command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


async def test_ten_megabytes_of_arguments(tmp_path: Path) -> None:
    """A write of that size is carried out; nonsense of that size is refused with a short word."""
    big = "x" * 10_000_000
    calls = [
        Call("write_file", {"file_path": "big.txt", "content": big}),
        Call("read_file", {"file_path": big}),
        Call("no_such_tool", {"text": big}),
        Call("read_file", '{"file_path": "' + big),
        Call("write_file", {"file_path": ["x"] * 1000, "content": big}),
    ]
    ended = await fire(tmp_path, [Answer(calls=calls), DONE], stream=False)
    assert ended.codes == [0]
    assert (tmp_path / "big.txt").stat().st_size == 10_000_000
    assert [(call["outcome"], call["error_type"]) for call in ended.calls] == [
        ("success", None),
        ("invalid", "invalid_arguments"),
        ("invalid", "unknown_tool"),
        ("invalid", "invalid_arguments"),
        ("invalid", "invalid_arguments"),
    ]
    assert all(len(result) < 2_000 for result in ended.requests[1].tool_results), ended.requests[1].tool_results


# Nonsense

WRONG: dict[str, list[Any]] = {
    "string": [None, 7, 1.5, True, ["a.txt"], {"path": "a.txt"}],
    "integer": ["7", 1.5, True, [1], {}, -1, 0],
    "boolean": ["true", 1, 0.0, [True], {}],
    "array": ["a.txt", 7, True, [1], [["a.txt"]], [None], {}],
}
GOOD: dict[str, Any] = {"string": "a.txt", "integer": 1, "boolean": True, "array": ["a.txt"]}


def fields(toolbox: Toolbox) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Each field of each tool, its schema, and good arguments for what else the tool needs."""
    return [
        (spec.name, name, schema, {need: GOOD[properties[need]["type"]] for need in spec.parameters["required"]})
        for spec in toolbox.specs
        for properties in [spec.parameters["properties"]]
        for name, schema in properties.items()
    ]


def a_toolbox(repo: Path) -> Toolbox:
    return Toolbox(Workspace.open(repo), PlainSandbox(repo, environ=os.environ))


async def test_wrong_types_for_every_field_of_every_tool_run_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    calls: list[Call] = []
    for tool, name, schema, needed in fields(a_toolbox(tmp_path)):
        for wrong in WRONG[schema["type"]]:
            if wrong in (0, -1) and wrong is not True and "minimum" not in schema:
                continue
            if wrong is None and name not in needed:
                continue  # null for what may be left out is left out
            calls.append(Call(tool, {**needed, name: wrong}))
            told.append(name)
    ended = await fire(tmp_path, [Answer(calls=calls), DONE])
    assert len(ended.calls) > 100
    assert {(call["outcome"], call["error_type"]) for call in ended.calls} == {("invalid", "invalid_arguments")}
    for call, name in zip(ended.calls, told, strict=True):
        assert f"'{name}' must be" in call["result"] and "It takes" in call["result"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_arguments_are_refused_or_carried_out(tmp_path: Path, data: st.DataObject) -> None:
    """Nothing but a refusal or a result, and no file outside; commands are only checked, not run."""
    repo = tmp_path / "in" / "repo"
    repo.mkdir(parents=True, exist_ok=True)
    toolbox = a_toolbox(repo)
    spec = data.draw(st.sampled_from(toolbox.specs))
    drawn: dict[str, Any] = {}
    for name, schema in spec.parameters["properties"].items():
        right = {"string": st.text(max_size=40), "integer": st.integers(), "boolean": st.booleans()}.get(
            schema["type"], st.lists(st.text(max_size=10), max_size=3)
        )
        if data.draw(st.integers(0, 9)):
            drawn[name] = data.draw(right if data.draw(st.integers(0, 4)) else ANYTHING)
    try:
        call = toolbox.validate(spec.name, drawn)
    except InvalidCall as refused:
        assert refused.message and refused.error_type == "invalid_arguments"
        return
    toolbox.preview(call)
    if call.effect != "command":
        result = await toolbox.run(call)
        assert result.outcome in ("success", "failed", "invalid") and result.error_type != "crashed", (call, result)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in repo.parent.iterdir()] == ["repo"]


NAMES = [
    "",
    " ",
    "Read_File",
    "read_file ",
    "read\x00file",
    "../read_file",
    "\x1b[31mread_file",
    "é" * 300,
    "x" * 100_000,
]


async def test_names_that_are_none(tmp_path: Path) -> None:
    ended = await fire(tmp_path, [Answer(calls=[Call(name, {"file_path": "a.txt"}) for name in NAMES]), DONE])
    assert (ended.codes, ended.runs[0]["status"]) == ([0], "completed")
    assert [call["tool_name"] for call in ended.calls] == NAMES
    assert {(call["outcome"], call["error_type"]) for call in ended.calls} == {("invalid", "unknown_tool")}
    assert all(len(call["result"]) < 1000 and "read_file" in call["result"] for call in ended.calls)


def ids_of_results(sent: Any) -> Iterator[str]:
    """By which ids the results in a request name their calls."""
    if isinstance(sent, list):
        for item in sent:
            yield from ids_of_results(item)
    elif isinstance(sent, dict):
        if sent.get("type") == "function_call_output":
            yield sent["call_id"]
        for key, value in sent.items():
            if key in ("tool_call_id", "tool_use_id"):
                yield value
            else:
                yield from ids_of_results(value)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("wire", WIRES)
async def test_ids_that_are_there_twice(tmp_path: Path, wire: str, stream: bool) -> None:
    """In one answer and in the next one, empty or missing: each call is carried out, each result finds its call."""
    ids: Sequence[str | None] = ["same", "same", "", None, "other"]
    first = [Call("run_command", {"command": f"echo {n}"}, id=id_) for n, id_ in enumerate(ids)]
    second = [Call("run_command", {"command": f"echo {n}"}, id=id_) for n, id_ in enumerate(ids, 10)]
    ended = await fire(tmp_path, [Answer(calls=first), Answer(calls=second), DONE], row=WIRES[wire], stream=stream)
    assert (ended.codes, ended.runs[0]["status"]) == ([0], "completed")
    told = [[result.split()[0] for result in request.tool_results] for request in ended.requests[1:]]
    assert told == [["0", "1", "2", "3", "4"], ["10", "11", "12", "13", "14"]]
    assert len({call["call_uid"] for call in ended.calls}) == len(ended.calls) == 10
    answered = list(ids_of_results(ended.requests[2].json))
    assert len(set(answered)) == len(answered)
    assert len(answered) == 10 or wire in ("gemini", "ollama")  # where results may go by their order


# A provider that drips, lies or dies


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_that_drips_is_an_answer(tmp_path: Path, wire: str) -> None:
    fault = Fault(answer=Answer(text="One.", calls=[READ]), drip_bytes=1, drip_pause_s=0)
    ended = await fire(tmp_path, [fault, DONE], row=WIRES[wire])
    assert (ended.codes, [call["outcome"] for call in ended.calls]) == ([0], ["success"])


async def test_an_answer_that_drips_for_ever_meets_the_time_limits(tmp_path: Path) -> None:
    slow = Fault(answer=Answer(text="x" * 2000, calls=[READ]), drip_bytes=1, drip_pause_s=0.02)
    ended = await fire(tmp_path, [slow, slow], tasks=1, request_timeout_s=0.5)
    assert ended.codes == [4] and ended.calls == []
    assert ended.errors[0] is not None and ended.errors[0].hint


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_that_dies_at_any_place_runs_all_of_its_calls_or_none(
    tmp_path: Path, wire: str, stream: bool
) -> None:
    calls = [Call("write_file", {"file_path": f"{n}.txt", "content": "x" * 40}) for n in range(2)]
    good = Answer(text="Both.", calls=calls)
    tasks = 13
    places = iter([*range(0, 149 * (tasks - 1), 149), None])

    def script(request: ReceivedRequest) -> Answer | Fault:
        if request.tool_results:
            return DONE
        place = next(places)
        return good if place is None else Fault(answer=good, close_after_bytes=place, reset=place % 2 == 1)

    ended = await fire(tmp_path, script, row=WIRES[wire], tasks=tasks, stream=stream)
    whole = broken = 0
    for run, code, error in zip(ended.runs, ended.codes, ended.errors, strict=True):
        if code == 0:
            assert [call["outcome"] for call in ended.of(run)] == ["success"] * 2
            whole += 1
        else:
            assert (code, run["status"], ended.of(run)) == (4, "failed", [])
            assert error is not None and error.hint and str(error.code) in run["error"]
            broken += 1
    assert broken >= 3 and whole >= 1


LIES: dict[str, dict[str, str]] = {
    # wire: the finish of an answer with calls, and of one without
    "openai": {"calls": "tool_calls", "end": "stop"},
    "anthropic": {"calls": "tool_use", "end": "end_turn"},
    "gemini": {"calls": "STOP", "end": "STOP"},
    "cohere": {"calls": "TOOL_CALL", "end": "COMPLETE"},
    "mistral": {"calls": "tool_calls", "end": "stop"},
    "ollama": {"calls": "tool_calls", "end": "stop"},
    "openai-responses": {"calls": "completed", "end": "completed"},
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("wire", WIRES)
async def test_calls_count_whatever_the_finish_says(tmp_path: Path, wire: str, stream: bool) -> None:
    row, words = WIRES[wire], LIES[wire]
    ended = await fire(tmp_path, [Answer(calls=[READ], finish=words["end"]), DONE], row=row, stream=stream)
    assert (ended.codes, [call["outcome"] for call in ended.calls]) == ([0], ["success"])


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("wire", [wire for wire, words in LIES.items() if words["calls"] != words["end"]])
async def test_calls_that_are_claimed_and_not_there_are_no_success(tmp_path: Path, wire: str, stream: bool) -> None:
    claims = Answer(finish=LIES[wire]["calls"])
    ended = await fire(tmp_path, [claims], row=WIRES[wire], stream=stream)
    assert (ended.codes, ended.calls) == ([1], [])
    assert "said that the model called tools" in ended.runs[0]["error"]


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_of_nothing_is_no_success(tmp_path: Path, wire: str) -> None:
    ended = await fire(tmp_path, [Answer()], row=WIRES[wire])
    assert (ended.codes, ended.calls) == ([1], [])
    assert "the answer was empty" in ended.runs[0]["error"]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": -7},
        {"prompt_tokens": 10**30, "completion_tokens": 10**30},
        {"prompt_tokens": "many", "completion_tokens": [1]},
        {"prompt_tokens": 1e308, "completion_tokens": True},
    ],
)
async def test_tokens_that_cannot_be_are_no_tokens(tmp_path: Path, usage: dict[str, Any]) -> None:
    ended = await fire(tmp_path, [Answer(calls=[READ], usage=usage), Answer(text="Done.", usage=usage)])
    assert ended.codes == [0] and len(ended.calls) == 1
    run = ended.runs[0]
    assert 0 <= run["input_tokens"] < 2**63 and 0 <= run["output_tokens"] < 2**63


@pytest.mark.parametrize("wire", ["anthropic", "gemini"])
async def test_results_of_calls_that_nobody_made_are_no_rows(tmp_path: Path, wire: str) -> None:
    late = [ProviderCall("code_execution", {"code": "1"}, result="42", id=name) for name in ("nobody", "")]
    ended = await fire(tmp_path, [Answer(text="One.", calls=[READ], late=late), DONE], row=WIRES[wire])
    assert (ended.codes, [call["tool_name"] for call in ended.calls]) == ([0], ["read_file"])
