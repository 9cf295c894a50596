"""Gemini's generateContent wire.

What is read beyond the specification, and what is sent otherwise than received: docs/wires.md.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import ProviderError
from equitrcoder.wires.gemini_generate.answer import read_document
from equitrcoder.wires.gemini_generate.dialect import GeminiDialect
from equitrcoder.wires.gemini_generate.requests import request
from equitrcoder.wires.gemini_generate.stream import GeminiStreamReader
from equitrcoder.wires.values import Turn

__all__ = ["GeminiDialect", "error", "read_response", "request", "stream_reader"]


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read one complete answer.

    Returns:
        The turn: text, calls in the order of the answer (of all candidates), usage, finish reason, and the content of
        the first candidate verbatim for the next request.

    Raises:
        ProviderError: The body is no answer of this wire (BadResponseError), or it is an error, also one inside a 200.

    Source: https://ai.google.dev/api/generate-content#generatecontentresponse
    """
    if status >= 400:
        raise error(status, {}, body)
    return read_document(body)


def stream_reader() -> GeminiStreamReader:
    """A reader for one streamed answer."""
    return GeminiStreamReader()


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set."""
    from equitrcoder.wires.gemini_generate.errors import error_from_gemini

    return error_from_gemini(status, headers, body)
