"""Quotes and escapes of the shell taken away. Pure.

Source: https://www.gnu.org/software/bash/manual/bash.html#Quoting
"""

from __future__ import annotations

import re

HOLE = "\x00"
"""Stands in a word for text that is not known."""
SPLIT = "\x01"
"""Stands for text that is not known and may be any number of words: unquoted expansions, patterns, braces."""
MARKS = (HOLE, SPLIT)

_SIMPLE = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ANSI_C = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|c(.)|(.))", re.DOTALL
)


def raw_text(source: str) -> str:
    r"""An unquoted word: backslashes go, patterns and a leading ~ are not known.

    Example:
        >>> raw_text("g\\it"), raw_text("*.py") == SPLIT + ".py", raw_text("a\\*b")
        ('git', True, 'a*b')
    """
    parts: list[str] = [HOLE] if source.startswith("~") else []
    rest = iter(source)
    for char in rest:
        if char == "\\":
            escaped = next(rest, "")
            parts.append("" if escaped == "\n" else escaped)
        elif char in "*?[" or char in "$`'\"":
            parts.append(SPLIT)
        else:
            parts.append(char)
    return "".join(parts)


def quoted_text(source: str) -> str:
    r"""Text between double quotes, without expansions.

    Example:
        >>> quoted_text("a\\\"b\\n")
        'a"b\\n'
    """
    return re.sub(r'\\([$`"\\\n])', lambda found: "" if found[1] == "\n" else found[1], source)


def ansi_c_text(source: str) -> str:
    r"""Text between $' and '; one with control characters in it is not known.

    Example:
        >>> ansi_c_text("g\\x69t"), ansi_c_text("\\0") == HOLE
        ('git', True)
    """
    text = _ANSI_C.sub(_ansi_c_char, source)
    return text if all(char.isprintable() or char in "\n\t" for char in text) else HOLE


def _ansi_c_char(found: re.Match[str]) -> str:
    for digits, base in ((found[1], 16), (found[2], 16), (found[3], 16), (found[4], 8)):
        if digits:
            number = int(digits, base)
            return chr(number) if number < 128 else HOLE  # bytes above: what they are together depends on the locale
    if found[5]:
        return HOLE
    return _SIMPLE.get(found[6], found[6] if found[6] in "\\'\"?" else "\\" + found[6])
