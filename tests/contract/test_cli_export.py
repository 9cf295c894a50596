"""`equitrcoder export`: what it writes, where, how it says so, and what it leaves when something goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.cli.app import run_app
from equitrcoder.cli.export import Progress
from equitrcoder.ledger import Reader, call_to_dict, log_entry
from equitrcoder.ledger.views import run_to_dict, turn_to_dict
from equitrcoder.testing import Answer, Call, ScriptedProvider
from tests.command import World

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two runs by the real command: one with a failed call, one without calls."""
    script = [
        Answer(calls=[Call("read_file", {"file_path": "a.txt"}), Call("run_command", {"command": "exit 3"})]),
        Answer(calls=[Call("read_fil", {})]),
        Answer(text="ok"),
        Answer(text="nothing to do"),
    ]
    with ScriptedProvider(script) as provider:
        world = World(tmp_path_factory.mktemp("world"), provider.base_url)
        (world.repo / "a.txt").write_text("=alpha\n" * 2000)
        assert world.run(task="first, a comma").code == 0
        assert world.run(task="second").code == 0
    return world


@pytest.fixture
def run(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Run:
    """The command in this process, in an empty folder: exit code, stdout, stderr."""
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(world.state))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        code = run_app(["export", *arguments])
        said = capsysbinary.readouterr()
        return code, said.out.decode(), said.err.decode()

    return invoke


def plain(records: list[Any]) -> Any:
    return json.loads(json.dumps(records))


def expected(world: World) -> dict[str, Any]:
    with Reader(world.state) as reader:
        calls = list(reader.calls(full=True))
        runs = reader.runs()[::-1]
        turns = [turn for found in runs for turn in reader.turns(found.run_id)]
        return {
            "calls": plain([log_entry(call) for call in calls]),
            "records": plain([call_to_dict(call) for call in calls]),
            "runs": plain([run_to_dict(found) for found in runs]),
            "turns": plain([turn_to_dict(turn) for turn in turns]),
            "steps": plain([reader.run_view(found.run_id) for found in runs]),
        }


