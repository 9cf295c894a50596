"""Commands behind bubblewrap: a disk view of their own, no network, no sight of other processes.

Source: DESIGN.md section 6 ("Walls"); https://github.com/containers/bubblewrap
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from equitrcoder.errors import SandboxError
from equitrcoder.records import SandboxLevel
from equitrcoder.sandbox import CommandResult
from equitrcoder.sandbox.environment import clean_environment
from equitrcoder.sandbox.hosts import Hosts, proxy_environment
from equitrcoder.sandbox.identity import git_settings
from equitrcoder.sandbox.limits import Limits
from equitrcoder.sandbox.plain import bash_line
from equitrcoder.sandbox.probing import TIES, cache_folder, find_bubblewrap, home_folder, seccomp_pipe, working_flags
from equitrcoder.sandbox.status import Status
from equitrcoder.sandbox.walls import Places, View

if TYPE_CHECKING:
    from equitrcoder.sandbox.warm import Keeper, Pool


class BubblewrapSandbox:
    """Runs each command in a bubblewrap: one that is warm (warm.py), else one of its own."""

    level: SandboxLevel = "bubblewrap"

    def __init__(
        self,
        repo: Path,
        *,
        environ: Mapping[str, str],
        network: bool = False,
        network_hosts: Sequence[str] = (),
        env_passthrough: Sequence[str] = (),
        readable: Sequence[str] = (),
        hidden: Sequence[Path] = (),
        limits: Limits | None = None,
        warm: bool = True,
    ) -> None:
        self._repo = repo.resolve()
        self._environ = dict(environ)
        self._network = network
        self._hosts = None if network or not network_hosts else Hosts(network_hosts)
        self._passthrough = tuple(env_passthrough)
        self._readable = tuple(readable)
        self._hidden = tuple(hidden)
        self._limits = limits or Limits()
        self._warm = warm
        self._pool: Pool | None = None
        self._made: tuple[Places, View] | None = None
        self._env: dict[str, str] = {}
        self._encoded_env: dict[bytes, bytes] = {}
        self._redirection = f"{self._repo}/.git/commondir"
        self._running = 0
        self._redirected = False

    async def run(self, command: str, *, timeout_s: float, output_limit_bytes: int) -> CommandResult:
        """See `Sandbox.run`."""
        view = self._ready()
        if not self._running:  # else a command that still runs may have put it there
            self._redirected = os.path.lexists(self._redirection)
        self._running += 1
        try:
            arguments = view.arguments()
            if self._pool is not None and (keeper := await self._keeper(self._pool, arguments)) is not None:
                result = await keeper.run(
                    bash_line(command),
                    self._encoded_env,
                    timeout_s=timeout_s,
                    output_limit_bytes=output_limit_bytes,
                    alone=self._running == 1,
                )
                self._pool.done_with(keeper)
                if result is not None:
                    return result
            return await self._run_alone(arguments, command, timeout_s, output_limit_bytes)
        finally:
            self._running -= 1
            if not self._redirected:
                self._remove_git_redirection()

    async def _keeper(self, pool: Pool, arguments: list[str]) -> Keeper | None:
        if self._hosts is None:
            return pool.take(arguments)
        return await pool.take_or_wait(arguments)  # only those that stay have a way out

    async def _run_alone(self, arguments: list[str], command: str, timeout_s: float, limit_bytes: int) -> CommandResult:
        """Run it in a bubblewrap of its own."""
        from equitrcoder.sandbox.process import run_process

        status = Status()
        seccomp = seccomp_pipe()
        kernel = [] if seccomp is None else ["--seccomp", str(seccomp)]
        said = ["--json-status-fd", str(status.descriptor)]
        walls = self._bubblewrap()
        words, write_end = os.pipe()
        os.set_blocking(write_end, False)
        told = open(write_end, "wb", buffering=0)  # noqa: PTH123, SIM115  (a descriptor, closed below)

        def started(pid: int) -> None:
            """Bound it, and only then tell it what to do: it has started nothing yet."""
            self._limits.apply_to(pid)
            told.write(b"\0".join(map(os.fsencode, [*walls[1:], *arguments, *kernel, *said])))  # a pipe holds far more
            told.close()

        try:
            result = await run_process(
                [walls[0], "--args", str(words), "--", *bash_line(command)],
                cwd=None,
                env=self._env,
                timeout_s=timeout_s,
                output_limit_bytes=limit_bytes,
                pass_fds=[words, status.descriptor] if seccomp is None else [words, status.descriptor, seccomp],
                companions=status.processes,
                limits=self._limits,
                started=started,
                session=False,
            )
        finally:
            os.close(words)
            told.close()
            status.close()
            if seccomp is not None:
                os.close(seccomp)
        if not status.command_ended and not result.timed_out and result.trouble is None:
            raise SandboxError(
                f"The sandbox could not be set up: {result.output[:300].decode('utf-8', 'replace').strip()}",
                hint="--sandbox off runs commands without walls",
            )
        return result

    def _remove_git_redirection(self) -> None:
        """Remove what a command put there: it would make the user's git read settings and hooks from elsewhere."""
        with contextlib.suppress(OSError):
            os.unlink(self._redirection)  # noqa: PTH108  (on the way of every command)

    async def aclose(self) -> None:
        """End what is warm, remove the private temporary folder and home; the package caches stay."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._made is not None:
            import shutil

            shutil.rmtree(self._made[0].private, ignore_errors=True)
            self._made = None

    async def warm_up(self) -> bool:
        """Wait until the next command finds a warm one, as benchmarks want it; False: there will be none."""
        view = self._ready()
        for _ in range(500):
            if self._pool is None:
                return False
            keeper = self._pool.take(view.arguments())
            if keeper is not None:
                keeper.busy = False
                return True
            await asyncio.sleep(0.01)
        return False

    def _ready(self) -> View:
        """Make the folders and look round, at the first command."""
        if self._made is None:
            places = self._make_places()
            view = View(
                places,
                environ=self._environ,
                readable=self._readable,
                hidden=self._hidden,
                network=self._network,
                shared_memory_bytes=self._limits.shared_memory_bytes if "--disable-userns" in self._flags() else None,
            )
            self._made = (places, view)
            self._env = self._environment(places)
            self._encoded_env = {os.fsencode(name): os.fsencode(value) for name, value in self._env.items()}
            if (self._warm or self._hosts) and sys.platform == "linux":
                from equitrcoder.sandbox.warm import Pool

                self._pool = Pool(self._bubblewrap, self._limits, self._hosts)
        return self._made[1]

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

    def _bubblewrap(self) -> list[str]:
        """What stands in front of the view."""
        net = () if self._network else ("--unshare-net",)
        return [find_bubblewrap() or "bwrap", *self._flags(), *net, *TIES]

    def _flags(self) -> tuple[str, ...]:
        bwrap = find_bubblewrap()
        flags = working_flags(bwrap, str(cache_folder(self._environ))) if bwrap else "bwrap is gone"
        if isinstance(flags, str):
            raise SandboxError(f"The sandbox cannot be had any more: {flags}.")
        return flags

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
        if self._hosts is not None:
            env |= proxy_environment()
        if (
            self._network or self._hosts is not None
        ):  # without one the user's own, read-only, are of more use than empty ones
            env |= {"CARGO_HOME": f"{caches}/cargo", "GOMODCACHE": f"{caches}/go-mod"}
        return env
