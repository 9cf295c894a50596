"""`equitrcoder tail` beside real runs in other processes."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equitrcoder.testing import Answer, Call, Fault, ScriptedProvider
from tests.command import World

STEPS = [
    Answer(text="I look first.", calls=[Call("read_file", {"file_path": "a.txt"})]),
    Answer(calls=[Call("run_command", {"command": "exit 3"})]),
    Fault(stall_before_answer=True, answer=Answer(text="All done.")),
]


@contextmanager
def a_run_that_waits(tmp_path: Path) -> Iterator[tuple[World, ScriptedProvider, subprocess.Popen[bytes]]]:
    """A run in another process: two calls are done, and the model is silent until `release()`."""
    with ScriptedProvider(STEPS) as provider:
        world = World(tmp_path, provider.base_url)
        (world.repo / "a.txt").write_text("hello\n")
        run = world.start(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            provider.wait_for_requests(3)
            yield world, provider, run
        finally:
            provider.release()
            run.kill()
            run.wait()


@contextmanager
def tail(world: World, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        world.command("tail", *arguments),
        cwd=world.repo,
        env=world.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    too_late = threading.Timer(60, process.kill)  # so that what never ends fails instead of hanging
    too_late.start()
    with process:
        try:
            yield process
        finally:
            too_late.cancel()
            process.kill()


def until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Its lines up to the first that holds a word."""
    assert process.stdout is not None
    read = []
    for line in process.stdout:
        read.append(line.rstrip("\n"))
        if word in line:
            return read
    raise AssertionError(f"no line with {word!r} in {read}: {process.stderr and process.stderr.read()}")


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it says from here on, on stdout and stderr; it has ended then."""
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    process.wait(60)
    return out, err


def test_a_run_in_another_process_is_watched_to_its_end(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (world, provider, _), tail(world) as watching:
        begun = until(watching, "(exit 3)")
        assert begun[0].split(maxsplit=1)[1].startswith("run ")
        told = "\n".join(begun)
        for words in ("user: do it", "turn 1 · ", "          I look first.", "  read_file a.txt ", "turn 2 · "):
            assert words in told
        provider.release()
        rest, err = rest_of(watching)
        assert "All done." in rest and "completed\n" in rest
        assert "2 calls, 1 failed · 3 turns" in rest.splitlines()[-1]
        assert watching.returncode == 0
        assert err.startswith("show: equitrcoder show ")


def test_as_json_it_is_the_journal(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (world, provider, _), tail(world, "last", "--json") as watching:
        begun = until(watching, '"exit_code":3')
        provider.release()
        rest, err = rest_of(watching)
        assert (watching.returncode, err) == (0, "")
    (journal,) = world.state.glob("journals/*/*/*.jsonl")
    seen = [json.loads(line) for line in [*begun, *rest.splitlines()]]
    assert seen == [json.loads(line) for line in journal.read_text().splitlines()]


def test_a_run_that_is_killed_shows_as_interrupted(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (world, _, run), tail(world) as watching:
        until(watching, "(exit 3)")
        run.kill()
        run.wait()
        rest, _ = rest_of(watching)
        assert "interrupted: the process ended before the run did" in rest
        assert watching.returncode == 0
    (found,) = world.runs()
    assert found["status"] == "interrupted"


def test_ctrl_c_leaves_quietly_and_the_run_goes_on(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (world, provider, run):
        with tail(world) as watching:
            until(watching, "(exit 3)")
            watching.send_signal(signal.SIGINT)
            _, err = rest_of(watching)
            assert (watching.returncode, err) == (130, "")
        provider.release()
        assert run.wait(60) == 0


def test_a_reader_that_leaves_ends_it_although_nothing_happens(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (world, _, _), tail(world) as watching:
        until(watching, "(exit 3)")
        assert watching.stdout is not None and watching.stderr is not None
        watching.stdout.close()
        assert watching.stderr.read() == ""
        assert watching.wait(60) == 0


def test_without_following_it_ends_at_once(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (world, _, run):
        done = world.equitrcoder("tail", "--no-follow", "--lines", "1")
        assert done.code == 0
        assert done.out.count("\n") == 1 and "(exit 3)" in done.out
        events = world.equitrcoder("tail", "--no-follow", "--json").events
        assert events[-1]["type"] == "request_sent"
        assert run.poll() is None


def test_a_run_that_has_ended_shows_its_last_lines(tmp_path: Path) -> None:
    with ScriptedProvider([Answer(calls=[Call("read_file", {"file_path": "none"})]), Answer(text="Gone.")]) as provider:
        world = World(tmp_path, provider.base_url)
        world.run()
    done = world.equitrcoder("tail", "--lines", "3")
    assert done.code == 0
    assert [line[10:] for line in done.out.splitlines()[:2]] == ["Gone.", "completed"]
    assert len(done.out.splitlines()) == 3
    whole = world.equitrcoder("tail", "last")
    assert "failed (not_found): " in whole.out and whole.out.splitlines()[0][10:].startswith("run ")
    assert world.equitrcoder("tail", "--lines", "0").out == ""


def test_the_newest_run_that_goes_on_comes_before_the_last_one(tmp_path: Path) -> None:
    with a_run_that_waits(tmp_path) as (world, _, run):
        with ScriptedProvider([Answer(text="Quick.")]) as other:
            world.equitrcoder(
                *["run", "--model", "openai/scripted", "--approve", "all", "--sandbox", "off", "quick"],
                environ={"OPENAI_BASE_URL": other.base_url},
            )
        assert "Quick." in world.equitrcoder("tail", "last").out
        assert "I look first." in world.equitrcoder("tail", "--no-follow").out
        assert run.poll() is None


def test_with_nothing_there_the_next_step_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    done = world.equitrcoder("tail")
    assert (done.code, done.out, done.err) == (0, "", "No runs yet. See it work: equitrcoder demo\n")
    done = world.equitrcoder("tail", "7F3K")
    assert done.code == 1 and done.err.startswith('E604 No run ends in "7F3K"')
