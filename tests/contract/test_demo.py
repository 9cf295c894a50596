"""The demo, whole: a real agent, real tools and a real ledger; only the model is scripted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from equitrcoder import demo
from equitrcoder.ledger import CallQuery, Reader
from tests.command import World


async def test_the_agent_fixes_the_bug_and_the_ledger_has_every_call(tmp_path: Path) -> None:
    environ = {**os.environ, "EQUITRCODER_STATE_DIR": str(tmp_path / "state")}
    folder = tmp_path / "splitbill"
    result = await demo.run_demo(environ, folder=folder)
    assert (result.status, result.check and result.check.passed) == ("completed", True)
    assert result.response.startswith("Fixed splitbill/split.py: odd cents are shared out")
    assert "docs/rounding.md, which is not there" in result.response
    assert subprocess.run(demo.CHECK, shell=True, cwd=folder, capture_output=True).returncode == 0

    reader = Reader(tmp_path / "state")
    calls = list(reader.calls(CallQuery(run=result.run_id)))
    reader.close()
    assert [(call.tool_name, call.outcome, call.error_type) for call in calls] == [
        ("list_directory", "success", None),
        ("read_file", "success", None),
        ("run_command", "failed", "exit_status"),
        ("read_file", "success", None),
        ("read_file", "failed", "not_found"),
        ("read_file", "success", None),
        ("edit_file", "success", None),
        ("run_command", "success", None),
        ("git_diff", "success", None),
    ]
    assert "+    share, left_over = divmod(cents, people)" in str(calls[-1].result)


def test_the_command_shows_the_run_the_ledger_and_what_to_type_next(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        world.environ.pop(name)
    done = world.equitrcoder("demo", environ={"GROQ_API_KEY": "gsk_0123456789abcdef"})
    assert done.code == 0, done.err
    assert "scripted model, no AI was called" in done.err and "no AI was called" in done.out
    assert "failed (exit 1)" in done.out and "failed (not_found)" in done.out
    assert [line.split()[:4] for line in done.out.splitlines() if line.startswith("all ")] == [
        ["all", "9", "2", "(22%)"]
    ]
    assert 'equitrcoder run --model groq/openai/gpt-oss-120b "make the failing test pass"' in done.out
    assert len(world.calls()) == 9


async def test_the_demo_leaves_no_folder_behind_unless_it_is_told_where(tmp_path: Path) -> None:
    environ = {**os.environ, "EQUITRCODER_STATE_DIR": str(tmp_path / "state")}
    async with demo.demo_session(environ) as session:
        folder = session.repo
        assert (folder / "splitbill" / "split.py").exists()
    assert not folder.exists()
