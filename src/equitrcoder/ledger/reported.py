"""A run that another agent made, as somebody reports it: checked first, then written as if it had been watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args

from equitrcoder.errors import UsageError
from equitrcoder.records import CLOSED_OUTCOMES, JSON, Outcome, RunStatus, format_time
from equitrcoder.wires.values import Turn, Usage, WireCall

if TYPE_CHECKING:
    from datetime import datetime

    from equitrcoder.ledger.recorder import RecordedCall, RunRecorder

_STEP = {"step": None, "type": "model", "timestamp": None, "content": None, "tokens": None}
_TOKENS = ("input_tokens", "output_tokens", "cached_read_tokens", "reasoning_tokens")


class Completion:
    """What `AgentRuns.update_completion` was given, checked.

    Raises:
        UsageError: It makes no sense; says which part.
    """

    def __init__(
        self,
        *,
        response: str | None,
        steps_taken: int,
        tool_calls: Iterable[Mapping[str, JSON]] | None,
        execution_steps: Iterable[Mapping[str, JSON]] | None,
        status: RunStatus,
        completed_at: datetime | None,
        token_usage: Mapping[str, int] | None,
        error: str | None,
    ) -> None:
        if status == "running" or status not in get_args(RunStatus):
            ends = ", ".join(one for one in get_args(RunStatus) if one != "running")
            raise UsageError(f"A run does not end as {status!r}.", hint=f"one of {ends}")
        if type(steps_taken) is not int or steps_taken < 0:
            raise UsageError(f"steps_taken must be a number of model answers, not {steps_taken!r}.")
        if completed_at is not None and completed_at.tzinfo is None:
            raise UsageError(f"completed_at has no time zone: {completed_at}.", hint="datetime.now(UTC), say")
        self._response = response
        self._status: RunStatus = status
        self._error = error
        self._steps = [_step(number, given) for number, given in enumerate(execution_steps or (), 1)]
        self._calls = [_call(number, given) for number, given in enumerate(tool_calls or (), 1)]
        self._reported: dict[str, JSON] = {"steps_taken": steps_taken, "execution_steps": list(self._steps)}
        self._reported["usage"] = _usage(token_usage, self._steps)
        if completed_at is not None:
            self._reported["ended_at"] = format_time(completed_at)

    def write(self, recorder: RunRecorder) -> None:
        """Record turns, calls and the end."""
        answers = [step for step in self._steps if step["type"] == "model"]
        by_turn: dict[int, list[Mapping[str, Any]]] = {number: [] for number in range(1, len(answers) + 1)}
        for call, number in zip(self._calls, self._model_steps(), strict=True):
            by_turn.setdefault(number, []).append(call)
        for number in sorted(by_turn):
            answer = answers[number - 1] if number <= len(answers) else None
            recorded = recorder.record_turn(
                _turn(answer, by_turn[number]),
                step=number,
                duration_ms=None,
                time_to_first_byte_ms=None,
                attempts=1,
                cost_nanousd=None,
                price_version=None,
            )
            for made, asked in zip(recorded, by_turn[number], strict=True):
                _close(recorder, made, asked)
        recorder.finish(
            status=self._status,
            response=self._response,
            error=self._error,
            error_type="reported" if self._error else None,
            reported=self._reported,
        )

    def _model_steps(self) -> list[int]:
        """The answer that asked for each call: as said, else by the place in the steps, else the first."""
        places: list[int] = []
        answers = 0
        for step in self._steps:
            answers += step["type"] == "model"
            if step["type"] == "tool_call":
                places.append(max(answers, 1))
        numbers: list[int] = []
        for place, call in enumerate(self._calls):
            said = call["model_step"]
            by_place = places[place] if place < len(places) else max(answers, 1)
            # Calls keep their order: one cannot be asked for earlier than the one before it.
            numbers.append(max(by_place if said is None else said, numbers[-1] if numbers else 1))
        return numbers


def _step(number: int, given: Mapping[str, JSON]) -> dict[str, JSON]:
    if not isinstance(given, Mapping):
        raise UsageError(f"Execution step {number} is no mapping: {given!r}.")
    return {**_STEP, "step": number, **given}


def _call(number: int, given: Mapping[str, JSON]) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not isinstance(given.get("tool_name"), str):
        raise UsageError(f"Tool call {number} has no tool_name: {given!r}.")
    status, step = given.get("status"), given.get("model_step")
    if status is not None and status not in CLOSED_OUTCOMES:
        raise UsageError(
            f"Tool call {number} cannot end as {status!r}.", hint=f"one of {', '.join(sorted(CLOSED_OUTCOMES))}"
        )
    if step is not None and (type(step) is not int or not 1 <= step <= 1_000_000):
        raise UsageError(f"model_step of tool call {number} must be a whole number from 1, not {step!r}.")
    return {"model_step": None, **given}


def _usage(given: Mapping[str, int] | None, steps: list[dict[str, JSON]]) -> dict[str, JSON]:
    """Tokens as said, else those of the steps added up."""
    if given is not None:
        return {name: given[name] for name in _TOKENS if name in given}
    total: dict[str, JSON] = {}
    for step in steps:
        tokens = step["tokens"]
        for name in _TOKENS:
            count = tokens.get(name) if isinstance(tokens, Mapping) else None
            if type(count) is int:
                total[name] = int(total.get(name) or 0) + count  # type: ignore[arg-type]  # an int of ours
    return total


def _turn(answer: Mapping[str, JSON] | None, calls: list[Mapping[str, Any]]) -> Turn:
    content = answer["content"] if answer else None
    tokens = answer["tokens"] if answer else None
    counts = {name: tokens.get(name) for name in _TOKENS} if isinstance(tokens, Mapping) else {}
    return Turn(
        text=content if isinstance(content, str) else "",
        usage=Usage(**{name: count for name, count in counts.items() if type(count) is int}),
        calls=tuple(
            WireCall(
                name=call["tool_name"], arguments=_arguments(call), id=_text(call.get("provider_call_id")), index=place
            )
            for place, call in enumerate(calls)
        ),
    )


def _arguments(call: Mapping[str, Any]) -> dict[str, JSON] | str | None:
    from equitrcoder import jsontext

    asked = call.get("input")
    if asked is None or isinstance(asked, dict | str):
        return asked
    return jsontext.dumps(asked).decode()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _close(recorder: RunRecorder, made: RecordedCall, call: Mapping[str, Any]) -> None:
    error, output, duration_ms = call.get("error"), call.get("output"), call.get("duration_ms")
    by_signs: Outcome = "failed" if error else "unknown" if output is None else "success"
    outcome: Outcome = call.get("status") or by_signs
    recorder.close_call(
        made,
        outcome=outcome,
        result=output,
        error_type="reported" if error else None,
        error_message=None if error is None else str(error),
        duration_ms=float(duration_ms) if isinstance(duration_ms, int | float) else None,
    )
