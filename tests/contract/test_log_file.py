"""The tool log of real sessions: written while they go on, out of the model's reach, never in the way of a run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.ledger import Reader, log_entry
from equitrcoder.sandbox.probing import trouble_with_bubblewrap
from equitrcoder.testing import Answer, Call, ScriptedProvider
from tests.command import KEY, World

LOG = ("--log-tool-calls", "--tool-log-file")


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def recorded(world: World) -> list[dict[str, Any]]:
    """The log entries of every call, from the ledger."""
    with Reader(world.state) as reader:
        return [json.loads(json.dumps(log_entry(call))) for call in reader.calls(full=True)]


def by_id(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda entry: str(entry["call_uid"]))


def git(repo: Path, *words: str) -> str:
    environ = {"HOME": str(repo), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *identity, *words], cwd=repo, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def test_every_call_is_logged_once_and_as_the_ledger_has_it(tmp_path: Path) -> None:
    script = [
        Answer(
            calls=[
                Call("read_file", {"file_path": "a.txt"}),
                Call("run_command", {"command": f"echo {KEY}; exit 3"}),
                Call("read_fil", {"file_path": "a.txt"}),
                Call("read_file", '{"file_path": '),
            ]
        ),
        Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "é\n" * 30_000})]),
        Answer(text="ok"),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a.txt").write_text("alpha\n" * 3000)
        done = world.run(*LOG, "logs/tools.log")
    assert done.code == 0, done.err
    log = world.repo / "logs" / "tools.log"
    assert by_id(entries(log)) == by_id(recorded(world))
    assert [entry["outcome"] for entry in by_id(entries(log))] == ["success", "failed", "invalid", "invalid", "success"]
    assert len(log.with_name("tools.log.txt").read_text().splitlines()) == 5
    assert world.files_holding(KEY) == []


@pytest.mark.parametrize("how", ["setting", "environment", "flag", "off", "only the name"])
def test_it_is_on_only_when_it_is_turned_on(tmp_path: Path, how: str) -> None:
    script = [Answer(calls=[Call("list_directory", {"path": "."})]), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        if how == "setting":
            settings = world.home / ".config" / "equitrcoder" / "config.yaml"
            path = world.equitrcoder("config", "path").out.strip()
            settings = Path(path)
            settings.parent.mkdir(parents=True)
            settings.write_text("orchestrator:\n  log_tool_calls: true\n")
        environ = {"EQUITRCODER_LOG_TOOL_CALLS": "true"} if how == "environment" else {}
        flags = {"flag": ["--log-tool-calls"], "only the name": ["--tool-log-file", "tool_calls.log"]}.get(how, [])
        done = world.run(*flags, environ=environ)
    assert done.code == 0, done.err
    log = world.repo / "tool_calls.log"
    assert log.exists() is (how not in ("off", "only the name"))
    assert ("--log-tool-calls turns it on" in done.err) is (how == "only the name")
    if log.exists():
        assert len(entries(log)) == 1


def test_one_that_cannot_be_written_stops_before_anything_runs(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="ok")]) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "target").write_text("precious")
        (world.repo / "link.log").symlink_to("target")
        (world.repo / "folder.log").mkdir()
        for name, why in (
            ("link.log", "it is a symbolic link, which is never followed"),
            ("folder.log", "is a directory"),
        ):
            done = world.run(*LOG, name)
            assert done.code == 3
            assert (
                f"E301 Cannot write the tool log {world.repo}/{name}: {why}. Nothing was run. "
                "Fix: --tool-log-file ./tools.log"
            ) in done.err
            assert json.loads(done.out.splitlines()[-1])["type"] == "run.finished"
        assert provider.requests == []
    assert world.runs() == []
    assert (world.repo / "target").read_text() == "precious"


def test_the_model_cannot_find_change_or_commit_it(tmp_path: Path) -> None:
    names = ("logs/t.log", "logs/t.log.txt")
    attempts = [
        call
        for name in names
        for call in (
            Call("write_file", {"file_path": name, "content": "forged"}),
            Call("edit_file", {"file_path": f"./logs/../{name}", "old_text": "e", "new_text": "x"}),
            Call("write_file", {"file_path": f"way/{name.removeprefix('logs/')}", "content": "forged"}),
        )
    ]
    script = [
        Answer(calls=[Call("read_file", {"file_path": "needle.txt"})]),
        Answer(calls=attempts),
        Answer(
            calls=[
                Call("search", {"pattern": "needle"}),
                Call("list_directory", {"path": "logs"}),
                Call("directory_tree", {"path": "."}),
                Call("git_status", {}),
                Call("git_commit", {"message": "all of it"}),
            ]
        ),
        Answer(text="ok"),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "needle.txt").write_text("a needle\n")
        (world.repo / "way").symlink_to("logs")
        git(world.repo, "init", "-q")
        done = world.run(*LOG, names[0])
        assert provider.errors == []
        told = provider.requests[3].tool_results
    assert done.code == 0, done.err
    found = entries(world.repo / names[0])
    assert [entry["error_type"] for entry in found[1:7]] == ["protected"] * 6
    assert [entry["outcome"] for entry in by_id(found)[7:]] == ["success"] * 5
    assert "needle.txt" in told[0] and "t.log" not in "".join(told)
    assert set(git(world.repo, "ls-tree", "-r", "--name-only", "HEAD").split()) == {"needle.txt", "way"}
    assert b"forged" not in (world.repo / names[1]).read_bytes().replace(b"logs", b"")


def test_commands_in_the_sandbox_see_nothing_of_it(tmp_path: Path) -> None:
    trouble = trouble_with_bubblewrap(tmp_path, os.environ)
    if trouble:
        pytest.skip(f"skipped: no bubblewrap ({trouble})")
    look = "cat t.log t.log.txt; rm -f t.log; echo forged >> t.log.txt; wc -c t.log t.log.txt"
    script = [
        Answer(calls=[Call("read_file", {"file_path": "a.txt"})]),
        Answer(calls=[Call("run_command", {"command": look})]),
        Answer(text="ok"),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a.txt").write_text("alpha\n")
        done = world.run(*LOG, "t.log", "--sandbox", "auto")
        (told,) = provider.requests[2].tool_results
    assert "bubblewrap" in done.event("run.started")["sandbox"]
    assert done.code == 0, done.err
    assert "alpha" not in told and "0 total" in told
    assert [entry["tool_name"] for entry in entries(world.repo / "t.log")] == ["read_file", "run_command"]
    assert len((world.repo / "t.log.txt").read_text().splitlines()) == 2


def test_the_log_grows_while_the_run_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.repo / "t.log"
    seen: list[int] = []

    def script(request: Any) -> Answer:
        seen.append(len(entries(log)))
        return Answer(calls=[Call("list_directory", {"path": "."})]) if request.turn < 3 else Answer(text="ok")

    with ScriptedProvider(script) as provider:
        world.environ["OPENAI_BASE_URL"] = provider.base_url
        assert world.run(*LOG, "t.log").code == 0
    assert seen == [0, 1, 2, 3]


def test_a_log_that_is_taken_away_is_told_once_and_never_ends_the_run(tmp_path: Path) -> None:
    remove = Call("run_command", {"command": "rm -rf logs"})
    script = [Answer(calls=[remove]), Answer(calls=[remove]), Answer(text="ok")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.run(*LOG, "logs/t.log")
    assert done.code == 0, done.err
    assert done.err.count("was removed, replaced or emptied") == 1
    assert [entry["step"] for entry in entries(world.repo / "logs" / "t.log")] == [2]


def test_runs_in_several_processes_share_one_log(tmp_path: Path) -> None:
    def script(request: Any) -> Answer:
        if request.turn < 8:
            return Answer(calls=[Call("read_file", {"file_path": "a.txt"}) for _ in range(4)])
        return Answer(text="ok")

    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a.txt").write_text("alpha\n" * 1500)
        processes = [world.start(*LOG, "t.log") for _ in range(3)]
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
    found = entries(world.repo / "t.log")
    assert len(found) == 3 * 32
    assert by_id(found) == by_id(recorded(world))
    assert len({entry["session_id"] for entry in found}) == 3
