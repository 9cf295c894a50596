"""Words for a model and for people: names on one line, counts with their word."""

from __future__ import annotations

_NAME_CHARACTERS = 300
_ODD = {code: f"\\x{code:02x}" for code in [*range(32), 127]} | {9: "\\t", 10: "\\n", 13: "\\r"}


def printable(name: str) -> str:
    """A file name on one line: control characters escaped, bytes that are no UTF-8 replaced.

    Example:
        >>> printable("a\\nb")
        'a\\\\nb'
    """
    return readable(name.translate(_ODD))


def readable(text: str) -> str:
    """Text with bytes that are no UTF-8, and halves of characters, replaced."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")


def shown(name: str) -> str:
    """A name for a message: on one line and of bounded length.

    Example:
        >>> shown("x" * 400)[-5:], len(shown("x" * 400))
        ('xxxx…', 301)
    """
    return printable(name if len(name) <= _NAME_CHARACTERS else name[:_NAME_CHARACTERS] + "…")


def plural(count: int, word: str, many: str = "") -> str:
    """A count with its word.

    Example:
        >>> plural(1, "line"), plural(1200, "line"), plural(2, "match", "matches")
        ('1 line', '1,200 lines', '2 matches')
    """
    return f"{count:,} {word if count == 1 else many or word + 's'}"
