"""The events of `run --json`: each fits docs/events.schema.json, and docs/events.md says the same as the schema."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from equitrcoder.agent.accounting import Accounts
from equitrcoder.agent.approvals import ApprovalAnswer, ApprovalRequest
from equitrcoder.agent.budget import Budget
from equitrcoder.agent.events import RunEvents
from equitrcoder.agent.result import RunResult
from equitrcoder.agent.session import Session, SessionOptions
from equitrcoder.errors import BudgetExceeded
from equitrcoder.ledger import Ledger, Reader, Redactor
from equitrcoder.providers.client import ModelResponse
from equitrcoder.settings import Settings
from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from equitrcoder.testing.script import Usage as ScriptedUsage
from equitrcoder.wires.values import Turn, WireCall
from tests.command import KEY, World

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "events.schema.json").read_text(encoding="utf-8"))
RESERVED = {"plan.made", "worker.started"}
COMMON = set(SCHEMA["properties"])


def closed(schema: Any) -> Any:
    """The schema with no other fields allowed: for us, a field that is not documented is a mistake."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: closed(item) for name, item in schema.items()}
    if schema.get("type") == "object" and "required" in schema:
        copy["unevaluatedProperties"] = False
        if "type" in schema.get("properties", {}) and "const" in schema["properties"]["type"]:
            copy["properties"] |= dict.fromkeys(COMMON - {"type"}, True)
    return copy


DOCUMENTED = Draft202012Validator(closed(SCHEMA) | {"unevaluatedProperties": True})


def check_stream(events: list[dict[str, Any]], *, whole: bool = True) -> set[str]:
    """Check a run's events one by one and together; return the types that were there."""
    for event in events:
        problems = [f"{problem.json_path}: {problem.message}" for problem in DOCUMENTED.iter_errors(event)]
        assert problems == [], event
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["run"] for event in events}) == 1
    of_calls: dict[str, list[str]] = {}
    for event in events:
        if "call_uid" in event:
            of_calls.setdefault(event["call_uid"], []).append(event["type"])
    for kinds in of_calls.values():
        assert kinds[0] == "call.requested" and len(kinds) == len(set(kinds)), kinds
        assert "call.finished" not in kinds or kinds[-1] == "call.finished", kinds
    if whole:
        assert [event["type"] for event in events].index("run.finished") == len(events) - 1
    return {event["type"] for event in events}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]["type"]["enum"]) == {
        branch["if"]["properties"]["type"]["const"]
        for branch in SCHEMA["allOf"]
        if "type" in branch["if"]["properties"]
    }


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"seq": 0},
        {"type": "call.done"},
        {"run": None},
        {"run": "7F3K"},
        {"outcome": "running"},
        {"duration_ms": -1},
        {"error": {"type": "x"}},
        {"truncated": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    good = _example()
    assert DOCUMENTED.is_valid(good)
    assert not Draft202012Validator(SCHEMA).is_valid(good | change)


def test_readers_may_meet_new_fields_but_we_document_ours() -> None:
    assert Draft202012Validator(SCHEMA).is_valid(_example() | {"new": 1})
    assert not DOCUMENTED.is_valid(_example() | {"new": 1})


def _example() -> dict[str, Any]:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    (line,) = re.findall(r'^    (\{"v":1.*)$', text, re.MULTILINE)
    example: dict[str, Any] = json.loads(line)
    return example


# What runs emit, in processes of their own


def test_a_run_with_everything(tmp_path: Path) -> None:
    script = [
        Fault(status=429, headers={"retry-after": "0"}, body={"error": {"message": "slow down"}}),
        Answer(
            text="I look first.",
            reasoning="hm",
            calls=[
                Call("read_file", {"file_path": "a.txt"}),
                Call("run_command", {"command": "head -c 3000000 /dev/zero | tr '\\0' x; exit 3"}),
                Call("run_command", {"command": "sleep 20", "timeout_s": 1}),
                Call("no_such_tool", {}),
                Call("read_file", '{"file_path": '),
                Call("write_file", {"file_path": "b.txt", "content": "x\n"}),
                Call("edit_file", {"file_path": "a.txt", "old_text": "alpha", "new_text": "beta"}),
                Call("search", {"pattern": "x"}),
                Call("list_directory", {"path": "."}),
                Call("git_status", {}),
            ],
        ),
        Answer(text="Done.", usage=None),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a.txt").write_text("alpha\n")
        done = world.run("--check", "true")
    kinds = check_stream(done.events)
    assert done.code == done.event("run.finished")["exit_code"] == 0
    assert kinds == {
        *("run.started", "text.delta", "turn.finished", "request.failed", "call.requested", "call.started"),
        *("call.finished", "check.started", "check.finished", "run.finished"),
    }
    records = {record["call_uid"]: record for record in world.calls()}
    finished = [event for event in done.events if event["type"] == "call.finished"]
    assert len(finished) == len(records) == 10
    for event in finished:
        record = records[event["call_uid"]]
        assert (event["outcome"], event["tool_name"]) == (record["outcome"], record["tool_name"])
        assert (event["truncated"], event["result_bytes"]) == (
            record["truncated_to"] is not None,
            record["result_bytes"],
        )
    assert {event["outcome"] for event in finished} >= {"success", "failed", "invalid", "timeout"}
    totals = done.event("run.finished")["totals"]
    (run,) = world.runs()
    for name, of_run in (("turns", "steps_taken"), ("calls", "calls"), ("failed_calls", "failed_calls")):
        assert totals[name] == run[of_run]


def test_a_check_that_fails(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="Done.")]) as provider:
        done = World(tmp_path, provider.base_url).run("--no-stream", "--check", "echo no; exit 2")
    check_stream(done.events)
    assert (done.code, done.event("check.finished")["exit_code"]) == (1, 2)
    assert done.event("run.finished")["status"] == "failed"


