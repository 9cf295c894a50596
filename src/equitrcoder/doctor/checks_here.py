"""What can be looked at without a network: settings, trust, MCP servers, disk, ledger, terminal, git."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from equitrcoder.doctor.checks_walls import walls
from equitrcoder.doctor.finding import Finding
from equitrcoder.errors import EquitrError
from equitrcoder.settings import Settings, state_dir

if TYPE_CHECKING:
    from equitrcoder.doctor import Check

LITTLE_SPACE_BYTES = 1 << 30
NO_SPACE_BYTES = 50 << 20
_FILES_LOOKED_AT = 2_000


def read_settings(repo: Path, environ: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """The settings that hold here, and what is wrong with them; the defaults when they cannot be read."""
    from equitrcoder.agent.startup import REPOSITORY_SETTINGS, settings_for

    trusted: list[bool] = []
    try:
        settings = settings_for(repo, environ, {}, on_trust=lambda _, is_trusted: trusted.append(is_trusted))
    except EquitrError as error:
        return Settings(), [Finding("settings", "problem", error.message, error.hint)]
    found = [Finding("settings", "warning", warning) for warning in settings.warnings if "trust" not in warning]
    found = found or [Finding("settings", "ok", "read")]
    if not trusted:
        return settings, [*found, Finding("trust", "ok", f"this folder has no {REPOSITORY_SETTINGS}")]
    if trusted[0]:
        return settings, [*found, Finding("trust", "ok", f"this folder's {REPOSITORY_SETTINGS} is trusted")]
    message = f"this folder's {REPOSITORY_SETTINGS} is not trusted: what could do harm in it does not count"
    return settings, [*found, Finding("trust", "warning", message, "read it, then: equitrcoder run --trust …")]


def checks(repo: Path, environ: Mapping[str, str], settings: Settings) -> dict[str, Check]:
    """The checks by name; those that wait for a disk or a process do so in a thread."""
    state = state_dir(environ)

    def threaded(look: Callable[[], Iterator[Finding]]) -> Check:
        async def check() -> list[Finding]:
            return await asyncio.to_thread(lambda: list(look()))

        return check

    return {
        "walls": lambda: walls(repo, environ, settings),
        "disk": threaded(lambda: disk(state)),
        "permissions": threaded(lambda: permissions(state)),
        "ledger": threaded(lambda: ledger(state)),
        "git": threaded(lambda: git(repo, environ)),
        "terminal": threaded(lambda: terminal(environ)),
        **({"mcp": threaded(lambda: mcp(repo, environ, settings, state))} if settings.mcp_servers else {}),
    }


def mcp(repo: Path, environ: Mapping[str, str], settings: Settings, state: Path) -> Iterator[Finding]:
    """Whether the MCP servers of the settings could be started, as far as that shows without starting them."""
    from importlib import util

    from equitrcoder.mcp.known import Known
    from equitrcoder.mcp.servers import servers_of

    if util.find_spec("mcp") is None:
        yield Finding("mcp", "problem", "the package mcp is missing", "pip install 'equitrcoder[mcp]'")
        return
    for server in servers_of(settings.mcp_servers):
        command = server.row.get("command", "/")
        known = Known(state, server)
        if "/" not in command and shutil.which(command, path=environ.get("PATH")) is None:
            fix = "install it, or give its whole path"
            yield Finding("mcp", "problem", f"{server.name}: there is no program {command}", fix)
        elif changed := known.changed() if not known.is_first_use else []:
            fix = f"equitrcoder mcp tools {server.name}"
            yield Finding("mcp", "warning", f"{server.name}: {len(changed)} tools are not what you accepted", fix)
        else:
            stands = "trusted, no walls" if server.trusted else "walls as for commands"
            told = "never started" if known.is_first_use else f"{len(known.tools)} tools"
            yield Finding("mcp", "ok", f"{server.name}: {told}, {stands if server.is_process else 'an address'}")


def disk(state: Path) -> Iterator[Finding]:
    """Room and rights where the ledger is, or would be made."""
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        yield Finding(
            "disk", "problem", f"{there} cannot be written", "EQUITRCODER_STATE_DIR=… names a folder of yours"
        )
        return
    free = shutil.disk_usage(there).free
    shown = f"{free / (1 << 30):,.1f} GiB free in {state}"
    fix = "make room, or EQUITRCODER_STATE_DIR=… on another disk"
    if free < NO_SPACE_BYTES:
        yield Finding("disk", "problem", shown, fix)
    else:
        yield Finding("disk", "warning", shown, fix) if free < LITTLE_SPACE_BYTES else Finding("disk", "ok", shown)


def permissions(state: Path) -> Iterator[Finding]:
    """Whether anybody else could read or write the ledger."""
    if not state.exists():
        yield Finding("permissions", "ok", f"{state} is made at the first run, for you alone")
        return
    open_paths, foreign = [], []
    for path in _some_of(state):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.geteuid():
                foreign.append(path)
            elif not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o077:
                open_paths.append(path)
    if foreign:
        fix = f"chown -R {os.geteuid()} {state}"
        yield Finding("permissions", "problem", f"{foreign[0]} belongs to another user{_more(foreign)}", fix)
    if open_paths:
        fix = f"chmod -R go= {state}"
        yield Finding("permissions", "problem", f"{open_paths[0]} is open to other users{_more(open_paths)}", fix)
    if not foreign and not open_paths:
        yield Finding("permissions", "ok", f"{state} is yours alone")


def _some_of(state: Path) -> Iterator[Path]:
    """The folder and what is in it, to a bound: newest months matter as much as oldest ones."""
    yield state
    for number, path in enumerate(state.rglob("*")):
        if number >= _FILES_LOOKED_AT:
            return
        yield path


def _more(paths: list[Path]) -> str:
    return f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""


def ledger(state: Path) -> Iterator[Finding]:
    """Whether the ledger can be read, and whether any of it is damaged."""
    if not (state / "journals").is_dir():
        yield Finding("ledger", "ok", "empty")
        return
    from equitrcoder.ledger.reader import Reader

    try:
        with Reader(state) as reader:
            damage = reader.damage()
            newest = reader.runs(limit=1)
    except EquitrError as error:
        yield Finding("ledger", "problem", error.message, error.hint)
        return
    if damage:
        first = f"{damage[0].path}: {damage[0].what}"
        more = f" (and {len(damage) - 1} more)" if len(damage) > 1 else ""
        yield Finding("ledger", "warning", f"damaged: {first}{more}", "equitrcoder audit tells all of it")
    else:
        yield Finding("ledger", "ok", f"whole; newest run {newest[0].run_id}" if newest else "empty")


def git(repo: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether git is there and the folder is a repository."""
    from equitrcoder.tools.gitcalls import find_git
    from equitrcoder.tools.values import ToolFailure

    try:
        found = find_git()
    except ToolFailure:
        yield Finding("git", "warning", "not found: the git tools will fail", "install git")
        return
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("git", "warning", f"{found} cannot be run: {error}", "install git anew")
        return
    version = said.stdout.strip() or "of unknown version"
    if not any((folder / ".git").exists() for folder in (repo.resolve(), *repo.resolve().parents)):
        yield Finding(
            "git", "warning", f"{version}; this folder is no repository", "git init, so that changes can be undone"
        )
    else:
        yield Finding("git", "ok", version)


def terminal(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What can be shown here."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        message = f"its encoding is {encoding or 'unknown'}: some characters are replaced"
        yield Finding("terminal", "warning", message, "export LANG=C.UTF-8")
    elif not sys.stderr.isatty():
        yield Finding("terminal", "ok", "none: output is plain")
    else:
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
        yield Finding("terminal", "ok", "plain, as the environment asks" if plain else environ.get("TERM", "there"))
