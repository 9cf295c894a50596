"""Commands that attack the sandbox that stays: its keeper, its limits, its view of the disk, and each other."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from equitrcoder.sandbox import CommandResult
from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
from equitrcoder.sandbox.limits import Limits
from equitrcoder.sandbox.probing import trouble_with_bubblewrap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is for Linux")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    trouble = trouble_with_bubblewrap(folder, os.environ)
    if trouble:
        pytest.skip(f"skipped: no bubblewrap ({trouble})")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.fixture
async def warm(repo: Path) -> AsyncIterator[BubblewrapSandbox]:
    sandbox = BubblewrapSandbox(repo, environ=os.environ)
    assert await sandbox.warm_up()
    yield sandbox
    await sandbox.aclose()


async def run(sandbox: BubblewrapSandbox, command: str, *, timeout_s: float = 60, limit: int = 20_000) -> CommandResult:
    return await sandbox.run(command, timeout_s=timeout_s, output_limit_bytes=limit)


async def python(sandbox: BubblewrapSandbox, repo: Path, program: str) -> CommandResult:
    (repo / "attack.py").write_text(program)
    return await run(sandbox, f"{sys.executable} -S attack.py")


def keepers(sandbox: BubblewrapSandbox) -> list[int]:
    """Process ids, seen from outside, of the processes that keep the warm ones."""
    assert sandbox._pool is not None
    return [pid for keeper in sandbox._pool._all for pid in keeper._status.processes()]


async def test_no_signal_reaches_the_keeper(warm: BubblewrapSandbox) -> None:
    before = keepers(warm)
    result = await run(warm, "for s in KILL STOP TERM INT HUP SEGV; do kill -$s 1; done; kill -9 -1; echo still here")
    assert result.output.endswith(b"still here\n")
    assert (await run(warm, "echo $PPID")).output == b"1\n"
    assert await warm.warm_up()
    assert keepers(warm) == before


async def test_the_keeper_cannot_be_looked_into_or_taken_over(warm: BubblewrapSandbox, repo: Path) -> None:
    before = keepers(warm)
    result = await python(
        warm,
        repo,
        """
import ctypes, os, resource
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, what):
    try:
        print(name, what())
    except OSError as error:
        print(name, "refused")
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
start = int(open("/proc/1/stat").read().rpartition(")")[2].split()[25]) or 4096
buffer = ctypes.create_string_buffer(16)
mine, theirs = Piece(ctypes.addressof(buffer), 16), Piece(start, 16)
tried("attach", lambda: call({"x86_64": 101, "aarch64": 117}[os.uname().machine], 16, 1, 0, 0))
tried("seize", lambda: call({"x86_64": 101, "aarch64": 117}[os.uname().machine], 0x4206, 1, 0, 0))
for number in {"x86_64": (310, 311), "aarch64": (270, 271)}[os.uname().machine]:
    tried("memory", lambda: call(number, 1, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))
tried("mem", lambda: open("/proc/1/mem", "r+b"))
tried("environ", lambda: open("/proc/1/environ", "rb").read())
for number in range(64):
    tried("fd", lambda: os.readlink(f"/proc/1/fd/{number}"))
    tried("fd", lambda: open(f"/proc/1/fd/{number}", "r+b"))
    tried("pidfd", lambda: call(438, os.pidfd_open(1), number, 0))
