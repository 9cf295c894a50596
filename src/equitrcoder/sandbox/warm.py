"""A bubblewrap that lives as long as the session and is sent commands: what a command costs is then bash alone.

Each holds one command at a time, so a command has its process id namespace to itself; several at once take several.
Whoever finds none ready takes a bubblewrap of its own (bubblewrap.py): a warm one is never waited for, and is only ever
a saving of time. Before each command two things are held against what they were when it started: the arguments of
bubblewrap (which say what is to be seen), and the mounts themselves as the kernel tells them from outside (a file that
is replaced or removed on the disk takes its mount with it). If either differs it is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from equitrcoder.sandbox import CommandResult
from equitrcoder.sandbox.hosts import PORT, Hosts
from equitrcoder.sandbox.limits import Limits
from equitrcoder.sandbox.output import KeptOutput
from equitrcoder.sandbox.process import drain, read_some, settle
from equitrcoder.sandbox.status import Status
from equitrcoder.sandbox.watch import too_much

_READY, _END = b"ready", b"end"  # as in keeper.py
_MOST = 2
"""Warm ones at a time. Each holds some 10 MB."""
_MOST_FAILURES = 3
_STARTING_S = 10.0
_TIDYING_S = 0.2
"""How long a keeper that has answered may take to be ready again."""
_ENDING_S = 2.0
"""How long a keeper may take to end a command; after that everything inside is ended from outside."""
_AT_ONCE_S = 0.003
"""How long the event loop stands still for a command that is the only one: most have ended by then, and to go round the
loop for them would cost a fifth of what they cost."""
_FIRST_READ_S = 0.005
"""What a short command writes is read once it has ended: to be woken for it would cost more than the command."""
_MOUNTS = ("--bind", "--ro-bind", "--tmpfs")
_GONE = "The sandbox came to an end while the command ran"


class Pool:
    """The warm bubblewraps of one session."""

    def __init__(self, bubblewrap: Callable[[], list[str]], limits: Limits, hosts: Hosts | None = None) -> None:
        self._bubblewrap = bubblewrap
        self._limits = limits
        self._hosts = hosts
        self._all: list[Keeper] = []
        self._failures = 0

    def take(self, arguments: list[str], *, start: bool = True) -> Keeper | None:
        """One that is ready and has this view; None: there is none, but with `start` the next command may find one."""
        found = None
        for keeper in [keeper for keeper in self._all if not keeper.busy]:
            if found is not None:
                break
            if not keeper.alive or keeper.arguments != arguments:
                self._failures += not keeper.alive and not keeper.was_ready
                self._give_up(keeper)
            elif keeper.is_ready() and not keeper.view_changed():
                self._failures = 0
                found = keeper
            elif keeper.was_ready:
                self._give_up(keeper)
        if found is not None:
            found.busy = True
        elif start and len(self._all) < _MOST and self._failures < _MOST_FAILURES and not self._starting():
            self._all.append(self._new(arguments))
        return found

    def _new(self, arguments: list[str]) -> Keeper:
        return Keeper(self._bubblewrap(), arguments, self._limits, self._hosts)

    async def take_or_wait(self, arguments: list[str]) -> Keeper | None:
        """One that is ready, an extra one if need be; None: none can be had."""
        keeper = self.take(arguments, start=False)
        if keeper is not None:
            return keeper
        keeper = self._new(arguments)
        keeper.busy = True
        self._all.append(keeper)
        give_up = time.monotonic() + _STARTING_S
        try:
            while keeper.alive and not keeper.is_ready() and time.monotonic() < give_up:
                await asyncio.sleep(0.002)
        except BaseException:
            self._give_up(keeper)
            raise
        if keeper.is_ready() and not keeper.view_changed():
            return keeper
        self._give_up(keeper)
        return None

    def done_with(self, keeper: Keeper) -> None:
        """It has run its command; no more than usual are kept."""
        if keeper in self._all and sum(one.was_ready and not one.busy for one in self._all) > _MOST:
            self._give_up(keeper)

    def _give_up(self, keeper: Keeper) -> None:
        self._all.remove(keeper)
        keeper.close()

    def _starting(self) -> bool:
        return any(not keeper.was_ready for keeper in self._all)

    def close(self) -> None:
        """End them all, and what runs in them."""
        while self._all:
            self._all.pop().close()


class Keeper:
    """One bubblewrap with keeper.py in it, seen from outside."""

    def __init__(self, bubblewrap: list[str], arguments: list[str], limits: Limits, hosts: Hosts | None = None) -> None:
        self._hosts = hosts
        self._listener: socket.socket | None = None
        self.arguments = arguments
        self.busy = False
        self._env: Mapping[bytes, bytes] | None = None
        self.was_ready = False
        self._ready = False
        self._closed = False
        self._places = _places_on_top(arguments)
        self._identities: list[tuple[int, int]] = []
        self._mount_events = select.poll()
        self._mountinfo = -1
        self._stands = False
        self._status = Status()
        self._control, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        try:
            self._process = self._start(bubblewrap, inner, limits)
        except BaseException:
            self._status.close()
            self._control.close()
            raise
        finally:
            inner.close()

    def _start(self, bubblewrap: list[str], inner: socket.socket, limits: Limits) -> subprocess.Popen[bytes]:
        from equitrcoder.sandbox.probing import seccomp_pipe

        seccomp = seccomp_pipe()
        passed = [inner.fileno(), self._status.descriptor, *([] if seccomp is None else [seccomp])]
        kernel = [] if seccomp is None else ["--seccomp", str(seccomp)]
        numbers = (inner.fileno(), limits.processes, limits.memory_bytes, PORT if self._hosts else 0)
        try:
            return subprocess.Popen(
                [
                    *[*limits.words(), *bubblewrap, *self.arguments, *kernel],
                    *["--json-status-fd", str(self._status.descriptor), "--as-pid-1", "--"],
                    *[_python(), "-I", "-S", "-c", _program(), *map(str, numbers)],
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
                pass_fds=passed,
            )
        finally:
            if seccomp is not None:
                os.close(seccomp)

    @property
    def alive(self) -> bool:
        return not self._closed and self._process.poll() is None

    def is_ready(self) -> bool:
        """Whether it can take a command; one that has just run one is given a moment to tidy up."""
        if not self._ready and self._readable(_TIDYING_S if self.was_ready else 0.0):
            with contextlib.suppress(OSError):
                said, passed, _, _ = socket.recv_fds(self._control, 100, 1)
                self._ready = said == _READY
                if passed:
                    self._listener = socket.socket(fileno=passed[0])
                    os.set_inheritable(passed[0], False)
        if self._ready and not self.was_ready:
            self.was_ready = True
            self._remember_view()
        return self._ready

    def view_changed(self) -> bool:
        """Whether what it sees of the disk is not what it was: a mount has gone, or stands for something else now."""
        return not self._stands or bool(self._mount_events.poll(0)) or _identities(self._places) != self._identities

    def _remember_view(self) -> None:
        """Take down what is seen now, and whether that is what was asked for."""
        self._identities = _identities(self._places)
        for pid in self._status.processes():
            with contextlib.suppress(OSError):
                self._mountinfo = os.open(f"/proc/{pid}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
                self._mount_events.register(self._mountinfo, select.POLLPRI)
                self._mount_events.poll(0)  # from now on it tells of changes
                with open(self._mountinfo, "rb", closefd=False) as file:
                    self._stands = _walls_stand(self._places, file.read())

    async def run(
        self,
        words: Sequence[str],
        env: Mapping[bytes, bytes],
        *,
        timeout_s: float,
        output_limit_bytes: int,
        alone: bool = False,
    ) -> CommandResult | None:
        """Run one command to its end; None: it was not begun, and this keeper is of no more use.

        `alone` says that no other command runs, so nothing suffers when it is waited for on the spot, for a moment.

        Raises:
            OSError: The shell could not be started.
        """
        requests: list[tuple[str, str]] = []
        try:
            async with self._way_out(requests):
                result = await self._run(words, env, timeout_s, output_limit_bytes, at_once=alone)
        finally:
            self.busy = False
        if result is not None:
            result.requests = tuple(requests)
        return result

    async def _run(
        self,
        words: Sequence[str],
        env: Mapping[bytes, bytes],
        timeout_s: float,
        output_limit_bytes: int,
        *,
        at_once: bool,
    ) -> CommandResult | None:
        output = KeptOutput(output_limit_bytes)
        began = time.perf_counter()
        read_end, write_end = os.pipe()
        timed_out, answer = False, None
        try:
            try:
                sent = self._send(words, env, write_end)
            finally:
                os.close(write_end)
            if not sent:
                return None
            try:
                if not at_once or self._listener is not None or not self._readable(_AT_ONCE_S):
                    timed_out = await self._until_it_answers(read_end, output, timeout_s)
            finally:
                answer = self._answer()
                drain(read_end, output)
        finally:
            os.close(read_end)
        return _result(answer, output, timed_out=timed_out, duration_ms=(time.perf_counter() - began) * 1000)

    @contextlib.asynccontextmanager
    async def _way_out(self, requests: list[tuple[str, str]]) -> AsyncIterator[None]:
        """While this stands, what is asked for inside is answered; `requests` has it in the end."""
        if self._listener is None or self._hosts is None:
            yield
            return
        from equitrcoder.sandbox.proxy import Proxy

        async with Proxy(self._listener, self._hosts) as proxy:
            try:
                yield
            finally:
                requests += proxy.requests

    def _send(self, words: Sequence[str], env: Mapping[bytes, bytes], output: int) -> bool:
        changed = None if env is self._env else dict(env)
        message = marshal.dumps(([os.fsencode(word) for word in words], changed))
        self._env = env
        self._ready = False
        try:
            socket.send_fds(self._control, [message], [output])
        except OSError:  # too long for a message, or nobody there
            self.close()
            return False
        return True

    async def _until_it_answers(self, pipe: int, output: KeptOutput, timeout_s: float) -> bool:
        """Read the output until the keeper says something or is gone; say whether the time was up first."""
        loop = asyncio.get_running_loop()
        os.set_blocking(pipe, False)
        ended: asyncio.Future[str] = loop.create_future()
        loop.add_reader(self._control, settle, ended, "")
        timer = loop.call_later(timeout_s, settle, ended, "time")
        reading = loop.call_later(_FIRST_READ_S, loop.add_reader, pipe, read_some, loop, pipe, output)
        try:
            return bool(await ended)
        finally:
            reading.cancel()
            timer.cancel()
            loop.remove_reader(pipe)
            loop.remove_reader(self._control)

    def _answer(self) -> list[bytes] | None:
        """What it says of the command, which is ended first if it still runs; None: the keeper is gone."""
        with contextlib.suppress(OSError):
            if not self._readable(0.0):
                self._control.send(_END)
            if self._readable(_ENDING_S) and (said := self._control.recv(1000)):
                return said.split(b" ")
        self.close()
        return None

    def _readable(self, patience_s: float) -> bool:
        return _readable(self._control.fileno(), patience_s)

    def close(self) -> None:
        """End everything inside, and wait until it is gone."""
        if self._closed:
            return
        self._closed = True
        for pid in self._status.await_process(self._process, _ENDING_S):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)  # process 1 inside: the kernel ends all others with it
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_S)
        self._process.kill()  # says nothing when it has ended
        self._process.wait()
        self._control.close()
        self._status.close()
        if self._listener is not None:
            self._listener.close()
        if self._mountinfo >= 0:
            os.close(self._mountinfo)


def _readable(descriptor: int, patience_s: float) -> bool:
    poll = select.poll()  # takes any descriptor, which `select` does not
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(patience_s * 1000))


def _places_on_top(arguments: Sequence[str]) -> list[str]:
    """The repository, and every place that is put on top of it.

    Example:
        >>> _places_on_top(["--bind", "/x", "/x", "--bind", "/r", "/r", "--tmpfs", "/r/b", "--chdir", "/r"])
        ['/r', '/r/b']
    """
    places = [arguments[k + (1 if word == "--tmpfs" else 2)] for k, word in enumerate(arguments) if word in _MOUNTS]
    return places[places.index(arguments[-1]) :]


def _identities(places: Sequence[str]) -> list[tuple[int, int]]:
    """What lies at each place on the disk now."""
    found = []
    for place in places:
        try:
            status = os.lstat(place)
        except OSError:
            found.append((0, 0))
        else:
            found.append((status.st_dev, status.st_ino))
    return found


def _walls_stand(places: Sequence[str], mountinfo: bytes) -> bool:
    """Whether every one of the places is a mount and nothing shown has been removed: the disk may have moved on.

    Example:
        >>> lines = b"1 0 0:1 / /r rw - x x rw\\n2 1 0:1 /a /r/a\\\\040b ro - x x rw\\n"
        >>> _walls_stand(["/r", "/r/a b"], lines), _walls_stand(["/r", "/r/a"], lines)
        (True, False)
    """
    there = {line.split(b" ")[4] for line in mountinfo.splitlines()}
    return b"//deleted" not in mountinfo and all(_as_mountinfo(place) in there for place in places)


def _as_mountinfo(path: str) -> bytes:
    escaped = os.fsencode(path).replace(b"\\", b"\\134")
    return escaped.replace(b" ", b"\\040").replace(b"\t", b"\\011").replace(b"\n", b"\\012")


def _result(answer: list[bytes] | None, output: KeptOutput, *, timed_out: bool, duration_ms: float) -> CommandResult:
    code: int | None = None
    trouble: str | None = None
    if answer is None:
        code, trouble = -signal.SIGKILL, _GONE
    else:
        errno, status, limit = int(answer[0]), int(answer[1]), answer[2].decode()
        if errno:
            raise OSError(errno, os.strerror(errno))
        code = os.waitstatus_to_exitcode(status)
        trouble = too_much(limit) if limit else None
    return CommandResult(
        exit_code=None if code < 0 or timed_out else code,
        signal=-code if code < 0 else None,
        output=output.joined(),
        output_bytes=output.total_bytes,
        output_sha256=output.sha256,
        truncated=output.truncated,
        timed_out=timed_out,
        trouble=None if timed_out else trouble,
        duration_ms=duration_ms,
    )


def _python() -> str:
    """Our interpreter; not the one of a virtual environment, which is only a link to it."""
    return getattr(sys, "_base_executable", "") or sys.executable


@cache
def _program() -> str:
    return Path(__file__).with_name("keeper.py").read_text("utf-8")
