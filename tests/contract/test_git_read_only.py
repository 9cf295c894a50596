"""What is read-only for commands fails with a word: the model is told why, whatever program it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
from equitrcoder.sandbox.probing import trouble_with_bubblewrap
from equitrcoder.tools import Toolbox, ToolResult, Workspace

WHY = "they are read-only in the sandbox, since git would run what they say as the user"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.fixture
async def toolbox(repo: Path) -> AsyncIterator[Toolbox]:
    trouble = trouble_with_bubblewrap(repo, os.environ)
    if trouble:
        pytest.skip(f"no bubblewrap here: {trouble}")
    sandbox = BubblewrapSandbox(repo, environ=os.environ)
    workspace = Workspace.open(repo)
    yield Toolbox(workspace, sandbox)
    workspace.close()
    await sandbox.aclose()


async def command(toolbox: Toolbox, line: str) -> ToolResult:
    return await toolbox.run(toolbox.validate("run_command", {"command": line}))


@pytest.mark.parametrize(
    "line",
    [
        "git remote add origin https://example.org/x.git",
        "git config user.name x",
        "git config core.editor x; true",
        "cd .git && git config core.editor x",
        "echo x >> .git/config",
        "rm -f .git/config",
        "cp /bin/true .git/hooks/pre-commit",
        "cd .git/hooks && echo x > pre-commit",
        "echo x > .git/hooks/pre-commit 2>/dev/null || echo x > .git/hooks/pre-push",
    ],
)
async def test_what_changes_the_settings_of_git_fails_with_the_reason(toolbox: Toolbox, repo: Path, line: str) -> None:
    before = (repo / ".git/config").read_bytes(), sorted(os.listdir(repo / ".git/hooks"))
    result = await command(toolbox, line)
    assert WHY in result.text, result.text
    assert ((repo / ".git/config").read_bytes(), sorted(os.listdir(repo / ".git/hooks"))) == before


@pytest.mark.parametrize("line", ["git status", "git log", "git -c core.editor=x status", "cat .git/config", "false"])
async def test_other_commands_are_told_nothing_of_it(toolbox: Toolbox, line: str) -> None:
    assert WHY not in (await command(toolbox, line)).text


async def test_without_walls_nothing_is_said(repo: Path) -> None:
    workspace = Workspace.open(repo)
    toolbox = Toolbox(workspace, choose_sandbox("off", repo, environ=os.environ))
    result = await command(toolbox, "echo 'could not write config file .git/config: Device or resource busy'")
    assert WHY not in result.text
    workspace.close()
