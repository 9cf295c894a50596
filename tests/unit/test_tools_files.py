"""read_file, write_file, edit_file, list_directory, directory_tree: contents, limits, odd files."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.tools import Toolbox, ToolLimits, ToolResult, Workspace


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


@pytest.fixture
def toolbox(repo: Path) -> Iterator[Toolbox]:
    workspace = Workspace.open(repo)
    limits = ToolLimits(lines=20, text_bytes=1000, entries=10, file_bytes=5_000_000)
    yield Toolbox(workspace, choose_sandbox("off", repo, environ=os.environ), limits=limits)
    workspace.close()


async def use(toolbox: Toolbox, name: str, **arguments: Any) -> ToolResult:
    return await toolbox.run(toolbox.validate(name, arguments))


class TestRead:
    async def test_a_whole_file_comes_as_it_is(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a.txt").write_text("one\n\ttwo é\nthree")
        result = await use(toolbox, "read_file", file_path="a.txt")
        assert (result.text, result.outcome, result.error_type) == ("one\n\ttwo é\nthree", "success", None)
        assert result.metadata == {"path": "a.txt", "bytes": 17, "lines": 3}
        assert (result.full_bytes, result.full_sha256) == (None, None)

    async def test_a_range_comes_with_numbers(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a.txt").write_text("one\ntwo\nthree\nfour\n")
        result = await use(toolbox, "read_file", file_path="a.txt", start_line=2, end_line=3)
        assert result.text == "2\ttwo\n3\tthree\n"
        assert result.metadata == {"path": "a.txt", "bytes": 10, "lines": 2, "start_line": 2, "end_line": 3}
        assert (await use(toolbox, "read_file", file_path="a.txt", start_line=4)).text == "4\tfour\n"
        assert (await use(toolbox, "read_file", file_path="a.txt", end_line=1)).text == "1\tone\n"
        assert (await use(toolbox, "read_file", file_path="a.txt", start_line=4, end_line=99)).text == "4\tfour\n"

    @pytest.mark.parametrize(("start", "end"), [(5, None), (5, 9), (3, 2)])
    async def test_a_range_that_is_not_there(self, toolbox: Toolbox, repo: Path, start: int, end: int | None) -> None:
        (repo / "a.txt").write_text("one\ntwo\nthree\nfour\n")
        result = await use(toolbox, "read_file", file_path="a.txt", start_line=start, end_line=end)
        assert (result.outcome, result.error_type) == ("failed", "invalid_range")

    async def test_many_lines_are_cut_in_the_middle(self, toolbox: Toolbox, repo: Path) -> None:
        text = "".join(f"l{number}\n" for number in range(1, 101))
        (repo / "a.txt").write_text(text)
        result = await use(toolbox, "read_file", file_path="a.txt")
        lines = result.text.splitlines()
        assert lines[:15] == [f"l{number}" for number in range(1, 16)]
        assert lines[15] == (
            "[... lines 16 to 95 left out: 320 of 392 bytes. Read them with start_line and end_line ...]"
        )
        assert lines[16:] == [f"l{number}" for number in range(96, 101)]
        assert (result.full_bytes, result.full_sha256) == (392, hashlib.sha256(text.encode()).hexdigest())
        assert result.metadata["lines"] == 100
        assert result.metadata["truncated"] is True

    async def test_a_large_range_is_cut_and_numbered(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a.txt").write_text("".join(f"l{number}\n" for number in range(1, 101)))
        result = await use(toolbox, "read_file", file_path="a.txt", start_line=11, end_line=60)
        lines = result.text.splitlines()
        assert lines[0] == "11\tl11"
        assert lines[14] == "25\tl25"
        assert lines[15].startswith("[... lines 26 to 55 left out")
        assert lines[16] == "56\tl56"
        assert lines[-1] == "60\tl60"

    async def test_one_endless_line_is_cut_between_characters(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a.txt").write_text("é" * 5000)
        result = await use(toolbox, "read_file", file_path="a.txt")
        assert "\ufffd" not in result.text
        assert "the middle of a long line left out" in result.text
        assert len(result.text.encode()) < 1200

    async def test_a_file_of_megabytes(self, toolbox: Toolbox, repo: Path) -> None:
        data = b"".join(b"line %07d\n" % number for number in range(1, 300_001))
        (repo / "big.txt").write_bytes(data)
        result = await use(toolbox, "read_file", file_path="big.txt")
        assert result.text.startswith("line 0000001\n")
        assert result.text.endswith("line 0300000\n")
        assert (result.full_bytes, result.full_sha256) == (len(data), hashlib.sha256(data).hexdigest())
        part = await use(toolbox, "read_file", file_path="big.txt", start_line=250_000, end_line=250_001)
        assert part.text == "250000\tline 0250000\n250001\tline 0250001\n"

    async def test_too_large_to_look_through(self, repo: Path) -> None:
        with (repo / "huge").open("wb") as file:
            file.truncate(5000)
        workspace = Workspace.open(repo)
        box = Toolbox(workspace, choose_sandbox("off", repo, environ={}), limits=ToolLimits(scan_bytes=4000))
        result = await use(box, "read_file", file_path="huge")
        workspace.close()
        assert (result.error_type, result.metadata) == ("too_large", {"bytes": 5000})

    async def test_odd_contents(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "empty").write_bytes(b"")
        (repo / "binary").write_bytes(b"\x7fELF\0\0")
        (repo / "latin").write_bytes(b"caf\xe9\n")
        (repo / "bom").write_bytes(b"\xef\xbb\xbfhi\n")
        (repo / "wide").write_bytes("hé\n".encode("utf-16"))
        (repo / "crlf").write_bytes(b"a\r\nb\r\n")
        assert (await use(toolbox, "read_file", file_path="empty")).text == "(the file is empty)"
        binary = await use(toolbox, "read_file", file_path="binary")
        assert (binary.outcome, binary.error_type, binary.metadata) == ("failed", "binary_file", {"bytes": 6})
        assert "6 bytes" in binary.text
        latin = await use(toolbox, "read_file", file_path="latin")
        assert (latin.text, latin.metadata["replaced_characters"]) == ("caf\ufffd\n", 1)
        assert (await use(toolbox, "read_file", file_path="bom")).text == "hi\n"
        assert (await use(toolbox, "read_file", file_path="wide")).text == "hé\n"
        assert (await use(toolbox, "read_file", file_path="crlf")).text == "a\r\nb\r\n"

    async def test_what_is_not_there(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "folder").mkdir()
        (repo / "dates.py").write_text("")
        result = await use(toolbox, "read_file", file_path="date.py")
        assert (result.outcome, result.error_type) == ("failed", "not_found")
        assert result.text == "date.py does not exist. Near it: dates.py"
        assert (await use(toolbox, "read_file", file_path="no/such/file")).error_type == "not_found"
        assert (await use(toolbox, "read_file", file_path="folder")).error_type == "not_a_file"
        assert (await use(toolbox, "read_file", file_path="dates.py/x")).error_type == "not_a_folder"
        assert (await use(toolbox, "read_file", file_path="n" * 300)).error_type == "invalid_path"


class TestWrite:
    async def test_makes_folders_and_says_what_it_did(self, toolbox: Toolbox, repo: Path) -> None:
        result = await use(toolbox, "write_file", file_path="a/b/c.txt", content="one\ntwo é")
        assert result.text == "Made a/b/c.txt: 2 lines, 10 bytes."
        assert result.metadata == {"path": "a/b/c.txt", "bytes": 10, "lines": 2, "created": True}
        assert (repo / "a/b/c.txt").read_text() == "one\ntwo é"
        again = await use(toolbox, "write_file", file_path="a/b/c.txt", content="")
        assert again.text == "Replaced all of the 10 bytes in a/b/c.txt: 0 lines, 0 bytes."
        assert os.listdir(repo / "a/b") == ["c.txt"], "no temporary file is left"

    async def test_mode_is_kept_and_new_files_follow_the_umask(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "run.sh").write_text("old")
        (repo / "run.sh").chmod(0o751)
        await use(toolbox, "write_file", file_path="run.sh", content="new")
        await use(toolbox, "edit_file", file_path="run.sh", old_text="new", new_text="newer")
        await use(toolbox, "write_file", file_path="plain", content="")
        assert (repo / "run.sh").stat().st_mode & 0o777 == 0o751
        mask = os.umask(0)
        os.umask(mask)
        assert (repo / "plain").stat().st_mode & 0o777 == 0o666 & ~mask

    async def test_a_hard_link_elsewhere_keeps_its_content(self, toolbox: Toolbox, repo: Path) -> None:
        outside = repo.parent / "outside"
        outside.write_text("untouched")
        os.link(outside, repo / "inside")
        await use(toolbox, "write_file", file_path="inside", content="changed")
        assert (outside.read_text(), (repo / "inside").read_text()) == ("untouched", "changed")

    async def test_a_reader_never_sees_half(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("x" * 400_000)
        with (repo / "a").open() as reader:
            await use(toolbox, "write_file", file_path="a", content="y" * 400_000)
            assert reader.read() == "x" * 400_000
        assert (repo / "a").read_text() == "y" * 400_000

    async def test_what_cannot_be_written(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "folder").mkdir()
        (repo / "file").write_text("x")
        for path, error_type in [
            ("folder", "not_a_file"),
            ("folder/", "invalid_path"),
            ("", "invalid_path"),
            (".", "invalid_path"),
            ("file/below", "not_a_folder"),
            ("a\0b", "invalid_path"),
        ]:
            result = await use(toolbox, "write_file", file_path=path, content="y")
            assert (result.outcome, result.error_type) == ("failed", error_type), path
        assert sorted(os.listdir(repo)) == ["file", "folder"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
    async def test_a_read_only_file_stays_as_it_is(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "fixed").write_text("x")
        (repo / "fixed").chmod(0o444)
        assert (await use(toolbox, "write_file", file_path="fixed", content="y")).error_type == "permission_denied"

    async def test_a_lone_surrogate_does_no_harm(self, toolbox: Toolbox, repo: Path) -> None:
        result = await use(toolbox, "write_file", file_path="a", content="a\ud800b")
        assert (result.outcome, (repo / "a").read_text()) == ("success", "a?b")

    async def test_writes_to_one_file_keep_their_order(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "link").symlink_to("a")
        contents = ["0" * 200_000, "1", "2" * 200_000, "3", "4" * 100_000, "5"]
        paths = ["a", "./a", "x/../a", str(repo / "a"), "link", "a"]
        (repo / "x").mkdir()
        results = await asyncio.gather(
            *(
                use(toolbox, "write_file", file_path=path, content=content)
                for path, content in zip(paths, contents, strict=True)
            )
        )
        assert [result.outcome for result in results] == ["success"] * 6
        assert (repo / "a").read_text() == "5"
        assert [result.text.partition(" bytes in")[0] for result in results[1:]] == [
            f"Replaced all of the {len(content):,}" for content in contents[:-1]
        ]


class TestEdit:
    async def test_replaces_the_one_place(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("one\ntwo\nthree\n")
        result = await use(toolbox, "edit_file", file_path="a", old_text="two\n", new_text="2\n2.5\n")
        assert (repo / "a").read_text() == "one\n2\n2.5\nthree\n"
        assert result.text == "Changed a: 2 lines added, 1 removed."
        assert result.metadata == {"path": "a", "bytes": 16, "replacements": 1, "lines_added": 2, "lines_removed": 1}

    async def test_more_than_one_place(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("x\ny\nx x\n")
        result = await use(toolbox, "edit_file", file_path="a", old_text="x", new_text="z")
        assert (result.outcome, result.error_type) == ("failed", "not_unique")
        assert "3 times in a, at lines 1, 3, 3" in result.text
        assert (repo / "a").read_text() == "x\ny\nx x\n"
        result = await use(toolbox, "edit_file", file_path="a", old_text="x", new_text="z", replace_all=True)
        assert (repo / "a").read_text() == "z\ny\nz z\n"
        assert result.metadata["replacements"] == 3

    async def test_not_there_shows_the_nearest_place(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("def f():\n    return 1\n\ndef g():\n    return 2\n")
        spacing = await use(toolbox, "edit_file", file_path="a", old_text="def g():\n  return 2", new_text="")
        assert (spacing.outcome, spacing.error_type) == ("failed", "text_not_found")
        assert "It differs in spaces, tabs or line ends (line 4):\ndef g():\n    return 2" in spacing.text
        similar = await use(toolbox, "edit_file", file_path="a", old_text="    retrun 2", new_text="")
        assert "The nearest place (line 5):\n    return 2" in similar.text
        nothing = await use(toolbox, "edit_file", file_path="a", old_text="quite something else", new_text="")
        assert "Read the file and give its text exactly." in nothing.text

    async def test_line_ends_are_kept(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_bytes(b"one\r\ntwo\r\nthree\r\n")
        await use(toolbox, "edit_file", file_path="a", old_text="one\ntwo", new_text="1\n2\n2.5")
        assert (repo / "a").read_bytes() == b"1\r\n2\r\n2.5\r\nthree\r\n"
        await use(toolbox, "edit_file", file_path="a", old_text="three", new_text="3\n4")
        assert (repo / "a").read_bytes() == b"1\r\n2\r\n2.5\r\n3\r\n4\r\n"

    async def test_bytes_that_are_no_utf8_are_kept(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_bytes(b"\xef\xbb\xbfcaf\xe9 one\n")
        result = await use(toolbox, "edit_file", file_path="a", old_text="one", new_text="twö")
        assert result.outcome == "success"
        assert (repo / "a").read_bytes() == b"\xef\xbb\xbfcaf\xe9 tw\xc3\xb6\n"

    async def test_what_cannot_be_edited(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("x")
        (repo / "binary").write_bytes(b"x\0")
        (repo / "large").write_bytes(b"x" * 5_000_001)
        for path, old, new, error_type in [
            ("a", "", "y", "no_change"),
            ("a", "x", "x", "no_change"),
            ("binary", "x", "y", "binary_file"),
            ("large", "x", "y", "too_large"),
            ("none", "x", "y", "not_found"),
        ]:
            result = await use(toolbox, "edit_file", file_path=path, old_text=old, new_text=new)
            assert (result.outcome, result.error_type) == ("failed", error_type), path

    async def test_edits_of_one_file_at_once_all_land(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("".join(f"<{number}>\n" for number in range(20)) + "x" * 100_000)
        results = await asyncio.gather(
            *(
                use(toolbox, "edit_file", file_path="a", old_text=f"<{number}>", new_text=f"[{number}]")
                for number in range(20)
            )
        )
        assert {result.outcome for result in results} == {"success"}
        assert (repo / "a").read_text().startswith("".join(f"[{number}]\n" for number in range(20)))


class TestListing:
    async def test_names_kinds_and_order(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "b").mkdir()
        (repo / "a.txt").write_text("")
        (repo / "link").symlink_to("/etc/passwd")
        (repo / "odd\nname").write_text("")
        os.mkfifo(repo / "pipe")
        result = await use(toolbox, "list_directory")
        assert result.text.split("\n") == [
            "a.txt", "b/", "link -> /etc/passwd", "odd\\nname", "pipe (no file: pipe, socket or device)",
        ]  # fmt: skip
        assert result.metadata == {"path": ".", "entries": 5}
        assert (await use(toolbox, "list_directory", path="b")).text == "(the folder is empty)"
        assert (await use(toolbox, "list_directory", path="a.txt")).error_type == "not_a_folder"
        assert (await use(toolbox, "list_directory", path="none")).error_type == "not_found"

    async def test_a_long_list_is_cut(self, toolbox: Toolbox, repo: Path) -> None:
        for number in range(25):
            (repo / f"f{number:02}").touch()
        result = await use(toolbox, "list_directory")
        lines = result.text.split("\n")
        assert lines[9] == "f09"
        assert lines[10].startswith("[... 15 more of 25 entries")
        assert result.metadata == {"path": ".", "entries": 25, "truncated": True}

    async def test_a_tree(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / ".git").mkdir()
        (repo / ".gitignore").write_text("built/\n")
        (repo / "built/deep").mkdir(parents=True)
        (repo / "src/pkg").mkdir(parents=True)
        (repo / "src/pkg/m.py").touch()
        (repo / "src/loop").symlink_to("..")
        result = await use(toolbox, "directory_tree")
        assert result.text.split("\n") == [
            "./", "  .gitignore", "  built/ (ignored by git)", "  src/", "    loop -> ..", "    pkg/", "      m.py",
        ]  # fmt: skip
        assert (await use(toolbox, "directory_tree", depth=1)).text.split("\n")[-1] == "  src/"
        assert (await use(toolbox, "directory_tree", path="src/pkg")).text == "src/pkg/\n  m.py"

    async def test_a_large_tree_is_cut(self, toolbox: Toolbox, repo: Path) -> None:
        for number in range(25):
            (repo / f"f{number:02}").touch()
        result = await use(toolbox, "directory_tree")
        assert result.text.split("\n")[-1].startswith("[... cut: 10 of 25 entries shown")
        assert (result.metadata["entries"], result.metadata["truncated"]) == (25, True)


class TestRun:
    async def test_a_crash_is_a_result(self, toolbox: Toolbox, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def crash(*_: Any) -> None:
            raise RuntimeError("something odd")

        monkeypatch.setattr("equitrcoder.tools.reading.read_file", crash)
        result = await use(toolbox, "read_file", file_path="a")
        assert (result.outcome, result.error_type) == ("failed", "crashed")
        assert "RuntimeError: something odd" in result.text
        assert result.error_message is not None

    async def test_previews(self, toolbox: Toolbox, repo: Path) -> None:
        (repo / "a").write_text("one\ntwo\n")

        def preview(name: str, **arguments: Any) -> str:
            return toolbox.preview(toolbox.validate(name, arguments))

        diff = "--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-two\n+2"
        assert preview("edit_file", file_path="a", old_text="two", new_text="2") == diff
        assert preview("write_file", file_path="a", content="one\n2\n") == diff
        assert (
            preview("write_file", file_path="new/b", content="x\n") == "--- /dev/null\n+++ b/new/b\n@@ -0,0 +1 @@\n+x"
        )
        assert preview("write_file", file_path="a", content="one\ntwo\n") == "no change"
        assert "old_text is not in a" in preview("edit_file", file_path="a", old_text="zzz", new_text="2")
        assert preview("write_file", file_path="../x", content="").startswith("../x lies outside")
        assert preview("run_command", command="rm -r build") == "rm -r build"
        assert preview("git_commit", message="m", paths=["a"]) == "m\n\na"
        assert preview("read_file", file_path="a") == "read_file a"
        assert sorted(os.listdir(repo)) == ["a"], "a preview changes nothing"
