"""How much room the ledger takes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from equitrcoder.ledger import register, spilled
from equitrcoder.ledger.index import NAME


class Part(NamedTuple):
    """A part of the ledger on the disk."""

    name: str
    files: int
    bytes: int


def measure(state_dir: Path) -> list[Part]:
    """The parts of a ledger: journals, register, index with its write-ahead log, everything else there;
    and spilled results, if there are any."""
    journals, index, others, entries, results = [], [], [], [], []
    for path in state_dir.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        inside = path.relative_to(state_dir)
        if inside.parts[0] == "journals":
            journals.append(path)
        elif inside.parts[0] == spilled.FOLDER:
            results.append(path)
        elif inside.name.startswith(NAME):
            index.append(path)
        elif inside.as_posix() == register.NAME:
            entries.append(path)
        else:
            others.append(path)
    parts = [_part("journals", journals), _part("register", entries), _part("index", index), _part("others", others)]
    return [*parts, _part("spilled results", results)] if results else parts


def _part(name: str, paths: Iterable[Path]) -> Part:
    sizes = []
    for path in paths:
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            continue  # gone since
    return Part(name, len(sizes), sum(sizes))
