"""From the candidates of an answer to a `Turn`.

A stream is first put together into the same content (assembly.py) and read here, so both ways read alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from equitrcoder.errors import AuthenticationError, BadResponseError, ProviderError, RequestRefusedError
from equitrcoder.wires.arguments import string
from equitrcoder.wires.gemini_generate.calls import found_calls
from equitrcoder.wires.gemini_generate.fields import pick, word
from equitrcoder.wires.gemini_generate.usage import read_usage
from equitrcoder.wires.values import LateResult, StopKind, Turn, WireCall

FINISHES = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""Numbers that stand for finish words in every version; above 5 Gemini and Vertex count differently."""

_FILTERED = (
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR ESCALATION "
    "IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION IMAGE_OTHER"
)
_STOPS: dict[str, StopKind] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "TOO_MANY_TOOL_CALLS": "length",  # Google's own tools ran too often: the answer has no end
    **dict.fromkeys(_FILTERED.split(), "filtered"),
}
_BROKEN = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"})


class Candidate(NamedTuple):
    """One candidate of an answer."""

    content: dict[str, Any]
    finish: str | None
    message: str
    """The provider's words about the finish; empty when there are none."""


def finish_of(candidate: Mapping[str, Any]) -> str | None:
    """The provider's word for why a candidate ended; None when it has not."""
    found = word(pick(candidate, "finishReason"), FINISHES)
    return None if found in ("", "0", "FINISH_REASON_UNSPECIFIED") else found


def block_of(feedback: Any) -> str:
    """Why the prompt was blocked; empty when it was not."""
    if not isinstance(feedback, dict):
        return ""
    found = word(pick(feedback, "blockReason"), {})
    return "" if found in ("0", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED") else found


def read_turn(
    candidates: Sequence[Candidate],
    *,
    feedback: Any = None,
    usage: Mapping[str, Any] | None = None,
    model: Any = None,
    response_id: Any = None,
) -> Turn:
    """Read the candidates of one answer. Text and native content are the first's, calls are those of all.

    Without candidates it is a refusal of the prompt (or nothing, as far as it has come).

    Raises:
        BadResponseError: A call stands where none can be read, or there are too many.
    """
    first = candidates[0] if candidates else Candidate({"role": "model", "parts": []}, None, "")
    text, reasoning = _texts(first.content["parts"])
    calls, late = _calls(candidates)
    blocked = "" if candidates else block_of(feedback)
    stop: StopKind = "refusal" if blocked else _stop(first.finish, calls)
    return Turn(
        text=text,
        reasoning=reasoning,
        refusal=_refusal(first, feedback, blocked, stop),
        calls=calls,
        late_results=late,
        usage=read_usage(usage),
        finish=blocked or first.finish,
        stop=stop,
        model_answered=string(model) or None,
        response_id=string(response_id) or None,
        native=first.content,
        further=tuple([candidate.content for candidate in candidates[1:]]) if len(candidates) > 1 else (),
    )


def _calls(candidates: Sequence[Candidate]) -> tuple[tuple[WireCall, ...], tuple[LateResult, ...]]:
    calls: list[WireCall] = []
    late: list[LateResult] = []
    for candidate in candidates:
        found = found_calls(candidate.content["parts"])
        for call in found.calls:
            calls.append(call.wire_call(len(calls)))
        late += found.late
    return tuple(calls), tuple(late)


def _texts(parts: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    texts: tuple[list[str], list[str]] = ([], [])
    for part in parts:
        text = part.get("text")
        if isinstance(text, str):
            texts[part.get("thought") is True].append(text)
    return "".join(texts[0]), "".join(texts[1])


def _stop(finish: str | None, calls: Sequence[WireCall]) -> StopKind:
    for call in calls:
        if call.kind == "client":
            return "calls"
    return _STOPS.get(finish or "", "unknown")


def _refusal(first: Candidate, feedback: Any, blocked: str, stop: StopKind) -> str | None:
    if blocked:
        told = string(pick(feedback, "blockReasonMessage"))
        return f"The prompt was blocked ({blocked})." + (f" {told}" if told else "")
    if stop == "filtered":
        return first.message or f"The answer was withheld ({first.finish})."
    return None


def refuse_failed_finish(turn: Turn, message: str) -> None:
    """Refuse an answer whose finish word says that it failed, unless it holds a call that we can answer.

    Raises:
        BadResponseError: The model wrote a call (or answer) that Google could not read; another attempt may do better.
        RequestRefusedError: A thought signature was missing in what was sent.
        AuthenticationError: The account is limited.
    """
    if turn.stop == "calls" or turn.finish is None:
        return
    text = f"The provider ended the answer with {turn.finish}" + (f": {_one_line(message)}" if message else ".")
    error: ProviderError | None = None
    if turn.finish in _BROKEN:
        error = BadResponseError(text, retryable=True, partial=turn)
    elif turn.finish == "MISSING_THOUGHT_SIGNATURE":
        error = RequestRefusedError(text, hint="start a new session", partial=turn)
    elif turn.finish == "PUP_LIMITED_DISABLED":
        error = AuthenticationError(text, hint="see the account's state at the provider", partial=turn)
    if error is not None:
        raise error


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:300]).strip()
