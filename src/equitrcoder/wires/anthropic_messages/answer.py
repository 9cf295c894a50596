"""Reads one complete answer of the Messages wire.

Source: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

from typing import Any

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError
from equitrcoder.wires.anthropic_messages.reading import read_message
from equitrcoder.wires.nesting import too_deep
from equitrcoder.wires.values import Turn

_BLANK = b"\r\n\t \xef\xbb\xbf"


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status.

    A host that streams although no stream was asked for is read as a stream.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    if body[:64].lstrip(_BLANK).startswith((b"data:", b"event:", b":")):
        from equitrcoder.wires.anthropic_messages.stream import MessagesStreamReader

        reader = MessagesStreamReader()
        reader.feed(body)
        return reader.finish()
    document = _object(body)
    if document.get("type") == "error" or (document.get("error") and "content" not in document):
        from equitrcoder.wires.failures import error_inside

        raise error_inside(document)
    if not isinstance(document.get("content"), list | str):
        raise BadResponseError("The answer has no content: it is none of this wire.", excerpt=_excerpt(body))
    return read_message(document, usage=document.get("usage"))


def _object(body: bytes) -> dict[str, Any]:
    if body[:64].lstrip(_BLANK).startswith(b"<"):
        hint = "check the base URL, and any proxy before it"
        raise BadResponseError("The answer is an HTML page, not JSON.", hint=hint, excerpt=_excerpt(body))
    try:
        document = jsontext.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except jsontext.InvalidJSON as error:
        what = "empty" if not body.strip() else f"no JSON: {error}"
        raise BadResponseError(f"The answer is {what}.", excerpt=_excerpt(body)) from None
    if too_deep(document, body):
        raise BadResponseError("The answer is nested too deeply.", excerpt=_excerpt(body))
    if not isinstance(document, dict):
        raise BadResponseError("The answer is JSON, but no object.", excerpt=_excerpt(body))
    return document


def _excerpt(body: bytes) -> str:
    return body[:2000].decode("utf-8", "replace")[:500]
