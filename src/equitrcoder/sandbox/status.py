"""What bwrap says of itself, as lines of JSON: its child's process id, and the exit code once there is one."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import time


class Status:
    """A pipe for `--json-status-fd`. The child is the first process inside: when it is gone, all others inside are."""

    def __init__(self) -> None:
        self._read, self.descriptor = os.pipe()
        os.set_blocking(self._read, False)
        self._said = b""

    def _hear(self) -> bytes:
        with contextlib.suppress(OSError):
            self._said += os.read(self._read, 65536)
        return self._said

    def processes(self) -> list[int]:
        return [int(pid) for pid in re.findall(rb'"child-pid"\s*:\s*(\d+)', self._hear())]

    def await_process(self, bwrap: subprocess.Popen[bytes], patience_s: float) -> list[int]:
        """`processes`, once there is one: bwrap, killed between making it and saying so, might leave it behind."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        give_up = time.monotonic() + patience_s
        while not self.processes() and bwrap.poll() is None and time.monotonic() < give_up:
            poll.poll(20)
        return self.processes() if bwrap.poll() is None else []

    @property
    def command_ended(self) -> bool:
        """Whether the command itself has run to an end: bwrap says no exit code when it failed to set things up."""
        return b'"exit-code"' in self._said

    def close(self) -> None:
        self._hear()
        os.close(self._read)
        os.close(self.descriptor)
