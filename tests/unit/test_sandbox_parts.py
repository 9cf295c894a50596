"""The parts of the sandbox that need no walls: what is kept of an output, the environment, the view."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.sandbox import choose_sandbox, family
from equitrcoder.sandbox.environment import clean_environment
from equitrcoder.sandbox.identity import git_settings
from equitrcoder.sandbox.output import KeptOutput
from equitrcoder.sandbox.walls import Places, View, worktree_common_dir


@given(st.lists(st.binary(max_size=50)), st.integers(0, 60))
def test_head_and_tail_whatever_the_pieces(pieces: list[bytes], limit: int) -> None:
    kept = KeptOutput(limit)
    for piece in pieces:
        kept.feed(piece)
    whole = b"".join(pieces)
    assert kept.total_bytes == len(whole)
    assert kept.sha256 == hashlib.sha256(whole).hexdigest()
    assert kept.truncated == (len(whole) > limit)
    if not kept.truncated:
        assert kept.joined() == whole
    else:
        assert whole.startswith(kept.head)
        assert whole.endswith(kept.tail)
        assert limit - 6 <= len(kept.head) + len(kept.tail) <= limit


@given(st.text(alphabet="aé€😀", min_size=30), st.integers(8, 40))
def test_a_cut_never_breaks_a_character(text: str, limit: int) -> None:
    kept = KeptOutput(limit)
    kept.feed(text.encode())
    kept.head.decode()
    kept.tail.decode()


def test_a_flood_takes_no_memory() -> None:
    kept = KeptOutput(1000)
    for _ in range(1000):
        kept.feed(b"x" * 10_000)
    assert len(kept._tail) < 100_000
    assert len(kept._head) == 750


def test_environment_is_an_allow_list() -> None:
    given_one = {
        "PATH": "/bin",
        "LC_TIME": "C",
        "ANTHROPIC_API_KEY": "k",
        "AWS_SECRET_ACCESS_KEY": "k",
        "LD_PRELOAD": "x",
        "BASH_ENV": "x",
        "GIT_DIR": "x",
        "PYTHONSTARTUP": "x",
        "HTTP_PROXY": "http://proxy:1",
        "HTTPS_PROXY": "http://u:p@proxy:1",
        "MINE": "1",
    }
    kept = clean_environment(given_one, ["MINE", "ABSENT"])
    assert {name for name in kept if name in given_one} == {"PATH", "LC_TIME", "HTTP_PROXY", "MINE"}
    assert clean_environment({})["PATH"].endswith("/usr/bin:/sbin:/bin")


def test_only_the_name_leaves_the_git_settings(tmp_path: Path) -> None:
    file = tmp_path / ".gitconfig"
    file.write_text('[user]\n name = O\'Neil "x" \\ y\n email=o@x ; me\n[url "https://token@host"]\n insteadOf = h\n')
    target = tmp_path / "made"
    target.write_text(git_settings([tmp_path / "absent", file]))
    assert "token" not in target.read_text()
    read = subprocess.run(
        ["git", "config", "-f", str(target), "user.email"], capture_output=True, text=True, check=True
    )
    assert read.stdout == "o@x\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("repo", "home", "private", "caches"):
        (tmp_path / name).mkdir()
    return Places(
        repo=tmp_path / "repo", home=tmp_path / "home", private=tmp_path / "private", caches=tmp_path / "caches"
    )


def mounts(words: list[str]) -> list[tuple[str, str]]:
    """Kind and place of each mount, in order."""
    return [
        (word, words[index + (1 if word in ("--tmpfs", "--remount-ro") else 2)])
        for index, word in enumerate(words)
        if word in ("--bind", "--ro-bind", "--tmpfs", "--remount-ro")
    ]


def test_neither_home_nor_root_is_ever_shown(places: Places) -> None:
    environ = {
        "PATH": f"{places.home}:/:/home::relative:{places.home}/bin",
        "VIRTUAL_ENV": "/",
        "GOPATH": str(places.home),
    }
    (places.home / "bin").mkdir()
    view = View(places, environ=environ, readable=[], hidden=[], network=False).arguments()
    shown = [place for kind, place in mounts(view) if kind == "--ro-bind"]
    assert str(places.home / "bin") in shown
    assert not {"/", "/home", "/tmp", str(places.home), str(places.home.parent), "relative"} & set(shown)


def test_the_repository_lies_on_top_and_is_the_only_thing_of_ours_to_write(places: Places) -> None:
    view = View(places, environ=dict(os.environ), readable=["/srv"], hidden=[], network=False).arguments()
    written = [place for kind, place in mounts(view) if kind == "--bind"]
    assert written == ["/tmp", "/var/tmp", str(places.home), str(places.caches), str(places.repo)]
    assert mounts(view)[-1] == ("--remount-ro", "/")


def test_credentials_inside_a_shown_folder_are_covered(places: Places) -> None:
    (places.home / ".cargo").mkdir()
    (places.home / ".cargo/credentials.toml").write_text("token")
    view = View(places, environ={}, readable=[], hidden=[], network=False).arguments()
    found = mounts(view)
    assert found.index(("--ro-bind", str(places.home / ".cargo"))) < found.index(
        ("--ro-bind", str(places.home / ".cargo/credentials.toml"))
    )


def test_a_worktree_must_be_named_back(tmp_path: Path) -> None:
    main, tree = tmp_path / "main", tmp_path / "tree"
    who = ["-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run(["git", "init", "-q", str(main)], check=True)
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "one"], cwd=main, check=True)
    subprocess.run(["git", "worktree", "add", "-q", str(tree)], cwd=main, check=True)
    assert worktree_common_dir(tree / ".git") == main / ".git"
    (tmp_path / "thief").mkdir()
    (tmp_path / "thief/.git").write_text((tree / ".git").read_text())
    assert worktree_common_dir(tmp_path / "thief/.git") is None
    (tmp_path / "thief/.git").write_bytes(b"\xff")
    assert worktree_common_dir(tmp_path / "thief/.git") is None
    assert worktree_common_dir(tmp_path / "absent") is None


def test_the_whole_disk_is_no_repository_to_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_sandbox("auto", Path("/"), environ=os.environ).level == "none"


@pytest.mark.parametrize("fails", [False, True])
async def test_without_process_descriptors_a_thread_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool
) -> None:
    """As on macOS and on kernels before 5.3."""
    if fails:

        def refuse(_: int) -> int:
            raise OSError("not implemented")

        monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    else:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    sandbox = choose_sandbox("off", tmp_path, environ=os.environ)
    done = await sandbox.run("echo hi; exit 4", timeout_s=60, output_limit_bytes=100)
    assert (done.exit_code, done.output) == (4, b"hi\n")
    late = await sandbox.run("echo hi; sleep 1000", timeout_s=0.3, output_limit_bytes=100)
    assert (late.exit_code, late.timed_out) == (None, True)


@pytest.mark.skipif(sys.platform != "linux", reason="child subreapers are Linux's")
async def test_we_adopt_orphans_only_while_commands_run(tmp_path: Path) -> None:
    sandbox = choose_sandbox("off", tmp_path, environ=os.environ)
    assert not family._subreaper()
    await sandbox.run("true", timeout_s=60, output_limit_bytes=100)
    assert not family._subreaper()
    family._set_subreaper(True)
    try:
        await sandbox.run("true", timeout_s=60, output_limit_bytes=100)
        assert family._subreaper(), "what the host program had set stays"
    finally:
        family._set_subreaper(False)


async def test_a_shell_that_cannot_start_leaves_nothing_open(tmp_path: Path) -> None:
    sandbox = choose_sandbox("off", tmp_path, environ=os.environ)
    await sandbox.run("true", timeout_s=60, output_limit_bytes=100)
    before = len(os.listdir("/dev/fd"))
    gone = tmp_path / "gone"
    gone.mkdir()
    sandbox = choose_sandbox("off", gone, environ=os.environ)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        await sandbox.run("true", timeout_s=60, output_limit_bytes=100)
    assert len(os.listdir("/dev/fd")) == before
