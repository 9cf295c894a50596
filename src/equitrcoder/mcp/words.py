"""A stranger's words, so that what cannot be seen is seen. Pure."""

from __future__ import annotations

import re

# Controls but tab and line feed; what turns the direction of text; what has no width; tags; lone surrogates.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)


def seen(text: str) -> str:
    """The text with every character that is not seen written out.

    Example:
        >>> seen("a\\x1b[31m\\u202eb\\n")
        'a\\\\x1b[31m\\\\u202eb\\n'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def bounded(text: str, most: int) -> str:
    """At most so many characters, and a word on those left out.

    Example:
        >>> bounded("abcdef", 3)
        'abc… [3 more characters]'
    """
    return text if len(text) <= most else f"{text[:most]}… [{len(text) - most:,} more characters]"


def one_line(text: str, most: int = 300) -> str:
    """For a notice or an error: on one line, everything seen, bounded."""
    return bounded(seen(" ".join(text[: 4 * most].split())), most)
