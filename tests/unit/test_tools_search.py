"""search: what it finds, what it passes over, and that no pattern makes it slow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.tools import Toolbox, ToolLimits, ToolResult, Workspace


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    for path, text in {
        "a.py": "import os\ndef f():\n    return 'needle'\n",
        "sub/b.py": "needle\r\nNeedle needle\r\n",
        "sub/c.txt": "no\nneedle",
        "sub/deep/d.txt": "née needle\n",
        ".git/config": "needle",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode())
    return tmp_path


@pytest.fixture
def toolbox(repo: Path) -> Iterator[Toolbox]:
    workspace = Workspace.open(repo)
    yield Toolbox(workspace, choose_sandbox("off", repo, environ=os.environ), limits=ToolLimits(matches=20))
    workspace.close()


async def search(toolbox: Toolbox, pattern: str, **arguments: Any) -> ToolResult:
    return await toolbox.run(toolbox.validate("search", {"pattern": pattern, **arguments}))


async def test_lines_in_order_of_paths(toolbox: Toolbox) -> None:
    result = await search(toolbox, "needle")
    assert result.text.split("\n") == [
        "a.py:3:     return 'needle'",
        "sub/b.py:1: needle",
        "sub/b.py:2: Needle needle",
        "sub/c.txt:2: needle",
        "sub/deep/d.txt:1: née needle",
    ]
    assert result.metadata == {"matches": 5, "files": 4, "files_searched": 4}


@pytest.mark.parametrize(
    ("pattern", "more", "found"),
    [
        ("(?i)^needle", {}, ["sub/b.py:1: needle", "sub/b.py:2: Needle needle", "sub/c.txt:2: needle"]),
        ("needle$", {"path": "sub/c.txt"}, ["sub/c.txt:2: needle"]),
        ("needle", {"path": "sub/deep"}, ["sub/deep/d.txt:1: née needle"]),
        ("needle", {"glob": "*.txt"}, ["sub/c.txt:2: needle", "sub/deep/d.txt:1: née needle"]),
        ("needle", {"glob": "sub/*.py"}, ["sub/b.py:1: needle", "sub/b.py:2: Needle needle"]),
        ("needle", {"glob": "**/deep/*"}, ["sub/deep/d.txt:1: née needle"]),
        ("n.e ", {}, ["sub/deep/d.txt:1: née needle"]),
        (r"os\ndef", {}, ["a.py:1: import os"]),
        ("absent", {}, ["No match in 4 files."]),
        ("^$", {"path": "a.py"}, ["No match in 1 file."]),
    ],
)
async def test_patterns_paths_and_globs(toolbox: Toolbox, pattern: str, more: Any, found: list[str]) -> None:
    assert (await search(toolbox, pattern, **more)).text.split("\n") == found


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "[", "*"])
async def test_a_bad_pattern_is_an_invalid_call(toolbox: Toolbox, pattern: str) -> None:
    result = await search(toolbox, pattern)
    assert (result.outcome, result.error_type) == ("invalid", "invalid_pattern")
    assert result.text.startswith("The pattern is no regular expression that RE2 takes: ")


async def test_what_git_ignores_is_passed_over(toolbox: Toolbox, repo: Path) -> None:
    (repo / ".gitignore").write_text("*.txt\n!c.txt\nbuilt/\n/only_top\n")
    (repo / "sub/.gitignore").write_text("b.py\n!deep/d.txt\n")
    (repo / ".git/info").mkdir()
    (repo / ".git/info/exclude").write_text("a.py\n")
    for path in ("built/x", "only_top", "sub/only_top"):
        (repo / path).parent.mkdir(exist_ok=True)
        (repo / path).write_text("needle")
    assert [line.partition(":")[0] for line in (await search(toolbox, "needle")).text.split("\n")] == [
        "sub/c.txt",
        "sub/deep/d.txt",
        "sub/only_top",
    ]
    assert (await search(toolbox, "needle", path="sub/b.py")).metadata["matches"] == 2, "named itself it is searched"


async def test_binary_large_and_unreadable_files_are_passed_over(toolbox: Toolbox, repo: Path) -> None:
    (repo / "binary").write_bytes(b"needle\0")
    with (repo / "large").open("wb") as file:
        file.write(b"needle")
        file.truncate(11_000_000)
    (repo / "outside").symlink_to("/etc")
    assert (await search(toolbox, "needle")).metadata["matches"] == 5
    assert (await search(toolbox, "needle", path="binary")).error_type == "binary_file"


async def test_many_matches_are_cut(toolbox: Toolbox, repo: Path) -> None:
    (repo / "many").write_text("needle\n" * 100)
    result = await search(toolbox, "needle", path="many")
    lines = result.text.split("\n")
    assert len(lines) == 21
    assert lines[19] == "many:20: needle"
    assert lines[20].startswith("[... 80 more matches, in 1 file;")
    assert result.metadata == {"matches": 100, "files": 1, "files_searched": 1, "truncated": True}


async def test_a_long_line_is_shown_around_its_match(toolbox: Toolbox, repo: Path) -> None:
    (repo / "long").write_text("x" * 5000 + "needle" + "y" * 5000)
    line = (await search(toolbox, "needle", path="long")).text
    assert len(line) < 520
    assert line.startswith("long:1: …x")
    assert "needle" in line
    assert line.endswith("y…")


async def test_no_pattern_is_slow(toolbox: Toolbox, repo: Path) -> None:
    """Backtracking engines need longer than the universe lasts for this one."""
    (repo / "evil").write_text("a" * 100_000)
    assert (await search(toolbox, "(a*)*(a*)*(a*)*b", path="evil")).metadata["matches"] == 0


async def test_names_and_text_that_are_no_utf8(toolbox: Toolbox, repo: Path) -> None:
    (repo / os.fsdecode(b"caf\xe9")).write_bytes(b"one \xe9 needle\n")
    assert "caf\ufffd:1: one \ufffd needle" in (await search(toolbox, "needle")).text
