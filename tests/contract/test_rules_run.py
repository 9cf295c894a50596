"""Rules and approvals through the real command and the API."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from equitrcoder import ApprovalRequest, EquitrAPI
from equitrcoder.agent.approvals import ApprovalAnswer
from equitrcoder.agent.calls import LoopGuard
from equitrcoder.cli import asking
from equitrcoder.errors import ApprovalNeeded
from equitrcoder.testing import Answer, Call, ScriptedProvider
from tests.command import World


def command(line: str) -> Answer:
    return Answer(calls=[Call("run_command", {"command": line})])


def journal(world: World, kind: str) -> list[dict[str, Any]]:
    lines = [line for path in world.state.rglob("journals/**/*.jsonl") for line in path.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def test_a_denied_command_is_not_run_and_the_model_is_told_the_rule(tmp_path: Path) -> None:
    script = [command("touch ran; echo `g'i't pu\\sh`"), Answer(text="I stop.")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.run("--deny", "run_command git push")
        (told,) = provider.requests[1].tool_results
    assert done.code == 0, done.err
    assert not (world.repo / "ran").exists()
    assert 'rule 1 (deny: run_command git push) fits "git push"' in told
    given = done.event("approval.given")
    assert (given["decision"], given["by"]) == ("denied", "rule 1 (deny: run_command git push)")
    assert 'fits "git push"' in given["reason"] and given["waited_ms"] == 0
    (record,) = world.calls()
    assert (record["outcome"], record["error_type"], record["approval"]) == ("denied", "denied", "denied")
    (stored,) = journal(world, "approval")
    assert (stored["by"], stored["reason"], stored["waited_ms"]) == (given["by"], given["reason"], 0)


def test_an_allow_rule_lets_one_command_through_and_the_next_needs_somebody(tmp_path: Path) -> None:
    script = [command("touch one"), command("touch one; touch two"), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.run("--approve", "ask", "--allow", "run_command touch one")
    assert done.code == 7
    assert (world.repo / "one").exists() and not (world.repo / "two").exists()
    assert done.event("approval.needed")["why"] == 'the approval mode is "ask"; no rule allows "touch two"'
    assert [record["outcome"] for record in world.calls()] == ["success", "denied"]


def test_an_ask_rule_asks_in_the_mode_all_and_a_redirection_is_a_write(tmp_path: Path) -> None:
    script = [command("echo x > free"), command("echo x > migrations/1"), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.run("--ask", "write_file migrations/**")
    assert done.code == 7
    assert "rule 1 (ask: write_file migrations/**)" in done.event("approval.needed")["why"]
    assert (world.repo / "free").exists()


def test_what_cannot_be_known_is_denied_where_nobody_can_be_asked(tmp_path: Path) -> None:
    script = [command("X=touch; $X one"), command("echo 'unfinished"), command("touch two"), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        assert world.run("--deny", "run_command git push").code == 0
        told = [request.tool_results[-1] for request in provider.requests[1:]]
    assert not (world.repo / "one").exists() and (world.repo / "two").exists()
    assert 'fits "… one" cannot be known' in told[0] and "it cannot be parsed" in told[1]
    assert [record["outcome"] for record in world.calls()] == ["denied", "denied", "success"]


def test_rules_of_a_file_and_for_reads_and_git(tmp_path: Path) -> None:
    calls = [
        Call("read_file", {"file_path": "./sub/../.env"}),
        Call("git_status", {}),
        Call("read_file", {"file_path": "a"}),
    ]
    with ScriptedProvider([Answer(calls=calls), Answer(text="ok")]) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / ".env").write_text("hunter2")
        (world.repo / "a").write_text("free")
        (world.repo / "sub").mkdir()
        (world.repo / "equitrcoder.yaml").write_text("rules:\n  - deny: read_file .env\n  - deny: git_*\n")
        assert world.run().code == 0
        told = provider.requests[1].tool_results
    assert ["denied" in one for one in told] == [True, True, False]
    assert "hunter2" not in "".join(told)


def test_a_wrong_rule_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.balances = False
    done = world.equitrcoder("run", "--deny", "write_file !x", "task")
    assert done.code == 3
    assert "--allow, --ask and --deny must be a path as in .gitignore" in done.err


def test_denials_do_not_go_round_for_ever(tmp_path: Path) -> None:
    script = [command(f"git push {number}") for number in range(50)]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.run("--deny", "run_command git push")
        assert len(provider.requests) == LoopGuard.STOP_DENIED_AT
    assert done.code == 6
    assert "was denied" in done.event("run.finished")["error"]["message"]


def test_one_call_that_is_not_denied_keeps_it_going(tmp_path: Path) -> None:
    script = [command("true" if number == 5 else f"git push {number}") for number in range(12)]
    with ScriptedProvider([*script, Answer(text="ok")]) as provider:
        world = World(tmp_path, provider.base_url)
        assert world.run("--deny", "run_command git push").code == 0


def test_without_rules_no_parser_is_loaded(tmp_path: Path) -> None:
    with ScriptedProvider([command("true"), Answer(text="ok")]) as provider:
        world = World(tmp_path, provider.base_url)
        hook = tmp_path / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(
            "import atexit, pathlib, sys\n"
            f"atexit.register(lambda: pathlib.Path({str(tmp_path / 'loaded')!r}).write_text(' '.join(sys.modules)))\n"
        )
        assert world.run(environ={"PYTHONPATH": str(hook)}).code == 0
    loaded = (tmp_path / "loaded").read_text().split()
    assert "equitrcoder.agent.approvals" in loaded
    assert not [name for name in loaded if name.startswith(("tree_sitter", "equitrcoder.rules", "pathspec"))]


# ---- the API and the terminal


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    for name, value in world.environ.items():
        monkeypatch.setenv(name, value)
    return world


def test_the_callback_is_told_why_and_events_say_what_came_of_it(api: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ApprovalRequest] = []
    events: list[dict[str, Any]] = []

    def answer(request: ApprovalRequest) -> ApprovalAnswer:
        asked.append(request)
        return ApprovalAnswer(granted=False, reason="not today", by="the night watch")

    async def chat(base_url: str) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        rules = [{"allow": "run_command true"}, {"ask": "run_command git *"}]
        more = {"rules": [{"deny": "run_command rm *"}]}
        async with EquitrAPI(
            api.repo,
            "openai/scripted",
            approve=answer,
            rules=rules,
            settings=more,
            sandbox="off",
            on_event=events.append,
        ) as session:
            await session.chat("go")

    script = [command("true"), command("true && git log"), command("rm x"), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        asyncio.run(chat(provider.base_url))
        told = [request.tool_results[-1] for request in provider.requests[1:]]
    (request,) = asked
    assert request.rule == "rule 3 (ask: run_command git *)" and 'fits "git log"' in request.why
    assert "denied by the night watch: not today" in told[1]
    given = [event for event in events if event["type"] == "approval.given"]
    assert [(event["decision"], event["by"]) for event in given] == [
        ("denied", "the night watch"),
        ("denied", "rule 1 (deny: run_command rm *)"),
    ]
    assert given[0]["waited_ms"] > 0


def test_without_a_callback_the_api_raises(api: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def chat(base_url: str) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        async with EquitrAPI(
            api.repo, "openai/scripted", approve="all", rules=[{"ask": "run_command"}], sandbox="off"
        ) as session:
            await session.chat("go")

    with (
        ScriptedProvider([command("true")]) as provider,
        pytest.raises(ApprovalNeeded, match=r"rule 1 \(ask: run_command\)"),
    ):
        asyncio.run(chat(provider.base_url))


def _request(line: str, **fields: Any) -> ApprovalRequest:
    return ApprovalRequest(
        call_uid="",
        tool_name="run_command",
        arguments={"command": line},
        effect="command",
        subject=line,
        preview=line,
        **fields,
    )


def test_always_at_the_terminal_is_exactly_this_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = iter(["a", "n too much", "y"])
    questions: list[str] = []

    async def line(prompt: str) -> str:
        questions.append(prompt)
        return next(said)

    monkeypatch.setattr(asking, "_line", line)
    ask = asking.AskAtTerminal()

    async def answers() -> list[ApprovalAnswer]:
        lines = ["git push", "git push", "git push -f", "git push\x1b[8m; rm x"]
        return [await ask(_request(one, shown_subject=one, why="rule 1 (ask: run_command git *)")) for one in lines]

    found = asyncio.run(answers())
    assert [answer.granted for answer in found] == [True, True, False, True]
    assert found[2].reason == "too much"
    assert len(questions) == 3 and "asked because: rule 1 (ask: run_command git *)" in questions[0]
    shown = "".join(questions) + capsys.readouterr().err
    assert "\x1b" not in shown and "\\x1b[8m" in shown


def test_a_rules_question_in_a_session_is_remembered_for_this_very_call() -> None:
    from equitrcoder.cli.interactive.approving import pattern

    plain, asked = _request("pytest -q"), _request("pytest -q", rule="rule 1 (ask: run_command pytest *)")
    assert pattern(plain)[1] == "pytest …"
    assert pattern(asked)[1] == "exactly this"
    assert pattern(asked)[0] != pattern(plain)[0]
