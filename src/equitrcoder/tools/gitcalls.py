"""Run the system's git, with everything switched off that a repository's own settings could make it run.

Hooks, the file system monitor, pagers, external diffs, text conversion and signing are off by options; clean and
smudge filters, diff and merge drivers that the repository's own settings define are blanked one by one (those of the
user's settings stay: a large-file filter is part of what a commit means).

Source: https://git-scm.com/docs/git-config; DESIGN.md section 6.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from equitrcoder.sandbox import CommandResult
from equitrcoder.tools.values import Box, ToolFailure

_GIT = ("/usr/bin/git", "/usr/local/bin/git", "/opt/homebrew/bin/git", "/run/current-system/sw/bin/git")
_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin:/run/current-system/sw/bin"
_TIMEOUT_S = 60
_OFF = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.editor": "true",
    "core.askPass": "true",
    "core.sshCommand": "false",
    "core.quotePath": "false",
    "credential.helper": "",
    "diff.external": "",
    "diff.ignoreSubmodules": "dirty",
    "diff.submodule": "short",
    "status.submoduleSummary": "false",
    "commit.gpgSign": "false",
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.ssh.defaultKeyCommand": "",
    "gpg.x509.program": "false",
    "interactive.diffFilter": "",
    "core.alternateRefsCommand": "",
    "core.gitProxy": "none",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
    "protocol.allow": "never",
}
_DRIVERS = {
    "filter": ("clean", "smudge", "process"),
    "diff": ("command", "textconv"),
    "merge": ("driver",),
}
_KEPT = ("HOME", "USER", "LOGNAME", "TZ", "XDG_CONFIG_HOME")


def find_git() -> str:
    """Path of git, from a fixed list: never one that a repository put on PATH.

    Raises:
        ToolFailure: `not_found`.
    """
    for path in _GIT:
        if os.access(path, os.X_OK):
            return path
    raise ToolFailure("not_found", f"git is not installed (looked for {', '.join(_GIT)}).")


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """git's environment: nothing of ours but the home folder and the user's name."""
    kept = {name: environ[name] for name in _KEPT if name in environ}
    return {
        **kept,
        "PATH": _PATH,
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": "none",  # also before what the repository says of single protocols
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_EDITOR": "true",
        "GIT_PAGER": "cat",
    }


class Git:
    """git in one repository, for one tool call."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._program = find_git()
        self._environ = environment(os.environ)
        self._blanked: dict[str, str] | None = None

    async def run(
        self,
        *words: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limit_bytes: int = 1 << 24,
    ) -> CommandResult:
        """Run one git command in the repository's root.

        Raises:
            ToolFailure: `not_a_git_repository`, `timeout`.
        """
        if self._blanked is None:
            self._blanked = {}
            self._blanked = await self._drivers()
        result = await self._spawn(words, stdin, env or {}, limit_bytes)
        if result.timed_out:
            raise ToolFailure("timeout", f"git {words[0]} took longer than {_TIMEOUT_S} s.", outcome="timeout")
        if result.exit_code == 128 and b"not a git repository" in result.output:
            raise ToolFailure(
                "not_a_git_repository", "This folder is no git repository. Start one with run_command: git init"
            )
        return result

    async def checked(self, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Run one git command that must succeed, and give its output.

        Raises:
            ToolFailure: `git_failed`, with what git said, and those of `run`.
        """
        result = await self.run(*words, stdin=stdin, env=env)
        if result.exit_code != 0:
            raise git_failed(words[0], result)
        return result.output

    async def _spawn(
        self, words: Sequence[str], stdin: bytes, env: Mapping[str, str], limit_bytes: int
    ) -> CommandResult:
        import tempfile

        from equitrcoder.sandbox.process import run_process

        # As variables, not as `-c name=value`: a driver's name may hold a "=", and then -c means another setting.
        given_settings = {**_OFF, **(self._blanked or {})}
        settings = {"GIT_CONFIG_COUNT": str(len(given_settings))}
        for number, (name, value) in enumerate(given_settings.items()):
            settings |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            return await run_process(
                [self._program, "--no-pager", *words],
                cwd=str(self._box.workspace.root),
                env={**self._environ, **settings, **env},
                timeout_s=_TIMEOUT_S,
                output_limit_bytes=limit_bytes,
                stdin=given.fileno(),
            )

    async def _drivers(self) -> dict[str, str]:
        """Settings that blank the filters and drivers which the repository's own settings define.

        Raises:
            ToolFailure: `protected`: its settings send git to another folder, or cannot be listed whole.
        """
        listed = await self.run("config", "--list", "-z", "--show-scope")
        if listed.truncated:
            raise ToolFailure("protected", "The settings of this git repository are too long to be looked at.")
        blanked: dict[str, str] = {}
        elsewhere = False
        fields = listed.output.decode("utf-8", "surrogateescape").split("\0")
        for scope, pair in zip(fields[::2], fields[1::2], strict=False):
            key = pair.partition("\n")[0]
            section, _, rest = key.partition(".")
            name, _, variable = rest.rpartition(".")
            elsewhere = elsewhere or (scope in ("local", "worktree") and key == "core.worktree")
            if scope in ("local", "worktree") and name and variable in _DRIVERS.get(section, ()):
                blanked[key] = ""
                if section == "filter":
                    blanked[f"filter.{name}.required"] = "false"
        if elsewhere:
            await self._refuse_another_folder()
        return blanked

    async def _refuse_another_folder(self) -> None:
        """core.worktree makes git work on any folder that it names: this one must be in it."""
        said = await self.run("rev-parse", "--show-toplevel")
        top = os.path.realpath(os.fsdecode(said.output).rstrip("\n"))
        root = os.path.realpath(self._box.workspace.root)
        if said.exit_code != 0 or (root != top and not root.startswith(top.rstrip("/") + "/")):
            raise ToolFailure(
                "protected", "The settings of this git repository (core.worktree) name a folder outside of it."
            )


def git_failed(command: str, result: CommandResult) -> ToolFailure:
    """The failure of a git command, in its own words."""
    said = result.output[-2000:].decode("utf-8", "replace").strip()
    return ToolFailure(
        "git_failed",
        f"git {command} failed (exit {result.exit_code}): {said}",
        metadata={"exit_code": result.exit_code},
    )