def test_an_approval_nobody_can_give(tmp_path: Path) -> None:
    script = [
        Answer(calls=[Call("run_command", {"command": "ls"}), Call("read_file", {"file_path": "a.txt"})]),
        Answer(text="Done."),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        common = ["run", "--model", "openai/scripted", "--sandbox", "off", "--json"]
        done = world.equitrcoder(*common, "--approve", "edits", "do it")
    assert "approval.needed" in check_stream(done.events)
    assert (done.code, done.event("run.finished")["exit_code"]) == (7, 7)


def test_a_limit(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[Call("list_directory", {"path": "."})])]) as provider:
        done = World(tmp_path, provider.base_url).run("--max-turns", "1")
    check_stream(done.events)
    assert (done.code, done.event("run.finished")["status"]) == (6, "limit")


def test_a_budget(tmp_path: Path) -> None:
    dear = ScriptedUsage(input_tokens=1000, output_tokens=850)
    script = [Answer(calls=[Call("list_directory", {"path": "."})], usage=dear)]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        file = world.home / ".config" / "equitrcoder" / "config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text("prices: {openai/scripted: {input: 0, output: 1000}}\n")
        done = world.run("--budget", "1")
    assert "budget.warned" in check_stream(done.events)
    assert done.event("budget.warned")["spent_nanousd"] == 850_000_000
    assert (done.code, done.event("run.finished")["status"]) == (BudgetExceeded.exit_code, "budget")


def test_a_provider_that_gives_up(tmp_path: Path) -> None:
    with ScriptedProvider([Fault(status=401, body={"error": {"message": "bad key"}})]) as provider:
        done = World(tmp_path, provider.base_url).run()
    check_stream(done.events)
    assert (done.code, done.event("request.failed")["wait_s"]) == (4, None)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--model", "groq/x"], 3), (["--model", "nosuch/x"], 3), (["--repo", "nowhere"], 2)]
)
def test_a_run_that_cannot_start(tmp_path: Path, arguments: list[str], code: int) -> None:
    done = World(tmp_path).equitrcoder("run", "--json", *arguments, "do it")
    assert check_stream(done.events) == {"run.finished"}
    (event,) = done.events
    assert (done.code, event["exit_code"], event["run"]) == (code, code, None)
    assert event["error"]["code"] in done.err and event["error"]["message"] in done.err


