"""Starting a server's program: its words, its environment, and the walls around it.

What it sees of the environment is what commands see (an allow-list without keys) and what its own settings name. Inside
the walls it sees the disk as commands do, but for `.git`, which it cannot change; it has no network unless allowed. Its
whole process tree ends with it.

Source: DESIGN.md section 6 ("Walls").
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from equitrcoder.mcp.servers import Server, ServerTrouble
from equitrcoder.records import SandboxLevel
from equitrcoder.sandbox.environment import clean_environment
from equitrcoder.sandbox.family import Family


class Ground:
    """Where the servers of a session run.

    Args:
        repo: The repository, resolved: their working folder, and the root that they are told.
        environ: Ours.
        level: What stands around commands; a server that is trusted has none.
        required: Whether walls must stand around servers that are not trusted.
        network: Whether servers inside the walls have one, where their own settings do not say.
        env_passthrough, readable, hidden: As for commands.
    """

    def __init__(
        self,
        repo: Path,
        environ: Mapping[str, str],
        *,
        level: SandboxLevel,
        required: bool = False,
        network: bool = False,
        env_passthrough: Sequence[str] = (),
        readable: Sequence[str] = (),
        hidden: Sequence[Path] = (),
    ) -> None:
        self._required = required
        self.repo = repo
        self.environ = environ
        self._level = level
        self._network = network
        self._passthrough = tuple(env_passthrough)
        self._readable = tuple(readable)
        self._hidden = tuple(hidden)

    def level(self, server: Server) -> SandboxLevel:
        """What stands around a server: nothing of one that is only an address runs here."""
        if not server.is_process:
            return "not_applicable"
        return "bubblewrap" if self._level == "bubblewrap" and not server.trusted else "none"

    def start(self, server: Server) -> Program:
        """Start a server's program.

        Raises:
            ServerTrouble: It cannot be started.
        """
        if self.level(server) == "none" and not server.trusted and (self._required or self._level == "landlock"):
            raise ServerTrouble("there are no walls for servers without bubblewrap (trusted: true does without them)")
        env = clean_environment(self.environ, self._passthrough)
        own: dict[str, str] = server.expanded("env", self.environ) or {}
        cwd = server.expanded("cwd", self.environ)
        folder = os.path.normpath(os.path.join(self.repo, os.path.expanduser(cwd) if cwd else ""))  # noqa: PTH111, PTH118
        words = [server.row["command"], *(server.expanded("args", self.environ) or ())]
        walled = self.level(server) == "bubblewrap"
        room = _Room(self, server) if walled else None
        try:
            if room is None:
                words[0] = _found(words[0], folder, (env | own)["PATH"])
                return Program(words, env | own, cwd=folder)
            env |= room.variables()
            return Program([*room.walls(folder), "--", *words], env | own, pass_fds=room.descriptors, room=room)
        except (OSError, ValueError) as error:
            if room is not None:
                room.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise ServerTrouble(f"{server.row['command']} cannot be started: {reason or error}") from error
        finally:
            if room is not None:
                room.close_descriptors()


def _found(command: str, folder: str, path: str) -> str:
    """The program's own path; looked for in absolute folders only, so that a repository cannot put one before it."""
    if "/" in command:
        return os.path.join(folder, os.path.expanduser(command))  # noqa: PTH111, PTH118
    folders = os.pathsep.join(place for place in path.split(os.pathsep) if place.startswith("/"))
    found = shutil.which(command, path=folders)
    if found is None:
        raise ServerTrouble(f"there is no program {command} on the PATH")
    return found


class _Room:
    """The folders and the walls of one server."""

    def __init__(self, ground: Ground, server: Server) -> None:
        from equitrcoder.sandbox.probing import cache_folder, home_folder, seccomp_pipe
        from equitrcoder.sandbox.walls import Places, View

        self._ground = ground
        name = sha256(os.fsencode(ground.repo) + b"\0" + server.identity.encode()).hexdigest()[:16]
        caches = cache_folder(ground.environ).resolve() / "servers" / name
        private = Path("/tmp", f"equitrcoder-{os.urandom(8).hex()}")  # noqa: S108  (mkdir refuses an existing one)
        try:
            caches.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (private, private / "tmp", private / "home"):
                folder.mkdir(mode=0o700)
            (private / "empty").touch(mode=0o400)
        except OSError as error:
            raise ServerTrouble(f"its folders cannot be made: {error}") from error
        self._network = ground._network if server.network is None else server.network
        self._places = Places(
            repo=ground.repo, home=home_folder(ground.environ).resolve(), private=private, caches=caches
        )
        self._view = View(
            self._places,
            environ=ground.environ,
            readable=ground._readable,
            hidden=ground._hidden,
            network=self._network,
        )
        seccomp = seccomp_pipe()
        self.descriptors = () if seccomp is None else (seccomp,)

    def walls(self, folder: str) -> list[str]:
        from equitrcoder.sandbox.probing import TIES, cache_folder, find_bubblewrap, working_flags

        bwrap = find_bubblewrap()
        flags = working_flags(bwrap, str(cache_folder(self._ground.environ))) if bwrap else "bwrap is gone"
        if bwrap is None or isinstance(flags, str):
            raise ServerTrouble(f"the sandbox cannot be had any more: {flags}")
        git = str(self._places.repo / ".git")
        view = self._view.arguments()
        at = len(view) - 1 - view[::-1].index("--chdir")  # bwrap warns of a second one
        return [
            bwrap,
            *flags,
            *(() if self._network else ("--unshare-net",)),
            *TIES,
            *(word for descriptor in self.descriptors for word in ("--seccomp", str(descriptor))),
            *view[:at],
            *view[at + 2 :],
            *(("--ro-bind", git, git) if os.path.lexists(git) and not os.path.islink(git) else ()),  # noqa: PTH114
            *("--chdir", folder),
        ]

    def variables(self) -> dict[str, str]:
        caches = str(self._places.caches)
        return {
            "HOME": str(self._places.home),
            "PWD": str(self._places.repo),
            "TMPDIR": "/tmp",  # noqa: S108  (its own)
            "XDG_CACHE_HOME": caches,
            "PIP_CACHE_DIR": f"{caches}/pip",
            "UV_CACHE_DIR": f"{caches}/uv",
            "npm_config_cache": f"{caches}/npm",
        }

    def close_descriptors(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()

    def close(self) -> None:
        """Remove what is private; the caches stay."""
        shutil.rmtree(self._places.private, ignore_errors=True)


class Program:
    """A server's process, with pipes to its input, output and error output."""

    def __init__(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: str | None = None,
        pass_fds: Sequence[int] = (),
        room: _Room | None = None,
    ) -> None:
        self._family = Family()
        self._room = room
        try:
            self.child = subprocess.Popen(
                list(words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=cwd,
                env=self._family.environment(env),
                start_new_session=True,
                pass_fds=tuple(pass_fds),
            )
        except BaseException:
            self._family.abandon()
            raise

    def end(self) -> None:
        """End it and all that it started. Works once; later calls do nothing."""
        self._family.end(self.child)
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._room is not None:
            self._room.close()
