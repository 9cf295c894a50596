"""From an answer of Ollama's chat to a `Turn`.

Source: https://docs.ollama.com/api/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.errors import BadResponseError
from equitrcoder.wires.arguments import compact
from equitrcoder.wires.documents import checked_object, excerpt, read_json
from equitrcoder.wires.nesting import MAX_LEVELS, too_deep
from equitrcoder.wires.openai_chat.reading import read_client_calls
from equitrcoder.wires.openai_chat.usage import read_usage
from equitrcoder.wires.values import StopKind, Turn, Usage, WireCall

_STOPS: dict[str, StopKind] = {"stop": "end", "length": "length"}


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status: one object, or JSON lines.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    try:
        document = read_json(body)
    except BadResponseError:
        if b"\n" not in body.strip():
            raise
        from equitrcoder.wires.ollama_chat.stream import OllamaStreamReader

        reader = OllamaStreamReader()
        reader.feed_lines(body)
        return reader.finish()
    fields = checked_object(document, body)
    refuse_error(fields)
    if not isinstance(fields.get("message"), dict):
        raise BadResponseError("The answer has no message: it is none of this wire.", excerpt=excerpt(body))
    turn = read_turn(fields["message"], fields)
    if fields.get("done") is False:
        raise BadResponseError("The answer is not done.", partial=turn, retryable=True)
    return turn


def checked(value: Any, text: bytes) -> dict[str, Any]:
    """The object that a line of the answer is.

    Raises:
        ProviderError: It is an error, or none of this wire.
    """
    if not isinstance(value, dict):
        raise BadResponseError("The answer is JSON, but no object.", excerpt=excerpt(text))
    if len(text) > 2 * MAX_LEVELS and too_deep(value, text):
        raise BadResponseError("The answer is nested too deeply.", excerpt=excerpt(text))
    refuse_error(value)
    return value


def refuse_error(fields: Mapping[str, Any]) -> None:
    """Raise the error that a document or line of the answer is, if it is one."""
    if fields.get("error"):
        from equitrcoder.wires.failures import error_inside

        problem = error_inside(fields)
        if "error parsing tool call" in problem.message:  # the model wrote a broken one: it may do better next time
            problem.retryable = True
        raise problem


def read_turn(message: dict[str, Any], facts: Mapping[str, Any]) -> Turn:
    """Read a whole message, and what stood around it.

    Raises:
        BadResponseError: A call stands where none can be read, or there are more than `MAX_CALLS`.
    """
    calls = read_calls_of(message)
    done_reason = facts.get("done_reason")
    finish = done_reason if isinstance(done_reason, str) and done_reason else None
    model = facts.get("model")
    return Turn(
        text=plain(message.get("content")),
        reasoning=plain(message.get("thinking")),
        calls=calls,
        usage=_usage(facts),
        finish=finish,
        stop="calls" if calls else _STOPS.get(finish or "", "unknown"),
        model_answered=model if isinstance(model, str) and model else None,
        native=message,
    )


def read_calls_of(message: Mapping[str, Any]) -> tuple[WireCall, ...]:
    """The calls of a message; without ids unless the server gave some."""
    entries = message.get("tool_calls")
    return () if entries is None else read_client_calls(entries)


def plain(value: Any) -> str:
    """Text; what is none is its JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return compact(value)


def _usage(facts: Mapping[str, Any]) -> Usage:
    return read_usage({"prompt_tokens": facts.get("prompt_eval_count"), "completion_tokens": facts.get("eval_count")})
