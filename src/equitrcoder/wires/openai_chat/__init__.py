"""The Chat Completions wire, as OpenAI describes it and as some dozen other hosts speak it.

What is read beyond the specification, and what is sent otherwise than received: docs/wires.md.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import ProviderError
from equitrcoder.wires.openai_chat.answer import read_document
from equitrcoder.wires.openai_chat.dialect import ChatDialect
from equitrcoder.wires.openai_chat.requests import request
from equitrcoder.wires.openai_chat.stream import ChatStreamReader
from equitrcoder.wires.values import Turn

__all__ = ["ChatDialect", "error", "read_response", "request", "stream_reader"]


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read one complete answer.

    Returns:
        The turn: text, calls in the order of the answer (of all choices), usage, finish reason, and the assistant
        message of the first choice verbatim for the next request.

    Raises:
        ProviderError: The body is no answer of this wire (BadResponseError), or it is an error, also one inside a 200.

    Source: https://platform.openai.com/docs/api-reference/chat/object
    """
    if status >= 400:
        raise error(status, {}, body)
    return read_document(body)


def stream_reader() -> ChatStreamReader:
    """A reader for one streamed answer."""
    return ChatStreamReader()


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set."""
    from equitrcoder.wires.failures import error_from_http

    return error_from_http(status, headers, body)
