"""Words for a model and for people: names on one line, counts with their word."""

from __future__ import annotations

_ODD = {code: f"\\x{code:02x}" for code in [*range(32), 127]} | {9: "\\t", 10: "\\n", 13: "\\r"}


def printable(name: str) -> str:
    """A file name on one line: control characters escaped, bytes that are no UTF-8 replaced.

    Example:
        >>> printable("a\\nb")
        'a\\\\nb'
    """
    return name.translate(_ODD).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def plural(count: int, word: str, many: str = "") -> str:
    """A count with its word.

    Example:
        >>> plural(1, "line"), plural(1200, "line"), plural(2, "match", "matches")
        ('1 line', '1,200 lines', '2 matches')
    """
    return f"{count:,} {word if count == 1 else many or word + 's'}"
