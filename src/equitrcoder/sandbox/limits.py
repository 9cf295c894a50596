"""How much one command may use, beside its time and its output.

Set on the way into the sandbox and inherited by everything in it, so a command can lower but not raise them. Processes
and memory of a whole command are counted by the keeper (keeper.py): the kernel's own limit of processes does not hold
for root, and its limits of memory are per process and break programs that reserve far more than they use (node, java,
sanitizers).

Source: https://man7.org/linux/man-pages/man2/getrlimit.2.html
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from equitrcoder.settings.bounds import COMMAND_LIMITS

_PRLIMIT = ("/usr/bin/prlimit", "/bin/prlimit", "/run/current-system/sw/bin/prlimit")
_MB = 1_000_000


class Limits:
    """The bounds of one command.

    Attributes:
        cpu_s: Seconds of processor time, of each process.
        file_mb: Size of a file that it writes, in millions of bytes.
        open_files: Descriptors, of each process.
        processes: Processes at one time, of the whole command; only inside bubblewrap.
        memory_mb: Memory of their own that its processes hold together, in millions of bytes; only inside bubblewrap.

    Example:
        >>> Limits({"file_mb": 5}).soft_limits()["fsize"]
        5000000
    """

    __slots__ = ("cpu_s", "file_mb", "memory_mb", "open_files", "processes")

    def __init__(self, values: Mapping[str, int] = COMMAND_LIMITS) -> None:
        chosen = {**COMMAND_LIMITS, **values}
        self.cpu_s = chosen["cpu_s"]
        self.file_mb = chosen["file_mb"]
        self.open_files = chosen["open_files"]
        self.processes = chosen["processes"]
        self.memory_mb = chosen["memory_mb"] or _most_of_the_machine_mb()

    @property
    def shared_memory_bytes(self) -> int:
        """Of /dev/shm, whose pages belong to no process."""
        return min(self.memory_bytes, 1 << 30)

    @property
    def memory_bytes(self) -> int:
        return self.memory_mb * _MB

    def soft_limits(self) -> dict[str, int]:
        """By the name that `prlimit` and the `resource` module have for them; never above what holds already."""
        import resource

        wanted = {"core": 0, "cpu": self.cpu_s, "fsize": self.file_mb * _MB, "nofile": self.open_files}
        for name, value in wanted.items():
            hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
            if hard not in (resource.RLIM_INFINITY, -1):
                wanted[name] = min(value, hard)
        return wanted

    def words(self) -> list[str]:
        """What stands in front of a command line so that it runs within them; nothing where there is no `prlimit`."""
        program = next((path for path in _PRLIMIT if os.access(path, os.X_OK)), None)
        if program is None:
            return []
        return [program, *(f"--{name}={value}:{value}" for name, value in self.soft_limits().items()), "--"]

    def apply_to(self, pid: int) -> None:
        """Set them for a process that has just been started; where the system has no such call, nothing happens."""
        import resource

        if not hasattr(resource, "prlimit"):
            return
        with contextlib.suppress(OSError):  # it has ended already
            for name, value in self.soft_limits().items():
                resource.prlimit(pid, getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))


def _most_of_the_machine_mb() -> int:
    return os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4 // _MB
