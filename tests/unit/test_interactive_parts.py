"""Parts of the interactive session: patterns of approvals, history, completion, the status line, plain lines."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from equitrcoder.agent.approvals import ApprovalRequest
from equitrcoder.cli.interactive.approving import pattern
from equitrcoder.cli.interactive.commands import split
from equitrcoder.cli.interactive.completion import ChatCompleter, RepositoryFiles
from equitrcoder.cli.interactive.history import KEPT_BYTES, LineHistory
from equitrcoder.cli.interactive.lines import EndOfLines, Interrupted, PlainLines
from equitrcoder.cli.interactive.status import Status


def asked(tool: str, subject: str, effect: str = "command") -> str:
    request = ApprovalRequest(call_uid="c", tool_name=tool, arguments={}, effect=effect, subject=subject, preview="")
    return pattern(request)[0]


def test_commands_with_the_same_first_word_share_a_pattern() -> None:
    assert asked("run_command", "pytest -q") == asked("run_command", "pytest tests/unit")
    assert asked("run_command", "pytest -q") != asked("run_command", "ruff check")


@pytest.mark.parametrize(
    "line",
    [
        "pytest; rm -rf /",
        "pytest && rm x",
        "pytest || true",
        "pytest & rm x",
        "pytest | tee x",
        "pytest > x",
        "pytest < x",
        "pytest $(rm x)",
        "pytest `rm x`",
        "pytest\nrm x",
        "pytest \\\nx",
        "pytest 'a b'",
        "pytest *",
        "pytest {a,b}",
        "A=1 pytest",
        "bash script",
        "/bin/sh script",
        "dash script",
        "env pytest",
        "sudo pytest",
        "xargs pytest",
        "python x.py",
        "python3.12 x.py",
        "/usr/bin/python3 x.py",
        "git push",
        "rm x",
        ". x",
        "",
        "   ",
        "päth x",
    ],
)
def test_what_could_do_more_than_it_says_is_allowed_again_only_word_for_word(line: str) -> None:
    assert asked("run_command", line) == asked("run_command", line)
    assert asked("run_command", line) != asked("run_command", line + " ")
    assert asked("run_command", line) != asked("run_command", "pytest")


def test_files_share_a_pattern_by_tool_and_path() -> None:
    assert asked("write_file", "a.py", "write") == asked("write_file", "a.py", "write")
    assert asked("write_file", "a.py", "write") != asked("edit_file", "a.py", "write")
    assert asked("write_file", "a.py", "write") != asked("write_file", "b.py", "write")
    assert asked("write_file", "pytest", "write") != asked("run_command", "pytest")
    assert asked("git_commit", "one", "write") == asked("git_commit", "two", "write")


def test_lines_that_are_commands() -> None:
    assert split("  /Model  groq/x ") == ("model", "groq/x")
    assert split("/") is None
    assert split("/usr/bin/x fails") is None


def history(folder: Path) -> LineHistory:
    return LineHistory(folder, lambda line: line.replace("s3cret", "[redacted]"))


def test_history_survives_damage_and_keeps_no_secrets(tmp_path: Path) -> None:
    kept = history(tmp_path / "state")
    for line in ("one\ntwo", "my s3cret", " not kept", "last"):
        kept.append_string(line)
    path = tmp_path / "state" / "history"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with path.open("ab") as file:
        file.write(b'{"a":1}\n\xff\n"cut')
    assert list(history(tmp_path / "state").load_history_strings()) == ["last", "my [redacted]", "one\ntwo"]


def test_history_does_not_grow_for_ever(tmp_path: Path) -> None:
    kept = history(tmp_path)
    path = tmp_path / "history"
    path.write_text("".join(json.dumps(f"line {n} " + "x" * 100) + "\n" for n in range(5_000)))
    kept.append_string("the newest")
    assert path.stat().st_size <= KEPT_BYTES and stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = list(kept.load_history_strings())
    assert lines[0] == "the newest" and lines[1].startswith("line 4999") and len(lines) > 1_000
    assert os.listdir(tmp_path) == ["history"]


def test_a_history_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('"theirs"\n')
    (tmp_path / "history").symlink_to(tmp_path / "elsewhere")
    kept = history(tmp_path)
    kept.append_string("line")
    assert list(kept.load_history_strings()) == [] and kept.get_strings() == ["line"]
    assert (tmp_path / "elsewhere").read_text() == '"theirs"\n'


def completed(text: str, files: list[str]) -> list[str]:
    found = ChatCompleter(lambda: files).get_completions(Document(text), CompleteEvent())
    return [completion.text for completion in found]


def test_completion() -> None:
    files = ["src/dates.py", "docs/dates.md", "README.md"]
    assert completed("/st", files) == ["stats"]
    assert completed("/approve d", files) == ["deny", "edits"]
    assert "groq/openai/gpt-oss-120b" in completed("/model groq/", files)
    assert completed("fix @dat", files) == ["src/dates.py", "docs/dates.md"]
    assert completed("fix @README", files) == ["README.md"]
    assert completed("mail me@dat", files) == completed("hello", files) == completed("/show x", files) == []


def test_files_that_are_offered(tmp_path: Path) -> None:
    for name in ("a.py", "with space.py", "two\nlines.py", "ignored.log", ".git/config", "sub/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "link.py").symlink_to("a.py")
    assert RepositoryFiles(tmp_path)() == [".gitignore", "a.py", "sub/b.py"]
    assert RepositoryFiles(tmp_path / "gone")() == []


def turn(cost: int | None = 1_000_000, tokens: int | None = 100) -> dict[str, Any]:
    used = {"input_tokens": tokens, "cached_tokens": 0, "output_tokens": 10, "reasoning_tokens": 0}
    return {"type": "turn.finished", "cost_nanousd": cost, "tokens": used}


def started(model: str = "groq/m") -> dict[str, Any]:
    return {"type": "run.started", "provider": "groq", "model": model.partition("/")[2], "model_requested": model}


def finished(turns: int, cost: int, unpriced: int = 0) -> dict[str, Any]:
    tokens = {"input_tokens": 100 * turns, "cached_tokens": 0, "output_tokens": 10 * turns}
    totals = {"turns": turns, "calls": 1, "failed_calls": 1, "cost_nanousd": cost, "unpriced_turns": unpriced}
    return {"type": "run.finished", "totals": {**totals, "unpriced_requests": 0, "tokens": tokens}}


def test_the_status_line_adds_up_over_turns() -> None:
    status = Status(lambda provider, model: {"m": 1_000}.get(model))
    assert status.line() == " · turn 0 · 0 calls · $0 · context 0 tokens"
    status.take(started())
    status.take(turn())
    status.take({"type": "call.finished", "outcome": "failed"})
    assert status.line() == "groq/m · turn 1 · 1 call, 1 failed · $0.0010 · context 11%"
    status.take(finished(1, 3_000_000))  # a failed attempt had cost something too
    assert status.line() == "groq/m · turn 1 · 1 call, 1 failed · $0.0030 · context 11%"
    status.limit_nanousd = 2_000_000_000
    status.take(started("groq/other"))
    status.take(turn(None, None))
    assert (
        status.line()
        == "groq/other · turn 2 · 1 call, 1 failed · $0.0030 and 1 turn unpriced · budget $2.00 · context 110 tokens"
    )
    status.take(finished(1, 0, 1))
    assert status.totals()["turns"] == 2 and status.totals()["calls"] == 2
    assert status.totals()["tokens"] == {"input_tokens": 200, "cached_tokens": 0, "output_tokens": 20}


async def read_all(lines: PlainLines) -> list[str]:
    found = []
    while True:
        try:
            found.append(await lines.message())
        except EndOfLines:
            return found


async def test_plain_lines_come_whole_however_they_are_cut() -> None:
    reading, writing = os.pipe()
    text = "grüße\r\nzwei\n\nno end"
    lines = PlainLines(reading, terminal=False)

    async def drip() -> None:
        for byte in text.encode():
            os.write(writing, bytes([byte]))
            await asyncio.sleep(0)
        os.close(writing)

    _, found = await asyncio.gather(drip(), read_all(lines))
    assert found == ["grüße", "zwei", "", "no end"]
    os.close(reading)


async def test_waiting_for_a_line_can_be_interrupted() -> None:
    reading, writing = os.pipe()
    lines = PlainLines(reading, terminal=False)
    lines.interrupt()  # nothing is awaited: nothing happens
    waiting = asyncio.ensure_future(lines.message())
    await asyncio.sleep(0)
    lines.interrupt()
    with pytest.raises(Interrupted):
        await waiting
    os.write(writing, b"still works\n")
    assert await lines.message() == "still works"
    os.close(reading)
    os.close(writing)
