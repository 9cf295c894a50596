"""Aligned text for people: columns as wide as what stands in them, cut only where that is allowed."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from equitrcoder.cli.text import safe

GAP = "  "
NARROWEST = 8
"""No column is cut below this many places (or its title)."""
SAMPLE = 500
"""Rows that decide the widths; later ones stream past, so that a million rows need no memory."""
WIDTH_WITHOUT_TERMINAL = 140


class Column(NamedTuple):
    """One column of a table."""

    title: str
    right: bool = False
    """Figures stand to the right."""
    flexible: bool = False
    """May be cut to fit the screen; the others (ids above all) never are."""


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    r"""Lay out rows under their titles, a line at a time.

    Cells may hold foreign text: each is put on one line and made harmless first.

    Args:
        width: Places on the screen; flexible columns give way until it is kept, or cannot be.

    Returns:
        The lines, the titles first, without newlines; nothing when there are no rows.

    Example:
        >>> columns = [Column("tool"), Column("calls", right=True), Column("task", flexible=True)]
        >>> print("\n".join(table(columns, [("read_file", "11", "make the failing test pass")], 32)))
        tool       calls  task
        read_file     11  make the fail…
    """
    cells = (tuple(one_line(cell) for cell in row) for row in rows)
    sample = list(islice(cells, SAMPLE))
    if not sample:
        return
    widths = _widths(columns, sample, width)
    yield _line(columns, [column.title for column in columns], widths)
    for row in chain(sample, cells):
        yield _line(columns, row, widths)


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    widths = [max(len(column.title), max(places(row[number]) for row in rows)) for number, column in enumerate(columns)]
    too_wide = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while too_wide > 0:
        widest = max(
            (number for number, column in enumerate(columns) if column.flexible),
            key=widths.__getitem__,
            default=None,
        )
        if widest is None or widths[widest] <= max(NARROWEST, len(columns[widest].title)):
            break
        widths[widest] -= 1
        too_wide -= 1
    if columns[-1].flexible and not columns[-1].right:
        widths[-1] -= min(too_wide, 0)  # room that nobody uses: a later row may
    return widths


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = []
    for column, cell, width in zip(columns, cells, widths, strict=True):
        kept = cut(cell, width) if column.flexible else cell
        space = " " * (width - places(kept))
        shown.append(space + kept if column.right else kept + space)
    return GAP.join(shown).rstrip()


def one_line(text: str) -> str:
    """`text` on one line and harmless for a terminal, as long as it is."""
    return safe(" ".join(text.split()))


def places(text: str) -> int:
    """How many places of a terminal a text without control characters takes.

    Example:
        >>> places("abc"), places("日本"), places("e\u0301")
        (3, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_places, text))


def _places(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1


def cut(text: str, width: int) -> str:
    """`text`, or as much of it as fits into `width` places with … at its end.

    Example:
        >>> cut("parser", 6), cut("parsers", 6)
        ('parser', 'parse…')
    """
    if places(text) <= width:
        return text
    kept, left = [], width - 1
    for character in text:
        left -= _places(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def screen_width() -> int:
    """Places of the terminal that stdout is; $COLUMNS comes first. Without a terminal: 140."""
    try:
        said = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        said = 0
    if said > 0:
        return said
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or WIDTH_WITHOUT_TERMINAL
    except (OSError, ValueError):  # no terminal; or no file at all (a test, a notebook)
        return WIDTH_WITHOUT_TERMINAL
