"""`equitrcoder run` at a terminal: what a person sees, and how a person answers."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from tests.command import KEY, World


class Terminal:
    """A command on a pseudo terminal; stdout apart when `stdout` is given."""

    def __init__(self, world: World, *arguments: str, environ: dict[str, str] | None = None) -> None:
        self._end, other = pty.openpty()
        self.process = subprocess.Popen(
            world.command(*arguments),
            cwd=world.repo,
            env=world.environ | {"TERM": "xterm", "COLUMNS": "100"} | (environ or {}),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.seen = ""

    def read_until(self, words: str, timeout_s: float = 20) -> str:
        """Wait until the screen has shown `words` since the last call; return everything since then."""
        ends_at = time.monotonic() + timeout_s
        fresh = ""
        while words not in fresh:
            ready, _, _ = select.select([self._end], [], [], max(ends_at - time.monotonic(), 0))
            assert ready, f"{words!r} did not come; the screen shows:\n{self.seen}"
            fresh += self._read()
        return fresh

    def _read(self) -> str:
        try:
            piece = os.read(self._end, 65536).decode("utf-8", "replace")
        except OSError:  # the other end is closed
            piece = ""
        assert piece, f"the command ended; the screen showed:\n{self.seen}"
        self.seen += piece
        return piece

    def type(self, line: str) -> None:
        os.write(self._end, line.encode() + b"\n")

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while True:
            try:
                piece = os.read(self._end, 65536)
            except OSError:
                break
            if not piece:
                break
            self.seen += piece.decode("utf-8", "replace")
        os.close(self._end)
        return self.process.wait(20)


WRITES = Answer(calls=[Call("write_file", {"file_path": "b.txt", "content": "".join(f"{n}\n" for n in range(40))})])
RUN = ("run", "--model", "openai/scripted", "--sandbox", "off", "--approve", "ask", "do it")


def test_a_person_looks_and_allows(tmp_path: Path) -> None:
    with ScriptedProvider([WRITES, Answer(text="Done.")]) as provider:
        world = World(tmp_path, provider.base_url)
        terminal = Terminal(world, *RUN)
        shown = terminal.read_until("no, and why: ")
        assert "+0" in shown and "more lines: d shows them" in shown and "+39" not in shown
        terminal.type("d")
        assert "+39" in terminal.read_until("no, and why: ")
        terminal.type("what?")
        terminal.read_until("no, and why: ")
        terminal.type("y")
        assert terminal.end() == 0
    assert (world.repo / "b.txt").exists()
    (record,) = world.calls()
    assert (record["outcome"], record["approval"]) == ("success", "granted")
    assert "Done." in terminal.seen
    assert "1 call · 2 turns" in terminal.seen


def test_a_person_refuses_and_the_model_is_told_why(tmp_path: Path) -> None:
    with ScriptedProvider([WRITES, Answer(text="Then not.")]) as provider:
        world = World(tmp_path, provider.base_url)
        terminal = Terminal(world, *RUN)
        terminal.read_until("no, and why: ")
        terminal.type("n use another name")
        assert terminal.end() == 0
        (told,) = provider.requests[1].tool_results
    assert "use another name" in told
    assert not (world.repo / "b.txt").exists()
    (record,) = world.calls()
    assert (record["outcome"], record["approval"], record["error_type"]) == ("denied", "denied", "denied")


def test_calls_of_one_answer_are_asked_one_after_the_other(tmp_path: Path) -> None:
    calls = [Call("write_file", {"file_path": f"{name}.txt", "content": name}) for name in "ab"]
    with ScriptedProvider([Answer(calls=calls), Answer(text="Done.")]) as provider:
        world = World(tmp_path, provider.base_url)
        terminal = Terminal(world, *RUN)
        assert "write_file a.txt" in terminal.read_until("no, and why: ")
        terminal.type("n no")
        assert "write_file b.txt" in terminal.read_until("no, and why: ")
        terminal.type("y")
        assert terminal.end() == 0
    assert [r["outcome"] for r in world.calls()] == ["denied", "success"]


def test_ctrl_c_at_the_question_stops_the_run(tmp_path: Path) -> None:
    with ScriptedProvider([WRITES]) as provider:
        world = World(tmp_path, provider.base_url)
        terminal = Terminal(world, *RUN)
        terminal.read_until("no, and why: ")
        terminal.process.send_signal(2)
        assert terminal.end() == 130
    assert [r["outcome"] for r in world.calls()] == ["cancelled"]
    assert not (world.repo / "b.txt").exists()


def test_escapes_from_a_model_and_a_tool_are_shown_not_executed(tmp_path: Path) -> None:
    evil = "\x1b]0;title\x07\x1b[2J"
    script = [Answer(calls=[Call("run_command", {"command": f"true '{evil}'"})]), Answer(text=f"Done {evil}.")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        terminal = Terminal(world, *RUN[:-3], "--approve", "all", "do it")
        assert terminal.end() == 0
    assert r"Done \x1b]0;title\x07\x1b[2J." in terminal.seen
    assert "\x1b]0;" not in terminal.seen and "\x1b[2J" not in terminal.seen


@pytest.mark.parametrize("still", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_the_running_line_moves_only_where_it_may(tmp_path: Path, still: dict[str, str]) -> None:
    script = [Answer(calls=[Call("run_command", {"command": "sleep 2.5"})]), Answer(text="Done.")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        terminal = Terminal(world, *RUN[:-3], "--approve", "all", "do it", environ=still)
        assert terminal.end() == 0
    moved = bool(re.search(r"\r\x1b\[K  run_command sleep 2.5 … \d s", terminal.seen))
    assert moved is (not still)
    assert ("\x1b" in terminal.seen) is (not still)


def test_verbose_prints_the_lines_of_the_second_seed(tmp_path: Path) -> None:
    script = [Answer(text="I look.", calls=[Call("list_directory", {"path": "."})]), Answer(text="Done.")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.equitrcoder("run", "--model", "openai/scripted", "-v", "look")
    assert done.out == "Done.\n"
    assert "I look." in done.err
    assert "🔧 Middleware captured 1 tool calls from openai" in done.err
    assert re.search(r"💰 Token usage - Input: \d+, Output: \d+, Total: \d+", done.err)
    assert '  1. {"input": {"path": "."}, "step": 1, "tool_name": "list_directory"}' in done.err


def test_waiting_for_the_provider_is_said(tmp_path: Path) -> None:
    slow = Fault(status=429, headers={"retry-after-ms": "5"}, body={"error": {"message": "slow down"}})
    with ScriptedProvider([slow, Answer(text="Done.")]) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.equitrcoder("run", "--model", "openai/scripted", "look")
    assert done.code == 0
    assert "E303" in done.err and "then attempt 2" in done.err and "Ctrl-C stops" in done.err
    assert KEY not in done.err


def test_without_a_terminal_nothing_prompts(tmp_path: Path) -> None:
    with ScriptedProvider([WRITES]) as provider:
        world = World(tmp_path, provider.base_url)
        done = world.equitrcoder(*RUN, stdin="y\n")
    assert done.code == 7
    assert "E401" in done.err
