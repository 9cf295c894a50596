"""What stands between an agent and this machine, and what does not: the walls by name.

That they stand is found by putting them up; docs/security.md says what is promised of each.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from equitrcoder.doctor.finding import Finding
from equitrcoder.errors import EquitrError
from equitrcoder.records import SandboxLevel
from equitrcoder.settings import Settings

_LANDLOCK_CREATE_RULESET = 444
"""The same number on every architecture. Source: https://docs.kernel.org/userspace-api/landlock.html"""
_LANDLOCK_VERSION = 1


async def walls(repo: Path, environ: Mapping[str, str], settings: Settings) -> list[Finding]:
    """The walls that commands would get, why not the strongest, and what is asked before a call runs."""
    level, found = await _around_commands(repo, environ, settings)
    return [*found, Finding("landlock", "ok", landlock_words()), approvals(settings, level)]


async def _around_commands(
    repo: Path, environ: Mapping[str, str], settings: Settings
) -> tuple[SandboxLevel, list[Finding]]:
    from equitrcoder.sandbox import choose_sandbox
    from equitrcoder.sandbox.probing import find_bubblewrap, trouble_with_bubblewrap

    if settings.sandbox == "off":
        return "none", [Finding("sandbox", "warning", "turned off: commands run with your rights", "sandbox: auto")]
    trouble = await asyncio.to_thread(trouble_with_bubblewrap, repo, environ)
    if trouble is None:
        version = await asyncio.to_thread(_version, find_bubblewrap() or "bwrap")
        stands = Finding("sandbox", "ok", f"{version}: {await _what_stands(repo, environ, settings)}")
        return "bubblewrap", [stands, _view(settings), _network(settings)]
    fix = "install bubblewrap (apt install bubblewrap, dnf install bubblewrap)"
    if "no bwrap in" not in trouble:
        fix = "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or an AppArmor profile for bwrap)"
    try:
        chosen = choose_sandbox(settings.sandbox, repo, environ=environ)
    except EquitrError as error:
        message = f"required, but bubblewrap does not work here: {trouble}"
        return "none", [Finding("sandbox", "problem", message, error.hint)]
    level = chosen.level
    await chosen.aclose()
    stands_instead = "no walls around commands" if level == "none" else f"{level} in place of bubblewrap"
    return level, [Finding("sandbox", "warning", f"{stands_instead}: {trouble}", fix)]


def _version(bwrap: str) -> str:
    try:
        said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=5, check=False, env={})
    except (OSError, subprocess.TimeoutExpired):
        return "bubblewrap of unknown version"
    return said.stdout.strip() or "bubblewrap of unknown version"


async def _what_stands(repo: Path, environ: Mapping[str, str], settings: Settings) -> str:
    from equitrcoder.sandbox.bubblewrap import BubblewrapSandbox
    from equitrcoder.sandbox.limits import Limits
    from equitrcoder.sandbox.seccomp import seccomp_program

    put_up = BubblewrapSandbox(repo, environ=environ, network_hosts=settings.network_hosts)
    try:
        warm = await put_up.warm_up()
    finally:
        await put_up.aclose()
    limits = Limits(settings.command_limits)
    parts = [
        "with a filter of system calls"
        if seccomp_program(os.uname().machine)
        else "no filter for this machine's calls",
        "stays between commands" if warm else "started anew for each command",
        f"{limits.processes:,} processes, {limits.memory_mb:,} MB, files of {limits.file_mb:,} MB, "
        f"{limits.cpu_s:,} s of processor time",
    ]
    return ", ".join(parts)


def _view(settings: Settings) -> Finding:
    """What commands see of the disk."""
    more = f", and {', '.join(settings.readable_paths)}" if settings.readable_paths else ""
    message = (
        "commands change the repository (not git's settings and hooks) and folders of their own; they see the system "
        f"and toolchains, nothing else of your home folder{more}"
    )
    return Finding("file view", "ok", message)


def _network(settings: Settings) -> Finding:
    if settings.network:
        fix = "network_hosts: [package-indexes] in its place (docs/sandbox.md)"
        return Finding("network", "warning", "commands reach any network (network: true)", fix)
    if not settings.network_hosts:
        return Finding("network", "ok", "commands have none")
    from equitrcoder.sandbox.hosts import PRESETS

    names = [f"{name} ({len(PRESETS[name])} hosts)" if name in PRESETS else name for name in settings.network_hosts]
    return Finding("network", "ok", f"commands reach {', '.join(names)}, and nothing else")


def landlock_words() -> str:
    """What the kernel has of Landlock. The sandbox does not use it yet, so it is no wall of ours."""
    version = _landlock_version()
    return f"not used; the kernel has {f'version {version}' if version else 'none'}"


def _landlock_version() -> int:
    """The version of Landlock's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)))


def approvals(settings: Settings, level: SandboxLevel) -> Finding:
    """What a run asks about before it acts."""
    from equitrcoder import policy

    mode = settings.approve or policy.default_mode(False, level)
    words = {
        "all": "every call runs unasked",
        "edits": "reads and writes in the repository run unasked, commands need approval",
        "ask": "reads run unasked, everything else needs approval",
        "deny": "reads run, everything else is denied",
    }[mode]
    whose = "" if settings.approve else " (default; a session in a terminal asks)"
    count = len(settings.rules)
    rules = f"; {count} rule{'s come' if count > 1 else ' comes'} first" if count else ""
    message = f"run --approve {mode}{whose}: {words}{rules}"
    if mode == "all" and level == "none":
        return Finding("approvals", "warning", f"{message}, with your rights", "sandbox: auto, or approve: edits")
    return Finding("approvals", "ok", message)