tried("root", lambda: os.listdir("/proc/1/root/"))
tried("cwd", lambda: os.listdir("/proc/1/cwd/"))
tried("limit", lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3)))
tried("limit", lambda: resource.prlimit(1, resource.RLIMIT_CPU, (0, 0)))
""",
    )
    lines = result.output.decode().splitlines()
    assert len(lines) == 1 + 1 + 2 + 1 + 1 + 3 * 64 + 2 + 2, result.output.decode()[-1000:]
    assert [line for line in lines if not line.endswith(" refused")] == []
    assert keepers(warm) == before


async def test_a_command_has_no_descriptor_but_its_own(warm: BubblewrapSandbox, repo: Path) -> None:
    forge = (
        "import os\nfor n in range(3, 1024):\n"
        "    try: os.write(n, b'0 0 '); print('wrote', n)\n    except OSError: pass"
    )
    assert (await python(warm, repo, forge)).output == b""
    alone = BubblewrapSandbox(repo, environ=os.environ, warm=False)
    assert (await python(alone, repo, forge)).output == b""
    await alone.aclose()


@pytest.mark.parametrize("how", ["renice -n 19 -p 1", "taskset -p 1 1", "chrt -i -p 0 1"])
async def test_what_a_command_did_to_the_keeper_ends_with_it(warm: BubblewrapSandbox, how: str) -> None:
    look = "nice; taskset -p $$ | cut -d: -f2; chrt -p $$ | cut -d: -f2"
    before = await run(warm, look)
    assert (await run(warm, f"{how} && echo done")).output.endswith(b"done\n")
    assert (await run(warm, look)).output == before.output
    assert await warm.warm_up()
    assert (await run(warm, look)).output == before.output


async def test_limits_that_a_command_sets_are_its_own(warm: BubblewrapSandbox) -> None:
    before = (await run(warm, "ulimit -a")).output
    await run(warm, "ulimit -n 10; ulimit -f 0; ulimit -u 1; ulimit -t 1")
    assert (await run(warm, "ulimit -a")).output == before
    assert (await run(warm, "ulimit -c")).output == b"0\n"
    assert (await run(warm, "ulimit -c 100 || ulimit -f unlimited || ulimit -t unlimited || echo no")).output.endswith(
        b"no\n"
    )


async def test_a_daemon_without_parent_session_and_environment_ends(warm: BubblewrapSandbox, repo: Path) -> None:
    before = keepers(warm)
    result = await run(
        warm,
        "env -i setsid bash -c '(setsid bash -c \"exec 9>held; flock 9; echo ready > ready; exec sleep 1000\" &) &' "
        ">/dev/null 2>&1; until [ -s ready ]; do sleep 0.01; done; echo done",
    )
    assert result.output == b"done\n"
    with (repo / "held").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert (await run(warm, "ls /proc | grep -c '^[0-9]'")).output == b"4\n", "the keeper, bash, ls and grep"
    assert keepers(warm) == before, "none of this was worth a new one"


async def test_what_stays_in_shared_memory_ends_too(warm: BubblewrapSandbox, repo: Path) -> None:
    await run(warm, "echo x > /dev/shm/left")
    assert (await run(warm, "ls /dev/shm")).output == b""
    assert await warm.warm_up()
    made = await python(warm, repo, "import ctypes\nprint(ctypes.CDLL(None).shmget(77, 4096, 0o1600) >= 0)")
    assert made.output == b"True\n"
    assert (await run(warm, "wc -l < /proc/sysvipc/shm")).output == b"1\n"


async def test_a_fork_bomb_is_ended_with_a_word(repo: Path) -> None:
    sandbox = BubblewrapSandbox(repo, environ=os.environ, limits=Limits({"processes": 60}))
    assert await sandbox.warm_up()
    result = await run(sandbox, "bomb() { bomb | bomb & }; bomb; sleep 1000")
    assert result.trouble == "It took too much: more processes than a command may have"
    assert result.exit_code is None
    assert not result.timed_out
    assert (await run(sandbox, "echo well")).output == b"well\n"
    await sandbox.aclose()


async def test_memory_is_bounded(repo: Path) -> None:
    sandbox = BubblewrapSandbox(repo, environ=os.environ, limits=Limits({"memory_mb": 150}))
    assert await sandbox.warm_up()
    result = await python(sandbox, repo, "import time\nkept = b'x' * 300_000_000\nprint('had it')\ntime.sleep(1000)")
    assert result.trouble == "It took too much: more memory than a command may have"
    shared = await run(
        sandbox, "head -c 300000000 /dev/zero > /dev/shm/full; echo $(($(stat -c %s /dev/shm/full) / 1000000))"
    )
    assert int(shared.output.split()[-1]) <= 150
    await sandbox.aclose()


async def test_files_are_bounded(repo: Path) -> None:
    for warm in (False, True):
        sandbox = BubblewrapSandbox(
            repo, environ=os.environ, limits=Limits({"file_mb": 1, "open_files": 20}), warm=warm
        )
        assert await sandbox.warm_up() == warm
        result = await run(sandbox, "head -c 3000000 /dev/zero > big; echo $?; stat -c %s big; ulimit -n; ulimit -Hn")
        lines = result.output.split(b"\n")
        assert lines[-5:] == [b"153", b"1000000", b"20", b"20", b""], result.output
        await sandbox.aclose()


async def test_the_end_of_the_output_is_not_the_end_of_the_command(warm: BubblewrapSandbox) -> None:
    result = await run(warm, "echo before; exec >&- 2>&-; sleep 0.1; exit 7")
    assert (result.output, result.exit_code) == (b"before\n", 7)


async def test_a_gigabyte_of_output_takes_no_memory(warm: BubblewrapSandbox) -> None:
    await run(warm, "head -c 10000000 /dev/zero")
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await run(warm, "head -c 1000000000 /dev/zero")
    assert result.output_bytes == 1_000_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10_000


async def test_fifty_at_once_keep_apart(warm: BubblewrapSandbox) -> None:
    results = await asyncio.gather(*(run(warm, f"echo {n}; sleep 0.05; exit {n}") for n in range(50)))
    assert [(result.exit_code, result.output) for result in results] == [(n, b"%d\n" % n) for n in range(50)]
    assert len(keepers(warm)) <= 2


async def test_the_end_of_the_keeper_is_told_and_mended(warm: BubblewrapSandbox, repo: Path) -> None:
    task = asyncio.create_task(run(warm, "echo begun; echo > ready; sleep 1000"))
    while not (repo / "ready").exists():
        await asyncio.sleep(0.005)
    (keeper,) = keepers(warm)
    os.kill(keeper, signal.SIGKILL)
    result = await task
    assert (result.exit_code, result.signal, result.output) == (None, 9, b"begun\n")
    assert result.trouble == "The sandbox came to an end while the command ran"
    assert (await run(warm, "echo again")).output == b"again\n"
    assert await warm.warm_up()
    assert (await run(warm, "echo warm again")).output == b"warm again\n"
    assert keepers(warm) != [keeper]


async def test_a_keeper_that_stands_still_is_ended_from_outside(
    warm: BubblewrapSandbox, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equitrcoder.sandbox.warm._ENDING_S", 0.1)
    (keeper,) = keepers(warm)
    task = asyncio.create_task(run(warm, "exec 9>held; flock 9; echo > ready; sleep 1000", timeout_s=1))
    while not (repo / "ready").exists():
        await asyncio.sleep(0.005)
    os.kill(keeper, signal.SIGSTOP)
    assert (await task).timed_out
    with (repo / "held").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert (await run(warm, "echo again")).output == b"again\n"


async def test_nothing_outlives_a_kill_of_the_agent(repo: Path) -> None:
    program = f"""
