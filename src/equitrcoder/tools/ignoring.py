"""What git ignores: the .gitignore files on the way from the root, and .git/info/exclude.

pathspec is loaded only when there is such a file or a glob.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from equitrcoder.tools.text import readable

_IGNORE_BYTES_MAX = 1 << 20

Verdict = Callable[[str], bool | None]
"""Says of a path (below the file's folder; folders end in a slash): ignored, not ignored, or None: not spoken of."""


class Ignored:
    """The rules that hold in one folder: those above it, then its own; the last that speaks counts.

    Source: https://git-scm.com/docs/gitignore
    """

    __slots__ = ("_rules",)

    def __init__(self, rules: Sequence[tuple[int, Verdict]] = ()) -> None:
        self._rules = tuple(rules)

    def below(self, path: str, text: bytes | None) -> Ignored:
        """The rules that hold in the folder `path` (from the root), whose own .gitignore has this text."""
        if not text or not text.strip():
            return self
        return Ignored((*self._rules, (len(path) + 1 if path else 0, _verdict(text))))

    def __call__(self, path: str, *, folder: bool) -> bool:
        """Whether a path from the root is ignored."""
        name = path + "/" if folder else path
        for skip, verdict in reversed(self._rules):
            said = verdict(name[skip:])
            if said is not None:
                return said
        return False


def _verdict(text: bytes) -> Verdict:
    from pathspec import GitIgnoreSpec

    spec = GitIgnoreSpec.from_lines(text.decode("utf-8", "replace").splitlines())
    return lambda path: spec.check_file(readable(path)).include  # its engines take no bytes that are no UTF-8


def glob_filter(glob: str | None) -> Callable[[str], bool]:
    """Whether a path from the root is one of the glob's: `*.py` in every folder, `src/**/*.py`, `docs/`.

    Example:
        >>> glob_filter("*.py")("a/b.py"), glob_filter("/*.py")("a/b.py"), glob_filter(None)("x")
        (True, False, True)
    """
    if glob is None:
        return lambda path: True
    from pathspec import GitIgnoreSpec

    spec = GitIgnoreSpec.from_lines([glob])
    return lambda path: spec.check_file(readable(path)).include is True


def read_ignore_file(folder: int, name: str = ".gitignore") -> bytes | None:
    """The text of an ignore file in an open folder; None when there is none, or it is no ordinary small file."""
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError:
        return None
    try:
        return os.read(descriptor, _IGNORE_BYTES_MAX) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:  # a folder, or a pipe
        return None
    finally:
        os.close(descriptor)
