"""`equitrcoder` in children of a process that has imported it before: many short runs, each at a fifth of its cost.

A child is forked, gets its own folder, environment and arguments, and runs the command from its start to its end like
any other process; only the imports are behind it. `python -m tests.crash.warm` is that process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """A running command."""

    def __init__(self, pid: int, stderr: Path) -> None:
        self.stderr = stderr
        self._fd = os.pidfd_open(pid)  # a dead child is collected with its parent only, so its id is not used again

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._wait(0)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Wait until it has ended by itself."""
        assert self._wait(60_000), "it does not end"
        os.close(self._fd)

    def _wait(self, timeout_ms: int) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(timeout_ms))


class Warm:
    """Starts children. May be used by several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.warm"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        die_at_write: tuple[int, str] | None = None,
    ) -> Child:
        """Start `equitrcoder` with these arguments in a folder.

        Args:
            die_at_write: It kills itself at its n-th write to the ledger: `before`, after `half` of it, or `after` it.
        """
        stderr = folder.with_name(f"{folder.name}.stderr")
        stderr.touch()
        pid = self._order(arguments, folder=folder, environ=environ, stderr=stderr, die_at_write=die_at_write)
        return Child(pid, stderr)

    def learn(self, arguments: Sequence[str], *, folder: Path, environ: Mapping[str, str]) -> None:
        """Run a command once, wait for its end, and import what it did."""
        names = folder.with_name("modules")
        assert self._order(arguments, folder=folder, environ=environ, stderr=folder.with_name("err"), learn=names) == 0

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _order(self, arguments: Sequence[str], **order: Any) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._guard:
            self._process.stdin.write(json.dumps({"arguments": list(arguments), **order}, default=str_or_dict) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


def str_or_dict(value: Any) -> Any:
    """Paths and mappings as JSON."""
    return str(value) if isinstance(value, Path) else dict(value)


def _serve() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(order)
            return
        if "learn" in order:
            _, status = os.waitpid(pid, 0)
            for name in Path(order["learn"]).read_text().split():
                __import__(name)
            pid = status
        print(pid, flush=True)


def _run(order: dict[str, Any]) -> None:
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    for target, path in ((0, os.devnull), (1, os.devnull), (2, order["stderr"])):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(fd, target)
        os.close(fd)
    if order.get("die_at_write"):
        _die_at_write(*order["die_at_write"])
    sys.argv = ["equitrcoder", *order["arguments"]]
    from equitrcoder.cli import main

    try:
        main()
    finally:
        if "learn" in order:
            names = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
            Path(order["learn"]).write_text("\n".join(name for name in names if name != "__main__"))


def _die_at_write(number: int, how: str) -> None:
    """Replace `os.write` by one that kills this process at its n-th write to a journal or the register."""
    real = os.write
    left = number

    def write(fd: int, data: Any) -> int:
        nonlocal left
        if not os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl"):
            return real(fd, data)
        left -= 1
        if left:
            return real(fd, data)
        if how != "before":
            real(fd, bytes(data) if how == "after" else bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    os.write = write


if __name__ == "__main__":
    _serve()
