"""Whether a command fits a rule's words: surely, perhaps, or not. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from equitrcoder.rules.words import HOLE, MARKS, SPLIT
from equitrcoder.rules.wrapping import base, plain

LONGEST = 2_000
"""Words of a command that are compared; one with more fits nothing surely and everything perhaps."""


def surely(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a command certainly is what an allow rule means: exactly these words, in this order.

    Words that are not known fit only a `*` of their own. A program fits by its name, or by its path in a system folder.

    Example:
        >>> surely(["pytest", "*"], ["pytest", "-q"]), surely(["pytest"], ["pytest", "-q"])
        (True, False)
        >>> surely(["git", "push"], ["/usr/bin/git", "push"]), surely(["git", "push"], ["./git", "push"])
        (True, False)
    """
    if len(words) > LONGEST:
        return False
    return _fits(pattern, [plain(words[0]), *words[1:]])


def perhaps(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a command may be what an ask or deny rule means; what is not known may be anything.

    More words may follow, and options may stand between the pattern's words.

    Example:
        >>> perhaps(["git", "push"], ["git", "-C", "x", "push", "-f"]), perhaps(["git", "push"], ["git", SPLIT])
        (True, True)
        >>> perhaps(["git", "push"], ["git", "log"]), perhaps(["git", "push"], [SPLIT, "log"])
        (False, True)
    """
    if len(words) > LONGEST:
        return True
    return _fits_loosely((*pattern, "*"), (base(words[0]), *words[1:]), anything=True) or _fits_loosely(
        (*pattern, "*"), tuple(words), anything=True
    )


def certainly_meant(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a command is what an ask or deny rule means, without anything that is not known."""
    if len(words) > LONGEST:
        return False
    return _fits_loosely((*pattern, "*"), (base(words[0]), *words[1:]), anything=False) or _fits_loosely(
        (*pattern, "*"), tuple(words), anything=False
    )


def _fits_known(pattern: str, word: str) -> bool:
    return not any(mark in word for mark in MARKS) and bool(_glob(pattern).fullmatch(word))


def _fits(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Words against a pattern in which a `*` alone is any number of words; the usual way of one row after another."""
    row = [True] + [False] * len(words)
    for part in pattern:
        if part == "*":
            for at in range(1, len(row)):
                row[at] = row[at] or row[at - 1]
        else:
            row = [False] + [before and _fits_known(part, word) for before, word in zip(row, words, strict=False)]
    return row[-1]


def _fits_loosely(pattern: tuple[str, ...], words: tuple[str, ...], *, anything: bool) -> bool:
    """The same, where options (and a value after one) may stand between, and unknown words may be what is looked for.

    `row[at]`: the pattern so far can fit the first `at` words.
    """
    row = [True] + [False] * len(words)
    for number, part in enumerate(pattern):
        if number:
            _skip_options(row, words)
        if part == "*":
            for at in range(1, len(row)):
                row[at] = row[at] or row[at - 1]
            continue
        fresh = [False] * len(row)
        for at, word in enumerate(words):
            if row[at] and _may_be(part, word, anything=anything):
                fresh[at + 1] = True
                if anything and SPLIT in word:
                    fresh[at] = True  # one unknown may hold several of the words that are looked for
        row = fresh
    return row[-1]


def _skip_options(row: list[bool], words: tuple[str, ...]) -> None:
    for at, word in enumerate(words):
        if row[at] and at and word.startswith("-"):
            row[at + 1] = True
            if at + 2 < len(row) and "=" not in word:
                row[at + 2] = True
        elif row[at] and SPLIT in word:
            row[at + 1] = True


def _may_be(part: str, word: str, *, anything: bool) -> bool:
    if not any(mark in word for mark in MARKS):
        return bool(_glob(part, loose=True).fullmatch(word))
    return anything and _overlap(part, word)


def _overlap(part: str, word: str) -> bool:
    """Whether a word with unknown parts may be one that fits; only its known beginning and end are compared."""
    if SPLIT in word or "*" in part:
        return True
    pieces = re.split(f"[{HOLE}{SPLIT}]", word.casefold())
    part = part.casefold()
    return part.startswith(pieces[0]) and part.endswith(pieces[-1])


@lru_cache(maxsize=512)
def _glob(pattern: str, *, loose: bool = False) -> re.Pattern[str]:
    return re.compile(
        ".*".join(map(re.escape, pattern.split("*"))), re.DOTALL | (re.IGNORECASE if loose else re.NOFLAG)
    )
