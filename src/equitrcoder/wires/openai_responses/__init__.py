"""The Responses wire, as OpenAI describes it, and the part of it that Perplexity's Agent API speaks.

What is read beyond the specification, and what is sent otherwise than received: docs/wires.md.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import ProviderError
from equitrcoder.wires.openai_responses.answer import read_document
from equitrcoder.wires.openai_responses.dialect import ResponsesDialect
from equitrcoder.wires.openai_responses.requests import request
from equitrcoder.wires.openai_responses.stream import ResponsesStreamReader
from equitrcoder.wires.values import Turn

__all__ = ["ResponsesDialect", "error", "read_response", "request", "stream_reader"]


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read one complete answer.

    Returns:
        The turn: text, calls in the order of the output items, usage, status, and all output items verbatim for the
        next request.

    Raises:
        ProviderError: The body is no answer of this wire (BadResponseError), or it is an error: an error object, or a
            response that failed or was cancelled.

    Source: https://platform.openai.com/docs/api-reference/responses/object
    """
    if status >= 400:
        raise error(status, {}, body)
    return read_document(body)


def stream_reader() -> ResponsesStreamReader:
    """A reader for one streamed answer."""
    return ResponsesStreamReader()


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set."""
    from equitrcoder.wires.failures import error_from_http

    return error_from_http(status, headers, body)
