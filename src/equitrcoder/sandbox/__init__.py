"""The walls around commands: run one command line, and let nothing of it outlive the call.

`choose_sandbox` picks bubblewrap where it works, else no walls at all; in both a command gets a clean environment, its
output is kept within a bound, and every process it started is ended with it.

Source: DESIGN.md section 6 ("Walls").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from equitrcoder.errors import SandboxError
from equitrcoder.records import SandboxLevel

__all__ = ["CommandResult", "Sandbox", "choose_sandbox"]


class CommandResult:
    """What became of one command.

    Attributes:
        exit_code: None when a signal ended it.
        signal: The signal's number; None when it exited by itself.
        output: stdout and stderr as they came, interleaved; head and tail of it when `truncated`.
        output_bytes: Size of the whole output.
        output_sha256: Hash of the whole output, hex.
        truncated: Whether `output` lacks the middle.
        timed_out: Whether it was ended because its time was up.
        requests: Where it asked for a way out of the sandbox (host:port), and why it was refused, "" when it was not;
            told only where the settings name hosts.
        trouble: What ended it, in words, when neither it nor its time did: a limit, or the end of the sandbox itself.
        duration_ms: From just before it was started until its whole tree was gone, monotonic clock.
    """

    __slots__ = (
        "duration_ms",
        "exit_code",
        "output",
        "output_bytes",
        "output_sha256",
        "requests",
        "signal",
        "timed_out",
        "trouble",
        "truncated",
    )

    def __init__(
        self,
        *,
        exit_code: int | None,
        signal: int | None,
        output: bytes,
        output_bytes: int,
        output_sha256: str,
        truncated: bool,
        timed_out: bool,
        duration_ms: float,
        trouble: str | None = None,
    ) -> None:
        self.exit_code = exit_code
        self.signal = signal
        self.output = output
        self.output_bytes = output_bytes
        self.output_sha256 = output_sha256
        self.truncated = truncated
        self.timed_out = timed_out
        self.trouble = trouble
        self.requests: tuple[tuple[str, str], ...] = ()
        self.duration_ms = duration_ms

    def __repr__(self) -> str:
        return f"CommandResult({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


class Sandbox(Protocol):
    """Where commands run."""

    level: SandboxLevel

    async def run(self, command: str, *, timeout_s: float, output_limit_bytes: int) -> CommandResult:
        """Run a bash command line in the repository's root and wait for it.

        When this returns or raises (also when cancelled), no process that the command started is left.

        Raises:
            SandboxError: The walls could not be put up; the command did not run.
            OSError: The shell could not be started.
        """
        ...

    async def aclose(self) -> None:
        """Remove what the sandbox keeps on disk for this session (its private temporary folder)."""
        ...


def choose_sandbox(
    setting: Literal["auto", "required", "off"],
    repo: Path,
    *,
    environ: Mapping[str, str],
    network: bool = False,
    network_hosts: Sequence[str] = (),
    env_passthrough: Sequence[str] = (),
    readable: Sequence[str] = (),
    hidden: Sequence[Path] = (),
    limits: Mapping[str, int] | None = None,
) -> Sandbox:
    """Pick the strongest walls that work here.

    Args:
        setting: "auto": bubblewrap, else none; "required": bubblewrap or an error; "off": none.
        repo: The folder commands work in and may write to.
        environ: The environment to take the allowed variables from.
        network: Whether commands may reach the network (without bubblewrap they always may).
        network_hosts: Hosts that they may reach all the same, through a proxy of ours; see hosts.py.
        env_passthrough: Names of further variables to hand on.
        readable: Further paths to show, read-only; `~` is the home folder. Without bubblewrap all is readable anyway.
        limits: What one command may use, by the names of limits.py; the others have their defaults.
        hidden: Paths inside what is visible that commands must not see: the ledger and its log files.

    Raises:
        SandboxError: "required", and bubblewrap does not work here; says why.
    """
    from equitrcoder.sandbox.limits import Limits

    bounds = Limits(limits or {})
    if setting != "off":
        from equitrcoder.sandbox.probing import trouble_with_bubblewrap

        trouble = trouble_with_bubblewrap(repo, environ)
        if trouble is None:
            from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox

            return BubblewrapSandbox(
                repo,
                environ=environ,
                network=network,
                network_hosts=network_hosts,
                env_passthrough=env_passthrough,
                readable=readable,
                hidden=hidden,
                limits=bounds,
            )
        if setting == "required":
            raise SandboxError(
                f"A sandbox is required and none can be had here: {trouble}.",
                hint="install bubblewrap (apt install bubblewrap), or --sandbox auto",
            )
    from equitrcoder.sandbox.plain import PlainSandbox

    return PlainSandbox(repo, environ=environ, env_passthrough=env_passthrough, limits=bounds)
