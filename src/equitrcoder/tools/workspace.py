"""The repository as the file tools see it: every path is walked from the root, by descriptor (`descent`).

No path is ever handed to the kernel in a way that lets a link or a `..` lead out, also not one that is put there
between the check and the use. Links are followed as long as they stay inside.

Source: DESIGN.md section 6 ("Walls").
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from equitrcoder.tools.descent import FOLDER, Place, Walk, outside
from equitrcoder.tools.guarding import GIT_PARTS, is_git_name, is_temporary
from equitrcoder.tools.replacing import put_in_place
from equitrcoder.tools.text import shown
from equitrcoder.tools.values import ToolFailure

__all__ = ["Place", "Workspace", "kind_of", "outside"]

_PATH_BYTES_MAX = 4096  # as the kernel
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Workspace:
    """One repository, open. Use `open` to get one, and `close` it."""

    def __init__(self, root: Path, descriptor: int, hidden: frozenset[str]) -> None:
        self.root = root
        self._descriptor = descriptor
        self.hidden = hidden

    @classmethod
    def open(cls, repo: Path, *, hidden: Sequence[Path] = ()) -> Workspace:
        """Open a repository's folder.

        Args:
            repo: The folder.
            hidden: The ledger and its log files; those outside the repository are out of reach anyway.

        Raises:
            OSError: There is no such folder.
        """
        root = Path(os.path.realpath(repo))
        inside = (os.path.relpath(os.path.realpath(path), root) for path in hidden)
        names = frozenset(path for path in inside if path != os.curdir and not path.startswith(os.pardir))
        return cls(root, os.open(root, FOLDER), names)

    def close(self) -> None:
        """Let the folder go. Closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @contextlib.contextmanager
    def at(self, path: str, *, make_folders: bool = False) -> Iterator[Place]:
        """Walk to a path.

        Args:
            path: Relative to the repository, or absolute and beneath it.
            make_folders: Make the folders on the way that are missing.

        Raises:
            ToolFailure: `outside_repository`, `invalid_path`.
            OSError: A folder on the way is missing (FileNotFoundError), is none, or may not be entered.
        """
        walk = Walk(self, self._descriptor, path, make_folders)
        try:
            yield walk.arrive()
        finally:
            walk.close()

    def relative(self, path: str) -> str:
        """The path as one from the root; not yet walked.

        Raises:
            ToolFailure: `outside_repository`: absolute and not beneath the root. `invalid_path`: holds a NUL or half
                a character, or is longer than the kernel takes.
        """
        if "\0" in path:
            raise ToolFailure("invalid_path", f"The path {shown(path)} holds a NUL character; no file has such a name.")
        try:
            size = len(os.fsencode(path))
        except UnicodeEncodeError:
            raise ToolFailure("invalid_path", f"The path {shown(path)} holds half a character (a surrogate).") from None
        if size > _PATH_BYTES_MAX:
            raise ToolFailure("invalid_path", f"The path has {size:,} bytes; the system takes {_PATH_BYTES_MAX:,}.")
        if not path.startswith("/"):
            return path
        root = str(self.root)
        for base in (root, os.path.realpath(root)):
            if path == base or path.startswith(base.rstrip("/") + "/"):
                return path[len(base) :].lstrip("/")
        raise outside(path)

    def is_hidden(self, path: str) -> bool:
        """Whether a path from the root is the ledger's, one of its log files, or a file of ours on its way."""
        return is_temporary(path) or any(path == name or path.startswith(name + "/") for name in self.hidden)

    def refuse_protected(self, path: str, *, through_git: bool = False) -> None:
        """Refuse to change git's own files and the ledger's, also under other spellings of their names.

        Args:
            path: From the root, after all links (`Place.path`).
            through_git: `Place.through_git`.

        Raises:
            ToolFailure: `protected`.
        """
        if through_git or any(map(is_git_name, path.split("/"))) or self._is_in_git_folder(path):
            raise ToolFailure(
                "protected",
                f"{shown(path)} belongs to git and cannot be written by tools: its hooks and settings run as the user. "
                "Use git_commit, or git through run_command.",
            )
        folded = path.casefold()  # on a disk that takes both for the same, the other spelling is the ledger too
        if any(folded == name or folded.startswith(name + "/") for name in map(str.casefold, self.hidden)):
            raise ToolFailure("protected", f"{shown(path)} belongs to the record of tool calls and cannot be written.")

    def _is_in_git_folder(self, path: str) -> bool:
        """Whether `.git` is a link, or a file, that leads to a folder of the repository which holds this path."""
        for folder in self._git_folders():
            if folder == "" and path.split("/")[0].casefold() in GIT_PARTS:
                return True
            if folder and (path == folder or path.startswith(folder + "/")):
                return True
        return False

    def _git_folders(self) -> Iterator[str]:
        try:
            with self.at(".git") as place:
                yield place.path
                if place.status is None or not stat.S_ISREG(place.status.st_mode):
                    return
                with open(self.open_file(place), "rb") as file:  # noqa: PTH123  (a descriptor)
                    said = os.fsdecode(file.read(_PATH_BYTES_MAX)).partition("\n")[0]
            if said.startswith("gitdir:"):
                with self.at(said.removeprefix("gitdir:").strip()) as place:
                    yield place.path
        except (OSError, ToolFailure):  # it leads out, where no tool writes anyway
            return

    def open_file(self, place: Place) -> int:
        """Open a regular file for reading and give its descriptor. Never waits: pipes and devices are refused.

        Raises:
            ToolFailure: `not_a_file`.
            OSError: It is not there, or may not be read.
        """
        if place.status is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", place.path)
        _require_file(place.path, place.status.st_mode)
        descriptor = os.open(place.name, _READ, dir_fd=place.folder)
        try:
            _require_file(place.path, os.fstat(descriptor).st_mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_folder(self, place: Place) -> int:
        """Open a folder so that it can be listed, and give its descriptor.

        Raises:
            OSError: It is not there, is no folder, or may not be read.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(place.name or ".", flags, dir_fd=place.folder)

    def replace_file(self, place: Place, data: bytes) -> None:
        """Put a whole new content in place, at once: a reader sees the old one or the new one.

        Mode and, where allowed, owner of what was there are kept; other hard links keep the old content.

        Raises:
            ToolFailure: `protected`, `not_a_file`.
            OSError: It cannot be written; what was there is unharmed.
        """
        self.refuse_protected(place.path, through_git=place.through_git)
        if place.status is not None:
            _require_file(place.path, place.status.st_mode)
            if not os.access(place.name, os.W_OK, dir_fd=place.folder):
                raise PermissionError(errno.EACCES, "read-only file", place.path)
        put_in_place(place.folder, place.name, data, place.status)


def kind_of(mode: int) -> str:
    """What a file mode stands for, in words.

    Example:
        >>> kind_of(stat.S_IFIFO)
        'a pipe'
    """
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no file")


def _require_file(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        advice = " Use list_directory." if stat.S_ISDIR(mode) else ""
        raise ToolFailure("not_a_file", f"{shown(path or '.')} is {kind_of(mode)}, not a file.{advice}")
