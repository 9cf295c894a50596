"""What lies in a repository and is no ordinary text: encodings, line ends, sizes, names, depths: a clear result."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.tools import Toolbox, ToolResult, Workspace
from equitrcoder.tools.editing import line_changes, nearest_place, replace_text
from equitrcoder.tools.values import ToolFailure
from equitrcoder.tools.walking import DEPTH_MAX


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


@pytest.fixture
def toolbox(repo: Path) -> Iterator[Toolbox]:
    workspace = Workspace.open(repo)
    yield Toolbox(workspace, choose_sandbox("off", repo, environ=os.environ))
    workspace.close()


async def use(toolbox: Toolbox, name: str, **arguments: Any) -> ToolResult:
    result = await toolbox.run(toolbox.validate(name, arguments))
    json.dumps([result.text, result.metadata], ensure_ascii=False).encode("utf-8")  # what cannot be sent is no result
    assert result.error_type != "crashed", result.text
    return result


class TestLineEnds:
    @pytest.mark.parametrize(
        ("before", "old", "new", "after"),
        [
            ("a\r\nb\r\nc\nd\n", "a\nb", "1\n2", "1\r\n2\r\nc\nd\n"),
            ("a\r\nb\r\nc\nd\n", "c\nd", "3\n4", "a\r\nb\r\n3\n4\n"),
            ("a\r\nb\r\nc\nd\n", "b\nc", "x", "a\r\nx\nd\n"),
            ("a\r\nb\r\nc\nd\n", "b", "x\ny", "a\r\nx\r\ny\r\nc\nd\n"),
            ("a\r\nb\r\nc\nd\n", "d", "x\ny", "a\r\nb\r\nc\nx\ny\n"),
            ("a\nb\n", "a\r\nb", "1\r\n2", "1\n2\n"),
            ("a\r\nb", "b", "c\nd", "a\r\nc\r\nd"),
            ("a\nb", "b", "c", "a\nc"),
            ("\ufeffa\r\nb\r\n", "a\nb", "c\nd", "\ufeffc\r\nd\r\n"),
            ("a\r\nb\r\n", "a\r\nb\r\n", "a\nb\r\n", "a\nb\r\n"),
            ("a\rb\rc", "b", "x\ry", "a\rx\ry\rc"),
            ("a\r\n\r\nb\r\n", "\n\n", "\n", "a\r\nb\r\n"),
            ("x\r\ny\r\n", "x\n", "", "y\r\n"),
            ("a\n\r\nb", "\r\nb", "\nc", "a\n\r\nc"),
        ],
    )
    def test_each_place_keeps_its_own(self, before: str, old: str, new: str, after: str) -> None:
        assert replace_text("f", before, old, new, replace_all=False) == (after, 1)

    def test_all_places_each_in_its_own_way(self) -> None:
        text = "a\nb\n-\r\na\r\nb\r\n"
        assert replace_text("f", text, "a\r\nb", "1\n2", replace_all=True) == ("a\nb\n-\r\n1\r\n2\r\n", 1)
        assert replace_text("f", "x\n-\r\nx\r\n", "x", "1\n2", replace_all=True) == ("1\n2\n-\r\n1\r\n2\r\n", 2)

    async def test_a_whole_file_is_written_as_given_and_says_what_changed(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_bytes(b"one\r\ntwo\r\n")
        result = await use(toolbox, "write_file", file_path="a", content="one\r\n2\r\n")
        assert ((repo / "a").read_bytes(), "CR LF" in result.text) == (b"one\r\n2\r\n", False)
        result = await use(toolbox, "write_file", file_path="a", content="one\n2\n")
        assert (repo / "a").read_bytes() == b"one\n2\n"
        assert "Its lines ended in CR LF before, now in LF." in result.text


class TestNearest:
    def test_in_a_large_file_it_is_found_and_takes_time_in_proportion(self) -> None:
        """200,000 lines, all alike: comparing each with each other's characters would take minutes."""
        lines = [f"    value_{number:06} = compute(alpha, beta, gamma, {number})" for number in range(200_000)]
        lines[123_456] = "    special_value = compute_special(omega)"
        with pytest.raises(ToolFailure) as failure:
            replace_text("f", "\n".join(lines), "    special_valu = compute_specal(omega)", "", replace_all=False)
        assert failure.value.error_type == "text_not_found"
        assert "The nearest place (line 123457):\n    special_value" in failure.value.message

    def test_what_is_shown_is_bounded(self) -> None:
        found = nearest_place(
            "x" * 2_000_000 + "\n" + "\n".join(f"l{n}" for n in range(300)), "l1\nl2\n" + "l 3\n" * 190
        )
        assert found is not None
        assert (found[0], len(found[1]) < 2000) == (3, True)
        assert "more lines" in found[1]
        endless = nearest_place("y" * 1_000_000, "y" * 900_000)
        assert endless is not None
        assert len(endless[1]) < 400

    async def test_text_that_is_no_utf8_is_shown_and_kept(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "latin").write_bytes("caf\xe9 au lait\nth\xe9\n".encode("latin-1"))
        result = await use(toolbox, "edit_file", file_path="latin", old_text="caf\xe9 au lait", new_text="x")
        assert result.error_type == "text_not_found"
        assert "(line 1):\ncaf\ufffd au lait" in result.text
        result = await use(toolbox, "edit_file", file_path="latin", old_text=" au lait", new_text="\ud800\ud83d!")
        assert result.outcome == "success"
        assert (repo / "latin").read_bytes() == b"caf\xe9??!\nth\xe9\n"

    def test_counting_changed_lines_is_bounded(self) -> None:
        assert line_changes("a\nb\n" * 900, "b\na\nc\n" * 600) is not None
        assert line_changes("x\n" * 1900 + "y\n", "z\n" + "x\n" * 1700 + "w\n") == (2, 201)

    async def test_places_are_counted_and_the_first_named(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "many").write_text("x\n" * 500_000)
        result = await use(toolbox, "edit_file", file_path="many", old_text="x", new_text="y")
        assert result.error_type == "not_unique"
        assert "500,000 times in many, at lines 1, 2, 3, " in result.text
        assert len(result.text) < 400
        result = await use(toolbox, "edit_file", file_path="many", old_text="x", new_text="y", replace_all=True)
        assert (repo / "many").read_text() == "y\n" * 500_000


