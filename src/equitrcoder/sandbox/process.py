"""Start a process, read what it writes, and be done with it when it ends, when its time is up, or when cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from equitrcoder.sandbox import CommandResult
from equitrcoder.sandbox.family import Family
from equitrcoder.sandbox.limits import Limits
from equitrcoder.sandbox.output import KeptOutput
from equitrcoder.sandbox.watch import Watch, too_much

_TIME = "time"
_READ_BYTES = 65536  # a pipe's own size


async def run_process(
    argv: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    timeout_s: float,
    output_limit_bytes: int,
    pass_fds: Sequence[int] = (),
    stdin: int = subprocess.DEVNULL,
    companions: Callable[[], Iterable[int]] = tuple,
    limits: Limits | None = None,
    started: Callable[[int], None] | None = None,
    session: bool = True,
) -> CommandResult:
    """Run one program as the leader of its own session and keep head and tail of its output.

    Once the program itself has ended, everything that it left behind is killed, so a background process that holds
    the pipe open delays nothing. The same on timeout and on cancellation.

    Args:
        argv: The program's full path first.
        cwd: Where it starts; None: here.
        env: Its whole environment.
        timeout_s: When it is killed.
        output_limit_bytes: How much of the output is kept.
        pass_fds: Descriptors that it inherits.
        stdin: A descriptor to read from; nothing by default.
        companions: Asked when the program has ended: process ids that belong to it and do not show it.
        limits: What it may use; None: nobody looks.
        started: Told the process id as soon as there is one.
        session: Whether it leads a session of its own; else only a group, because it makes a session itself.

    Raises:
        OSError: It could not be started.
    """
    output = KeptOutput(output_limit_bytes)
    family = Family()
    began = time.perf_counter()
    read_end, write_end = os.pipe()
    try:
        child = _spawn(
            argv,
            cwd=cwd,
            env=family.environment(env),
            output=write_end,
            pass_fds=pass_fds,
            stdin=stdin,
            session=session,
        )
    except BaseException:
        os.close(read_end)
        family.abandon()
        raise
    finally:
        os.close(write_end)
    if started is not None:
        started(child.pid)
    why = ""
    try:
        why = await _until_it_ends(child, read_end, output, timeout_s, limits)
    finally:
        for pid in companions():
            family.know(pid)
        family.end(child)
        drain(read_end, output)
        os.close(read_end)
    code = child.returncode
    timed_out = why == _TIME
    return CommandResult(
        exit_code=None if code is None or code < 0 or timed_out else code,
        signal=-code if code is not None and code < 0 else None,
        output=output.joined(),
        output_bytes=output.total_bytes,
        output_sha256=output.sha256,
        truncated=output.truncated,
        timed_out=timed_out,
        trouble=too_much(why) if why and not timed_out else None,
        duration_ms=(time.perf_counter() - began) * 1000,
    )


def _spawn(
    argv: Sequence[str],
    *,
    cwd: str | None,
    env: Mapping[str, str],
    output: int,
    pass_fds: Sequence[int],
    stdin: int,
    session: bool,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(argv),
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd=cwd,
        env=env,
        start_new_session=session,
        process_group=None if session else 0,
        pass_fds=tuple(pass_fds),
    )


async def _until_it_ends(
    child: subprocess.Popen[bytes], pipe: int, output: KeptOutput, timeout_s: float, limits: Limits | None
) -> str:
    """Read the pipe until the process has ended ("") or is to be: its time is up, or the name of a limit."""
    loop = asyncio.get_running_loop()
    os.set_blocking(pipe, False)
    ended: asyncio.Future[str] = loop.create_future()
    loop.add_reader(pipe, read_some, loop, pipe, output)
    timer = loop.call_later(timeout_s, settle, ended, _TIME)
    watch = Watch(child.pid, limits, lambda limit: settle(ended, limit)) if limits is not None else None
    try:
        with _watch(child, ended):
            return await ended
    finally:
        timer.cancel()
        if watch is not None:
            watch.stop()
        loop.remove_reader(pipe)


def read_some(loop: asyncio.AbstractEventLoop, pipe: int, output: KeptOutput) -> None:
    try:
        data = os.read(pipe, _READ_BYTES)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    if data:
        output.feed(data)
    else:
        loop.remove_reader(pipe)


def settle(future: asyncio.Future[str], value: str) -> None:
    if not future.done():
        future.set_result(value)


@contextlib.contextmanager
def _watch(child: subprocess.Popen[bytes], ended: asyncio.Future[str]) -> Iterator[None]:
    """Settle `ended` with "" once the child has ended, without reaping it where the system allows."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(child.pid)
    except (AttributeError, OSError):  # not Linux, or a kernel before 5.3
        threading.Thread(target=_wait_in_thread, args=(child, loop, ended), daemon=True).start()
        yield
        return
    loop.add_reader(descriptor, settle, ended, "")
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _wait_in_thread(
    child: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, ended: asyncio.Future[str]
) -> None:
    child.wait()
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(settle, ended, "")


def drain(pipe: int, output: KeptOutput) -> None:
    """Read what is left in the pipe. All writers are dead, or hold on without our knowing: then stop at its size."""
    os.set_blocking(pipe, False)
    for _ in range(256):
        try:
            data = os.read(pipe, _READ_BYTES)
        except OSError:
            return
        if not data:
            return
        output.feed(data)
