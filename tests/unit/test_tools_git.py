"""git_status, git_diff, git_commit, on real repositories and hostile ones."""

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


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for name in ("a", "b", "c"):
        (folder / name).write_text(f"{name}\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.fixture
def toolbox(repo: Path) -> Iterator[Toolbox]:
    workspace = Workspace.open(repo, hidden=[repo / "tools.log", repo / "state"])
    yield Toolbox(workspace, choose_sandbox("off", repo, environ=os.environ))
    workspace.close()


async def use(toolbox: Toolbox, name: str, **arguments: Any) -> ToolResult:
    return await toolbox.run(toolbox.validate(name, arguments))


async def test_status(toolbox: Toolbox, repo: Path) -> None:
    assert (await use(toolbox, "git_status")).text == "## main\nnothing changed"
    (repo / "a").write_text("new\n")
    (repo / "b").unlink()
    (repo / "n\new").write_text("")
    (repo / "tools.log").write_text("")
    git(repo, "mv", "c", "d")
    result = await use(toolbox, "git_status")
    lines = result.text.split("\n")
    assert lines[0] == "## main"
    assert sorted(lines[1:]) == [" D b", " M a", "?? n\\new", "D  c", "R  d"]
    assert result.metadata == {"branch": "main", "changed": 5}


async def test_diff(toolbox: Toolbox, repo: Path) -> None:
    assert (await use(toolbox, "git_diff")).text == "no changes"
    (repo / "a").write_text("new\n")
    (repo / "b").write_text("new\n")
    git(repo, "add", "b")
    (repo / "fresh").write_text("")
    (repo / "tools.log").write_text("")
    both = (await use(toolbox, "git_diff")).text
    assert "-a\n+new\n" in both
    assert "-b\n+new\n" in both
    assert both.endswith("New files that git does not know yet:\nfresh\n")
    assert "diff --git a/a" not in (await use(toolbox, "git_diff", staged=True)).text
    assert "diff --git a/b" not in (await use(toolbox, "git_diff", path="a")).text
    assert (await use(toolbox, "git_diff", path="../x")).error_type == "outside_repository"


async def test_a_long_diff_is_cut_with_its_size(toolbox: Toolbox, repo: Path) -> None:
    (repo / "a").write_text("line\n" * 50_000)
    result = await use(toolbox, "git_diff")
    assert result.full_bytes is not None
    assert result.full_bytes > 300_000
    assert len(result.text) < 40_000


async def test_commit_all(toolbox: Toolbox, repo: Path) -> None:
    (repo / "a").write_text("new\n")
    (repo / "b").unlink()
    (repo / "sub").mkdir()
    (repo / "sub/fresh").write_text("")
    git(repo, "mv", "c", "d")
    (repo / "tools.log").write_text("not for git")
    (repo / "state").mkdir()
    (repo / "state/journal").write_text("not for git")
    result = await use(toolbox, "git_commit", message="All of it\n\nAnd why.")
    assert result.outcome == "success", result.text
    assert git(repo, "log", "-1", "--format=%B").strip() == "All of it\n\nAnd why."
    assert git(repo, "ls-tree", "-r", "--name-only", "HEAD").split() == ["a", "d", "sub/fresh"]
    assert git(repo, "status", "--short").split() == ["??", "state/", "??", "tools.log"]
    assert result.metadata["commit"] == git(repo, "rev-parse", "HEAD").strip()
    assert result.metadata["files"] == 5


async def test_commit_some_leaves_the_rest_as_it_was(toolbox: Toolbox, repo: Path) -> None:
    for name in ("a", "b", "*", "sub/x"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("new\n")
    git(repo, "add", "b")
    result = await use(toolbox, "git_commit", message="some", paths=["a", "*", "./sub"])
    assert result.outcome == "success", result.text
    assert git(repo, "show", "--name-only", "--format=").split() == ["*", "a", "sub/x"]
    assert git(repo, "status", "--short") == "M  b\n"


@pytest.mark.parametrize(
    ("paths", "error_type"),
    [
        (["c"], "not_changed"),
        (["../x"], "outside_repository"),
        (["/etc/passwd"], "outside_repository"),
        (["tools.log"], "protected"),
        ([".git/config"], "protected"),
        ([], "nothing_to_commit"),
    ],
)
async def test_what_cannot_be_committed(toolbox: Toolbox, repo: Path, paths: list[str], error_type: str) -> None:
    (repo / "a").write_text("new\n")
    (repo / "tools.log").write_text("")
    head = git(repo, "rev-parse", "HEAD")
    result = await use(toolbox, "git_commit", message="m", paths=paths)
    assert (result.outcome, result.error_type) == ("failed", error_type)
    assert git(repo, "rev-parse", "HEAD") == head


async def test_nothing_to_commit_and_no_message(toolbox: Toolbox) -> None:
    assert (await use(toolbox, "git_commit", message="m")).error_type == "nothing_to_commit"
    assert (await use(toolbox, "git_commit", message=" \n")).error_type == "invalid_message"


async def test_the_first_commit_of_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("")
    workspace = Workspace.open(tmp_path)
    toolbox = Toolbox(workspace, choose_sandbox("off", tmp_path, environ=os.environ))
    assert (await use(toolbox, "git_diff")).text == "New files that git does not know yet:\na\n"
    result = await use(toolbox, "git_commit", message="first")
    workspace.close()
    assert result.outcome == "success", result.text
    assert result.metadata["fallback_identity"] is True
    assert git(tmp_path, "log", "--format=%an <%ae>").strip() == "equitrcoder <equitrcoder@localhost>"


async def test_the_users_identity_is_used(toolbox: Toolbox, repo: Path) -> None:
    (Path(os.environ["HOME"]) / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@x\n")
    (repo / "a").write_text("new\n")
    result = await use(toolbox, "git_commit", message="m")
    assert result.metadata["fallback_identity"] is False
    assert git(repo, "log", "-1", "--format=%an <%ae>").strip() == "Ada <ada@x>"


async def test_no_repository(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    toolbox = Toolbox(workspace, choose_sandbox("off", tmp_path, environ=os.environ))
    for name, arguments in [("git_status", {}), ("git_diff", {}), ("git_commit", {"message": "m"})]:
        result = await use(toolbox, name, **arguments)
        assert (result.outcome, result.error_type) == ("failed", "not_a_git_repository"), name
    workspace.close()


async def test_a_folder_of_a_larger_repository(repo: Path) -> None:
    (repo / "part").mkdir()
    (repo / "part/x").write_text("")
    (repo / "a").write_text("new\n")
    workspace = Workspace.open(repo / "part")
    toolbox = Toolbox(workspace, choose_sandbox("off", repo / "part", environ=os.environ))
    assert (await use(toolbox, "git_status")).text == "## main\n?? x"
    assert (await use(toolbox, "git_commit", message="m")).outcome == "success"
    workspace.close()
    assert git(repo, "show", "--name-only", "--format=").split() == ["part/x"]
    assert git(repo, "status", "--short") == " M a\n"


async def test_a_hostile_repository_runs_nothing(toolbox: Toolbox, repo: Path) -> None:
    """Everything that a repository's own files can make git run is tried; none of it may leave a trace."""
    trace = repo.parent / "trace"
    program = repo.parent / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> {trace}\ncat\n')
    program.chmod(0o755)
    for hook in (
        "pre-commit",
        "commit-msg",
        "post-commit",
        "prepare-commit-msg",
        "post-index-change",
        "reference-transaction",
    ):
        (repo / ".git/hooks" / hook).symlink_to(program)
    settings = {
        "core.fsmonitor": "X", "core.pager": "X", "core.editor": "X", "core.hooksPath": str(repo / ".git/hooks"),
        "diff.external": "X", "diff.d.command": "X", "diff.d.textconv": "X", "filter.f.clean": "X",
        "filter.f.smudge": "X", "filter.f.process": "X", "filter.f.required": "true", "filter.G.x.clean": "X",
        "merge.d.driver": "X", "commit.gpgSign": "true", "gpg.program": "X", "credential.helper": "!X",
        "core.sshCommand": "X", "core.askPass": "X", "interactive.diffFilter": "X", "alias.status": "!X",
        "pager.status": "X", "pager.diff": "X", "pager.log": "X",
    }  # fmt: skip
    for key, value in settings.items():
        git(repo, "config", key, value.replace("X", str(program)))
    (repo / ".gitattributes").write_text("a filter=f diff=d merge=d\nb filter=G.x diff=d\n")
    (repo / "a").write_text("new\n")
    (repo / "b").write_text("new\n")
    assert (await use(toolbox, "git_status")).outcome == "success"
    assert "+new" in (await use(toolbox, "git_diff")).text
    result = await use(toolbox, "git_commit", message="m")
    assert result.outcome == "success", result.text
    assert not trace.exists(), trace.read_text()
    assert git(repo, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "show", "--no-ext-diff",
               "--no-textconv", "HEAD:a") == "new\n"  # fmt: skip


async def test_git_is_never_the_repositorys_own(toolbox: Toolbox, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "git").write_text("#!/bin/sh\nexit 77\n")
    (repo / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{repo}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert (await use(toolbox, "git_status")).outcome == "success"