class TestContents:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig", "latin-1"])
    async def test_encodings(self, toolbox: Toolbox, repo: Path, encoding: str) -> None:
        mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
        data = mark + "caf\xe9\nneedle\n".encode(encoding)
        (repo / "a").write_bytes(data)
        text = (await use(toolbox, "read_file", file_path="a")).text
        assert text == ("caf\ufffd\nneedle\n" if encoding == "latin-1" else "caf\xe9\nneedle\n")
        result = await use(toolbox, "edit_file", file_path="a", old_text="needle", new_text="pin")
        if encoding.startswith("utf-16"):
            assert (result.error_type, "UTF-16" in result.text) == ("binary_file", True)
            assert (repo / "a").read_bytes() == data
        else:
            assert (repo / "a").read_bytes() == data.replace(b"needle", b"pin")

    async def test_a_sparse_file_of_a_terabyte(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "sparse").touch()
        os.truncate(repo / "sparse", 1 << 40)
        for name, arguments in [("read_file", {}), ("edit_file", {"old_text": "a", "new_text": "b"})]:
            result = await use(toolbox, name, file_path="sparse", **arguments)
            assert (result.error_type, "1,099,511,627,776 bytes" in result.text) == ("too_large", True)
        assert (await use(toolbox, "search", pattern="a")).metadata["files_searched"] == 0
        replaced = await use(toolbox, "write_file", file_path="sparse", content="small")
        assert replaced.outcome == "success"
        (repo / "holes").touch()
        os.truncate(repo / "holes", 900_000_000)
        assert (await use(toolbox, "read_file", file_path="holes")).error_type == "binary_file"

    async def test_lines_of_a_megabyte(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text(("x" * 1_000_000 + "needle" + "y" * 1_000_000 + "\n") * 2)
        found = await use(toolbox, "search", pattern="needle")
        assert (found.metadata["matches"], len(found.text) < 1200, found.text.count("needle")) == (2, True, 2)
        read = await use(toolbox, "read_file", file_path="a", start_line=2, end_line=2)
        assert len(read.text) < 70_000
        assert "middle of a long line left out" in read.text

    async def test_no_pattern_takes_long_or_much(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("a" * 200_000 + "!")
        (repo / "binary").write_bytes(b"\0" + b"a" * 1000)
        for pattern in (r"(a+)+$", r"(a|a)*b", r"(.*)*b", r"(a|aa)+c"):
            assert (await use(toolbox, "search", pattern=pattern)).metadata["matches"] == 0
        for pattern in ("((a{100}){100}){100}", "(" * 2000 + ")" * 2000, "a{1001}"):
            result = await use(toolbox, "search", pattern=pattern)
            assert (result.outcome, result.error_type) in (("invalid", "invalid_pattern"), ("success", None)), pattern

    async def test_a_file_that_grows_all_the_time(self, toolbox: Toolbox, repo: Path) -> None:
        """Whoever reads to the end of it never gets there."""
        stop = threading.Event()

        def grow() -> None:
            with (repo / "log").open("ab") as file:
                while not stop.is_set() and file.tell() < 50_000_000:
                    file.write(b"line\n" * 1000)

        thread = threading.Thread(target=grow)
        thread.start()
        try:
            for _ in range(5):
                assert (await use(toolbox, "search", pattern="none")).outcome == "success"
                assert (await use(toolbox, "read_file", file_path="log")).outcome == "success"
                result = await use(toolbox, "edit_file", file_path="log", old_text="none", new_text="x")
                assert result.error_type in ("text_not_found", "too_large")
        finally:
            stop.set()
            thread.join()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
    @pytest.mark.parametrize("name", [".gitignore", ".git/info/exclude", "a"])
    async def test_an_endless_device_in_the_place_of_a_file(self, toolbox: Toolbox, repo: Path, name: str) -> None:
        (repo / ".git/info").mkdir(parents=True)
        (repo / "text").write_text("needle")
        os.mknod(repo / name, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
        assert (await use(toolbox, "search", pattern="needle")).metadata["matches"] == 1
        assert "text" in (await use(toolbox, "directory_tree")).text


class TestNames:
    async def test_each_stands_on_one_line_without_its_controls(self, toolbox: Toolbox, repo: Path) -> None:
        names = [b"a\nb", b"\x1b[2J\x1b]0;title\x07", b"\xff\xfe", b"caf\xe9", b"tab\there", b"\x7f"]
        for raw in names:
            (Path(os.fsdecode(os.fsencode(repo) + b"/" + raw))).write_text("needle")
        subprocess.run(["git", "init", "-q", str(repo)], check=True)
        (repo / "link").symlink_to(b"to\n\x1b\xff".decode("utf-8", "surrogateescape"))
        table: list[tuple[str, dict[str, str], int]] = [
            ("list_directory", {}, 8),
            ("directory_tree", {}, 8),
            ("search", {"pattern": "needle"}, 6),
            ("git_status", {}, 8),
        ]
        for name, arguments, lines in table:
            text = (await use(toolbox, name, **arguments)).text
            assert len(text.splitlines()) == lines, (name, text)
            assert not set(text) & {"\x1b", "\x07", "\x7f", "\r"}, name
            assert "a\\nb" in text
            assert "\\x1b[2J" in text
            assert "caf\ufffd" in text

    async def test_a_name_that_is_no_utf8_can_be_reached(self, toolbox: Toolbox, repo: Path) -> None:
        """In JSON such a byte is a lone surrogate, as Python writes it."""
        Path(os.fsdecode(os.fsencode(repo) + b"/caf\xe9")).write_text("inside")
        assert (await use(toolbox, "read_file", file_path="caf\udce9")).text == "inside"
        missing = await use(toolbox, "read_file", file_path="caf\ufffd")
        assert (missing.error_type, "Near it" in missing.text) == ("not_found", True)

    async def test_a_path_of_many_missing_folders_is_told_shortly(self, toolbox: Toolbox) -> None:
        result = await use(toolbox, "read_file", file_path="/".join(["no"] * 1300))
        assert (result.error_type, len(result.text) < 5000) == ("not_found", True)
        result = await use(toolbox, "read_file", file_path="no\x1b[2J\nsuch")
        assert not set(result.text) & {"\x1b", "\n"}


class TestSizes:
    async def test_a_folder_of_a_hundred_thousand(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "many").mkdir()
        folder = os.open(repo / "many", os.O_RDONLY)
        for number in range(100_000):
            os.mknod(f"{number:06}", 0o600, dir_fd=folder)
        os.close(folder)
        listed = await use(toolbox, "list_directory", path="many")
        assert "[... 99,000 more of 100,000 entries" in listed.text
        assert listed.text.startswith("000000\n000001\n")
        assert len(listed.text) < 10_000
        tree = await use(toolbox, "directory_tree")
        assert "1,000 of 100,001 entries shown" in tree.text
        assert (await use(toolbox, "search", pattern="x", path="many", glob="09999*")).metadata["files_searched"] == 10
        subprocess.run(["rm", "-rf", str(repo / "many")], check=True)

    async def test_ten_thousand_folders_deep(self, toolbox: Toolbox, repo: Path) -> None:
        folder = os.open(repo, os.O_RDONLY)
        for depth in range(10_000):
            if depth in (100, 5_000):
                os.close(os.open("needle", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
            os.mkdir("d", dir_fd=folder)
            deeper = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(folder)
        try:
            found = await use(toolbox, "search", pattern="x")
            assert found.metadata["files_searched"] == 1
            assert f"({DEPTH_MAX} folders deep)" in found.text
            tree = await use(toolbox, "directory_tree", depth=100_000)
            assert tree.text.count("\n") == DEPTH_MAX + 1
            assert f"d/ (not entered: {DEPTH_MAX} folders deep)\n" in tree.text
            for depth, error_type in [(200, None), (300, "invalid_path"), (2_000, "invalid_path")]:
                result = await use(toolbox, "list_directory", path="d/" * depth)
                assert result.error_type == error_type, depth
            below = await use(toolbox, "search", pattern="x", path="d/" * 150)
            assert f"({DEPTH_MAX} folders deep)" in below.text
        finally:
            subprocess.run(["rm", "-rf", str(repo / "d")], check=True)

    async def test_links_in_circles_are_named_and_not_followed(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").mkdir()
        (repo / "a/up").symlink_to("..")
        (repo / "a/self").symlink_to(".")
        (repo / "a/text").write_text("needle")
        assert (await use(toolbox, "search", pattern="needle")).metadata["matches"] == 1
        tree = await use(toolbox, "directory_tree", depth=100)
        assert tree.text == "./\n  a/\n    self -> .\n    text\n    up -> .."
        assert (await use(toolbox, "read_file", file_path="a/up/" * 20 + "a/text")).text == "needle"
        assert (await use(toolbox, "read_file", file_path="a/up/" * 50 + "a/text")).error_type == "too_many_links"


async def test_a_preview_of_odd_things_is_plain_text(toolbox: Toolbox, repo: Path) -> None:
    (repo / "latin").write_bytes(b"caf\xe9\n")
    for name, arguments in [
        ("write_file", {"file_path": "latin", "content": "\ud800\n"}),
        ("edit_file", {"file_path": "latin", "old_text": "caf", "new_text": "\ud800"}),
        ("write_file", {"file_path": "\udcff\n", "content": "x"}),
        ("edit_file", {"file_path": "latin", "old_text": "none", "new_text": ""}),
        ("write_file", {"file_path": ".git/hooks/x", "content": ""}),
    ]:
        shown = toolbox.preview(toolbox.validate(name, arguments))
        shown.encode("utf-8")
        assert "crashed" not in shown
