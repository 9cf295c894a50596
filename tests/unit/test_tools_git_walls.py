"""A repository whose own git settings try to run something, or to send git elsewhere."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.tools import Toolbox, ToolResult, Workspace

pytestmark = pytest.mark.skipif(not Path("/usr/bin/git").exists(), reason="git is not installed")


def git(repo: Path, *words: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@x"]
    return subprocess.run(["git", *who, *words], cwd=repo, check=True, capture_output=True, text=True).stdout


class Hostile:
    """A repository and what its programs would leave."""

    def __init__(self, folder: Path) -> None:
        self.repo = folder / "repo"
        self.repo.mkdir()
        self.pwned = folder / "pwned"
        self.config = self.repo / ".git" / "config"
        git(self.repo, "init", "-q", "-b", "main")
        for name in ("a", "b.bin"):
            (self.repo / name).write_text(f"{name}\n")
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-q", "-m", "first")

    def program(self, name: str) -> str:
        """A command that leaves a trace."""
        path = self.pwned.parent / f"evil_{len(list(self.pwned.parent.iterdir()))}.sh"
        path.write_text(f"#!/bin/sh\necho {name} >> {self.pwned}\n")
        path.chmod(0o755)
        return str(path)

    def set(self, key: str, value: str) -> None:
        git(self.repo, "config", key, value)


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    return Hostile(tmp_path)


@pytest.fixture
def toolbox(hostile: Hostile) -> Iterator[Toolbox]:
    workspace = Workspace.open(hostile.repo)
    yield Toolbox(workspace, choose_sandbox("off", hostile.repo, environ=os.environ))
    workspace.close()


async def use(toolbox: Toolbox, name: str, **arguments: Any) -> ToolResult:
    return await toolbox.run(toolbox.validate(name, arguments))


async def work(toolbox: Toolbox, hostile: Hostile) -> list[ToolResult]:
    """Everything that the tools do with git."""
    (hostile.repo / "a").write_text("changed\n")
    (hostile.repo / "b.bin").write_text("changed\n")
    (hostile.repo / "new").write_text("new\n")
    return [
        await use(toolbox, "git_status"),
        await use(toolbox, "git_diff"),
        await use(toolbox, "git_diff", staged=True),
        await use(toolbox, "git_commit", message="second"),
        await use(toolbox, "git_status"),
    ]


SETTINGS = [
    "core.fsmonitor",
    "core.pager",
    "core.editor",
    "core.sshCommand",
    "core.askPass",
    "core.alternateRefsCommand",
    "core.gitProxy",
    "credential.helper",
    "diff.external",
    "pager.status",
    "pager.diff",
    "sequence.editor",
    "interactive.diffFilter",
    "gpg.program",
    "gpg.ssh.program",
    "gpg.ssh.defaultKeyCommand",
    "alias.status",
    "alias.diff",
    "uploadpack.packObjectsHook",
    "trailer.x.command",
    "filter.x.clean",
    "filter.x.smudge",
    "filter.x.process",
    "filter.a=b.clean",
    "filter.a=b.process",
    "filter.\u00e9.clean",
    "diff.x.command",
    "diff.x.textconv",
    "diff.a=b.command",
    "merge.x.driver",
]
ATTRIBUTES = "a filter=x diff=x merge=x\nb.bin filter=a=b diff=a=b\nnew filter=\u00e9\n"


@pytest.mark.parametrize("where", ["config", "included", "worktree"])
async def test_no_setting_runs_a_program(toolbox: Toolbox, hostile: Hostile, where: str) -> None:
    (hostile.repo / ".git" / "info" / "attributes").write_text(ATTRIBUTES)
    (hostile.repo / ".gitattributes").write_text(ATTRIBUTES)
    target = [] if where == "config" else ["--file", str(hostile.repo / "more")]
    if where == "worktree":
        hostile.set("extensions.worktreeConfig", "true")
        target = ["--worktree"]
    for key in SETTINGS:
        git(hostile.repo, "config", *target, key, hostile.program(key))
    for key, value in (("commit.gpgSign", "true"), ("filter.x.required", "true"), ("diff.submodule", "diff")):
        git(hostile.repo, "config", *target, key, value)
    if where == "included":
        hostile.set("include.path", "../more")
        (hostile.repo / ".gitignore").write_text("more\n")
    for hook in (
        "pre-commit",
        "post-commit",
        "commit-msg",
        "post-index-change",
        "reference-transaction",
        "fsmonitor-watchman",
    ):
        (hostile.repo / ".git" / "hooks" / hook).write_text(Path(hostile.program(hook)).read_text())
        (hostile.repo / ".git" / "hooks" / hook).chmod(0o755)
    hostile.set("core.hooksPath", str(hostile.repo / ".git" / "hooks"))
    results = await work(toolbox, hostile)
    assert [result.outcome for result in results] == ["success"] * 5, [result.text for result in results]
    assert not hostile.pwned.exists(), hostile.pwned.read_text()
    assert git(hostile.repo, "-c", "core.fsmonitor=false", "--no-pager", "rev-parse", "HEAD")
    # the same settings do run what they name when git is called as usual: the test would see it
    subprocess.run(["git", "diff"], cwd=hostile.repo, capture_output=True, env=os.environ | {"GIT_PAGER": "cat"})
    (hostile.repo / "a").write_text("again\n")
    subprocess.run(["git", "add", "a"], cwd=hostile.repo, capture_output=True)
    assert hostile.pwned.exists()


async def test_nothing_is_fetched_and_no_remote_program_runs(toolbox: Toolbox, hostile: Hostile) -> None:
    """A partial clone fetches what is missing when it is needed, by whatever program its address names."""
    blob = git(hostile.repo, "rev-parse", "HEAD:a").strip()
    hostile.set("remote.origin.url", f"ext::{hostile.program('ext')}")
    hostile.set("remote.origin.promisor", "true")
    hostile.set("extensions.partialClone", "origin")
    hostile.set("core.repositoryFormatVersion", "1")
    hostile.set("protocol.ext.allow", "always")
    hostile.set("protocol.allow", "always")
    (hostile.repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    (hostile.repo / "a").write_text("changed\n")
    await use(toolbox, "git_status")
    result = await use(toolbox, "git_diff")
    assert result.outcome == "failed"
    assert not hostile.pwned.exists(), hostile.pwned.read_text()
    subprocess.run(["git", "--no-pager", "diff"], cwd=hostile.repo, capture_output=True)
    assert hostile.pwned.exists(), "as usual git would have run it"


async def test_settings_of_a_nested_repository_run_nothing(toolbox: Toolbox, hostile: Hostile) -> None:
    nested = hostile.repo / "nested"
    nested.mkdir()
    git(nested, "init", "-q", "-b", "main")
    (nested / "x").write_text("x\n")
    git(nested, "add", "-A")
    git(nested, "commit", "-q", "-m", "nested")
    git(hostile.repo, "-c", "advice.addEmbeddedRepo=false", "add", "nested")
    git(hostile.repo, "commit", "-q", "-m", "with nested")
    (nested / "x").write_text("changed\n")
    (nested / ".gitattributes").write_text("* filter=x diff=x\n")
    for key in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.process",
        "diff.external",
        "diff.x.textconv",
        "diff.x.command",
    ):
        git(nested, "config", key, hostile.program(key))
    for key, value in (("diff.submodule", "diff"), ("status.submoduleSummary", "true"), ("submodule.recurse", "true")):
        hostile.set(key, value)
    (hostile.repo / ".gitmodules").write_text('[submodule "nested"]\npath = nested\nurl = ./nested\nignore = none\n')
    await work(toolbox, hostile)
    assert not hostile.pwned.exists(), hostile.pwned.read_text()
    subprocess.run(["git", "--no-pager", "diff"], cwd=hostile.repo, capture_output=True)
    assert hostile.pwned.exists(), "as usual git would have run it"


async def test_variables_of_git_do_not_reach_it(
    toolbox: Toolbox, hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "elsewhere")
    for name, value in {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / "index"),
        "GIT_EXTERNAL_DIFF": hostile.program("GIT_EXTERNAL_DIFF"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": hostile.program("GIT_CONFIG"),
        "GIT_CONFIG_PARAMETERS": f"'core.fsmonitor={hostile.program('PARAMETERS')}'",
        "GIT_EXEC_PATH": str(tmp_path),
        "GIT_PAGER": hostile.program("GIT_PAGER"),
        "GIT_TEMPLATE_DIR": str(tmp_path),
        "GIT_ASKPASS": hostile.program("GIT_ASKPASS"),
        "LD_PRELOAD": str(tmp_path / "evil.so"),
    }.items():
        monkeypatch.setenv(name, value)
    results = await work(toolbox, hostile)
    assert [result.outcome for result in results] == ["success"] * 5, [result.text for result in results]
    assert results[0].metadata["branch"].startswith("main")
    assert not hostile.pwned.exists(), hostile.pwned.read_text()


async def test_git_is_not_sent_to_another_folder(toolbox: Toolbox, hostile: Hostile, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "diary.txt").write_text("dear diary\n")
    hostile.set("core.worktree", str(private))
    for name in ("git_status", "git_diff"):
        result = await use(toolbox, name)
        assert (result.outcome, result.error_type) == ("failed", "protected"), result.text
        assert "diary" not in result.text
    hostile.set("core.worktree", "..")
    assert (await use(toolbox, "git_status")).outcome == "success", "its own folder is no other"


async def test_an_endless_include_is_given_up(toolbox: Toolbox, hostile: Hostile) -> None:
    hostile.set("include.path", "config")
    result = await use(toolbox, "git_status")
    assert result.outcome == "failed"
