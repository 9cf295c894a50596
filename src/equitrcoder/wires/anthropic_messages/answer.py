"""Reads one complete answer of the Messages wire.

Source: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.anthropic_messages.reading import read_message
from equitrcoder.wires.documents import checked_object, excerpt, is_stream, read_json
from equitrcoder.wires.values import Turn


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status.

    A host that streams although no stream was asked for is read as a stream.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    if is_stream(body):
        from equitrcoder.wires.anthropic_messages.stream import MessagesStreamReader

        reader = MessagesStreamReader()
        reader.feed(body)
        return reader.finish()
    document = checked_object(read_json(body), body)
    if document.get("type") == "error" or (document.get("error") and "content" not in document):
        from equitrcoder.wires.failures import error_inside

        raise error_inside(document)
    if not isinstance(document.get("content"), list | str):
        raise BadResponseError("The answer has no content: it is none of this wire.", excerpt=excerpt(body))
    return read_message(document, usage=document.get("usage"))
