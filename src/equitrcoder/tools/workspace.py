"""The repository as the file tools see it: every path is walked from the root, one name at a time.

No name is ever handed to the kernel as a path with slashes, so a link or a `..` cannot lead out, also not one that
is put there between the check and the use. Links are followed as long as they stay inside.

Source: DESIGN.md section 6 ("Walls").
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from equitrcoder.tools.values import ToolFailure

_LINKS_MAX = 40  # as the kernel
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Place:
    """A name inside the repository, found by walking; its folder stays open while the place is in use.

    Attributes:
        folder: Descriptor of the folder that holds it.
        name: Its name there; "" for the repository itself.
        path: From the root, after all links, with slashes; "" for the repository itself.
        status: What is there now, not followed (never a link unless it leads out); None when nothing is.
    """

    __slots__ = ("folder", "name", "path", "status")

    def __init__(self, folder: int, name: str, path: str, status: os.stat_result | None) -> None:
        self.folder = folder
        self.name = name
        self.path = path
        self.status = status


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
        return cls(root, os.open(root, _FOLDER), names)

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
            ToolFailure: `outside_repository`.
            OSError: A folder on the way is missing (FileNotFoundError), is none, or may not be entered.
        """
        walk = _Walk(self, path, make_folders)
        try:
            yield walk.arrive()
        finally:
            walk.close()

    def relative(self, path: str) -> str:
        """The path as one from the root; not yet walked.

        Raises:
            ToolFailure: `outside_repository`: absolute and not beneath the root. `invalid_path`: holds a NUL.
        """
        if "\0" in path:
            raise ToolFailure("invalid_path", f"The path {path!r} holds a NUL character; no file has such a name.")
        if not path.startswith("/"):
            return path
        root = str(self.root)
        for base in (root, os.path.realpath(root)):
            if path == base or path.startswith(base.rstrip("/") + "/"):
                return path[len(base) :].lstrip("/")
        raise outside(path)

    def is_hidden(self, path: str) -> bool:
        """Whether a path from the root is the ledger's or one of its log files."""
        return any(path == name or path.startswith(name + "/") for name in self.hidden)

    def refuse_protected(self, path: str) -> None:
        """Refuse to change git's own files and the ledger's.

        Args:
            path: From the root, after all links (`Place.path`).

        Raises:
            ToolFailure: `protected`.
        """
        if any(part.casefold() == ".git" for part in path.split("/")):
            raise ToolFailure(
                "protected",
                f"{path} belongs to git and cannot be written by tools: its hooks and settings run as the user. "
                "Use git_commit, or git through run_command.",
            )
        if self.is_hidden(path):
            raise ToolFailure("protected", f"{path} belongs to the record of tool calls and cannot be written.")

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
        self.refuse_protected(place.path)
        before = place.status
        if before is not None:
            _require_file(place.path, before.st_mode)
            if not os.access(place.name, os.W_OK, dir_fd=place.folder):
                raise PermissionError(errno.EACCES, "read-only file", place.path)
        temporary = f".equitrcoder-{os.urandom(8).hex()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o666 if before is None else 0o600, dir_fd=place.folder)
        try:
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123  (a descriptor)
                _write_all(file.fileno(), data)
                if before is not None:
                    _take_over(file.fileno(), before)
            os.replace(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=place.folder)
            raise


def outside(path: str) -> ToolFailure:
    """The refusal of a path that leads out."""
    return ToolFailure(
        "outside_repository",
        f"{path} lies outside the repository. Tools work inside it only: give a path relative to its root.",
    )


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
        raise ToolFailure("not_a_file", f"{path or '.'} is {kind_of(mode)}, not a file.{advice}")


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _take_over(descriptor: int, before: os.stat_result) -> None:
    """Give the new file the old one's owner and mode."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(OSError):  # only root may; else the file becomes the user's, as with most editors
            os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


class _Walk:
    """One walk from the root. `folders` is the way so far: `..` goes back on it and never asks the kernel."""

    def __init__(self, workspace: Workspace, path: str, make_folders: bool) -> None:
        self._workspace = workspace
        self._asked = path
        self._make_folders = make_folders
        self._parts = _parts(workspace.relative(path))
        self._folders = [os.dup(workspace._descriptor)]
        self._names: list[str] = []
        self._links = 0

    def close(self) -> None:
        for descriptor in self._folders:
            os.close(descriptor)

    def arrive(self) -> Place:
        """Go all the way; the last name need not exist."""
        while self._parts:
            part = self._parts.pop()
            if part == "..":
                self._back()
            elif self._follow(part):
                continue
            elif not self._parts:
                return self._place(part)
            else:
                self._enter(part)
        if not self._names:
            return Place(self._folders[0], "", "", os.fstat(self._folders[0]))
        os.close(self._folders.pop())
        return self._place(self._names.pop())

    def _place(self, name: str) -> Place:
        try:
            status = os.stat(name, dir_fd=self._folders[-1], follow_symlinks=False)
        except FileNotFoundError:
            status = None
        return Place(self._folders[-1], name, "/".join([*self._names, name]), status)

    def _back(self) -> None:
        if not self._names:
            raise outside(self._asked)
        self._names.pop()
        os.close(self._folders.pop())

    def _enter(self, name: str) -> None:
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=self._folders[-1])
        except FileNotFoundError:
            if not self._make_folders:
                raise
            self._workspace.refuse_protected("/".join([*self._names, name]))
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._folders[-1])
            descriptor = os.open(name, _FOLDER, dir_fd=self._folders[-1])
        self._folders.append(descriptor)
        self._names.append(name)

    def _follow(self, name: str) -> bool:
        """When the name is a link: put where it leads in front of the rest of the way."""
        try:
            target = os.readlink(name, dir_fd=self._folders[-1])
        except OSError:  # no link, or not there
            return False
        self._links += 1
        if self._links > _LINKS_MAX:
            raise OSError(errno.ELOOP, "too many links", self._asked)
        if target.startswith("/"):
            target = self._workspace.relative(target)
            while self._names:
                self._back()
        self._parts += _parts(target)
        return True


def _parts(path: str) -> list[str]:
    """The names on the way, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
