"""Cohere's chat wire, version 2.

What is read and sent: docs/wires.md.

Source: https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import ContextTooLongError, ProviderError, QuotaExhaustedError
from equitrcoder.wires.cohere_v2.requests import request
from equitrcoder.wires.cohere_v2.stream import CohereStreamReader
from equitrcoder.wires.values import Turn

__all__ = ["error", "read_response", "request", "stream_reader"]


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read one complete answer; events, though none were asked for, are read as such.

    Raises:
        ProviderError: The body is no answer of this wire (BadResponseError), or it is an error, also one inside a 200.
    """
    if status >= 400:
        raise error(status, {}, body)
    from equitrcoder.wires.cohere_v2.reading import read_document

    return read_document(body)


def stream_reader() -> CohereStreamReader:
    """A reader for one streamed answer."""
    return CohereStreamReader()


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set.

    The wire has only words: a prompt that is too long, and a trial key whose month is used up, are told by them.
    """
    from equitrcoder.wires.failures import error_from_http

    found = error_from_http(status, headers, body)
    words = found.message.lower()
    named: ProviderError | None = None
    if status == 400 and "too many tokens" in words:
        named = ContextTooLongError(found.message, hint="start a new session, or ask for less at once")
    elif status == 429 and ("/ month" in words or "per month" in words):
        named = QuotaExhaustedError(found.message, hint="a production key, or wait until next month")
    if named is None:
        return found
    named.status, named.excerpt = found.status, found.excerpt
    return named