import asyncio, os
from pathlib import Path
from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
async def main():
    sandbox = BubblewrapSandbox(Path({str(repo)!r}), environ=os.environ)
    assert await sandbox.warm_up()
    hold = "exec 9>held; flock 9; echo ready > ready; setsid sleep 1000"
    await sandbox.run(hold, timeout_s=1000, output_limit_bytes=100)
asyncio.run(main())
"""
    agent = subprocess.Popen([sys.executable, "-c", program])
    while not (repo / "ready").exists():
        await asyncio.sleep(0.005)
    agent.kill()
    agent.wait()
    with (repo / "held").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for ever if it lives on


async def test_a_repository_that_becomes_one_of_git_is_walled_at_once(repo: Path) -> None:
    subprocess.run(["rm", "-rf", str(repo / ".git")], check=True)
    sandbox = BubblewrapSandbox(repo, environ=os.environ)
    assert await sandbox.warm_up()
    await run(sandbox, "git init -q")
    config = (repo / ".git/config").read_bytes()
    await run(sandbox, "echo evil >> .git/config; echo x > .git/hooks/pre-commit; git config core.fsmonitor evil")
    assert (repo / ".git/config").read_bytes() == config
    assert not (repo / ".git/hooks/pre-commit").exists()
    await sandbox.aclose()


async def test_a_wall_that_the_host_takes_away_stands_again(warm: BubblewrapSandbox, repo: Path) -> None:
    assert (await run(warm, "echo x >> .git/config")).exit_code != 0
    subprocess.run(["git", "-C", str(repo), "config", "user.name", "n"], check=True)  # puts a new file in its place
    config = (repo / ".git/config").read_bytes()
    assert (await run(warm, "echo evil >> .git/config")).exit_code != 0
    assert await warm.warm_up()
    assert (await run(warm, "echo evil >> .git/config; git config user.name")).output.endswith(b"n\n")
    assert (repo / ".git/config").read_bytes() == config


async def test_a_file_that_is_to_be_hidden_and_comes_later_is_hidden(repo: Path) -> None:
    sandbox = BubblewrapSandbox(repo, environ=os.environ, hidden=[repo / "tool.log"])
    assert await sandbox.warm_up()
    (repo / "tool.log").write_text("ledger\n")
    assert (await run(sandbox, "cat tool.log")).output == b""
    assert await sandbox.warm_up()
    (repo / "other.log").write_text("ledger\n")
    (repo / "other.log").rename(repo / "tool.log")
    assert (await run(sandbox, "cat tool.log")).output == b""
    await sandbox.aclose()


async def test_commondir_made_beside_another_command_does_not_stay(warm: BubblewrapSandbox, repo: Path) -> None:
    make = "echo ../evil > .git/commondir"
    first = asyncio.create_task(run(warm, f"{make}; echo > one; until [ -e two ]; do sleep 0.01; done; {make}"))
    while not (repo / "one").exists():
        await asyncio.sleep(0.005)
    second = asyncio.create_task(run(warm, f"echo > two; {make}; sleep 0.1; {make}"))
    await asyncio.gather(first, second)
    assert not (repo / ".git/commondir").exists()


async def test_the_running_kernel_cannot_be_set(warm: BubblewrapSandbox, repo: Path) -> None:
    """As root these belong to the user; the files that are asked for are only opened, nothing is written."""
    program = """
