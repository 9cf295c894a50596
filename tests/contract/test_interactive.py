"""`equitrcoder` at a terminal: what a person types, sees and is asked."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from equitrcoder.testing import Answer, Call, Fault, Reply, ScriptedProvider
from tests.command import KEY, World
from tests.contract.test_terminal import Terminal

CTRL_C, CTRL_D, CTRL_O, TAB, UP = "\x03", "\x04", "\x0f", "\t", "\x1b[A"
START = ("--model", "openai/scripted", "--sandbox", "off")
WRITES = Call("write_file", {"file_path": "b.txt", "content": "".join(f"{n}\n" for n in range(40))})
LOOKS = Call("run_command", {"command": "echo looked"})
RUNS_ON = Call("run_command", {"command": "echo started > started; sleep 60"})


@pytest.fixture(autouse=True)
def _none_left_behind() -> Iterator[None]:
    yield
    left = [session for session in Screen.all if session.process.poll() is None]
    Screen.all.clear()
    for session in left:
        session.process.kill()
        session.process.wait(20)


class Screen(Terminal):
    """A command on a pseudo terminal that is its controlling terminal, as a shell would start it."""

    all: ClassVar[list[Screen]] = []

    def __init__(self, world: World, *arguments: str, environ: dict[str, str] | None = None) -> None:
        self._end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.process = subprocess.Popen(
            world.command(*arguments),
            cwd=world.repo,
            env=world.environ | {"TERM": "xterm", "COLUMNS": "100"} | (environ or {}),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(other)
        self.seen = ""
        self.all.append(self)

    def hang_up(self) -> int:
        """Close the terminal's window; return the exit code."""
        os.close(self._end)
        return self.process.wait(20)


