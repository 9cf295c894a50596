"""Whether bubblewrap works here, found out once, and the folders that the sandbox keeps things in."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from equitrcoder.sandbox.seccomp import seccomp_program

_BWRAP = ("/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap", "/run/current-system/sw/bin/bwrap")
NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL")
TIES = ("--die-with-parent", "--new-session")
_ROOT = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev")
_PROBE_TIMEOUT_S = 10


def trouble_with_bubblewrap(repo: Path, environ: Mapping[str, str]) -> str | None:
    """Why bubblewrap cannot be used here; None when it can.

    What a probe found is kept for the process, and a success also in the cache folder until the next boot.
    """
    if str(repo.resolve()) == "/":
        return "the repository is the whole file system"
    bwrap = find_bubblewrap()
    if bwrap is None:
        return f"no bwrap in {', '.join(str(Path(path).parent) for path in _BWRAP)}"
    found = working_flags(bwrap, str(cache_folder(environ)))
    return None if isinstance(found, tuple) else found


def find_bubblewrap() -> str | None:
    """Path of bwrap, from a fixed list: never one that a repository put on PATH."""
    return next((path for path in _BWRAP if os.access(path, os.X_OK)), None)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Our cache folder: $XDG_CACHE_HOME/equitrcoder, else ~/.cache/equitrcoder. Not made by this."""
    base = environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else home_folder(environ) / ".cache") / "equitrcoder"


def home_folder(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  (honours the passwd entry, no error)


@cache
def working_flags(bwrap: str, cache_dir: str) -> tuple[str, ...] | str:
    """The flags for the namespaces that work here, or why none do."""
    known = Path(cache_dir) / "bubblewrap-works"
    key = _identity(bwrap)
    with contextlib.suppress(OSError, ValueError):
        noted_key, _, noted_flags = known.read_text("utf-8").partition("\n")
        if noted_key == key:
            return tuple(noted_flags.split())
    found = _probe(bwrap)
    if isinstance(found, tuple):
        with contextlib.suppress(OSError):  # no cache folder: the next process probes again
            known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            known.write_text(f"{key}\n{' '.join(found)}\n", "utf-8")
    return found


def _identity(bwrap: str) -> str:
    """Changes when bwrap, the user or the running system does."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    status = os.stat(bwrap)  # noqa: PTH116
    return f"{bwrap} {status.st_mtime_ns} {status.st_size} {os.geteuid()} {boot}"


def seccomp_pipe() -> int | None:
    """A descriptor from which bwrap reads the filter, to be closed; None on machines for which there is no filter."""
    program = seccomp_program(os.uname().machine)
    if program is None:
        return None
    read_end, write_end = os.pipe()
    os.write(write_end, program)  # well below what a pipe holds
    os.close(write_end)
    return read_end


def _probe(bwrap: str) -> tuple[str, ...] | str:
    trouble = "bwrap does not work"
    for extra in (("--disable-userns",), ()):  # bwrap before 0.8 does not know it
        flags = (*NAMESPACES, *extra)
        done = _try([bwrap, *flags, "--unshare-net", *TIES, *_ROOT])
        if isinstance(done, str):
            return done
        if done.returncode == 0:
            return flags
        trouble = done.stderr.decode("utf-8", "replace").strip()[:300] or f"bwrap ended with {done.returncode}"
    return trouble


def _try(words: list[str]) -> subprocess.CompletedProcess[bytes] | str:
    seccomp = seccomp_pipe()
    try:
        return subprocess.run(
            [*words, *([] if seccomp is None else ["--seccomp", str(seccomp)]), "--", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            env={},
            pass_fds=() if seccomp is None else (seccomp,),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap does not start ({error})"
    finally:
        if seccomp is not None:
            os.close(seccomp)
