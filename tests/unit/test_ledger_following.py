"""Following a journal: in order, while it grows, until its run has ended or its process is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.cli.journal_lines import JournalLines
from equitrcoder.errors import LedgerError
from equitrcoder.ledger import Ledger, Reader, RunRecorder, recover
from equitrcoder.ledger.following import follow
from equitrcoder.wires.values import Turn, WireCall


def never() -> None:
    raise AssertionError("it waits for something that is there already")


def begin(ledger: Ledger) -> RunRecorder:
    return ledger.start_run(provider="groq", model_requested="groq/x", repo_path="/r", task="t", capture="middleware")


def journal_of(recorder: RunRecorder, state: Path) -> str:
    return recorder.journal_path.relative_to(state).as_posix()


def kinds(batches: Any) -> list[str]:
    return [event["type"] for batch in batches for event in batch]


def test_a_run_that_has_ended_is_given_whole_and_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        recorder = begin(ledger)
        recorder.message(role="user", text="x" * 3_000_000)  # longer than one piece
        recorder.finish(status="completed")
        for wait in (True, False):
            found = follow(tmp_path, recorder.run_id, journal_of(recorder, tmp_path), pause=never, wait=wait)
            assert kinds(found) == ["run_started", "message", "run_finished"]


def test_events_come_as_they_are_written_and_an_empty_list_says_for_now(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        recorder = begin(ledger)
        to_do: list[Callable[[], None]] = [
            lambda: None,
            lambda: recorder.message(role="user", text="one"),
            lambda: recorder.finish(status="completed"),
        ]
        found = follow(tmp_path, recorder.run_id, journal_of(recorder, tmp_path), pause=lambda: to_do.pop(0)())
        assert [[event["type"] for event in batch] for batch in found] == [
            ["run_started"],
            [],
            [],
            ["message"],
            [],
            ["run_finished"],
        ]


def test_without_waiting_a_running_run_is_given_as_far_as_it_is(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        recorder = begin(ledger)
        found = follow(tmp_path, recorder.run_id, journal_of(recorder, tmp_path), pause=never, wait=False)
        assert list(found)[1:] == [[]]
        recorder.finish(status="completed")


def test_half_an_entry_is_not_given_until_it_is_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        recorder = begin(ledger)
        line = b'{"v":1,"seq":2,"prev":"","at":"2026-01-01T00:00:00.000000+00:00","type":"message","text":"hi"}\n'

        def append(data: bytes) -> None:
            with recorder.journal_path.open("ab") as file:
                file.write(data)

        def leave() -> None:
            raise KeyboardInterrupt

        to_do: list[Callable[[], None]] = [lambda: append(line[:40]), lambda: append(line[40:]), leave]
        found = []
        with pytest.raises(KeyboardInterrupt):
            for batch in follow(
                tmp_path, recorder.run_id, journal_of(recorder, tmp_path), pause=lambda: to_do.pop(0)()
            ):
                found.append([event["type"] for event in batch])
        assert found == [["run_started"], [], [], ["message"], []]
        recorder.finish(status="completed")


DIES = """
import os, sys
from pathlib import Path
from equitrcoder.ledger import Ledger
from equitrcoder.wires.values import Turn, WireCall
ledger = Ledger(Path(sys.argv[1]))
run = ledger.start_run(provider="groq", model_requested="groq/x", repo_path="/r", task="t", capture="middleware")
(call,) = run.record_turn(
    Turn(calls=(WireCall(name="run_command", arguments={"command": "x"}, id="1", index=0),)),
    step=1, duration_ms=1.0, time_to_first_byte_ms=None, attempts=1, cost_nanousd=None, price_version=None,
)
run.start(call)
print(run.run_id, run.journal_path, flush=True)
os._exit(9)
"""


def a_dead_run(state: Path) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", DIES, str(state)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 9, done.stderr
    run_id, path = done.stdout.split()
    return run_id, Path(path).relative_to(state).as_posix()


def test_a_run_whose_process_died_ends_as_interrupted(tmp_path: Path) -> None:
    run_id, journal = a_dead_run(tmp_path)
    events = [event for batch in follow(tmp_path, run_id, journal, pause=never) for event in batch]
    assert [event["type"] for event in events[-3:]] == ["call_started", "call_finished", "run_finished"]
    assert [event.get("outcome") or event.get("status") for event in events[-2:]] == ["interrupted", "interrupted"]
    with Reader(tmp_path) as reader:  # what was said stands in the ledger now
        assert reader.run(run_id).status == "interrupted"
        assert kinds([list(reader.events(run_id))]) == kinds([events])


def test_where_nothing_can_be_written_it_is_said_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, journal = a_dead_run(tmp_path)

    def refused(*_: object, **__: object) -> bool:
        raise PermissionError

    monkeypatch.setattr(recover, "close_dead_run", refused)
    before = (tmp_path / journal).read_bytes()
    events = [event for batch in follow(tmp_path, run_id, journal, pause=never) for event in batch]
    assert (events[-1]["type"], events[-1]["status"]) == ("run_finished", "interrupted")
    assert (tmp_path / journal).read_bytes() == before


def test_a_journal_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no such file"):
        list(follow(tmp_path, "x", "journals/none.jsonl", pause=never))
    if os.getuid() != 0:
        (tmp_path / "closed.jsonl").touch(mode=0o000)
        with pytest.raises(LedgerError, match="permission denied"):
            list(follow(tmp_path, "x", "closed.jsonl", pause=never))


# Lines.


def test_a_call_that_runs_for_a_second_is_shown_once_while_it_runs() -> None:
    lines = JournalLines("R")
    at = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    call = {"call_uid": "c", "tool_name": "run_command", "arguments": {"command": "sleep 9\x1b[2J"}}
    assert list(lines.take({"type": "call_requested", "at": at.isoformat(), **call})) == []
    assert list(lines.take({"type": "call_started", "at": at.isoformat(), "call_uid": "c"})) == []
    assert list(lines.running(at + timedelta(seconds=0.9))) == []
    (line,) = lines.running(at + timedelta(seconds=1))
    assert line.endswith(r"  run_command sleep 9\x1b[2J …")
    assert list(lines.running(at + timedelta(seconds=9))) == []
    (line,) = lines.take(
        {"type": "call_finished", "at": at.isoformat(), "call_uid": "c", "outcome": "timeout", "duration_ms": 9000.0}
    )
    assert line.split()[1:] == ["run_command", "sleep", r"9\x1b[2J", "9,000", "ms", "timeout"]


def test_an_answer_that_is_waited_for_is_shown_too() -> None:
    lines = JournalLines("R")
    at = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    later = at + timedelta(seconds=2)
    for step in (1, 2):
        assert list(lines.take({"type": "request_sent", "at": at.isoformat(), "step": step, "attempt": 1})) == []
    assert len(list(lines.take({"type": "turn", "at": at.isoformat(), "step": 1}))) == 1
    (line,) = lines.running(later)
    assert line[10:] == "turn 2 …"
    assert list(lines.running(later)) == []


@pytest.mark.parametrize(
    "event",
    [
        {"type": "turn", "usage": None, "text": None},
        {"type": "call_finished"},
        {"type": "approval"},
        {"type": "run_finished", "at": "soon"},
        {"type": "call_requested", "arguments": [1]},
        {"type": "something of a later version"},
    ],
    ids=lambda event: event["type"],
)
def test_what_damage_left_of_an_event_still_makes_lines(event: dict[str, Any]) -> None:
    assert all(isinstance(line, str) for line in JournalLines("R").take(event))


def test_the_sums_are_those_of_the_run(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        recorder = begin(ledger)
        calls = recorder.record_turn(
            Turn(text="hm", calls=tuple(WireCall(name="t", arguments={}, id=str(n), index=n) for n in range(2))),
            step=1,
            duration_ms=1.0,
            time_to_first_byte_ms=None,
            attempts=1,
            cost_nanousd=2_000_000,
            price_version="p",
        )
        recorder.close_call(calls[0], outcome="success", duration_ms=1.0)
        recorder.finish(status="failed", error="no \x1b[31mway")  # closes the other call as cancelled
    lines = JournalLines(recorder.run_id)
    said = [
        line[10:]
        for batch in follow(tmp_path, recorder.run_id, journal_of(recorder, tmp_path), pause=never)
        for event in batch
        for line in lines.take(event)
    ]
    assert said[-2] == r"failed: no \x1b[31mway"
    assert said[-1].startswith("2 calls, 1 failed · 1 turn · 0 tokens in, 0 out · $0.0020 · ")
