"""What a journal still has for resuming its run, and what of it is said to be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from equitrcoder.ledger import Ledger, Redactor
from equitrcoder.ledger.content import Content
from equitrcoder.ledger.resumable import Resumable, look
from tests.ledger_runs import ask, journal_of, start

SECRET = "gsk_0123456789abcdefXYZ"


def recorded(state: Path, *, redactor: Redactor | None = None, content: Content | None = None) -> Resumable:
    with Ledger(state, redactor=redactor, content=content) as ledger:
        run = start(ledger, wire="openai-chat")
        (first,) = ask(run, ("read_file", {"file_path": "a"}), native={"role": "assistant", "content": "one"})
        run.start(first)
        run.close_call(first, outcome="success", result="text", result_bytes=9, result_sha256="c" * 64, truncated_to=4)
        (second,) = ask(run, ("run_command", {"command": SECRET}), step=2, native={"content": SECRET})
        run.close_call(second, outcome="denied", result="no", error_type="denied")
        ask(run, ("search", {"pattern": "x"}), step=3)  # left open: the run is stopped
        run.finish(status="limit")
    return look(state, journal_of(state).relative_to(state).as_posix())


def test_of_a_run_that_is_kept_nothing_is_missing(tmp_path: Path) -> None:
    found = recorded(tmp_path)
    assert (found.possible, found.whole, found.missing) == (True, True, ())
    assert (found.task, found.wire) == ("fix it", "openai-chat")


def test_a_message_that_redaction_altered_is_named(tmp_path: Path) -> None:
    found = recorded(tmp_path, redactor=Redactor([SECRET]))
    assert (found.possible, found.whole, found.altered_steps) == (True, False, (2,))
    assert found.missing == ("the provider's message of step 2 is not as it came: redaction changed it",)


def test_what_the_setting_content_leaves_out_is_named(tmp_path: Path) -> None:
    found = recorded(tmp_path / "r", content=Content(results="hash"))
    assert (found.possible, found.altered_steps, len(found.calls_without_result)) == (True, (), 2)
    assert found.missing == ("the result of call 1 (success) is not kept", "the result of call 2 (denied) is not kept")
    found = recorded(tmp_path / "a", content=Content(tools={"run_command": {"arguments": "off"}}))
    assert (found.possible, found.altered_steps, found.steps_without_calls) == (False, (2,), (2,))
    assert "the arguments of call 2 (step 2) are not kept" in found.missing


def test_damage_is_named(tmp_path: Path) -> None:
    recorded(tmp_path)
    path = journal_of(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{" + lines[2], *lines[3:]]))
    assert "entry 3 cannot be read" in look(tmp_path, path.relative_to(tmp_path).as_posix()).missing[0]
    path.write_bytes(b"".join(lines[1:]))
    assert not look(tmp_path, path.relative_to(tmp_path).as_posix()).possible  # the task is gone


def test_a_run_that_lives_is_none_to_resume(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        found = look(tmp_path, journal_of(tmp_path).relative_to(tmp_path).as_posix())
        assert (found.running, found.possible) == (True, False)
        run.finish(status="completed")


def test_without_a_journal_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        look(tmp_path, "journals/none.jsonl")
