"""Reads one complete answer of the Responses wire.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError, ProviderError
from equitrcoder.wires.documents import checked_object, excerpt, is_stream, read_json
from equitrcoder.wires.openai_responses.reading import failed, read_turn, refuse_failed
from equitrcoder.wires.values import Turn


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status.

    A host that streams although no stream was asked for is read as a stream.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    if is_stream(body):
        from equitrcoder.wires.openai_responses.stream import ResponsesStreamReader

        reader = ResponsesStreamReader()
        reader.feed(body)
        return reader.finish()
    response = checked_object(read_json(body), body)
    output = response.get("output")
    if not isinstance(output, list):
        raise _no_output(response, body)
    turn = read_turn(output, response)
    refuse_failed(response, turn)
    return turn


def _no_output(response: dict[str, Any], body: bytes) -> ProviderError:
    error = response.get("error")
    if error:
        return failed(error)
    if response.get("type") == "error" or response.get("object") == "error" or "message" in response:
        return failed(response)
    if response.get("status") == "failed":
        return failed({"message": "the response failed, and nothing says why"})
    hint = ""
    if "choices" in response:
        hint = "it is one of Chat Completions: that wire is openai-chat"
    return BadResponseError("The answer has no output: it is none of this wire.", hint=hint, excerpt=excerpt(body))
