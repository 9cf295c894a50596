"""No walls: a clean environment and the end of the whole process tree, nothing more."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from equitrcoder.errors import SandboxError
from equitrcoder.records import SandboxLevel
from equitrcoder.sandbox import CommandResult
from equitrcoder.sandbox.environment import clean_environment
from equitrcoder.sandbox.limits import Limits

_BASH = (
    "/bin/bash",
    "/usr/bin/bash",
    "/usr/local/bin/bash",
    "/opt/homebrew/bin/bash",
    "/run/current-system/sw/bin/bash",
)


def find_bash() -> str:
    """Path of bash, from a fixed list: never one that a repository put on PATH.

    Raises:
        SandboxError: There is none.
    """
    for path in _BASH:
        if os.access(path, os.X_OK):
            return path
    raise SandboxError(f"There is no bash in {', '.join(_BASH)}.", hint="install bash")


def bash_line(command: str) -> list[str]:
    """The argument vector that runs a command line."""
    return [find_bash(), "--noprofile", "--norc", "-c", command]


class PlainSandbox:
    """Runs commands with the rights of the user."""

    level: SandboxLevel = "none"

    def __init__(
        self,
        repo: Path,
        *,
        environ: Mapping[str, str],
        env_passthrough: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._repo = os.fspath(repo.resolve())
        self._env = clean_environment(environ, env_passthrough)

    async def run(self, command: str, *, timeout_s: float, output_limit_bytes: int) -> CommandResult:
        """See `Sandbox.run`."""
        from equitrcoder.sandbox.process import run_process

        return await run_process(
            bash_line(command),
            cwd=self._repo,
            env={**self._env, "PWD": self._repo},
            timeout_s=timeout_s,
            output_limit_bytes=output_limit_bytes,
            limits=self._limits,
            started=self._limits.apply_to,
        )

    async def aclose(self) -> None:
        """Nothing is kept."""
