"""Every promise about commands, at each level of walls: output, time, secrets, the end of the whole tree."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import SandboxError
from equitrcoder.sandbox import CommandResult, Sandbox, choose_sandbox
from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
from equitrcoder.sandbox.probing import trouble_with_bubblewrap
from equitrcoder.tools import Toolbox, Workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no commands on Windows")

DAEMON = (
    "( {how} bash -c 'exec 9>held; flock 9; echo ready > ready; exec sleep 1000' >/dev/null 2>&1 & ); "
    "until [ -s ready ]; do sleep 0.01; done; "
)
"""Starts a process that leaves its group and session and holds a lock on `held` as long as it lives."""


def need_bubblewrap(repo: Path) -> None:
    trouble = trouble_with_bubblewrap(repo, os.environ)
    if trouble:
        pytest.skip(f"skipped: no bubblewrap ({trouble})")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


@pytest.fixture(params=["none", "bubblewrap", "warm"])
async def sandbox(request: pytest.FixtureRequest, repo: Path) -> AsyncIterator[Sandbox]:
    """Without walls, with a bubblewrap for each command, and with one that stays and is sent commands."""
    chosen: Sandbox
    if request.param == "none":
        chosen = choose_sandbox("off", repo, environ=os.environ)
    else:
        need_bubblewrap(repo)
        chosen = BubblewrapSandbox(repo, environ=os.environ, warm=request.param == "warm")
        if request.param == "warm":
            assert await chosen.warm_up()
    assert chosen.level == ("none" if request.param == "none" else "bubblewrap")
    yield chosen
    await chosen.aclose()


async def run(sandbox: Sandbox, command: str, *, timeout_s: float = 60, limit: int = 10_000) -> CommandResult:
    return await sandbox.run(command, timeout_s=timeout_s, output_limit_bytes=limit)


def is_held(repo: Path) -> bool:
    """Whether the process of DAEMON is alive."""
    with (repo / "held").open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def until_exists(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.005)


async def test_output_comes_interleaved_with_exit_code_size_and_hash(sandbox: Sandbox, repo: Path) -> None:
    result = await run(sandbox, "pwd; echo err >&2; echo out; exit 3")
    expected = f"{repo}\nerr\nout\n".encode()
    assert (result.exit_code, result.signal, result.timed_out) == (3, None, False)
    assert result.output == expected
    assert (result.output_bytes, result.truncated) == (len(expected), False)
    assert result.output_sha256 == hashlib.sha256(expected).hexdigest()
    assert result.duration_ms > 0


async def test_a_flood_is_bounded_and_counted(sandbox: Sandbox) -> None:
    result = await run(sandbox, "echo first; yes | head -c 5000000; echo last", limit=4000)
    assert result.output_bytes == 6 + 5_000_000 + 5
    assert result.truncated
    assert len(result.output) < 4100
    assert result.output.startswith(b"first\ny\ny\n")
    assert result.output.endswith(b"y\nlast\n")
    assert b"bytes left out" in result.output
    expected = hashlib.sha256(b"first\n" + b"y\n" * 2_500_000 + b"last\n").hexdigest()
    assert result.output_sha256 == expected


async def test_standard_input_is_empty_and_there_is_no_terminal(sandbox: Sandbox) -> None:
    result = await run(sandbox, "cat; tty; [ -t 0 ] || echo none")
    assert result.output == b"not a tty\nnone\n"


async def test_the_environment_holds_no_secret(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_bubblewrap(repo)
    monkeypatch.setenv("SOME_API_KEY", "planted-secret-1")
    monkeypatch.setenv("GITHUB_PAT", "planted-secret-2")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:planted-secret-3@proxy:1")
    monkeypatch.setenv("WANTED", "handed on")
    settings: tuple[Any, ...] = ("off", "required")
    for setting in settings:
        sandbox = choose_sandbox(setting, repo, environ=os.environ, env_passthrough=["WANTED"])
        result = await run(sandbox, "env; cat /proc/self/environ; tr '\\0' '\\n' < /proc/$PPID/environ; true")
        await sandbox.aclose()
        if setting == "required":
            assert b"planted-secret" not in result.output
        else:  # without walls a command can read our own process; its environment is clean all the same
            assert b"planted-secret" not in (await run(sandbox, "env; cat /proc/self/environ")).output
        assert b"WANTED=handed on" in result.output
        assert b"TERM=dumb" in result.output


@pytest.mark.parametrize("how", ["", "setsid", "setsid nohup"])
async def test_nothing_outlives_a_command_that_ends(sandbox: Sandbox, repo: Path, how: str) -> None:
    result = await run(sandbox, DAEMON.format(how=how) + "echo done")
    assert result.output == b"done\n"
    assert not is_held(repo)


@pytest.mark.parametrize("how", ["", "setsid"])
async def test_nothing_outlives_a_timeout(sandbox: Sandbox, repo: Path, how: str) -> None:
    result = await run(sandbox, DAEMON.format(how=how) + "echo until here; sleep 1000", timeout_s=2)
    assert result.timed_out
    assert result.exit_code is None
    assert result.output == b"until here\n"
    assert not is_held(repo)


@pytest.mark.parametrize("how", ["", "setsid"])
async def test_nothing_outlives_a_cancelled_command(sandbox: Sandbox, repo: Path, how: str) -> None:
    task = asyncio.create_task(run(sandbox, DAEMON.format(how=how) + "sleep 1000"))
    await until_exists(repo / "ready")
    assert is_held(repo)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_held(repo)


async def test_a_background_process_that_holds_the_pipe_does_not_delay_the_end(sandbox: Sandbox, repo: Path) -> None:
    result = await run(
        sandbox,
        "( exec 9>held; flock 9; echo ready > ready; exec sleep 1000 ) & "
        "until [ -s ready ]; do sleep 0.01; done; echo done",
    )
    assert result.output == b"done\n"
    assert not result.timed_out
    assert not is_held(repo)


async def test_a_process_of_the_host_program_survives_the_commands(sandbox: Sandbox) -> None:
    hosts: list[subprocess.Popen[bytes]] = []

    async def start_some() -> None:
        hosts.append(subprocess.Popen(["sleep", "1000"]))
        hosts.append(subprocess.Popen(["sleep", "1000"], start_new_session=True))

    await asyncio.gather(run(sandbox, "sleep 0.2"), start_some())
    try:
        assert [host.poll() for host in hosts] == [None, None]
    finally:
        for host in hosts:
            host.kill()
            host.wait()


async def test_four_sleeps_at_once_take_as_long_as_one(sandbox: Sandbox) -> None:
    began = time.perf_counter()
    results = await asyncio.gather(*(run(sandbox, "sleep 1") for _ in range(4)))
    wall_ms = (time.perf_counter() - began) * 1000
    assert all(result.exit_code == 0 and result.duration_ms >= 1000 for result in results)
    assert wall_ms < 0.6 * sum(result.duration_ms for result in results)


async def test_no_zombies_and_no_open_descriptors_are_left(sandbox: Sandbox) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    await run(sandbox, "true")  # loads what is loaded once
    before = sorted(os.listdir("/proc/self/fd"))
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    there = children.read_text().split()
    for _ in range(5):
        await run(sandbox, "(sleep 0.001 &) ; (setsid sleep 1000 &); sleep 0.01; true")
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert children.read_text().split() == there


async def test_a_command_killed_by_a_signal_did_not_succeed(sandbox: Sandbox) -> None:
    result = await run(sandbox, "kill -9 $$")
    assert result.exit_code != 0
    assert result.signal == 9 or result.exit_code == 137


class TestWalls:
    """What bubblewrap keeps in, and what it keeps out."""

    @pytest.fixture(params=["alone", "warm"])
    async def walled(self, request: pytest.FixtureRequest, repo: Path) -> AsyncIterator[Sandbox]:
        need_bubblewrap(repo)
        subprocess.run(["git", "init", "-q", str(repo)], check=True)
        chosen = BubblewrapSandbox(repo, environ=os.environ, warm=request.param == "warm")
        if request.param == "warm":
            assert await chosen.warm_up()
        yield chosen
        await chosen.aclose()

    async def test_there_is_no_network(self, walled: Sandbox) -> None:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        command = f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo reached || echo walled; cat /proc/net/dev"
        result = await run(walled, command)
        server.close()
        await server.wait_closed()
        assert result.output.startswith(b"walled\n")
        assert b"eth0" not in result.output

    async def test_the_network_can_be_allowed(self, repo: Path) -> None:
        need_bubblewrap(repo)
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sandbox = choose_sandbox("required", repo, environ=os.environ, network=True)
        result = await run(sandbox, f"(exec 3<>/dev/tcp/127.0.0.1/{port}) && echo reached")
        await sandbox.aclose()
        server.close()
        await server.wait_closed()
        assert result.output == b"reached\n"

    async def test_home_is_private_and_only_what_is_named_shows(self, repo: Path) -> None:
        need_bubblewrap(repo)
        home = Path(os.environ["HOME"])
        for name in (".ssh", ".pyenv", "extra", ".local/share/keyrings", ".local/bin"):
            (home / name).mkdir(parents=True)
            (home / name / "file").write_text("seen")
        sandbox = choose_sandbox("required", repo, environ=os.environ, readable=["~/extra"])
        seen = await run(
            sandbox, "cd; ls -d .ssh/file .pyenv/file extra/file .local/*/file .local/share/keyrings 2>/dev/null"
        )
        wrote = await run(sandbox, "echo x > ~/.pyenv/new; echo x > ~/extra/new; echo x > ~/mine && cat ~/mine")
        await sandbox.aclose()
        assert seen.output.split() == [b".local/bin/file", b".pyenv/file", b"extra/file"]
        assert wrote.output.endswith(b"x\n")
        assert not (home / ".pyenv/new").exists()
        assert not (home / "extra/new").exists()
        assert not (home / "mine").exists()

    async def test_only_the_repository_and_tmp_can_be_written(self, walled: Sandbox, repo: Path) -> None:
        result = await run(
            walled,
            "for f in /usr/x /etc/x /x ../x /dev/shm/../x; do echo > $f; done 2>/dev/null; "
            "echo a > here; echo b > /tmp/there; cat /tmp/there",
        )
        assert result.output == b"b\n"
        assert (repo / "here").read_text() == "a\n"
        assert not Path("/tmp/there").exists()
        assert [path.name for path in repo.parent.iterdir()] == ["repo"]
        assert (await run(walled, "cat /tmp/there")).output == b"b\n", "/tmp lasts from command to command"

    async def test_the_private_folder_is_gone_after_closing(self, repo: Path) -> None:
        need_bubblewrap(repo)
        sandbox = choose_sandbox("required", repo, environ=os.environ)
        await run(sandbox, "echo x > /tmp/x")
        (private,) = [
            found for found in Path("/tmp").glob("equitrcoder-*/tmp/x") if found.stat().st_uid == os.getuid()
        ][:1]
        await sandbox.aclose()
        assert not private.parent.parent.exists()

    async def test_git_settings_and_hooks_cannot_be_changed(self, walled: Sandbox, repo: Path) -> None:
        config = (repo / ".git/config").read_bytes()
        hooks = sorted(os.listdir(repo / ".git/hooks"))
        await run(
            walled,
            "git config core.fsmonitor evil; echo x >> .git/config; echo x > .git/hooks/pre-commit; "
            "mv .git .elsewhere; rm -rf .git/hooks; echo ../evil > .git/commondir; mkdir -p .git/modules",
        )
        assert (repo / ".git/config").read_bytes() == config
        assert sorted(os.listdir(repo / ".git/hooks")) == hooks
        assert not (repo / ".git/commondir").exists()
        assert (await run(walled, "git add -A && git status --short")).exit_code == 0, "ordinary git works"

    async def test_a_missing_hooks_folder_cannot_be_made(self, walled: Sandbox, repo: Path) -> None:
        subprocess.run(["rm", "-rf", str(repo / ".git/hooks")], check=True)
        await run(walled, "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit")
        assert not (repo / ".git/hooks/pre-commit").exists()

    async def test_a_worktree_can_commit_but_not_change_the_shared_settings(self, walled: Sandbox, repo: Path) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=e@x"]
        subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "one"], cwd=repo, check=True)
        tree = repo.parent / "tree"
        subprocess.run(["git", "worktree", "add", "-q", str(tree)], cwd=repo, check=True)
        sandbox = choose_sandbox("required", tree, environ=os.environ)
        result = await run(
            sandbox,
            "git commit -q --allow-empty -m two && git log --format=%s; echo x >> ../repo/.git/config; "
            "echo x > ../repo/file",
        )
        await sandbox.aclose()
        assert result.output.startswith(b"two\none\n")
        assert b"x\n" not in (repo / ".git/config").read_bytes()
        assert not (repo / "file").exists()

    async def test_a_git_file_that_names_a_stranger_opens_nothing(self, repo: Path) -> None:
        need_bubblewrap(repo)
        stranger = repo.parent / "stranger"
        subprocess.run(["git", "init", "-q", str(stranger)], check=True)
        (repo / ".git").write_text(f"gitdir: {stranger}/.git\n")
        sandbox = choose_sandbox("required", repo, environ=os.environ)
        result = await run(sandbox, f"ls {stranger}/.git")
        await sandbox.aclose()
        assert result.exit_code != 0

    async def test_hidden_files_and_folders_are_not_there(self, repo: Path) -> None:
        need_bubblewrap(repo)
        (repo / "state").mkdir()
        (repo / "state/journal").write_text("ledger")
        (repo / "tool.log").write_text("ledger")
        hidden = [repo / "state", repo / "tool.log"]
        sandbox = choose_sandbox("required", repo, environ=os.environ, hidden=hidden)
        result = await run(
            sandbox,
            "ls state; cat tool.log; echo x > state/y; echo x > tool.log; rm -rf state tool.log; "
            "mv state other; grep -r ledger . | wc -l",
        )
        await sandbox.aclose()
        assert result.output.splitlines()[-1] == b"0"
        assert (repo / "state/journal").read_text() == (repo / "tool.log").read_text() == "ledger"

    async def test_other_processes_are_out_of_sight_and_rights_are_none(self, walled: Sandbox) -> None:
        result = await run(walled, "ls /proc | grep -c '^[0-9]'; grep CapEff /proc/self/status; kill -0 1 && echo own")
        lines = result.output.split(b"\n")
        assert int(lines[0]) < 8
        assert lines[1].split()[1] == b"0" * 16

    async def test_dangerous_system_calls_are_refused(self, walled: Sandbox, repo: Path) -> None:
        if os.uname().machine not in ("x86_64", "aarch64"):
            pytest.skip("no filter for this machine")
        number = {"x86_64": (425, 250, 435), "aarch64": (425, 219, 435)}[os.uname().machine]
        (repo / "probe.py").write_text(
            "import ctypes, errno\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            f"for number, argument in (({number[0]}, 0), ({number[1]}, 0), ({number[2]}, 0)):\n"
            "    ctypes.set_errno(0)\n"
            "    print(libc.syscall(number, argument, 0, 0, 0), errno.errorcode.get(ctypes.get_errno()))\n"
            "import fcntl\n"
            "try: fcntl.ioctl(0, 0x5412, b'x')\n"
            "except OSError as error: print('TIOCSTI', errno.errorcode[error.errno])\n"
            "import subprocess, threading\n"
            "thread = threading.Thread(target=print, args=['thread']); thread.start(); thread.join()\n"
            "print(subprocess.run(['echo', 'child'], capture_output=True).stdout)\n"
        )
        result = await run(
            walled, f"{sys.executable} probe.py; grep Seccomp: /proc/self/status; unshare -U true || echo no"
        )
        lines = result.output.decode().splitlines()
        assert lines[:6] == ["-1 EPERM", "-1 EPERM", "-1 ENOSYS", "TIOCSTI EPERM", "thread", "b'child\\n'"]
        assert lines[6].split() == ["Seccomp:", "2"]
        assert lines[-1] == "no"

    async def test_a_sandbox_that_cannot_be_set_up_is_no_result_of_the_command(
        self, walled: Sandbox, repo: Path
    ) -> None:
        await run(walled, "true")
        repo.rename(repo.parent / "away")
        with pytest.raises(SandboxError, match="could not be set up"):
            await run(walled, "true")
        (repo.parent / "away").rename(repo)

    async def test_required_fails_closed(self, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("equitrcoder.sandbox.probing._BWRAP", ("/nowhere/bwrap",))
        with pytest.raises(SandboxError, match="no bwrap in /nowhere"):
            choose_sandbox("required", repo, environ=os.environ)
        assert choose_sandbox("auto", repo, environ=os.environ).level == "none"


class TestCommandTool:
    """run_command: what the model is told, and what the record says."""

    @pytest.fixture
    def toolbox(self, sandbox: Sandbox, repo: Path) -> Any:
        workspace = Workspace.open(repo)
        yield Toolbox(workspace, sandbox)
        workspace.close()

    async def test_outcomes(self, toolbox: Toolbox, sandbox: Sandbox) -> None:
        async def call(command: str, **more: int) -> tuple[str, str | None, str, Any]:
            valid = toolbox.validate("run_command", {"command": command, **more})
            assert (valid.effect, valid.subject, valid.sandbox) == ("command", command, sandbox.level)
            result = await toolbox.run(valid)
            return result.outcome, result.error_type, result.text, result.metadata["exit_code"]

        assert await call("echo hi") == ("success", None, "hi\n", 0)
        assert await call("true") == ("success", None, "(no output)", 0)
        assert await call("echo no; exit 3") == ("failed", "exit_status", "Exit 3.\nno\n", 3)
        assert await call("exit 1") == ("failed", "exit_status", "Exit 1, no output.", 1)
        outcome, error_type, text, code = await call("echo begun; sleep 1000", timeout_s=1)
        assert (outcome, error_type, code) == ("timeout", "timeout", None)
        assert text.startswith("Ended after 1 s")
        assert text.endswith("begun\n")

    async def test_what_took_too_much_is_told_as_that(self, toolbox: Toolbox, sandbox: Sandbox) -> None:
        sandbox._limits.processes = 20  # type: ignore[attr-defined]
        if isinstance(sandbox, BubblewrapSandbox) and sandbox._pool is not None:
            sandbox._pool.close()  # the one that is warm has the old limits
            assert await sandbox.warm_up()
        command = "echo begun; for n in {1..40}; do sleep 1000 & done; wait"
        result = await toolbox.run(toolbox.validate("run_command", {"command": command}))
        told = "It took too much: more processes than a command may have"
        assert (result.outcome, result.error_type, result.error_message) == ("failed", "ended_by_sandbox", told)
        assert result.text == f"{told}. Its output until then:\nbegun\n"

    async def test_a_cut_output_carries_its_whole_size(self, toolbox: Toolbox) -> None:
        result = await toolbox.run(toolbox.validate("run_command", {"command": "yes | head -c 1000000"}))
        assert result.full_bytes == 1_000_000
        assert result.full_sha256 == hashlib.sha256(b"y\n" * 500_000).hexdigest()
        assert len(result.text) < 40_000
