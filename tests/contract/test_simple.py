"""`equitrcoder-simple`, and `equitrcoder` without a terminal: one message per line, answers on stdout."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from tests.command import Done, World

LOOK = Answer(text="I look.", calls=[Call("list_directory", {"path": "."}), Call("read_file", {"file_path": "no"})])
WRITE = Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "b\n"})])
SIMPLE = [sys.executable, "-c", "from equitrcoder.cli import main_simple; main_simple()"]
START = ("--model", "openai/scripted", "--sandbox", "off")


class SimpleWorld(World):
    """A world whose command is `equitrcoder-simple` (`talk`) or `equitrcoder` (`bare`)."""

    def talk(self, stdin: str, *arguments: str, bare: bool = False) -> Done:
        start: Sequence[str] = self.command() if bare else SIMPLE
        done = subprocess.run(
            [*start, *START, *arguments],
            cwd=self.repo,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("bare", [False, True])
def test_answers_go_to_stdout_and_calls_to_stderr(tmp_path: Path, bare: bool) -> None:
    with ScriptedProvider([LOOK, Answer(text="Nothing\nhere."), Answer(text="As I said.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        done = world.talk("look\n\nsure?", bare=bare)
        roles = [message["role"] for message in provider.requests[2].json["messages"]]
    assert (done.code, done.out) == (0, "Nothing\nhere.\nAs I said.\n")
    assert "  list_directory . " in done.err and "failed: " in done.err and "turn 3 · 2 calls, 1 failed" in done.err
    assert "> " not in done.err and "\x1b" not in done.err and "\a" not in done.err
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    assert len({run["session_id"] for run in world.runs()}) == 1


def test_a_file_is_as_good_as_a_pipe(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="One."), Answer(text="Two.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        (tmp_path / "messages").write_text("a\nb\n")
        with (tmp_path / "messages").open() as messages:
            done = subprocess.run(
                [*SIMPLE, *START], cwd=world.repo, env=world.environ, stdin=messages, capture_output=True, timeout=60
            )
    assert (done.returncode, done.stdout) == (0, b"One.\nTwo.\n")


def test_commands_and_the_users_shell_work_over_a_pipe(tmp_path: Path) -> None:
    with ScriptedProvider([LOOK, Answer(text="Seen.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        done = world.talk("look\n/stats\n!cat; echo mine\n/cost\n/quit\nnever asked\n")
        assert len(provider.requests) == 2
    assert done.code == 0, done.err
    seen, _, rest = done.out.partition("\n")
    assert seen == "Seen." and rest.startswith("tool") and rest.endswith("\nmine\n")
    assert "2 calls, 1 failed · 2 turns" in done.err


def test_a_message_may_start_with_a_slash(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="I see.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        assert world.talk("/etc/hosts is wrong\n").out == "I see.\n"
        assert provider.requests[0].json["messages"][-1]["content"] == "/etc/hosts is wrong"


def test_without_a_terminal_nothing_prompts(tmp_path: Path) -> None:
    with ScriptedProvider([WRITE, Answer(text="Still here.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        done = world.talk("write\ny\n", "--approve", "ask")
        assert provider.requests[1].json["messages"][-1] == {"role": "user", "content": "y"}
    assert (done.code, done.out) == (7, "Still here.\n")
    assert "E401" in done.err and not (world.repo / "b.txt").exists()


def test_without_walls_commands_need_approval_and_writes_do_not(tmp_path: Path) -> None:
    with ScriptedProvider([WRITE, Answer(text="Done.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        done = world.talk("write\n")
    assert done.code == 0 and (world.repo / "b.txt").exists()
    assert "no sandbox here: writes are free, commands need approval" in done.err


@pytest.mark.parametrize(
    ("script", "arguments", "stdin", "code", "out"),
    [
        ([Answer(text="FAILED: no."), Answer(text="ok")], (), "a\nb\n", 1, "FAILED: no.\nok\n"),
        ([Answer(text="ok")], ("--check", "exit 3"), "a\n", 1, "ok\n"),
        ([Answer(text="ok")], (), "/nothing\na\n", 2, "ok\n"),
        ([Answer(text="ok")], (), "/model nobody/x\na\n", 3, "ok\n"),
        ([Fault(status=401, body={"error": {"message": "no"}}), Answer(text="ok")], (), "a\nb\n", 4, "ok\n"),
        ([LOOK], ("--max-turns", "1"), "a\n", 6, "I look.\n"),
        ([], (), "", 2, ""),
        ([], (), "\n \n", 2, ""),
        ([], ("--budget", "1"), "a\n", 3, ""),
        ([], ("--multi-agent",), "a\n", 3, ""),
        ([], ("--repo", "nowhere"), "a\n", 2, ""),
    ],
)
def test_exit_codes(
    tmp_path: Path, script: list[Answer | Fault], arguments: tuple[str, ...], stdin: str, code: int, out: str
) -> None:
    with ScriptedProvider(script) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        done = world.talk(stdin, *arguments)
    assert (done.code, done.out) == (code, out), done.err


def test_what_the_first_seed_types(tmp_path: Path) -> None:
    with ScriptedProvider([LOOK, Answer(text="Seen.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        done = world.talk("look\n", "--log-tool-calls", "--tool-log-file", "tools.log")
    assert done.code == 0
    assert len((world.repo / "tools.log").read_text().splitlines()) == 2


def test_a_signal_ends_the_session_and_the_turn_stands_in_the_ledger(tmp_path: Path) -> None:
    waits = Answer(calls=[Call("run_command", {"command": "touch started; sleep 60"})])
    with ScriptedProvider([waits]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        process = subprocess.Popen(
            [*SIMPLE, *START, "--approve", "all"],
            cwd=world.repo,
            env=world.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(b"wait\nnever asked\n")
        process.stdin.flush()
        while not (world.repo / "started").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
        assert len(provider.requests) == 1
    assert [record["outcome"] for record in world.calls()] == ["cancelled"]


def test_a_reader_that_has_gone_ends_nothing_badly(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="One."), Answer(text="Two.")]) as provider:
        world = SimpleWorld(tmp_path, provider.base_url)
        process = subprocess.Popen(
            [*SIMPLE, *START],
            cwd=world.repo,
            env=world.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"a\nb\n")
        process.stdin.close()
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait(30) == 0
    assert b"Traceback" not in said and b"Exception" not in said
    assert [run["status"] for run in world.runs()] == ["completed", "completed"]


def test_no_key(tmp_path: Path) -> None:
    world = SimpleWorld(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        del world.environ[name]
    world.environ["OLLAMA_HOST"] = "http://127.0.0.1:9"
    done = subprocess.run(SIMPLE, cwd=world.repo, env=world.environ, input="hi\n", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("No provider is set up yet.") and done.stderr.endswith(": equitrcoder demo\n")


@pytest.mark.parametrize("words", [("--model", "openai/scripted", "run"), ("--plain", "stats")])
def test_options_before_a_command_are_refused_with_their_place(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = SimpleWorld(tmp_path).equitrcoder(*words)
    assert done.code == 2
    assert f"{words[0]} belongs behind the command: equitrcoder {words[-1]} {words[0]}" in done.err


def test_both_commands_take_the_seeds_flags() -> None:
    for command in (SIMPLE, [sys.executable, "-m", "equitrcoder"]):
        said = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for flag in ("log-tool-calls", "tool-log-file", "multi-agent", "supervisor-model", "worker-model", "model"):
            assert f"  --{flag}" in said
