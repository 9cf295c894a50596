"""Reads one complete answer of generateContent.

Source: https://ai.google.dev/api/generate-content#generatecontentresponse
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError, ProviderError, StreamBrokenError
from equitrcoder.wires.documents import excerpt, is_stream, read_json
from equitrcoder.wires.gemini_generate.assembly import AnswerAssembly, plain_candidate
from equitrcoder.wires.gemini_generate.reading import read_turn, refuse_failed_finish
from equitrcoder.wires.values import Turn


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status.

    A stream, though none was asked for, is read as one; so is a list of chunks, which is how Google streams without
    `alt=sse`.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    if is_stream(body):
        from equitrcoder.wires.gemini_generate.stream import GeminiStreamReader

        reader = GeminiStreamReader()
        reader.feed(body)
        return reader.finish()
    document = read_json(body)
    turn = _plain(document) if isinstance(document, dict) else None
    if turn is not None:
        return turn
    if not document or not isinstance(document, dict | list):
        raise BadResponseError("The answer is JSON, but no object.", excerpt=excerpt(body))
    chunks = document if isinstance(document, list) else [document]
    answer = AnswerAssembly()
    try:
        for chunk in chunks:
            answer.take(chunk, [])
        if answer.empty:
            raise BadResponseError("The answer has no candidates: it is none of this wire.", excerpt=excerpt(body))
        if len(chunks) > 1 and not answer.finished:
            raise StreamBrokenError("The stream broke off before the answer was complete.", excerpt=excerpt(body))
        return answer.whole()
    except ProviderError as error:
        if error.partial is None and not answer.empty:
            error.partial = answer.turn()
        raise


def _plain(document: dict[str, Any]) -> Turn | None:
    """Read an answer of one candidate with nothing in it that must be put together; None when it is another.

    Nearly all are like that, and nothing else is needed for them; `AnswerAssembly` would make the same turn.
    """
    candidates, usage = document.get("candidates"), document.get("usageMetadata")
    if not isinstance(candidates, list) or len(candidates) != 1 or not _PLAIN_FIELDS.issuperset(document):
        return None
    candidate = plain_candidate(candidates[0])
    if candidate is None or not isinstance(usage, dict):
        return None
    model, response_id = document.get("modelVersion"), document.get("responseId")
    turn = read_turn([candidate], usage=usage, model=model, response_id=response_id)
    refuse_failed_finish(turn, candidate.message)
    return turn


_PLAIN_FIELDS = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime"})
