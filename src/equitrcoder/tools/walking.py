"""Go through the repository's folders by descriptor: sorted, no links followed, what git ignores left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from equitrcoder.tools.ignoring import Ignored, read_ignore_file
from equitrcoder.tools.values import Box, ToolFailure
from equitrcoder.tools.workspace import Place

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEPTH_MAX = 200
"""Folders deeper than this are not entered: a descriptor is held for each on the way down."""


Kind = Literal["file", "folder", "link", "other"]


class Entry:
    """One name in a folder.

    Attributes:
        name: As on disk.
        path: From the root.
        kind: What it is; links are not followed.
        ignored: Whether git ignores it.
        folder: Descriptor of the folder that holds it; open until the walk goes on.
    """

    __slots__ = ("folder", "ignored", "kind", "name", "path")

    def __init__(self, name: str, path: str, kind: Kind, ignored: bool, folder: int) -> None:
        self.name = name
        self.path = path
        self.kind: Kind = kind
        self.ignored = ignored
        self.folder = folder


def entries(folder: int, path: str, ignored: Ignored) -> list[Entry]:
    """What is in an open folder, sorted by name."""
    with os.scandir(folder) as found:
        names = sorted((entry.name, _kind(entry)) for entry in found)
    prefix = path + "/" if path else ""
    return [
        Entry(name, prefix + name, kind, ignored(prefix + name, folder=kind == "folder"), folder)
        for name, kind in names
    ]


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def rules_above(box: Box, path: str) -> Ignored:
    """The ignore rules that hold in the folder `path` (from the root, after links), its own not included."""
    rules = Ignored().below("", _excluded(box))
    parts = path.split("/") if path else []
    for depth in range(len(parts)):
        above = "/".join(parts[:depth])
        with box.workspace.at(above) as place:
            folder = box.workspace.open_folder(place)
            rules = rules.below(above, read_ignore_file(folder))
            os.close(folder)
    return rules


def _excluded(box: Box) -> bytes | None:
    """The text of .git/info/exclude."""
    try:
        with box.workspace.at(".git/info/exclude") as place:
            return read_ignore_file(place.folder, place.name)
    except (OSError, ToolFailure):  # no repository of git, or a worktree whose folder lies elsewhere
        return None


def walk(box: Box, place: Place, *, depth_max: int = DEPTH_MAX) -> Iterator[tuple[Entry, int]]:
    """Everything below a folder, depth first, with its depth from 1.

    Left out: `.git`, the ledger's files, and what is in folders that git ignores (those themselves come, marked).
    Folders that may not be read are passed over.
    """
    rules = rules_above(box, place.path)
    descriptor = box.workspace.open_folder(place)
    try:
        yield from _below(box, descriptor, place.path, rules, 1, min(depth_max, DEPTH_MAX))
    finally:
        os.close(descriptor)


def _below(box: Box, folder: int, path: str, above: Ignored, depth: int, depth_max: int) -> Iterator[tuple[Entry, int]]:
    rules = above.below(path, read_ignore_file(folder))
    for entry in entries(folder, path, rules):
        if entry.name == ".git" or box.workspace.is_hidden(entry.path):
            continue
        yield entry, depth
        if entry.kind != "folder" or entry.ignored or depth >= depth_max:
            continue
        try:
            descriptor = os.open(entry.name, _OPEN, dir_fd=folder)
        except OSError:
            continue
        try:
            yield from _below(box, descriptor, entry.path, rules, depth + 1, depth_max)
        finally:
            os.close(descriptor)
