"""Reads one complete answer of Chat Completions.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Any

from equitrcoder.errors import BadResponseError, ProviderOverloadedError
from equitrcoder.wires.documents import checked_object, excerpt, is_stream, read_json
from equitrcoder.wires.openai_chat.reading import Choice, read_turn
from equitrcoder.wires.values import Turn


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status.

    A host that streams although no stream was asked for is read as a stream.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    if is_stream(body):
        from equitrcoder.wires.openai_chat.stream import ChatStreamReader

        reader = ChatStreamReader()
        reader.feed(body)
        return reader.finish()
    document = _object(body)
    choices = [_choice(choice, body) for choice in _choices(document, body)]
    groq = document.get("x_groq")
    usage = document.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
    turn = read_turn(choices, usage=usage, model=document.get("model"), response_id=document.get("id"))
    refuse_failed_finish(turn)
    return turn


def _object(body: bytes) -> dict[str, Any]:
    document = read_json(body)
    if isinstance(document, list) and len(document) == 1:  # the Gemini compatibility layer wraps errors so
        document = document[0]
    return checked_object(document, body)


def _choices(document: dict[str, Any], body: bytes) -> list[Any]:
    choices = document.get("choices")
    error = document.get("error")
    if error and not choices:
        from equitrcoder.wires.failures import error_inside

        raise error_inside(error)
    if not isinstance(choices, list):
        if document.get("object") == "error" or (choices is None and "message" in document):  # vLLM: no wrapper
            from equitrcoder.wires.failures import error_inside

            raise error_inside(document)
        raise BadResponseError("The answer has no choices: it is none of this wire.", excerpt=excerpt(body))
    if not choices:
        raise BadResponseError("The answer has no choices: the list is empty.", excerpt=excerpt(body))
    return choices


def _choice(choice: Any, body: bytes) -> Choice:
    if isinstance(choice, dict):
        message = choice.get("message")
        if choice.get("error"):  # OpenRouter
            from equitrcoder.wires.failures import error_inside

            raise error_inside(choice["error"])
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise BadResponseError("A choice of the answer has no message.", excerpt=excerpt(body))
    finish = choice.get("finish_reason")
    return Choice(message, finish if isinstance(finish, str) and finish else None)


def refuse_failed_finish(turn: Turn) -> None:
    """Refuse an answer whose finish word says that the host failed in the middle of it.

    Raises:
        ProviderOverloadedError: DeepSeek ran out of resources. Source: https://api-docs.deepseek.com/api/create-chat-completion
        BadResponseError: The word is `error` and nothing tells more.
    """
    if turn.finish == "insufficient_system_resource":
        raise ProviderOverloadedError("The provider broke the answer off: insufficient_system_resource.", partial=turn)
    if turn.finish == "error":
        message = "The provider ended the answer with finish_reason error and no message."
        raise BadResponseError(message, retryable=True, partial=turn)
