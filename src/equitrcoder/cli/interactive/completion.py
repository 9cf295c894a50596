"""What can be completed: commands after `/`, their arguments, and files of the repository after `@`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from equitrcoder.cli.interactive.commands import ARGUMENTS, COMMANDS

FRESH_S = 5.0
"""How long a list of files counts as today's."""
FILES_MOST = 20_000
OFFERED_MOST = 50

_FILE = re.compile(r"(?:^|\s)@(\S*)$")
_COMMAND = re.compile(r"/([a-z]*)$")
_ARGUMENT = re.compile(r"/([a-z]+)\s+(\S*)$")


def asks_for_completion(document: Document) -> bool:
    """Whether to offer completions while somebody types, not only on Tab."""
    before = document.text_before_cursor
    return before.startswith("/") or _FILE.search(before) is not None


class ChatCompleter(Completer):
    """Completes commands, their arguments and files.

    Args:
        files: Gives the files of the repository.
    """

    def __init__(self, files: Callable[[], Iterable[str]]) -> None:
        self._files = files

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What fits before the cursor, best first."""
        before = document.text_before_cursor
        if found := _FILE.search(before):
            yield from _offer(best(self._files(), found[1]), found[1])
        elif found := _COMMAND.match(before):
            for name, what in COMMANDS.items():
                if name.startswith(found[1]):
                    yield Completion(name, start_position=-len(found[1]), display_meta=what)
        elif (found := _ARGUMENT.match(before)) and found[1] in ARGUMENTS:
            yield from _offer(best(ARGUMENTS[found[1]](), found[2]), found[2])


def _offer(names: Iterable[str], typed: str) -> Iterator[Completion]:
    for name in names:
        yield Completion(name, start_position=-len(typed))


def best(names: Iterable[str], typed: str) -> list[str]:
    """The names that fit what was typed: those that start so first, then those whose last part does, then the rest.

    Example:
        >>> best(["src/dates.py", "docs/up.md", "dates.txt", "a.py"], "dat")
        ['dates.txt', 'src/dates.py']
    """
    wanted = typed.lower()
    ranked: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name in names:
        low = name.lower()
        if low.startswith(wanted):
            ranked[0].append(name)
        elif low.rpartition("/")[2].startswith(wanted):
            ranked[1].append(name)
        elif wanted in low:
            ranked[2].append(name)
    return [*ranked[0], *ranked[1], *ranked[2]][:OFFERED_MOST]


class RepositoryFiles:
    """The files of a repository that git does not ignore, listed anew when the list is older than a few seconds."""

    def __init__(self, repo: Path) -> None:
        self._repo = repo
        self._names: list[str] = []
        self._at = float("-inf")

    def __call__(self) -> list[str]:
        if time.monotonic() - self._at > FRESH_S:
            self._names = list(_walk(self._repo))
            self._at = time.monotonic()
        return self._names


def _walk(repo: Path) -> Iterator[str]:
    from contextlib import closing, suppress
    from itertools import islice
    from typing import Any, cast

    from equitrcoder.tools import ToolLimits, Workspace
    from equitrcoder.tools.values import Box
    from equitrcoder.tools.walking import walk

    with suppress(OSError), closing(Workspace.open(repo)) as workspace:  # what cannot be listed is not offered
        box = Box(workspace, cast(Any, None), ToolLimits())  # a walk runs no command
        with workspace.at(".") as root:
            for entry, _ in islice(walk(box, root), FILES_MOST):
                if entry.kind == "file" and not entry.ignored and entry.path.isprintable() and " " not in entry.path:
                    yield entry.path
