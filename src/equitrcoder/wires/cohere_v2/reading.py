"""From an answer of Cohere's chat to a `Turn`.

Source: https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equitrcoder.errors import BadResponseError, ProviderTimeoutError
from equitrcoder.wires.arguments import compact, count_of
from equitrcoder.wires.documents import checked_object, excerpt, is_stream, read_json
from equitrcoder.wires.openai_chat.reading import read_client_calls, read_content
from equitrcoder.wires.values import StopKind, Turn, Usage, WireCall

_STOPS: dict[str, StopKind] = {"COMPLETE": "end", "STOP_SEQUENCE": "end", "MAX_TOKENS": "length"}


def read_document(body: bytes) -> Turn:
    """Read the body of an answer that came with a success status.

    Raises:
        ProviderError: The body is no answer of this wire, or it is an error in spite of the status.
    """
    if is_stream(body):
        from equitrcoder.wires.cohere_v2.stream import CohereStreamReader

        reader = CohereStreamReader()
        reader.feed(body)
        return reader.finish()
    document = checked_object(read_json(body), body)
    message = document.get("message")
    if document.get("error") or isinstance(message, str):
        from equitrcoder.wires.failures import error_inside

        raise error_inside(document)
    if not isinstance(message, dict):
        raise BadResponseError("The answer has no message: it is none of this wire.", excerpt=excerpt(body))
    turn = read_turn(message, document)
    refuse_failed_finish(turn, document.get("error"))
    return turn


def read_turn(message: dict[str, Any], facts: Mapping[str, Any]) -> Turn:
    """Read a whole message, and what stood around it (`id`, `finish_reason`, `usage`).

    Raises:
        BadResponseError: A call stands where none can be read, or there are more than `MAX_CALLS`.
    """
    said, reasoning, _ = read_content(message.get("content"))
    plan = message.get("tool_plan")
    plan = plan if plan is None or isinstance(plan, str) else compact(plan)
    calls = _calls(message)
    finish, response_id = facts.get("finish_reason"), facts.get("id")
    finish = finish if isinstance(finish, str) and finish else None
    return Turn(
        text=f"{plan}\n\n{said}" if plan and said else plan or said,
        reasoning=reasoning,
        calls=calls,
        usage=read_tokens(facts.get("usage")),
        finish=finish,
        stop="calls" if calls else _STOPS.get(finish or "", "unknown"),
        response_id=response_id if isinstance(response_id, str) and response_id else None,
        native=message,
    )


def _calls(message: Mapping[str, Any]) -> tuple[WireCall, ...]:
    entries = message.get("tool_calls")
    return () if entries is None else read_client_calls(entries)


def read_tokens(usage: Any) -> Usage:
    """Read the tokens: those that are billed, where the answer tells them.

    `tokens` are more: they count what the host puts around the prompt by itself. `cached_tokens` are some of those, so
    that they are told only beside them.

    Example:
        >>> read_tokens({"billed_units": {"input_tokens": 8, "output_tokens": 5}, "tokens": {"input_tokens": 900}})
        Usage(input_tokens=8, cached_read_tokens=None, cache_write_tokens=None, output_tokens=5, reasoning_tokens=None)
    """
    if not isinstance(usage, dict):
        return Usage()
    billed, counted = usage.get("billed_units"), usage.get("tokens")
    billed = billed if isinstance(billed, dict) else {}
    counted = counted if isinstance(counted, dict) else {}
    billed_inputs, outputs = count_of(billed.get("input_tokens")), count_of(billed.get("output_tokens"))
    if outputs is None:
        outputs = count_of(counted.get("output_tokens"))
    reasoning = count_of(counted.get("reasoning_tokens"))
    return Usage(
        input_tokens=count_of(counted.get("input_tokens")) if billed_inputs is None else billed_inputs,
        cached_read_tokens=count_of(usage.get("cached_tokens")) if billed_inputs is None else None,
        output_tokens=outputs,
        reasoning_tokens=reasoning if reasoning is None or reasoning <= (outputs or 0) else outputs,
    )


def refuse_failed_finish(turn: Turn, words: Any) -> None:
    """Refuse an answer whose finish word says that the host failed in the middle of it.

    Raises:
        ProviderTimeoutError: It ran out of time.
        BadResponseError: It failed otherwise; another attempt may do better.
    """
    told = f": {words[:300]}" if isinstance(words, str) and words else " and says no more"
    if turn.finish == "TIMEOUT":
        raise ProviderTimeoutError("The provider broke the answer off: TIMEOUT.", partial=turn)
    if turn.finish == "ERROR":
        raise BadResponseError(f"The provider broke the answer off{told}.", retryable=True, partial=turn)
