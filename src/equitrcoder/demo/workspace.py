"""The demo's repository: a small package with a bug that one of its tests shows."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

_FILES = Path(__file__).parent / "repository"
_SUFFIX = ".txt"  # so that no linter, test runner or installer takes these files for ours
_SYSTEM_FOLDERS = "/usr/local/bin:/usr/bin:/bin"
_WHO = {"name": "equitrcoder demo", "email": "demo@example.invalid"}
_WHEN = "2026-01-01T00:00:00Z"


def _check_command() -> str:
    """The system's Python, which a command finds also inside a sandbox; where there is none this interpreter.

    By its path when another one comes first on PATH: a version manager's stand-in may not work without its folders.
    """
    system = shutil.which("python3", path=_SYSTEM_FOLDERS) if sys.platform == "linux" else None
    first = "python3" if system and shutil.which("python3") == system else shlex.quote(system or sys.executable)
    return f"{first} -m unittest"


CHECK = _check_command()
"""Runs the repository's tests, with nothing but the standard library."""

INTERPRETER_FOLDERS = tuple(sorted({sys.prefix, sys.base_prefix}))
"""What a sandbox has to show beside the system's folders for `CHECK` to run."""


def make_repository(folder: Path) -> Path:
    """Write the demo's repository, with one commit of a fixed author and date.

    Without git on this machine it is a plain folder.

    Args:
        folder: A folder that does not exist yet or is empty.

    Returns:
        The folder.

    Raises:
        FileExistsError: The folder holds something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    for source in sorted(_FILES.rglob(f"*{_SUFFIX}")):
        target = folder / source.relative_to(_FILES).as_posix().removesuffix(_SUFFIX)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    if shutil.which("git"):
        _commit(folder)
    return folder


def _commit(folder: Path) -> None:
    _git(folder, "init", "--quiet")
    for key, value in _WHO.items():
        _git(folder, "config", f"user.{key}", value)  # stands in the repository: later commits there work as well
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "Split a bill between friends")


def _git(folder: Path, *arguments: str) -> None:
    """Run git without anything of the user's own: no configuration, hooks, templates or signing."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TEMPLATE_DIR": "",
        "GIT_AUTHOR_DATE": _WHEN,
        "GIT_COMMITTER_DATE": _WHEN,
    }
    command = ["git", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false", *arguments]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
