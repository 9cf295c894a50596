"""Names that belong to git, in every spelling that some file system takes for `.git`, and our own temporary names.

Source: https://git-scm.com/docs/git-config (core.protectHFS, core.protectNTFS), whose spellings these are.
"""

from __future__ import annotations

_NOT_SEEN_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_GIT = (".git", "git~1")
GIT_PARTS = ("config", "config.worktree", "hooks", "modules", "info", "commondir")
"""What of a git folder that is the repository itself (`.git` is a link to `.`) makes git run something."""


def is_git_name(name: str) -> bool:
    """Whether some file system takes the name for `.git`.

    Example:
        >>> [is_git_name(name) for name in (".git", ".GIT", ".git. ", "git~1", ".g\\u200cit", ".git::$DATA")]
        [True, True, True, True, True, True]
        >>> [is_git_name(name) for name in (".gitignore", ".github", "git", "x.git")]
        [False, False, False, False]
    """
    plain = name.translate(_NOT_SEEN_BY_HFS).casefold()
    return plain.partition(":")[0].partition("\\")[0].rstrip(" .") in _GIT


def temporary_name(random: bytes) -> str:
    """The name of a file on its way into its place."""
    return f".equitrcoder-{random.hex()}.tmp"


def is_temporary(path: str) -> bool:
    """Whether a path is that of a file on its way into its place, or left over when a kill came in between."""
    name = path.rpartition("/")[2]
    return name.startswith(".equitrcoder-") and name.endswith(".tmp") and len(name) == len(temporary_name(b"\0" * 8))