@pytest.mark.parametrize(
    ("words", "what", "count"),
    [
        (["calls"], "calls", 3),
        (["calls", "--records"], "records", 3),
        (["runs"], "runs", 2),
        (["runs", "--steps"], "steps", 2),
        (["turns"], "turns", 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_ledger_holds_comes_out(world: World, run: Run, words: list[str], what: str, count: int) -> None:
    wanted = expected(world)[what]
    assert len(wanted) == count
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert json.loads(out) == wanted
    assert [json.loads(line) for line in run(*words, "--format", "jsonl")[1].splitlines()] == wanted
    rows = list(csv.DictReader(io.StringIO(run(*words, "--format", "csv")[1], newline=""), strict=True))
    assert [list(row) for row in rows] == [list(record) for record in wanted]


@pytest.mark.parametrize(
    ("filters", "tools"),
    [
        (["--tool", "read_file"], ["read_file"]),
        (["--outcome", "invalid"], ["read_fil"]),
        (["--failed"], ["run_command", "read_fil"]),
        (["--provider", "openai"], ["read_file", "run_command", "read_fil"]),
        (["--provider", "groq"], []),
        (["--run", "last"], []),
        (["--session", "last"], []),
        (["--since", "1h"], ["read_file", "run_command", "read_fil"]),
        (["--since", "2999-01-01"], []),
        (["--limit", "1"], ["read_fil"]),
        (["--agent", "single", "--model", "openai/scripted", "--limit", "2"], ["run_command", "read_fil"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_the_filters_are_those_of_calls(run: Run, filters: list[str], tools: list[str]) -> None:
    code, out, _ = run("calls", *filters)
    assert code == 0
    assert [record["tool_name"] for record in json.loads(out)] == tools


def test_runs_and_turns_can_be_chosen(run: Run, world: World) -> None:
    first, second = expected(world)["runs"]
    ids = lambda out: [record["run_id"] for record in json.loads(out)]  # noqa: E731
    assert ids(run("runs", "--run", "last")[1]) == [second["run_id"]]
    assert ids(run("runs", "--status", "failed")[1]) == []
    assert ids(run("runs", "--repo", str(world.repo))[1]) == [first["run_id"], second["run_id"]]
    assert ids(run("runs", "--repo", ".")[1]) == []
    assert ids(run("runs", "--since", second["started_at"])[1]) == [second["run_id"]]
    assert ids(run("turns", "--run", first["run_id"][-8:])[1]) == [first["run_id"]] * 3
    assert ids(run("turns", "--provider", "groq")[1]) == []
    assert ids(run("turns", "--since", second["started_at"])[1]) == [second["run_id"]]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_file_is_written_in_the_format_of_its_name(world: World, run: Run, tmp_path: Path, form: str) -> None:
    code, out, err = run("calls", "--output", f"new/calls.{form}")
    assert (code, out, err) == (0, "", f"3 calls in new/calls.{form}\n")
    written = (tmp_path / "new" / f"calls.{form}").read_bytes()
    assert written.decode() == run("calls", "--format", form)[1]
    assert run("runs", "-o", "runs.txt", "--format", form)[2] == "2 runs in runs.txt\n"
    assert run("turns", "-o", "turns.txt")[0] == 0
    assert len(json.loads((tmp_path / "turns.txt").read_bytes())) == 4


@pytest.mark.parametrize(("form", "empty"), [("json", "[]\n"), ("jsonl", ""), ("csv", "timestamp,session_id,")])
@pytest.mark.parametrize("what", ["calls", "runs", "turns"])
def test_an_empty_ledger_gives_a_valid_export(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, empty: str, what: str
) -> None:
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(tmp_path / "none"))
    code, out, err = run(what, "--format", form)
    assert (code, err) == (0, "")
    if form == "csv":
        assert out.count("\r\n") == 1 and out.startswith(empty if what == "calls" else "run_id,")
    else:
        assert out == empty


def test_what_cannot_be_written_says_why_and_leaves_what_was_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.json").symlink_to("target")
    code, out, err = run("calls", "--output", "folder.csv")
    assert (code, out) == (1, "")
    assert err == (
        "E301 Cannot write the export folder.csv: is a directory. What was there before is unharmed. "
        "Fix: name another file, or - for standard output\n"
    )
    assert run("runs", "-o", "link.json")[2].startswith("E301 Cannot write the export link.json: it is a symbolic link")
    assert run("runs", "--run", "XXXX", "-o", "out.json")[2].startswith('E604 No run ends in "XXXX"')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "link.json"]


def test_words_that_are_off(run: Run) -> None:
    assert run("calls", "--format", "xml")[0] == 2
    assert run("everything")[0] == 2
    _, out, err = run()
    assert "calls" in out + err and "turns" in out + err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(world: World) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            world.command("export", "calls"), env=world.environ, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "E301 Cannot write the export: no space left on device. Fix: --output FILE, with more room\n"


def test_a_closed_pipe_ends_it_well(world: World) -> None:
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | head -c 1', "-", *world.command("export", "runs", "--steps")],
        env=world.environ, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[", "")


def test_progress_is_shown_from_the_second_second_on_and_taken_away() -> None:
    now = 0.0
    said = io.StringIO()
    progress = Progress("call", now=lambda: now, stream=said)
    for now, done in ((0.5, 100), (0.99, 200), (1.0, 300), (1.1, 400), (1.2, 500), (9.0, 12_000)):  # noqa: B007
        progress.take(done)
    assert said.getvalue() == "\r300 calls so far\r500 calls so far\r12,000 calls so far"
    progress.clear()
    assert said.getvalue().endswith("\r" + " " * len("12,000 calls so far") + "\r")
    before = said.getvalue()
    progress.clear()
    assert said.getvalue() == before


@pytest.mark.parametrize("plain", [False, True])
def test_progress_is_for_terminals_that_can_show_it(world: World, plain: bool) -> None:
    """The export waits for a pipe to be read, so it takes as long as the test wants."""
    pipe = world.repo / "pipe"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    slow = (
        "import equitrcoder.cli.export as export, sys; export.SHOW_AFTER_S = export.SHOW_EVERY_S = 0;"
        "import equitrcoder.ledger.export as ledger; ledger._TELL_EVERY = 1;"
        "from equitrcoder.cli import main; main()"
    )
    terminal, theirs = pty.openpty()
    environ = {**world.environ, "TERM": "dumb" if plain else "xterm"}
    command = [world.command()[0], "-c", slow, "export", "calls", "--output", str(pipe)]
    process = subprocess.Popen(command, env=environ, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    assert len(json.loads(pipe.read_bytes())) == 3
    said = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(terminal)
    assert process.wait(30) == 0
    assert (b" calls so far" in said) is not plain
    assert said.rstrip().endswith(f"3 calls in {pipe}".encode())
