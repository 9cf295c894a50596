"""The Messages wire, as Anthropic describes it and as some other hosts speak it.

What is read beyond the specification, and what is sent otherwise than received: docs/wires.md.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import ProviderError
from equitrcoder.wires.anthropic_messages.answer import read_document
from equitrcoder.wires.anthropic_messages.dialect import MessagesDialect
from equitrcoder.wires.anthropic_messages.requests import request
from equitrcoder.wires.anthropic_messages.stream import MessagesStreamReader
from equitrcoder.wires.values import Turn

__all__ = ["MessagesDialect", "error", "read_response", "request", "stream_reader"]


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read one complete answer.

    Returns:
        The turn: text, calls in the order of the answer (those that the provider ran with their results), usage, stop
        reason, and the assistant message verbatim for the next request.

    Raises:
        ProviderError: The body is no answer of this wire (BadResponseError), or it is an error, also one inside a 200.

    Source: https://platform.claude.com/docs/en/api/messages/create
    """
    if status >= 400:
        raise error(status, {}, body)
    return read_document(body)


def stream_reader() -> MessagesStreamReader:
    """A reader for one streamed answer."""
    return MessagesStreamReader()


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set."""
    from equitrcoder.wires.anthropic_messages.failures import error_from_http

    return error_from_http(status, headers, body)
