"""Count what a running command has grown to: its processes, and the memory they hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from equitrcoder.sandbox.limits import Limits

_LOOK_S = 0.2


def too_much(limit: str) -> str:
    """What is said of a command that was ended because it took more of something than it may have."""
    return f"It took too much: more {limit} than a command may have"


class Watch:
    """Looks at a process and its descendants from time to time, and says once which limit they have passed.

    What has left the tree (a daemon) is not counted; where a process id namespace stands nothing can leave it.
    """

    def __init__(self, pid: int, limits: Limits, told: Callable[[str], None]) -> None:
        self._pid = pid
        self._limits = limits
        self._told = told
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        processes, memory_bytes = size_of_tree(self._pid, self._limits.processes)
        if processes > self._limits.processes:
            self._told("processes")
        elif memory_bytes > self._limits.memory_bytes:
            self._told("memory")
        else:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def stop(self) -> None:
        self._timer.cancel()


def size_of_tree(root: int, enough: int) -> tuple[int, int]:
    """How many processes descend from `root`, itself counted, and how many bytes of their own they hold.

    Stops counting above `enough`. Where the system does not tell (it is Linux's /proc), (0, 0).
    """
    processes = pages = 0
    todo = [root]
    while todo and processes <= enough:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/statm").read_bytes().split()
            processes += 1
            pages += int(fields[1]) - int(fields[2])
            for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  (names only)
                with contextlib.suppress(OSError):
                    todo += map(int, Path(f"/proc/{pid}/task/{task}/children").read_bytes().split())
    return processes, pages * os.sysconf("SC_PAGESIZE")
