"""The way from the repository's root to a path, by descriptor.

Without links and `..` on the way, and where the kernel has it, one `openat2` that may not leave the root goes down all
folders. Else, and always when a link is met, one name at a time is opened without following; links are read, and what
they say is walked like the rest. `..` goes back on the way that was taken and never asks the kernel.

Source: https://man7.org/linux/man-pages/man2/openat2.2.html
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from equitrcoder.tools.guarding import is_git_name
from equitrcoder.tools.text import shown
from equitrcoder.tools.values import ToolFailure

if TYPE_CHECKING:
    from equitrcoder.tools.workspace import Workspace

_LINKS_MAX = 40  # as the kernel
_DEPTH_MAX = 255  # a descriptor for each folder on the way
FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_OPENAT2 = 437  # on every architecture of Linux but alpha
_BENEATH_WITHOUT_LINKS = 0x08 | 0x04 | 0x02  # RESOLVE_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS

OpenBeneath = Callable[[int, str], int]
"""Opens a folder beneath an open one; a negative number when that did not succeed, for whatever reason."""


class Place:
    """A name inside the repository, found by walking; its folder stays open while the place is in use.

    Attributes:
        folder: Descriptor of the folder that holds it.
        name: Its name there; "" for the repository itself.
        path: From the root, after all links, with slashes; "" for the repository itself.
        status: What is there now, not followed (never a link unless it leads out); None when nothing is.
        through_git: Whether a link with git's name was on the way.
    """

    __slots__ = ("folder", "name", "path", "status", "through_git")

    def __init__(
        self, folder: int, name: str, path: str, status: os.stat_result | None, *, through_git: bool = False
    ) -> None:
        self.folder = folder
        self.name = name
        self.path = path
        self.status = status
        self.through_git = through_git


def outside(path: str) -> ToolFailure:
    """The refusal of a path that leads out."""
    return ToolFailure(
        "outside_repository",
        f"{shown(path)} lies outside the repository. Tools work inside it only: give a path relative to its root.",
    )


@cache
def open_beneath() -> OpenBeneath | None:
    """The kernel's own way to open beneath a folder; None where it has none, or where it is forbidden."""
    if sys.platform != "linux":
        return None
    import ctypes  # 4 ms: only once a file tool goes into a folder

    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    how = struct.pack("QQQ", FOLDER, 0, _BENEATH_WITHOUT_LINKS)

    def opened(folder: int, path: str) -> int:
        return int(call(_OPENAT2, folder, os.fsencode(path), how, len(how)))

    root = os.open("/", FOLDER)
    try:
        probe = opened(root, ".")
    finally:
        os.close(root)
    if probe < 0:
        return None
    os.close(probe)
    return opened


class Walk:
    """One walk from the root. `folders` is the way so far."""

    def __init__(self, workspace: Workspace, root: int, path: str, make_folders: bool) -> None:
        self._workspace = workspace
        self._asked = path
        self._make_folders = make_folders
        self._parts = _parts(workspace.relative(path))
        self._folders = [os.dup(root)]
        self._names: list[str] = []
        self._links = 0
        self._through_git = False

    def close(self) -> None:
        """Let all folders go."""
        for descriptor in self._folders:
            os.close(descriptor)

    def arrive(self) -> Place:
        """Go all the way; the last name need not exist.

        Raises:
            ToolFailure: `outside_repository`, `invalid_path`: deeper than 255 folders.
            OSError: As `Workspace.at`.
        """
        return self._leap() or self._step_by_step()

    def _leap(self) -> Place | None:
        """All folders at once; None when the walk must be made step by step (which also finds out what is wrong)."""
        if not 1 < len(self._parts) <= _DEPTH_MAX or ".." in self._parts:
            return None
        opener = open_beneath()
        if opener is None:
            return None
        *folders, last = reversed(self._parts)
        descriptor = opener(self._folders[0], "/".join(folders))
        if descriptor < 0:
            return None
        self._folders.append(descriptor)
        if self._link(last) is not None:
            os.close(self._folders.pop())
            return None
        self._names = folders
        return self._place(last)

    def _step_by_step(self) -> Place:
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
            status = os.fstat(self._folders[0])
            return Place(self._folders[0], "", "", status, through_git=self._through_git)
        os.close(self._folders.pop())
        return self._place(self._names.pop())

    def _place(self, name: str) -> Place:
        try:
            status = os.stat(name, dir_fd=self._folders[-1], follow_symlinks=False)
        except FileNotFoundError:
            status = None
        path = "/".join([*self._names, name])
        return Place(self._folders[-1], name, path, status, through_git=self._through_git)

    def _back(self) -> None:
        if not self._names:
            raise outside(self._asked)
        self._names.pop()
        os.close(self._folders.pop())

    def _enter(self, name: str) -> None:
        if len(self._names) >= _DEPTH_MAX:
            raise ToolFailure("invalid_path", f"The path goes deeper than {_DEPTH_MAX} folders.")
        try:
            descriptor = os.open(name, FOLDER, dir_fd=self._folders[-1])
        except FileNotFoundError:
            if not self._make_folders:
                raise
            path = "/".join([*self._names, name])
            self._workspace.refuse_protected(path, through_git=self._through_git)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._folders[-1])
            descriptor = os.open(name, FOLDER, dir_fd=self._folders[-1])
        self._folders.append(descriptor)
        self._names.append(name)

    def _link(self, name: str) -> str | None:
        """What a link says; None when the name is none, or not there."""
        try:
            return os.readlink(name, dir_fd=self._folders[-1])
        except OSError:
            return None

    def _follow(self, name: str) -> bool:
        """When the name is a link: put where it leads in front of the rest of the way."""
        target = self._link(name)
        if target is None:
            return False
        self._links += 1
        if self._links > _LINKS_MAX:
            raise OSError(errno.ELOOP, "too many links", self._asked)
        self._through_git = self._through_git or is_git_name(name)
        if target.startswith("/"):
            target = self._workspace.relative(target)
            while self._names:
                self._back()
        self._parts += _parts(target)
        return True


def _parts(path: str) -> list[str]:
    """The names on the way, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
