"""Attacks on the walls of the file tools: nothing outside is read or written, nothing waits, git and ledger stay."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.tools import Toolbox, ToolResult, Workspace, descent


@pytest.fixture(autouse=True, params=["openat2", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every attack is made on the kernel's way of opening beneath a folder, and on our own."""
    if request.param == "step by step":
        monkeypatch.setattr(descent, "open_beneath", lambda: None)
    elif descent.open_beneath() is None:
        pytest.skip("no openat2 in this kernel")
    return str(request.param)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "elsewhere").mkdir()
    return folder


@pytest.fixture
def toolbox(repo: Path) -> Iterator[Toolbox]:
    hidden = [repo / "state", repo / "tools.log", repo.parent / "far.log"]
    workspace = Workspace.open(repo, hidden=hidden)
    yield Toolbox(workspace, choose_sandbox("off", repo, environ=os.environ))
    workspace.close()


async def use(toolbox: Toolbox, name: str, **arguments: Any) -> ToolResult:
    return await toolbox.run(toolbox.validate(name, arguments))


async def every_way(toolbox: Toolbox, path: str) -> list[str | None]:
    """Error types of all file tools on one path."""
    results = [
        await use(toolbox, "read_file", file_path=path),
        await use(toolbox, "write_file", file_path=path, content="attack"),
        await use(toolbox, "edit_file", file_path=path, old_text="outside", new_text="attack"),
        await use(toolbox, "list_directory", path=path),
        await use(toolbox, "directory_tree", path=path),
        await use(toolbox, "search", pattern="outside", path=path),
    ]
    assert all("outside" not in result.text.replace("lies outside", "") for result in results)
    return [result.error_type for result in results]


@pytest.mark.parametrize(
    "path",
    ["..", "../secret", "sub/../../secret", "sub/../../repo/../secret", "/etc/passwd", "/", "../repo2", "//etc/passwd"],
)
async def test_paths_that_lead_out(toolbox: Toolbox, repo: Path, path: str) -> None:
    assert await every_way(toolbox, path) == ["outside_repository"] * 6
    assert (repo.parent / "secret").read_text() == "outside"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("../secret", "link"),
        ("{top}/secret", "link"),
        ("/etc/passwd", "link"),
        ("..", "link/secret"),
        ("{top}", "link/secret"),
        ("../elsewhere", "link/new"),
        ("sub/../../secret", "link"),
    ],
)
async def test_links_that_lead_out(toolbox: Toolbox, repo: Path, target: str, path: str) -> None:
    (repo / "link").symlink_to(target.format(top=repo.parent))
    assert await every_way(toolbox, path) == ["outside_repository"] * 6
    assert (repo.parent / "secret").read_text() == "outside"
    assert list((repo.parent / "elsewhere").iterdir()) == []


async def test_links_in_a_chain_and_in_a_circle(toolbox: Toolbox, repo: Path) -> None:
    (repo / "one").symlink_to("two")
    (repo / "two").symlink_to("../secret")
    (repo / "round").symlink_to("round")
    assert await every_way(toolbox, "one") == ["outside_repository"] * 6
    assert set(await every_way(toolbox, "round")) == {"too_many_links"}


async def test_links_inside_are_followed_and_stay(toolbox: Toolbox, repo: Path) -> None:
    (repo / "folder").symlink_to("sub")
    (repo / "absolute").symlink_to(repo / "sub/file")
    (repo / "sub/up").symlink_to("../sub/file")
    for path in ("folder/file", "absolute", "sub/up", "folder/../folder/up"):
        assert (await use(toolbox, "read_file", file_path=path)).text == "inside", path
    await use(toolbox, "write_file", file_path="absolute", content="changed")
    assert (repo / "absolute").is_symlink()
    assert (repo / "sub/file").read_text() == "changed"


async def test_the_root_itself_may_be_reached_by_a_link(repo: Path) -> None:
    (repo.parent / "door").symlink_to(repo)
    workspace = Workspace.open(repo.parent / "door")
    toolbox = Toolbox(workspace, choose_sandbox("off", repo, environ={}))
    assert (await use(toolbox, "read_file", file_path="sub/file")).text == "inside"
    assert (await use(toolbox, "read_file", file_path=str(repo / "sub/file"))).text == "inside"
    workspace.close()


async def test_absolute_paths_beneath_the_root(toolbox: Toolbox, repo: Path) -> None:
    assert (await use(toolbox, "read_file", file_path=str(repo / "sub/file"))).text == "inside"
    assert (await use(toolbox, "list_directory", path=str(repo))).text == "sub/"
    assert (await use(toolbox, "read_file", file_path=f"{repo}/../secret")).error_type == "outside_repository"


