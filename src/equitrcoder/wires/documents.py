"""The body of a whole answer, before its wire looks into it."""

from __future__ import annotations

from typing import Any

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires.nesting import MAX_LEVELS, too_deep

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
        document = jsontext.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except jsontext.InvalidJSON as error:
        what = "empty" if not body.strip() else f"no JSON: {error}"
        raise BadResponseError(f"The answer is {what}.", excerpt=excerpt(body)) from None
    if len(body) > 2 * MAX_LEVELS and too_deep(document, body):
        raise BadResponseError("The answer is nested too deeply.", excerpt=excerpt(body))
    return document


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
