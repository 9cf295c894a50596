"""From the output items of one answer to a `Turn`.

A stream is first put together into the same items (assembly.py) and read here, so both ways read alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equitrcoder.errors import BadResponseError, ProviderError
from equitrcoder.wires.arguments import count_of
from equitrcoder.wires.openai_responses.items import (
    MAX_ITEMS,
    find_calls,
    late_results,
    message_texts,
    reasoning_text,
)
from equitrcoder.wires.values import StopKind, Turn, Usage, WireCall

_OBJECT = {dict}

_STOPS: dict[str, StopKind] = {
    "completed": "end",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "filtered",
}


def read_turn(output: Sequence[Any], response: Mapping[str, Any]) -> Turn:
    """Read the output items of one answer, and of the response object around them what is said beside.

    Raises:
        BadResponseError: There are more than `MAX_ITEMS`, or an item is no object.
    """
    if len(output) > MAX_ITEMS:
        raise BadResponseError(f"The answer holds more than {MAX_ITEMS} output items.")
    if not {*map(type, output)} <= _OBJECT:
        raise BadResponseError("An output item of the answer is no object.")
    texts: list[str] = []
    thoughts: list[str] = []
    others: list[dict[str, Any]] = []
    refusals: list[str] = []
    for item in output:
        match item.get("type"):
            case "message":
                text, refused = message_texts(item)
                texts.append(text)
                refusals.append(refused)
            case "reasoning":
                thoughts.append(reasoning_text(item))
            case _:
                others.append(item)
    calls = tuple([found.call for found in find_calls(others)])
    refusal = "".join(refusals)
    finish = _word(response.get("status"))
    return Turn(
        text=_paragraphs(texts),
        reasoning=_paragraphs(thoughts),
        refusal=refusal or None,
        calls=calls,
        late_results=tuple(late_results(others, calls)),
        usage=read_usage(response.get("usage")),
        finish=finish,
        stop=_stop(finish, response.get("incomplete_details"), calls, refusal),
        model_answered=_word(response.get("model")),
        response_id=_word(response.get("id")),
        native={"output": list(output)},
    )


def _paragraphs(texts: Sequence[str]) -> str:
    return "\n\n".join([text for text in texts if text]) if len(texts) > 1 else "".join(texts)


def _stop(finish: str | None, incomplete: Any, calls: Sequence[WireCall], refusal: str) -> StopKind:
    for call in calls:
        if call.kind == "client":
            return "calls"
    if refusal:
        return "refusal"
    reason = incomplete.get("reason") if finish == "incomplete" and isinstance(incomplete, dict) else finish
    return _STOPS.get(reason, "unknown") if isinstance(reason, str) else "unknown"


def refuse_failed(response: Mapping[str, Any], turn: Turn) -> None:
    """Refuse an answer whose response object says that there is none.

    Raises:
        ProviderError: It failed, was cancelled or is not done; with what there was of it in `partial`.
    """
    status = response.get("status")
    error = response.get("error")
    if status == "failed" or (error and status not in ("completed", "incomplete", "requires_action")):
        raise failed(error or {"message": "the response failed, and nothing says why"}, turn)
    if status in ("cancelled", "queued", "in_progress"):
        raise BadResponseError(f"The provider ended the answer with the status {status}.", partial=turn)


_REFUSED = frozenset(
    {"invalid_prompt", "bio_policy", "misalignment_policy_violation", "data_residency_mismatch", "cyber_policy"}
    | {"image_content_policy_violation"}
)
"""Codes of an error that the request itself brought about: another attempt meets it again."""


def failed(error: Any, partial: Turn | None = None) -> ProviderError:
    """The typed error for an error object of a response or of an `error` event."""
    from equitrcoder.wires.failures import error_inside

    if isinstance(error, dict) and str(error.get("code")) in _REFUSED:
        error = {**error, "status": 400}
    typed = error_inside(error)
    typed.partial = partial
    return typed


def read_usage(usage: Any) -> Usage:
    """Read the tokens of an answer. Hosts that count reasoning beside the output show it in their total.

    Example:
        >>> read_usage({"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}})
        Usage(input_tokens=9, cached_read_tokens=None, cache_write_tokens=None, output_tokens=5, reasoning_tokens=3)

    Source: design/providers.md sections 1.1 and 2 (perplexity).
    """
    if not isinstance(usage, dict):
        return Usage()
    given, made = _details(usage, "input_tokens_details"), _details(usage, "output_tokens_details")
    inputs, outputs = count_of(usage.get("input_tokens")), count_of(usage.get("output_tokens"))
    reasoning = count_of(made.get("reasoning_tokens"))
    if (
        reasoning
        and inputs is not None
        and outputs is not None
        and usage.get("total_tokens") == inputs + outputs + reasoning
    ):
        outputs += reasoning
    return Usage(
        input_tokens=inputs,
        cached_read_tokens=_first(given, "cached_tokens", "cache_read_input_tokens"),
        cache_write_tokens=_first(given, "cache_write_tokens", "cache_creation_input_tokens"),
        output_tokens=outputs,
        reasoning_tokens=reasoning,
        billed_nanousd=_billed_nanousd(usage.get("cost")),
    )


def _billed_nanousd(cost: Any) -> int | None:
    """Perplexity's own bill: `{"input_cost": …, "output_cost": …, "total_cost": …, "currency": "USD"}`."""
    if not isinstance(cost, dict) or cost.get("currency") != "USD":
        return None
    dollars = cost.get("total_cost")
    if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < 1000:
        return None
    return round(dollars * 1_000_000_000)


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = usage.get(name)
    return details if isinstance(details, dict) else {}


def _first(numbers: Mapping[str, Any], *names: str) -> int | None:
    for name in names if numbers else ():
        if name in numbers:
            count = count_of(numbers[name])
            if count is not None:
                return count
    return None


def _word(value: Any) -> str | None:
    return value or None if isinstance(value, str) else None