async def test_pipes_sockets_and_devices_never_block(toolbox: Toolbox, repo: Path) -> None:
    os.mkfifo(repo / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(repo / "sock"))
        for path in ("pipe", "sock"):
            assert (await use(toolbox, "read_file", file_path=path)).error_type == "not_a_file"
            assert (await use(toolbox, "write_file", file_path=path, content="")).error_type == "not_a_file"
            assert (
                await use(toolbox, "edit_file", file_path=path, old_text="a", new_text="b")
            ).error_type == "not_a_file"
            assert (await use(toolbox, "search", pattern="a", path=path)).outcome == "failed"
    assert (await use(toolbox, "search", pattern="inside")).metadata["files_searched"] == 1
    (repo / ".gitignore").unlink(missing_ok=True)
    os.mkfifo(repo / ".gitignore")
    assert (await use(toolbox, "search", pattern="inside")).metadata["matches"] == 1
    if os.geteuid() == 0:
        os.mknod(repo / "null", 0o600 | 0o020000, os.makedev(1, 3))
        result = await use(toolbox, "read_file", file_path="null")
        assert (result.error_type, "a device" in result.text) == ("not_a_file", True)


async def test_odd_names(toolbox: Toolbox, repo: Path) -> None:
    for name in ("new\nline", "sp ace", "-rf", "é", "\x1b[31m", "a" * 255, "%s", "*"):
        result = await use(toolbox, "write_file", file_path=name, content=name)
        assert result.outcome == "success", name
        assert (repo / name).read_text() == name
        assert "\n" not in result.text
        assert "\x1b" not in result.text


@pytest.mark.parametrize(
    "path",
    [
        ".git", ".git/config", ".git/hooks/pre-commit", ".git/new", ".GIT/config", ".Git/hooks/x", "sub/../.git/config",
        "sub/.git/config", "gitlink/config", "state", "state/journal", "state/deep/er", "tools.log", "loglink",
    ],
)  # fmt: skip
async def test_git_and_the_ledger_cannot_be_written(toolbox: Toolbox, repo: Path, path: str) -> None:
    (repo / ".git/hooks").mkdir(parents=True)
    (repo / ".git/config").write_text("kept")
    (repo / "gitlink").symlink_to(".git")
    (repo / "loglink").symlink_to("tools.log")
    before = sorted(str(found) for found in repo.rglob("*"))
    written = await use(toolbox, "write_file", file_path=path, content="attack")
    assert written.error_type in ("protected", "not_a_file"), path
    if (repo / path).is_file():
        edited = await use(toolbox, "edit_file", file_path=path, old_text="kept", new_text="attack")
        assert edited.error_type == "protected"
    assert sorted(str(found) for found in repo.rglob("*")) == before
    assert (repo / ".git/config").read_text() == "kept"


async def test_the_refusal_says_why(toolbox: Toolbox, repo: Path) -> None:
    (repo / ".git").mkdir()
    git = await use(toolbox, "write_file", file_path=".git/hooks/x", content="")
    log = await use(toolbox, "write_file", file_path="tools.log", content="")
    assert "hooks and settings run as the user" in git.text
    assert "record of tool calls" in log.text


async def test_search_and_tree_pass_the_ledger_over(toolbox: Toolbox, repo: Path) -> None:
    (repo / "state").mkdir()
    for path in ("state/journal", "tools.log", "seen"):
        (repo / path).write_text("needle")
    assert (await use(toolbox, "search", pattern="needle")).text == "seen:1: needle"
    assert (await use(toolbox, "directory_tree")).text == "./\n  seen\n  sub/\n    file"
    assert (await use(toolbox, "search", pattern="needle", path="state")).metadata["matches"] == 0
    assert (await use(toolbox, "search", pattern="needle", path="tools.log")).metadata["matches"] == 0


async def test_a_folder_that_becomes_a_link_in_the_middle_of_a_walk(
    toolbox: Toolbox, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody swaps a folder for a link out, just after it was looked at and just before it is entered."""
    outside = repo.parent / "elsewhere"
    (outside / "file").write_text("outside")
    look = os.readlink

    def look_and_swap(name: str, *, dir_fd: int) -> str:
        try:
            return look(name, dir_fd=dir_fd)
        except OSError:
            if name == "sub" and not (repo / "sub").is_symlink():
                (repo / "sub").rename(repo / "real")
                (repo / "sub").symlink_to(outside)
            raise

    monkeypatch.setattr(os, "readlink", look_and_swap)
    monkeypatch.setattr(descent, "open_beneath", lambda: None)  # with it there is no such moment
    for name, arguments in [
        ("read_file", {}),
        ("write_file", {"content": "attack"}),
        ("edit_file", {"old_text": "outside", "new_text": "attack"}),
    ]:
        result = await use(toolbox, name, file_path="sub/file", **arguments)
        assert result.error_type in ("not_a_folder", "outside_repository"), name  # the second walk sees a link
        (repo / "sub").unlink()
        (repo / "real").rename(repo / "sub")
    assert (outside / "file").read_text() == "outside"


async def test_a_file_that_becomes_a_link_before_it_is_opened(repo: Path) -> None:
    workspace = Workspace.open(repo)
    with workspace.at("sub/file") as place:
        (repo / "sub/file").unlink()
        (repo / "sub/file").symlink_to(repo.parent / "secret")
        with pytest.raises(OSError, match="symbolic link"):
            workspace.open_file(place)
        workspace.replace_file(place, b"new")
    workspace.close()
    assert (repo.parent / "secret").read_text() == "outside"
    assert (repo / "sub/file").read_text() == "new"
    assert not (repo / "sub/file").is_symlink()
