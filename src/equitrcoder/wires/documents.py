"""The body of a whole answer, before its wire looks into it."""

from __future__ import annotations

import re
from typing import Any

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires.nesting import LARGE_BYTES, MAX_LEVELS, too_deep

BLANK = b"\r\n\t \xef\xbb\xbf"
"""What may stand before an answer: white space, or a byte order mark."""

_FIRST = (b"data:", b"event:", b":", b"id:", b"retry:")


def is_stream(body: bytes) -> bool:
    r"""Whether a body is an event stream, though it may not have been asked for as one.

    Example:
        >>> is_stream(b"\ndata: {}"), is_stream(b"{}")
        (True, False)
    """
    return not body.startswith(b"{") and body[:64].lstrip(BLANK).startswith(_FIRST)


def read_json(body: bytes) -> Any:
    """Read the JSON of a body.

    Raises:
        BadResponseError: It is an HTML page, no JSON, or nested too deeply.
    """
    if not body.startswith(b"{") and body[:64].lstrip(BLANK).startswith(b"<"):
        hint = "check the base URL, and any proxy before it"
        raise BadResponseError("The answer is an HTML page, not JSON.", hint=hint, excerpt=excerpt(body))
    try:
        if len(body) > LARGE_BYTES:
            document, most_levels = jsontext.loads(body.removeprefix(b"\xef\xbb\xbf")), len(body)
        else:
            document, most_levels = jsontext.loads_counted(body.removeprefix(b"\xef\xbb\xbf"))
    except jsontext.InvalidJSON as error:
        raise _no_json(body, error) from None
    if most_levels > MAX_LEVELS and too_deep(document, body):
        raise BadResponseError("The answer is nested too deeply.", excerpt=excerpt(body))
    return document


def _no_json(body: bytes, error: jsontext.InvalidJSON) -> BadResponseError:
    if not body.strip():
        return BadResponseError("The answer is empty.")
    if ends_early(body):  # it broke off on its way, whatever the length in its head said: the next may come whole
        return BadResponseError(
            f"The answer ends in the middle of its JSON: {error}.", excerpt=excerpt(body), retryable=True
        )
    return BadResponseError(f"The answer is no JSON: {error}.", excerpt=excerpt(body))


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # the last one may have no end


def ends_early(body: bytes) -> bool:
    r"""Whether a body is JSON that breaks off: more is opened than closed, and no absurd number.

    Example:
        >>> ends_early(b'{"a": "b]}'), ends_early(b'{"a": NaN}'), ends_early(b"oops")
        (True, False, False)
    """
    if body[:64].lstrip(BLANK)[:1] not in (b"{", b"["):
        return False
    marks = _STRING.sub(b"", body)
    still_open = marks.count(b"{") + marks.count(b"[") - marks.count(b"}") - marks.count(b"]")
    return 0 < still_open <= MAX_LEVELS


def checked_object(document: Any, body: bytes) -> dict[str, Any]:
    """The document, which was read from this body, when it is an object.

    Raises:
        BadResponseError: It is none.
    """
    if not isinstance(document, dict):
        raise BadResponseError("The answer is JSON, but no object.", excerpt=excerpt(body))
    return document


def excerpt(body: bytes) -> str:
    """The first characters of a body, for an error."""
    return body[:2000].decode("utf-8", "replace")[:500]
