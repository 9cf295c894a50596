"""Reads one complete answer of the Responses wire.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from typing import Any

from equitrcoder import jsontext
from equitrcoder.errors import BadResponseError, ProviderError
from equitrcoder.wires.nesting import too_deep
from equitrcoder.wires.openai_responses.reading import failed, read_turn, refuse_failed
from equitrcoder.wires.values import Turn

_BLANK = b"\r\n\t \xef\xbb\xbf"


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status.

    A host that streams although no stream was asked for is read as a stream.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    if body[:64].lstrip(_BLANK).startswith((b"data:", b"event:", b":")):
        from equitrcoder.wires.openai_responses.stream import ResponsesStreamReader

        reader = ResponsesStreamReader()
        reader.feed(body)
        return reader.finish()
    response = _object(body)
    output = response.get("output")
    if not isinstance(output, list):
        raise _no_output(response, body)
    turn = read_turn(output, response)
    refuse_failed(response, turn)
    return turn


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
    return BadResponseError("The answer has no output: it is none of this wire.", hint=hint, excerpt=_excerpt(body))


def _excerpt(body: bytes) -> str:
    return body[:2000].decode("utf-8", "replace")[:500]
