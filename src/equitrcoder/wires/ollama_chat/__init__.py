"""Ollama's own chat wire: JSON lines, calls as objects and without ids, results matched by their order.

What is read and sent: docs/wires.md.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from collections.abc import Mapping

from equitrcoder.errors import ProviderError
from equitrcoder.wires.ollama_chat.dialect import OllamaDialect
from equitrcoder.wires.ollama_chat.requests import request
from equitrcoder.wires.ollama_chat.stream import OllamaStreamReader
from equitrcoder.wires.values import Turn

__all__ = ["OllamaDialect", "error", "read_response", "request", "stream_reader"]


def read_response(body: bytes, *, status: int = 200) -> Turn:
    """Read one complete answer; JSON lines, though none were asked for, are read as such.

    Raises:
        ProviderError: The body is no answer of this wire (BadResponseError), or it is an error, also one inside a 200.
    """
    if status >= 400:
        raise error(status, {}, body)
    from equitrcoder.wires.ollama_chat.reading import read_document

    return read_document(body)


def stream_reader() -> OllamaStreamReader:
    """A reader for one streamed answer."""
    return OllamaStreamReader()


def error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Turn an HTTP error answer into a typed error, with `retryable` and `retry_after_s` set."""
    from equitrcoder.wires.failures import error_from_http

    problem = error_from_http(status, headers, body)
    if "does not support thinking" in problem.message:
        problem.hint = "leave reasoning_effort unset, or take a model that thinks"
    return problem
