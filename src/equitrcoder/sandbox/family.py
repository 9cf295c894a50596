"""End a command's whole process tree, also what it daemonised.

A command is its own session, so most of it dies with one signal to the group. What left the group (setsid, double
fork) would become a child of init and live on; on Linux we ask the kernel to give such orphans to us while a command
runs (child subreaper), know them by a random mark in their environment or by a session of a process already known,
and end them. Elsewhere only the group is ended.

Out of reach without a process id namespace: a process that starts a session of its own with an emptied environment.
One that starts a session of its own and ends before the command does stays in the process table until we end: it can
no longer be told from a child of the program that we run in, which is not ours to wait for.

Source: https://man7.org/linux/man-pages/man2/pr_set_child_subreaper.2const.html
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

MARK = "EQUITRCODER_COMMAND"

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_PATIENCE_S = 0.5
"""How long to wait for killed processes to be gone; only a process stuck in the kernel takes longer."""

_lock = threading.Lock()
_running = 0
_was_subreaper = False


class Family:
    """The processes of one command. Make one before the command starts, and call `end` when it is over."""

    def __init__(self) -> None:
        self._mark = f"{MARK}={os.urandom(12).hex()}"
        self._sessions: set[int] = set()
        self._known: set[int] = set()
        _adopt_orphans()
        self._open = True

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The command's environment, with the mark."""
        name, _, value = self._mark.partition("=")
        return {**env, name: value}

    def end(self, child: subprocess.Popen[bytes]) -> None:
        """Kill all that is left of the command, and wait until it is gone. Works once; later calls do nothing.

        Blocks for as long as the kernel takes to end killed processes: well under a millisecond each.
        """
        if not self._open:
            return
        self._open = False
        try:
            self._sessions.add(child.pid)
            kill_group(child)
            if sys.platform == "linux":
                self._end_orphans()
        finally:
            _release_orphans()

    def know(self, pid: int) -> None:
        """A process that belongs to the command and may have neither its mark nor its session."""
        self._known.add(pid)

    def abandon(self) -> None:
        """The command never started."""
        if self._open:
            self._open = False
            _release_orphans()

    def _end_orphans(self) -> None:
        give_up = time.monotonic() + _PATIENCE_S
        while orphans := [pid for pid in _children() if self._is_ours(pid)]:
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)  # our own child and not yet reaped: the number cannot be another's
            for pid in orphans:
                _reap(pid, give_up)
            if time.monotonic() > give_up:
                return

    def _is_ours(self, pid: int) -> bool:
        session = _session_of(pid)
        if pid in self._known or session in self._sessions or self._has_mark(pid):
            self._sessions |= {pid, session} - {os.getsid(0)}  # ours is that of other children too
            return True
        return False

    def _has_mark(self, pid: int) -> bool:
        for _ in range(5):
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                return False
            if environment:
                return self._mark.encode() in environment.split(b"\0")
            if _is_zombie(pid):
                return False
            time.sleep(0.0005)  # in the middle of its exec
        return False


def end_all_now() -> None:
    """Kill every child of this process with its group, without waiting: for a process that leaves at once."""
    for pid in _children():
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill the session that `child` leads, and reap `child`.

    The group is signalled before `child` is reaped: until then its number cannot belong to anybody else.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=_PATIENCE_S)


def _reap(pid: int, give_up: float) -> None:
    """Wait for a killed child of ours, not longer than `give_up` (monotonic clock)."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        descriptor = os.pidfd_open(pid)
        try:
            select.select([descriptor], [], [], max(0.0, give_up - time.monotonic()))
        finally:
            os.close(descriptor)
        os.waitpid(pid, os.WNOHANG)


def _adopt_orphans() -> None:
    global _running, _was_subreaper
    if sys.platform != "linux":
        return
    with _lock:
        if _running == 0:
            _was_subreaper = _subreaper()
            if not _was_subreaper:
                _set_subreaper(True)
        _running += 1


def _release_orphans() -> None:
    global _running
    if sys.platform != "linux":
        return
    with _lock:
        _running -= 1
        if _running == 0 and not _was_subreaper:
            _set_subreaper(False)


def _subreaper() -> bool:
    import ctypes  # 4 ms: only once a command runs

    value = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0)
    return bool(value.value)


def _set_subreaper(on: bool) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def _children() -> list[int]:
    """Process ids of our children, zombies included."""
    found: list[int] = []
    try:
        for thread in os.listdir("/proc/self/task"):  # noqa: PTH208  (names only: this is on the way of every command)
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                found += map(int, Path(f"/proc/self/task/{thread}/children").read_bytes().split())
    except OSError:
        return []
    return found


def _stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/<pid>/stat after the name: state, parent, group, session …; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def _session_of(pid: int) -> int:
    fields = _stat_fields(pid)
    return int(fields[3]) if fields else -1


def _is_zombie(pid: int) -> bool:
    return _stat_fields(pid)[:1] in ([], [b"Z"])
