"""Attacks on the file tools that need more than a path: races, other names of a file, kills, odd spellings of .git."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.sandbox import choose_sandbox
from equitrcoder.tools import Toolbox, ToolResult, Workspace, descent, replacing

SWAPS = 3000


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
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "sub/file").write_text("inside")
    (folder / "sub/deep/file").write_text("inside")
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "elsewhere/file").write_text("outside")
    (tmp_path / "elsewhere/deep/file").write_text("outside")
    return folder


@pytest.fixture
def toolbox(repo: Path) -> Iterator[Toolbox]:
    workspace = Workspace.open(repo, hidden=[repo / "tools.log"])
    yield Toolbox(workspace, choose_sandbox("off", repo, environ=os.environ))
    workspace.close()


async def use(toolbox: Toolbox, name: str, **arguments: Any) -> ToolResult:
    return await toolbox.run(toolbox.validate(name, arguments))


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


class Swapper:
    """A thread that swaps `repo/sub` for a link to `elsewhere` and back; each swap is one call to the kernel."""

    def __init__(self, repo: Path) -> None:
        self._folder, self._link = os.fsencode(repo / "sub"), os.fsencode(repo / "swap")
        os.symlink(repo.parent / "elsewhere", self._link)
        self._exchange = ctypes.CDLL(None, use_errno=True).renameat2
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.swaps = 0

    def __enter__(self) -> Swapper:
        if self._swap() != 0:
            pytest.skip("no renameat2 here")
        self._swap()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _swap(self) -> int:
        return int(self._exchange(-100, self._folder, -100, self._link, 2))

    def _work(self) -> None:
        while not self._stop.is_set():
            self._swap()
            self.swaps += 1


async def test_a_folder_that_is_swapped_for_a_link_all_the_time(toolbox: Toolbox, repo: Path) -> None:
    """Thousands of swaps while every tool works on what is below: not a byte of outside comes in, none goes out."""
    before = everything(repo.parent / "elsewhere")
    calls: list[tuple[str, dict[str, str]]] = [
        ("read_file", {"file_path": "sub/deep/file"}),
        ("write_file", {"file_path": "sub/deep/file", "content": "inside"}),
        ("write_file", {"file_path": "sub/deep/new/er/file", "content": "inside"}),
        ("edit_file", {"file_path": "sub/deep/file", "old_text": "inside", "new_text": "inside too"}),
        ("edit_file", {"file_path": "sub/file", "old_text": "out", "new_text": "attack"}),
        ("read_file", {"file_path": "sub/../sub/file"}),
        ("list_directory", {"path": "sub/deep"}),
    ]
    slow: list[tuple[str, dict[str, str]]] = [
        ("search", {"pattern": "outside"}),
        ("search", {"pattern": "outside", "path": "sub"}),
        ("directory_tree", {"path": "sub"}),
    ]
    seen: set[str | None] = set()
    with Swapper(repo) as swapper:
        rounds = 0
        while swapper.swaps < SWAPS or rounds < 100 or not seen >= {None, "outside_repository"}:
            for name, arguments in [*calls, *(slow if rounds % 10 == 0 else ())]:
                result = await use(toolbox, name, **arguments)
                seen.add(result.error_type)
                assert "outside" not in result.text.replace("lies outside", ""), name
                assert result.error_type != "crashed", result.text
            rounds += 1
    assert everything(repo.parent / "elsewhere") == before


async def test_other_names_of_a_file_outside(toolbox: Toolbox, repo: Path) -> None:
    """A hard link shows nobody where its other names are: so none is ever written through."""
    secret = repo.parent / "elsewhere/file"
    for name, arguments in [
        ("write_file", {"content": "attack"}),
        ("edit_file", {"old_text": "outside", "new_text": "attack"}),
    ]:
        (repo / "other").unlink(missing_ok=True)
        os.link(secret, repo / "other")
        result = await use(toolbox, name, file_path="other", **arguments)
        assert (result.outcome, secret.read_text()) == ("success", "outside")
        assert "It had other names (hard links); those keep the old content." in result.text
        assert ((repo / "other").read_text(), secret.stat().st_nlink) == ("attack", 1)
    again = await use(toolbox, "write_file", file_path="other", content="x")
    assert "other names" not in again.text


async def test_other_names_of_the_settings_of_git_and_of_the_log(toolbox: Toolbox, repo: Path) -> None:
    (repo / ".git").mkdir()
    for kept in (".git/config", "tools.log"):
        (repo / kept).write_text("kept")
        os.link(repo / kept, repo / "other")
        await use(toolbox, "write_file", file_path="other", content="attack")
        assert (repo / kept).read_text() == "kept"
        (repo / "other").unlink()


@pytest.mark.parametrize(
    "path",
    ["/proc/self/environ", "/proc/self/root{repo}/sub/file", "/proc/self/root/etc/passwd", "/proc/self/cwd/x",
     "/proc/1/fd/0", "/dev/null", "/dev/zero", "/dev/stdin", "/dev/fd/0", "/sys/kernel/notes"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["path", "link", "link on the way"])
async def test_proc_and_devices(toolbox: Toolbox, repo: Path, path: str, how: str) -> None:
    path = path.format(repo=repo)
    asked = path
    if how == "link":
        (repo / "link").symlink_to(path)
        asked = "link"
    elif how == "link on the way":
        (repo / "link").symlink_to(os.path.dirname(path))
        asked = f"link/{os.path.basename(path)}"
    for name, arguments in [
        ("read_file", {}), ("write_file", {"content": ""}), ("edit_file", {"old_text": "a", "new_text": "b"}),
    ]:  # fmt: skip
        assert (await use(toolbox, name, file_path=asked, **arguments)).error_type == "outside_repository"
    for name in ("list_directory", "directory_tree"):
        assert (await use(toolbox, name, path=asked)).error_type == "outside_repository"
    assert (await use(toolbox, "search", pattern="a", path=asked)).error_type == "outside_repository"


async def test_what_turns_into_a_pipe_before_it_is_opened(repo: Path) -> None:
    """Opening a pipe waits for a writer: ours does not, and finds out what it has got."""
    workspace = Workspace.open(repo)
    with workspace.at("sub/file") as place:
        (repo / "sub/file").unlink()
        os.mkfifo(repo / "sub/file")
        with pytest.raises(Exception, match="a pipe, not a file"):
            workspace.open_file(place)
    workspace.close()


@pytest.mark.parametrize(
    "path",
    ["\uff0e\uff0e/secret", "\u2024\u2024/secret", "..\u2215secret", "..\uff0fsecret", "..\u200b/secret",
     ".. /secret", "../ secret"[3:], "...", "..\\secret", "%2e%2e/secret", "\u202e..", "..;/x", "e\u0301/x"],
)  # fmt: skip
async def test_look_alikes_of_dots_and_slashes_are_plain_names(toolbox: Toolbox, repo: Path, path: str) -> None:
    before = everything(repo.parent / "elsewhere"), set(os.listdir(repo.parent))
    written = await use(toolbox, "write_file", file_path=path, content="inside")
    assert written.outcome == "success", written.text
    assert (repo / path).read_text() == "inside"
    assert (everything(repo.parent / "elsewhere"), set(os.listdir(repo.parent))) == before


async def test_composed_and_decomposed_names_are_two(toolbox: Toolbox, repo: Path) -> None:
    await use(toolbox, "write_file", file_path="caf\u00e9", content="one")
    await use(toolbox, "write_file", file_path="cafe\u0301", content="two")
    found = {name: (repo / name).read_text() for name in ("caf\u00e9", "cafe\u0301")}
    assert found["cafe\u0301"] == "two"
    assert found["caf\u00e9"] == ("one" if len(os.listdir(repo)) == 3 else "two")  # a disk may take them for one


@pytest.mark.parametrize(
    ("path", "error_type"),
    [
        ("a\0b", "invalid_path"),
        ("sub/file\0", "invalid_path"),
        ("\ud800", "invalid_path"),
        ("x" * 256, "invalid_path"),
        ("a/" * 2047 + "b", "invalid_path"),
        ("\u00e9" * 3000, "invalid_path"),
        ("sub/../" * 500 + "../x", "outside_repository"),
        ("./" * 2000 + "..", "outside_repository"),
    ],
)
async def test_paths_that_no_file_can_have(toolbox: Toolbox, repo: Path, path: str, error_type: str) -> None:
    before = everything(repo)
    for name, arguments in [("read_file", {}), ("write_file", {"content": ""})]:
        result = await use(toolbox, name, file_path=path, **arguments)
        if not (name == "read_file" and result.error_type == "not_found"):  # nothing is there: also true
            assert result.error_type == error_type, result.text
        assert len(result.text) < 4000
        assert not set(result.text) & {"\0", "\n"}
    assert everything(repo).keys() - before.keys() <= {"/".join("a" * depth) for depth in range(1, 300)}


GIT_SPELLINGS = [
    ".git", ".GIT", ".gIt", ".git.", ".git ", ".git. .", "git~1", "GIT~1", ".g\u200cit", ".\u200dgit", ".git\ufeff",
    "\u206a.GIT", ".git::$INDEX_ALLOCATION", ".git:stream", ".git\\hooks",
]  # fmt: skip


@pytest.mark.parametrize("spelling", GIT_SPELLINGS)
async def test_spellings_of_git_that_some_disk_takes_for_it(toolbox: Toolbox, repo: Path, spelling: str) -> None:
    before = everything(repo)
    for path in (f"{spelling}/hooks/pre-commit", f"sub/{spelling}/config", spelling):
        result = await use(toolbox, "write_file", file_path=path, content="attack")
        assert result.error_type == "protected", path
        assert "hooks and settings run as the user" in result.text
    assert everything(repo) == before


@pytest.mark.parametrize(
    "name", [".gitignore", ".gitattributes", ".github/x", "git/x", "x.git", "digit~1", ".gitmodules"]
)
async def test_names_that_only_look_like_git_are_free(toolbox: Toolbox, name: str) -> None:
    assert (await use(toolbox, "write_file", file_path=name, content="x")).outcome == "success"


@pytest.mark.parametrize("how", ["link", "file", "link to a link", "the root"])
async def test_a_git_folder_that_goes_by_another_name(toolbox: Toolbox, repo: Path, how: str) -> None:
    """Git's folder may be a link, or be named by a file: its hooks are as dangerous there."""
    folder = "" if how == "the root" else "place/real/"
    (repo / folder / "hooks").mkdir(parents=True)
    (repo / folder / "config").write_text("kept")
    if how == "file":
        (repo / ".git").write_text("gitdir: place/real\n")
    elif how == "link to a link":
        (repo / "between").symlink_to("place/real")
        (repo / ".git").symlink_to("between")
    else:
        (repo / ".git").symlink_to(folder or ".")
    before = everything(repo)
    paths = [f"{folder}config", f"{folder}hooks/x", f"{folder}hooks/deep/x", f"sub/../{folder}config"]
    paths += [] if how == "file" else [".git/config", ".git/hooks/x", ".git/hooks/new/x"]
    for path in paths:
        assert (await use(toolbox, "write_file", file_path=path, content="attack")).error_type == "protected", path
    edited = await use(toolbox, "edit_file", file_path=f"{folder}config", old_text="kept", new_text="attack")
    assert edited.error_type == "protected"
    assert everything(repo) == before
    assert (await use(toolbox, "write_file", file_path="place/other", content="")).outcome == "success"