def test_a_run_that_is_stopped(tmp_path: Path) -> None:
    script = [
        Answer(calls=[Call("run_command", {"command": "sleep 60"}), Call("run_command", {"command": "sleep 61"})])
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        process = world.start()
        with process:
            assert process.stdout is not None
            events: list[dict[str, Any]] = []
            for line in process.stdout:
                events.append(json.loads(line))
                if [event["type"] for event in events].count("call.started") == 2:
                    process.send_signal(signal.SIGINT)
                    break
            events += map(json.loads, process.stdout)
            assert process.wait(30) == 130
    check_stream(events)
    assert events[-1]["status"] == "cancelled"
    assert {event["outcome"] for event in events if event["type"] == "call.finished"} == {"cancelled"}


# What only happens in a process where somebody answers, or at providers that run tools


async def test_an_approval_that_is_given_and_one_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def approve(request: ApprovalRequest) -> ApprovalAnswer:
        return ApprovalAnswer(granted=request.subject == "true", reason="not that one")

    script = [
        Answer(calls=[Call("run_command", {"command": "true"}), Call("run_command", {"command": "false"})]),
        Answer(text="Done."),
    ]
    events: list[dict[str, Any]] = []
    with ScriptedProvider(script) as provider:
        environ = {"OPENAI_API_KEY": KEY, "EQUITRCODER_STATE_DIR": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"}
        environ["OPENAI_BASE_URL"] = provider.base_url
        settings = Settings(ai_model="openai/scripted", approve="ask", sandbox="off")
        options = SessionOptions(sink=events.append, approver=approve)
        async with Session(tmp_path, settings, environ, options=options) as session:
            await session.run("do it")
    assert {"approval.needed", "approval.given"} <= check_stream(events)
    assert [event["decision"] for event in events if event["type"] == "approval.given"] == ["granted", "denied"]
    assert [event["outcome"] for event in events if event["type"] == "call.finished"].count("denied") == 1


def test_calls_that_a_provider_ran_are_closed_too(tmp_path: Path) -> None:
    calls = (
        WireCall(name="web_search", arguments={"q": "x"}, id="1", kind="provider-executed", index=0, result="found"),
        WireCall(name="web_search", arguments={"q": "y"}, id="2", kind="provider-executed", index=1, error="down"),
        WireCall(name="web_search", arguments="q", id=None, kind="provider-executed", index=2),
    )
    events: list[dict[str, Any]] = []
    with Ledger(tmp_path) as ledger:
        recorder = ledger.start_run(
            provider="groq", model_requested="groq/compound", repo_path="/r", task="t", capture="middleware"
        )
        result = RunResult(run_id=recorder.run_id, session_id=recorder.session_id)
        accounts = Accounts(
            recorder=recorder,
            events=RunEvents(
                events.append, run=recorder.run_id, agent="single", provider="groq", redactor=Redactor([])
            ),
            result=result,
            budget=Budget(),
            price=None,
            tool_kinds={},
            prompt_bytes=0,
        )
        turn = Turn(text="Found.", calls=calls)
        accounts.record_answer(ModelResponse(turn=turn, duration_ms=1.0, time_to_first_byte_ms=None, attempts=1))
        recorder.finish(status="completed")
    check_stream(events, whole=False)
    outcomes = [event["outcome"] for event in events if event["type"] == "call.finished"]
    with Reader(tmp_path) as reader:
        assert outcomes == [call.outcome for call in reader.calls()] == ["success", "failed", "unknown"]
        assert (result.calls, result.failed_calls) == (3, reader.run("last").failed_calls)


# The page


def test_every_type_that_the_agent_emits_is_documented_and_the_other_way_round() -> None:
    found = {
        kind
        for file in (ROOT / "src" / "equitrcoder").rglob("*.py")
        for kind in re.findall(r'\.(?:emit|_send)\(\s*"([a-z]+\.[a-z]+)"', file.read_text(encoding="utf-8"))
    }
    assert found | RESERVED == set(SCHEMA["properties"]["type"]["enum"])


def test_the_page_has_the_fields_of_the_schema_in_its_words() -> None:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    types = SCHEMA["properties"]["type"]["enum"]
    sections = dict(re.findall(r"^### (\S+)\n\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL))
    assert [name for name in sections if name in types] == types
    for name in types:
        schema = SCHEMA["$defs"][name]
        assert sections[name].startswith(schema["description"])
        documented = {field: what for field, _, what in _rows(sections[name])}
        fields = {field: found for field, found in schema["properties"].items() if field != "type"}
        assert list(documented) == list(fields)
        for field, found in fields.items():
            assert documented[field].startswith(found.get("description") or _description(found))


def _rows(section: str) -> Iterable[tuple[str, str, str]]:
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section, re.MULTILINE)


def _description(found: dict[str, Any]) -> str:
    words: str = SCHEMA["$defs"][found["$ref"].rpartition("/")[2]]["description"]
    return words
