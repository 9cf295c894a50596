"""Commands behind bubblewrap: a disk view of their own, no network, no sight of other processes.

Source: DESIGN.md section 6 ("Walls"); https://github.com/containers/bubblewrap
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from equitrcoder.errors import SandboxError
from equitrcoder.records import SandboxLevel
from equitrcoder.sandbox import CommandResult
from equitrcoder.sandbox.environment import clean_environment
from equitrcoder.sandbox.identity import git_settings
from equitrcoder.sandbox.plain import bash_line
from equitrcoder.sandbox.probing import TIES, cache_folder, find_bubblewrap, home_folder, seccomp_pipe, working_flags
from equitrcoder.sandbox.walls import Places, View


class BubblewrapSandbox:
    """Runs each command in a bubblewrap of its own."""

    level: SandboxLevel = "bubblewrap"

    def __init__(
        self,
        repo: Path,
        *,
        environ: Mapping[str, str],
        network: bool = False,
        env_passthrough: Sequence[str] = (),
        readable: Sequence[str] = (),
        hidden: Sequence[Path] = (),
    ) -> None:
        self._repo = repo.resolve()
        self._environ = dict(environ)
        self._network = network
        self._passthrough = tuple(env_passthrough)
        self._readable = tuple(readable)
        self._hidden = tuple(hidden)
        self._made: tuple[Places, View] | None = None

    async def run(self, command: str, *, timeout_s: float, output_limit_bytes: int) -> CommandResult:
        """See `Sandbox.run`."""
        from equitrcoder.sandbox.process import run_process

        places, view = self._ready()
        # A file `commondir` in .git would make git read settings and hooks from elsewhere.
        redirected = _git_redirection(self._repo).exists()
        status = _Status()
        seccomp = seccomp_pipe()
        kernel = [] if seccomp is None else ["--seccomp", str(seccomp)]
        try:
            result = await run_process(
                [*self._walls(view, status.descriptor), *kernel, "--", *bash_line(command)],
                cwd=None,
                env=self._environment(places),
                timeout_s=timeout_s,
                output_limit_bytes=output_limit_bytes,
                pass_fds=[status.descriptor] if seccomp is None else [status.descriptor, seccomp],
                companions=status.processes,
            )
        finally:
            status.close()
            if seccomp is not None:
                os.close(seccomp)
            if not redirected:
                _remove_git_redirection(self._repo)
        if not status.command_ended and not result.timed_out:
            raise SandboxError(
                f"The sandbox could not be set up: {result.output[:300].decode('utf-8', 'replace').strip()}",
                hint="--sandbox off runs commands without walls",
            )
        return result

    async def aclose(self) -> None:
        """Remove the private temporary folder and home; the package caches stay."""
        if self._made is not None:
            import shutil

            shutil.rmtree(self._made[0].private, ignore_errors=True)
            self._made = None

    def _ready(self) -> tuple[Places, View]:
        """Make the folders and look round, at the first command."""
        if self._made is None:
            places = self._make_places()
            view = View(
                places,
                environ=self._environ,
                readable=self._readable,
                hidden=self._hidden,
                network=self._network,
            )
            self._made = (places, view)
        return self._made

    def _make_places(self) -> Places:
        name = hashlib.sha256(os.fsencode(self._repo)).hexdigest()[:16]
        caches = cache_folder(self._environ).resolve() / "packages" / name
        caches.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = Path("/tmp", f"equitrcoder-{os.urandom(8).hex()}")  # noqa: S108  (mkdir refuses an existing one)
        for folder in (private, private / "tmp", private / "home"):
            folder.mkdir(mode=0o700)
        (private / "empty").touch(mode=0o400)
        home = home_folder(self._environ).resolve()
        files = [home / ".config/git/config", home / ".gitconfig"]
        (private / "home/.gitconfig").write_text(git_settings(files), "utf-8")
        return Places(repo=self._repo, home=home, private=private, caches=caches)

    def _walls(self, view: View, status: int) -> list[str]:
        bwrap = find_bubblewrap()
        flags = working_flags(bwrap, str(cache_folder(self._environ))) if bwrap else "bwrap is gone"
        if bwrap is None or isinstance(flags, str):
            raise SandboxError(f"The sandbox cannot be had any more: {flags}.")
        net = () if self._network else ("--unshare-net",)
        return [bwrap, *flags, *net, *TIES, "--json-status-fd", str(status), *view.arguments()]

    def _environment(self, places: Places) -> dict[str, str]:
        env = clean_environment(self._environ, self._passthrough)
        env.pop("TMPDIR", None)
        caches = str(places.caches)
        env |= {
            "HOME": str(places.home),
            "PWD": str(places.repo),
            "XDG_CACHE_HOME": caches,
            "PIP_CACHE_DIR": f"{caches}/pip",
            "npm_config_cache": f"{caches}/npm",
        }
        if self._network:  # without one the user's own, read-only, are of more use than empty ones
            env |= {"CARGO_HOME": f"{caches}/cargo", "GOMODCACHE": f"{caches}/go-mod"}
        return env


class _Status:
    """What bwrap says of itself, as lines of JSON: its child's process id, and the exit code once there is one.

    The child is the first process inside: when it is gone, all others inside are.
    """

    def __init__(self) -> None:
        self._read, self.descriptor = os.pipe()
        self._said = b""

    def _hear(self) -> bytes:
        os.set_blocking(self._read, False)
        with contextlib.suppress(OSError):
            self._said += os.read(self._read, 65536)
        return self._said

    def processes(self) -> list[int]:
        return [int(pid) for pid in re.findall(rb'"child-pid"\s*:\s*(\d+)', self._hear())]

    @property
    def command_ended(self) -> bool:
        """Whether the command itself has run to an end: bwrap says no exit code when it failed to set things up."""
        return b'"exit-code"' in self._said

    def close(self) -> None:
        self._hear()
        os.close(self._read)
        os.close(self.descriptor)


def _git_redirection(repo: Path) -> Path:
    return repo / ".git" / "commondir"


def _remove_git_redirection(repo: Path) -> None:
    """Remove what a command put there: it would make the user's git read settings and hooks from elsewhere."""
    with contextlib.suppress(OSError):
        _git_redirection(repo).unlink()