async def test_a_link_with_the_name_of_git_further_down(toolbox: Toolbox, repo: Path) -> None:
    (repo / "sub/real").mkdir()
    (repo / "sub/.git").symlink_to("real")
    result = await use(toolbox, "write_file", file_path="sub/.git/hooks/x", content="")
    assert (result.error_type, os.listdir(repo / "sub/real")) == ("protected", [])


async def test_the_log_under_another_spelling(toolbox: Toolbox, repo: Path) -> None:
    result = await use(toolbox, "write_file", file_path="TOOLS.log", content="")
    assert (result.error_type, (repo / "TOOLS.log").exists()) == ("protected", False)


class TestNeverHalf:
    @pytest.fixture(params=["without a name", "with a name"])
    def made(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        if request.param == "with a name":
            monkeypatch.setattr(replacing, "_link_nameless", lambda *_: False)
        return str(request.param)

    async def test_a_file_that_may_grow_no_further(self, toolbox: Toolbox, repo: Path, made: str) -> None:
        """The limit is real, as a full disk is: the kernel takes some of the bytes and refuses the rest."""
        before = everything(repo)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            results = [
                await use(toolbox, "write_file", file_path="sub/file", content="x" * 60_000),
                await use(toolbox, "write_file", file_path="new", content="x" * 60_000),
                await use(toolbox, "edit_file", file_path="sub/file", old_text="inside", new_text="x" * 200_000),
            ]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [result.error_type for result in results] == ["too_large"] * 3
        assert everything(repo) == before

    @pytest.mark.parametrize("step", ["write", "fchmod", "replace"])
    async def test_a_disk_that_is_full(
        self, toolbox: Toolbox, repo: Path, made: str, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = everything(repo)
        real = os.write

        def fail(*arguments: Any, **_: Any) -> int:
            if step == "write" and len(arguments[1]) > 10:
                return real(arguments[0], arguments[1][:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            result = await use(toolbox, "write_file", file_path="sub/file", content="y" * 100)
        assert result.error_type == "disk_full"
        assert "the disk is full" in result.text
        assert everything(repo) == before

    @pytest.mark.parametrize("step", ["write", "fchmod", "link", "replace"])
    def test_a_kill_in_between(self, repo: Path, made: str, step: str) -> None:
        """Killed before each step of a write: the old content is whole, and no tool sees what may be left."""
        program = (
            "import asyncio, os, signal, sys\n"
            "from pathlib import Path\n"
            "from equitrcoder.sandbox import choose_sandbox\n"
            "from equitrcoder.tools import Toolbox, Workspace, replacing\n"
            "step, named = sys.argv[1], sys.argv[2] == 'with a name'\n"
            "if named: replacing._link_nameless = lambda *_: False\n"
            "toolbox = Toolbox(Workspace.open(Path()), choose_sandbox('off', Path(), environ={}))\n"
            "call = toolbox.validate('write_file', {'file_path': 'sub/file', 'content': 'new needle'})\n"
            "setattr(os, step, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))\n"
            "asyncio.run(toolbox.run(call))\n"
        )
        done = subprocess.run([sys.executable, "-c", program, step, made], cwd=repo, check=False)
        reached = step != "link" or made == "without a name"
        assert done.returncode == (-signal.SIGKILL if reached else 0)
        assert (repo / "sub/file").read_text() == ("inside" if reached else "new needle")
        left = set(os.listdir(repo / "sub")) - {"file", "deep"}
        assert not left or made == "with a name" or step == "replace"

    async def test_what_a_kill_left_is_seen_by_no_tool(self, toolbox: Toolbox, repo: Path) -> None:
        left = ".equitrcoder-0123456789abcdef.tmp"
        subprocess.run(["git", "init", "-q", str(repo)], check=True)
        (repo / "sub" / left).write_text("needle")
        assert (await use(toolbox, "search", pattern="needle")).metadata["matches"] == 0
        for name, arguments in [
            ("list_directory", {"path": "sub"}), ("directory_tree", {}), ("git_status", {}), ("git_diff", {}),
        ]:  # fmt: skip
            assert left not in (await use(toolbox, name, **arguments)).text, name
        await use(toolbox, "git_commit", message="all")
        listed = subprocess.run(["git", "ls-files"], cwd=repo, capture_output=True, text=True, check=True).stdout
        assert listed.split() == ["sub/deep/file", "sub/file"]


async def test_mode_is_kept_but_not_the_right_to_run_as_the_owner(toolbox: Toolbox, repo: Path) -> None:
    for mode, kept in [(0o755, 0o755), (0o4755, 0o755), (0o2775, 0o775), (0o600, 0o600), (0o640, 0o640)]:
        (repo / "program").write_text("old")
        (repo / "program").chmod(mode)
        await use(toolbox, "write_file", file_path="program", content="new")
        assert (repo / "program").stat().st_mode & 0o7777 == kept
        (repo / "program").chmod(mode)
        await use(toolbox, "edit_file", file_path="program", old_text="new", new_text="newer")
        assert (repo / "program").stat().st_mode & 0o7777 == kept


def test_the_kernel_is_asked_for_what_it_has(way: str) -> None:
    """On a kernel with openat2 it is found; one that leads out or over a link is refused by the kernel itself."""
    if way == "step by step":
        assert descent.open_beneath() is None
        return
    opened = descent.open_beneath()
    assert opened is not None
    root = os.open("/proc", descent.FOLDER)
    try:
        inside = opened(root, "sys/kernel")
        assert inside >= 0
        os.close(inside)
        assert [opened(root, path) for path in ("..", "sys/../..", "/", "self", "self/root", "none")] == [-1] * 6
    finally:
        os.close(root)


@pytest.mark.skipif(os.geteuid() != 0, reason="all above has just run as an ordinary user")
def test_an_ordinary_user_has_the_same_walls(way: str) -> None:
    """The same once more as `nobody`, with what only root skips."""
    if way == "step by step":
        pytest.skip("both ways are in the run that is started")
    here = Path(__file__).parents[2]
    home = Path(tempfile.mkdtemp(prefix="equitrcoder-nobody-"))
    os.chown(home, 65534, 65534)
    libraries = os.pathsep.join([str(here / "src"), *(path for path in sys.path if path.endswith("site-packages"))])
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": libraries, "PYTHONDONTWRITEBYTECODE": "1"}
    tests = [__file__, str(here / "tests/unit/test_tools_paths.py"), str(here / "tests/unit/test_tools_files.py")]
    try:
        nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "env": environment, "cwd": here}
        interpreter = _interpreter(nobody)
        chosen = [
            "swapped",
            "other_names",
            "environ",
            "NeverHalf",
            "mode",
            "git_folder",
            "lead_out",
            "pipes",
            "read_only",
        ]
        options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(home / "t"), "-k", " or ".join(chosen)]
        command = [interpreter, "-m", "pytest", *options, *tests]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **nobody)
        assert done.returncode == 0, done.stdout[-5000:]
        assert int(done.stdout.rpartition(" passed")[0].split()[-1]) > 80, done.stdout
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _interpreter(nobody: dict[str, Any]) -> str:
    """One that an ordinary user can start, of the same version as ours."""
    same = f"import sys, pytest; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    for interpreter in (sys.executable, "/usr/bin/python3"):
        try:
            if not subprocess.run([interpreter, "-c", same], capture_output=True, check=False, **nobody).returncode:
                return interpreter
        except OSError:
            continue
    pytest.skip("no interpreter here that an ordinary user can run")