class Session(Screen):
    """The interactive session, at its first prompt."""

    # A prompt and a question switch bracketed paste on when they begin; what is typed is drawn after that.
    PROMPT = re.compile(r"\x1b\[\?2004h(?:(?!2004l).)*\x1b\[0m>.*context [^\x1b]*\x1b\[\d+D", re.DOTALL)
    QUESTION = re.compile(r"\x1b\[\?2004h(?:(?!2004l).)*no, and why:", re.DOTALL)

    def __init__(self, world: World, *arguments: str, environ: dict[str, str] | None = None) -> None:
        super().__init__(world, *START, *arguments, environ=environ)
        self.prompt()

    def prompt(self) -> str:
        """Wait for the next prompt with its status line; return what was shown up to it."""
        return self.until(self.PROMPT)

    def question(self) -> str:
        """Wait for the next question about a call."""
        return self.until(self.QUESTION)

    def until(self, shown: re.Pattern[str], timeout_s: float = 30) -> str:
        fresh = ""
        while not shown.search(fresh):
            ready, _, _ = select.select([self._end], [], [], timeout_s)
            assert ready, f"{shown.pattern!r} did not come; the screen shows:\n{self.seen!r}"
            fresh += self._read()
        return fresh

    def press(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def say(self, line: str) -> str:
        """Type a line; return what was shown up to the next prompt."""
        self.type(line)
        return self.prompt()

    def quit(self) -> int:
        self.type("/quit")
        return self.end()


class PlainSession(Session):
    """The same in plain lines."""

    PROMPT = re.compile(r"(?:^|\n)> $")
    QUESTION = re.compile(r"no, and why: $")


def test_messages_are_one_conversation_and_calls_stand_in_the_ledger(tmp_path: Path) -> None:
    script: list[Reply] = [
        Answer(text="I look.", calls=[Call("list_directory", {"path": "."}), Call("read_file", {"file_path": "no"})]),
        Answer(text="There is\nnothing."),
        Answer(text="You asked before."),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        first = session.say("look around")
        second = session.say("again")
        assert session.quit() == 0
        roles = [message["role"] for message in provider.requests[2].json["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    assert "I look.\r\n" in first and "There is\r\nnothing.\r\n" in first and "You asked before.\r\n" in second
    assert re.search(r"  list_directory \. +[\d.]+ ms", first)
    assert re.search(r"  read_file no +[\d.]+ ms  failed: ", first)
    assert "turn 2 · 2 calls, 1 failed · unpriced · context " in first and "turn 3 · " in second
    assert first.count("\a") == 1
    records = world.calls()
    assert [record["outcome"] for record in records] == ["success", "failed"]
    assert len({run["session_id"] for run in world.runs()}) == 1 and len(world.runs()) == 2


def test_a_running_call_is_one_line_that_fills_in(tmp_path: Path) -> None:
    slow = Call("run_command", {"command": "sleep 2.3"})
    with ScriptedProvider([Answer(calls=[slow]), Answer(text="Done.")]) as provider:
        session = Session(World(tmp_path, provider.base_url), "--approve", "all")
        shown = session.say("wait")
        assert session.quit() == 0
    line = r"  run_command sleep 2\.3 +{} *\r\n"
    assert re.search(line.format("…") + r"[^\n]*\r\x1b\[1A\x1b\[J" + line.format(r"(?:\d s )?…"), shown)
    assert re.search(line.format(r"\d s …"), shown)
    assert re.search(r"\r\x1b\[1A\x1b\[J" + line.format(r"2,3\d\d ms"), shown)


def test_a_call_is_allowed_once_and_looked_at_first(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[WRITES]), Answer(text="Done.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.type("write")
        shown = session.question()
        assert "\a" in shown and "+0" in shown and "+39" not in shown and "more lines: d shows them" in shown
        assert "always for write_file b.txt" in shown
        session.type("d")
        assert "+39" in session.question()
        assert not (world.repo / "b.txt").exists()
        session.type("y")
        session.prompt()
        assert session.quit() == 0
    (record,) = world.calls()
    assert (record["outcome"], record["approval"]) == ("success", "granted")


def test_a_call_is_refused_and_the_model_told_why(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[WRITES]), Answer(text="Then not.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.type("write")
        session.question()
        session.type("n")
        session.read_until("why?")
        session.type("use another name")
        session.prompt()
        assert session.quit() == 0
        (told,) = provider.requests[1].tool_results
    assert "use another name" in told
    assert [record["outcome"] for record in world.calls()] == ["denied"]


def test_always_holds_for_the_pattern_and_for_nothing_else(tmp_path: Path) -> None:
    lines = ["echo one", "echo two", "echo three; touch gone", "touch gone"]
    calls = [Answer(calls=[Call("run_command", {"command": line})]) for line in lines]
    with ScriptedProvider([*calls, Answer(text="Done.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.type("go")
        assert "always for echo …" in session.question()
        session.type("a")
        assert "echo three; touch gone" in session.question()  # the second ran without a question
        session.type("n no")
        assert "touch gone" in session.question()
        session.type("n no")
        session.prompt()
        assert "always: echo …" in session.say("/approve")
        assert session.quit() == 0
    assert [record["outcome"] for record in world.calls()] == ["success", "success", "denied", "denied"]
    assert not (world.repo / "gone").exists()


def test_a_command_is_changed_before_it_runs_and_everybody_knows(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[LOOKS]), Answer(text="Done.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.type("look")
        session.question()
        session.type("e")
        session.read_until("command:")
        session.type(" twice")
        session.prompt()
        assert session.quit() == 0
        (told,) = provider.requests[1].tool_results
    assert "The user changed this call" in told and "echo looked twice" in told and told.endswith("looked twice\n")
    (record,) = world.calls()
    assert record["arguments"] == {"command": "echo looked"}
    assert record["result_metadata"]["changed_arguments"] == {"command": "echo looked twice"}
    (journal,) = (world.state / "journals").rglob("*.jsonl")
    (approval,) = [line for line in journal.read_text().splitlines() if '"type":"approval"' in line]
    assert "changed to" in approval and "looked twice" in approval


def test_contents_are_changed_in_the_users_editor(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\ncase "$1" in *.txt) echo mine > "$1";; esac\n')
    editor.chmod(0o755)
    with ScriptedProvider([Answer(calls=[WRITES]), Answer(text="Done.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world, environ={"EDITOR": str(editor)})
        session.type("write")
        session.question()
        session.type("e")
        session.prompt()
        assert session.quit() == 0
    assert (world.repo / "b.txt").read_text() == "mine\n"
    (record,) = world.calls()
    assert record["result_metadata"]["changed_arguments"]["content"] == "mine\n"


def test_what_was_typed_before_the_question_does_not_answer_it(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[WRITES]), Answer(text="Done."), Answer(text="Typed ahead.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.press("write\ny\n")
        session.question()
        assert not (world.repo / "b.txt").exists()
        session.type("n not now")
        session.until(re.compile(r"Typed ahead\..*" + session.PROMPT.pattern, re.DOTALL))
        assert session.quit() == 0
        assert provider.requests[2].json["messages"][-1] == {"role": "user", "content": "y"}
    assert [record["outcome"] for record in world.calls()] == ["denied"]


def test_ctrl_c_once_stops_the_turn_and_the_conversation_goes_on(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[RUNS_ON]), Answer(text="I go on.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world, "--approve", "all")
        session.type("wait")
        session.read_until("run_command")
        session.press(CTRL_C)
        shown = session.prompt()
        assert "E205" not in shown and "What was done is kept: 1 call" in shown and "equitrcoder show" in shown
        assert "I go on." in session.say("go on")
        assert session.quit() == 0
    assert [record["outcome"] for record in world.calls()] == ["cancelled"]
    assert [run["status"] for run in world.runs()] == ["completed", "cancelled"]


def test_ctrl_c_while_the_model_answers(tmp_path: Path) -> None:
    stalls = Fault(answer=Answer(text="one two three", text_deltas=3), stall_after_events=2)
    with ScriptedProvider([stalls, Answer(text="Here.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.type("hello")
        session.read_until("one")
        session.press(CTRL_C)
        assert "What was done is kept: 0 calls" in session.prompt()
        assert "Here." in session.say("still there?")
        assert session.quit() == 0
    assert world.runs()[-1]["status"] == "cancelled"


def test_ctrl_c_twice_leaves(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[RUNS_ON])]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world, "--approve", "all")
        session.type("wait")
        session.read_until("run_command")
        session.press(CTRL_C)
        session.prompt()
        session.press(CTRL_C)
        assert session.end() == 130
    assert [run["status"] for run in world.runs()] == ["cancelled"]


def test_ctrl_c_at_the_prompt_drops_the_line_then_warns_then_leaves(tmp_path: Path) -> None:
    session = Session(World(tmp_path))
    session.press("half a line" + CTRL_C + CTRL_C)
    assert "Ctrl-C again leaves" in session.prompt()
    session.press(CTRL_C)
    assert session.end() == 130


def test_ctrl_c_at_the_question_stops_the_turn(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[WRITES])]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.type("write")
        session.question()
        session.press(CTRL_C)
        assert "What was done is kept" in session.prompt()
        assert session.quit() == 0
    assert [record["outcome"] for record in world.calls()] == ["cancelled"]
    assert not (world.repo / "b.txt").exists()


def test_ctrl_d_leaves(tmp_path: Path) -> None:
    session = Session(World(tmp_path))
    session.press(CTRL_D)
    assert session.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_close_the_turn_and_leave(tmp_path: Path, number: signal.Signals) -> None:
    with ScriptedProvider([Answer(calls=[RUNS_ON])]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world, "--approve", "all")
        session.type("wait")
        session.read_until("run_command")
        session.process.send_signal(number)
        assert session.end() == 130
    assert [record["outcome"] for record in world.calls()] == ["cancelled"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_at_the_prompt_leave(tmp_path: Path, number: signal.Signals) -> None:
    session = Session(World(tmp_path))
    session.process.send_signal(number)
    assert session.end() == 130


def test_a_closed_window_ends_the_turn_and_the_session(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[RUNS_ON])]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world, "--approve", "all")
        session.type("wait")
        session.read_until("run_command")
        assert session.hang_up() == 130
        assert Session(world).hang_up() == 130
    assert [record["outcome"] for record in world.calls()] == ["cancelled"]


def test_ctrl_o_shows_the_last_output_whole(tmp_path: Path) -> None:
    long = Call("run_command", {"command": "seq 1000 1100"})
    with ScriptedProvider([Answer(calls=[long]), Answer(text="Done.")]) as provider:
        session = Session(World(tmp_path, provider.base_url), "--approve", "all")
        session.press(CTRL_O)
        session.until(re.compile(r"No output yet\..*" + session.PROMPT.pattern, re.DOTALL))
        assert "1050" not in session.say("count")
        session.press(CTRL_O)
        shown = session.read_until("\n1100\r\n")
        assert "run_command\r\n1000\r\n" in shown and "\r\n1050\r\n" in shown
        assert session.quit() == 0


def test_escapes_of_a_model_and_a_tool_are_shown_not_executed(tmp_path: Path) -> None:
    evil = "\x1b]0;title\x07\x1b[2J"
    prints = Call("run_command", {"command": f"printf '{evil}'"})
    with ScriptedProvider([Answer(calls=[prints]), Answer(text=f"Done {evil}.", text_deltas=12)]) as provider:
        session = Session(World(tmp_path, provider.base_url))
        session.type("go")
        session.question()
        session.type("y")
        session.prompt()
        session.press(CTRL_O)
        session.read_until("title")
        assert session.quit() == 0
    assert r"Done \x1b]0;title\x07\x1b[2J." in session.seen
    assert "\x1b]0;" not in session.seen and "\x1b[2J" not in session.seen


def test_commands(tmp_path: Path) -> None:
    script = [Answer(calls=[Call("list_directory", {"path": "."})]), Answer(text="Done."), Answer(text="Other here.")]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        assert "/approve" in session.say("/help")
        assert "No calls yet." in session.say("/stats") and "No calls yet." in session.say("/calls")
        assert "No turn yet." in session.say("/show")
        session.say("look")
        assert re.search(r"list_directory +1 +0", session.say("/stats"))
        assert "list_directory" in session.say("/calls") and "list_directory" in session.say("/show")
        assert re.search(r"1 call · 2 turns · [\d,]+ tokens in", session.say("/cost"))
        assert "E102" in session.say("/model nobody/x")
        assert "model openai/other" in session.say("/model openai/other")
        shown = session.say("and you?")
        assert "Other here." in shown and "openai/other · turn 3" in shown
        assert "E202" in session.say("/budget 1")
        assert "no budget" in session.say("/budget")
        assert "approve all" in session.say("/approve all")
        assert "E120 There is no approval mode" in session.say("/approve never")
        assert "Closest: /stats" in session.say("/stat")
        assert session.quit() == 0
        last = provider.requests[2].json
        assert last["model"] == "other" and [m["role"] for m in last["messages"]][-2:] == ["assistant", "user"]
    assert [run["model_requested"] for run in world.runs()] == ["openai/other", "openai/scripted"]


def test_a_budget_is_set_between_turns_and_holds(tmp_path: Path) -> None:
    (tmp_path / "home/.config/equitrcoder").mkdir(parents=True)
    (tmp_path / "home/.config/equitrcoder/config.yaml").write_text(
        "prices: {'openai/*': {input: 1000, output: 1000}}\n"
    )
    with ScriptedProvider([Answer(text="Dear."), Answer(text="Never.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.say("hello")
        assert "budget $0.01; spent $" in session.say("/budget $0.01")
        shown = session.say("more")
        assert "E201" in shown and "budget $0.01 · context" in shown
        assert "no budget" in session.say("/budget off")
        assert "Never." in session.say("more")
        assert session.quit() == 0
        assert len(provider.requests) == 2


def test_the_users_own_shell(tmp_path: Path) -> None:
    with ScriptedProvider([]) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world, environ={"SHELL": "/bin/sh"})
        assert "42\r\n" in session.say("!echo $((6*7)); touch made")
        assert "exit 3" in session.say("! exit 3")
        assert session.quit() == 0
        assert not provider.requests
    assert (world.repo / "made").exists() and world.calls() == []


def test_history_is_kept_for_the_next_session_without_secrets(tmp_path: Path) -> None:
    with ScriptedProvider(lambda _: Answer(text="Noted.")) as provider:
        world = World(tmp_path, provider.base_url)
        session = Session(world)
        session.say(f"the key is {KEY}")  # perhaps before the session is open
        session.say(f"the key was {KEY}")
        session.say(" /cost")
        session.say("remember this")
        assert session.quit() == 0
        session = Session(world)
        session.say(UP + UP)
        session.quit()
        assert provider.requests[-1].json["messages"][-1]["content"] == "remember this"
    history = world.state / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "remember this" in history.read_text() and "/cost" not in history.read_text()
    assert history.read_text().count("redacted") == 2
    assert world.files_holding(KEY) == []


def test_commands_files_and_models_are_completed(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(text="Read.")]) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "src").mkdir()
        (world.repo / "src" / "uniquely_named.py").touch()
        (world.repo / "ignored_unique.txt").touch()
        (world.repo / ".gitignore").write_text("ignored*\n")
        session = Session(world)
        session.press("look at @uniq")
        session.read_until("src/uniquely_named.py")
        session.press(TAB)
        session.read_until("src/uniquely_named.py")
        session.say("")
        assert provider.requests[0].json["messages"][-1]["content"] == "look at @src/uniquely_named.py"
        session.press("/mo")
        session.read_until("PROVIDER/MODEL")
        session.press(TAB + " groq/openai/gpt-oss-2")
        session.read_until("groq/openai/gpt-oss-20b")
        assert "ignored_unique" not in session.seen


def test_first_start_without_a_key(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        del world.environ[name]
    world.environ["OLLAMA_HOST"] = "http://127.0.0.1:9"
    terminal = Screen(world)
    assert terminal.end() == 3
    first, *rest = terminal.seen.splitlines()
    assert first == "No provider is set up yet. Any one of these will do:"
    assert rest[-1] == "See it work first: equitrcoder demo"
    assert "export " in terminal.seen and "E101" not in terminal.seen and "\x1b" not in terminal.seen
    assert not world.state.exists()


def test_what_is_wrong_is_said_at_the_start(tmp_path: Path) -> None:
    terminal = Screen(World(tmp_path), *START, "--budget", "1")
    assert terminal.end() == 3
    assert "E202" in terminal.seen


def test_the_team_comes_next(tmp_path: Path) -> None:
    terminal = Screen(
        World(tmp_path), "--multi-agent", "--supervisor-model", "openai/a", "--worker-model", "openai/b", *START
    )
    assert terminal.end() != 0
    assert "come next" in terminal.seen


def test_a_folder_is_trusted_once_at_the_prompt(tmp_path: Path) -> None:
    world = World(tmp_path)
    (world.repo / "equitrcoder.yaml").write_text("max_turns: 500\n")
    terminal = Screen(world, *START)
    assert "max_turns" in terminal.read_until("not now: ")
    terminal.type("y")
    terminal.read_until("context")
    terminal.type("/quit")
    assert terminal.end() == 0
    again = Session(world)
    assert again.quit() == 0
    assert "not trusted" not in again.seen


@pytest.mark.parametrize(
    ("arguments", "environ"), [((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"}), (("--plain",), {})]
)
def test_plain_lines_hold_the_same_conversation(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    with ScriptedProvider([Answer(calls=[WRITES]), Answer(text="Done."), Answer(text="Yes.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = PlainSession(world, *arguments, environ=environ)
        session.type("write")
        session.question()
        session.type("y")
        shown = session.prompt()
        assert "Done.\r\n" in shown and "turn 2 · 1 call · " in shown
        assert "Yes." in session.say("sure?")
        session.press(CTRL_D)
        assert session.end() == 0
    assert "\x1b" not in session.seen and "\a" not in session.seen
    assert [record["approval"] for record in world.calls()] == ["granted"]


def test_plain_lines_stop_and_leave_as_well(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[RUNS_ON]), Answer(text="On.")]) as provider:
        world = World(tmp_path, provider.base_url)
        session = PlainSession(world, "--plain", "--approve", "all")
        session.type("wait")
        while not (world.repo / "started").exists():
            assert session.process.poll() is None
        session.process.send_signal(signal.SIGINT)
        assert "What was done is kept" in session.prompt()
        assert "On." in session.say("go on")
        session.process.send_signal(signal.SIGINT)
        session.read_until("Ctrl-C again leaves")
        session.process.send_signal(signal.SIGINT)
        assert session.end() == 130