import os
opened = []
for top in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi"):
    names = [top] if os.path.isfile(top) else [os.path.join(d, n) for d, _, files in os.walk(top) for n in files]
    for name in names:
        try:
            os.close(os.open(name, os.O_WRONLY))
            opened.append(name)
        except OSError:
            pass
print(opened)
"""
    assert (await python(warm, repo, program)).output == b"[]\n"
    alone = BubblewrapSandbox(repo, environ=os.environ, warm=False)
    assert (await python(alone, repo, program)).output == b"[]\n"
    await alone.aclose()


async def test_sockets_of_the_host_are_out_of_reach(warm: BubblewrapSandbox, repo: Path) -> None:
    name = f"equitrcoder-test-{os.urandom(8).hex()}"
    places = ["\0" + name, f"/tmp/{name}", f"/run/{name}" if os.access("/run", os.W_OK) else f"/dev/shm/{name}"]
    servers = []
    for place in places:
        server = socket.socket(socket.AF_UNIX)
        server.bind(place)
        server.listen()
        servers.append(server)
    program = "import socket\nfor place in %r:\n    print(socket.socket(socket.AF_UNIX).connect_ex(place) != 0)\n"
    try:
        assert (await python(warm, repo, program % (places,))).output == b"True\n" * 3
    finally:
        for server, place in zip(servers, places, strict=True):
            server.close()
            if not place.startswith("\0"):
                Path(place).unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="all above has just run as an ordinary user")
@pytest.mark.usefixtures("repo")  # skips without bubblewrap
def test_an_ordinary_user_has_the_same_walls(tmp_path: Path) -> None:
    """Runs what differs between root and others once more, as `nobody`."""
    here = Path(__file__).parents[2]
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"]
    libraries = os.pathsep.join([str(here / "src"), *(path for path in sys.path if path.endswith("site-packages"))])
    home = Path(tempfile.mkdtemp(prefix="equitrcoder-nobody-"))
    os.chown(home, 65534, 65534)
    started = [*nobody, f"HOME={home}", f"PYTHONPATH={libraries}", "PYTHONDONTWRITEBYTECODE=1"]
    same = f"import sys, pytest; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    try:
        for interpreter in (sys.executable, "/usr/bin/python3"):
            tried = subprocess.run([*started, interpreter, "-c", same], capture_output=True, cwd=here, check=False)
            if not tried.returncode:
                break
        else:
            pytest.skip("no interpreter here that an ordinary user can run")
        chosen = "no_signal or looked_into or daemon or set_shared or fork_bomb or kernel or host_takes or sockets"
        options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(home / "t"), "-k", chosen]
        command = [*started, interpreter, "-m", "pytest", *options, __file__]
        done = subprocess.run(command, capture_output=True, text=True, cwd=here, check=False)
        assert done.returncode == 0, done.stdout
        assert "7 passed" in done.stdout, done.stdout
    finally:
        shutil.rmtree(home, ignore_errors=True)
