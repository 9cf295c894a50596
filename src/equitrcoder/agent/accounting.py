"""The books of one run: answers and failed attempts go into the ledger, the budget, the result and the events."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from equitrcoder.errors import ProviderError, ProviderTimeoutError
from equitrcoder.wires.values import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from equitrcoder.ledger.recorder import RecordedCall, RunRecorder
    from equitrcoder.pricing import Price
    from equitrcoder.providers.client import FailedAttempt, ModelResponse
    from equitrcoder.records import JSON, Outcome, ToolKind
    from equitrcoder.wires.values import Turn

    from .budget import Budget, Reservation
    from .events import RunEvents
    from .result import RunResult

BYTES_PER_TOKEN_AT_LEAST = 2
"""For reservations: text of two bytes a token is denser than source code, prose in any script, or base64."""

BILLED = "the provider's bill"
"""Stands with a cost, in place of the price table's version, that the provider itself told."""


class Accounts:
    """Keeps the books of one run.

    Args:
        price: The model's price; None: unpriced.
        tool_kinds: Kind of each tool offered, by name.
        prompt_bytes: Size of the system prompt and the tools, for the first reservation.
    """

    def __init__(
        self,
        *,
        recorder: RunRecorder,
        events: RunEvents,
        result: RunResult,
        budget: Budget,
        price: Price | None,
        tool_kinds: dict[str, ToolKind],
        prompt_bytes: int,
    ) -> None:
        self._recorder = recorder
        self._events = events
        self._result = result
        self._budget = budget
        self._price = price
        self._tool_kinds = tool_kinds
        self._tokens_known = 0
        self._bytes_since = prompt_bytes
        self._reservation: Reservation | None = None
        self._attempt = 1
        self._at_provider: list[RecordedCall] = []
        """Calls that the provider runs and whose results come in a later answer."""

    def add_to_prompt(self, size_bytes: int) -> None:
        """Say how much the next prompt has grown since the last answer."""
        self._bytes_since += size_bytes

    def reserve(self, output_limit_tokens: int | None) -> Reservation:
        """Set aside what the next call may cost; raises BudgetExceeded."""
        self._reservation = self._budget.reserve(
            self._price,
            input_tokens=self._tokens_known + self._bytes_since // BYTES_PER_TOKEN_AT_LEAST,
            output_limit_tokens=output_limit_tokens,
        )
        return self._reservation

    def record_answer(self, response: ModelResponse) -> tuple[RecordedCall, ...]:
        """Write one answer to the ledger, then count it and tell of it."""
        self._result.steps_taken += 1
        cost = self._cost(response.turn.usage) if response.attempts else 0  # none: no provider was asked
        recorded = self._recorder.record_turn(
            response.turn,
            step=self._result.steps_taken,
            duration_ms=response.duration_ms,
            time_to_first_byte_ms=response.time_to_first_byte_ms,
            attempts=response.attempts,
            cost_nanousd=cost,
            price_version=self._price_version(response.turn.usage),
            tool_kinds=self._tool_kinds,
        )
        self._count(response.turn, cost)
        self._tell(response, cost, len(recorded))
        for call in [call for call in self._at_provider if call.call.pending is None]:
            self._at_provider.remove(call)
            self._tell_provider_call(call)
        for call in recorded:
            self._announce(call)
        return recorded

    def record_request(self, attempt: int) -> None:
        """Write down that a request goes out, before it does; raises BudgetExceeded when none may go out again."""
        if attempt > 1:
            self._budget.check_again()
        self._attempt = attempt
        self._recorder.request_sent(step=self._result.steps_taken + 1, attempt=attempt)

    def record_failed_attempt(self, failed: FailedAttempt) -> None:
        """Write an attempt that gave no answer to the ledger.

        What it is known to have cost counts. Where an answer had begun, or silence followed a request, the provider may
        charge more than it told: then the budget counts all that was reserved.
        """
        error, partial = failed.error, failed.error.partial
        usage: Usage = partial.usage if partial is not None else Usage()
        cost = self._cost(usage) if _may_be_charged(error) else 0
        if self._reservation is not None:
            self._reservation.spend(cost, usage)
            if _may_be_charged(error):
                self._reservation.spend_all(counted_nanousd=cost or 0)
        self._result.cost_nanousd += cost or 0
        self._result.unpriced_requests += cost is None
        self._recorder.request_failed(
            step=self._result.steps_taken + 1,
            attempt=failed.attempt,
            error_type=error.error_type,
            message=error.message,
            status=error.status,
            wait_s=failed.wait_s,
            cost_nanousd=cost,
        )
        self._events.emit(
            "request.failed",
            attempt=failed.attempt,
            wait_s=failed.wait_s,
            error={"type": error.error_type, "code": error.code, "message": error.message, "status": error.status},
        )

    def record_cancelled_request(self) -> None:
        """Write down that the run was stopped while the provider was answering, which may be charged for."""
        cost = self._cost(Usage())
        self._result.cost_nanousd += cost or 0
        self._result.unpriced_requests += cost is None
        self._recorder.request_failed(
            step=self._result.steps_taken + 1,
            attempt=self._attempt,
            error_type="cancelled",
            message="the run was stopped while the provider was answering",
            cost_nanousd=cost,
        )

    def _price_version(self, usage: Usage) -> str | None:
        if self._is_billed(usage):
            return BILLED
        return self._price.version if self._price else None

    def _is_billed(self, usage: Usage) -> bool:
        """Whether the provider's own bill counts: it comes before the table, but not before the user's prices."""
        return usage.billed_nanousd is not None and (self._price is None or self._price.from_table)

    def _cost(self, usage: Usage) -> int | None:
        if self._is_billed(usage):
            return usage.billed_nanousd
        if self._price is None:
            return None
        from equitrcoder.pricing import cost_nanousd

        return cost_nanousd(self._price, usage)

    def _count(self, turn: Turn, cost: int | None) -> None:
        result, usage = self._result, turn.usage
        result.input_tokens += usage.input_tokens or 0
        result.cached_read_tokens += usage.cached_read_tokens or 0
        result.output_tokens += usage.output_tokens or 0
        result.reasoning_tokens += usage.reasoning_tokens or 0
        result.cost_nanousd += cost or 0
        result.unpriced_turns += cost is None
        if usage.input_tokens is not None:
            self._tokens_known = usage.input_tokens + (usage.output_tokens or 0)
            self._bytes_since = 0
        if self._reservation is not None:
            self._reservation.spend(cost, usage)
            if cost is None:
                self._reservation.spend_all()
        if self._budget.take_warning():
            self._events.emit(
                "budget.warned",
                spent_nanousd=self._budget.spent_nanousd,
                limit_nanousd=self._budget.limit_nanousd,
            )

    def _tell(self, response: ModelResponse, cost: int | None, calls: int) -> None:
        turn = response.turn
        self._events.emit(
            "turn.finished",
            step=self._result.steps_taken,
            model=turn.model_answered,
            text=turn.text,
            finish=turn.finish,
            calls=calls,
            tokens={
                "input_tokens": turn.usage.input_tokens,
                "cached_tokens": turn.usage.cached_read_tokens,
                "output_tokens": turn.usage.output_tokens,
                "reasoning_tokens": turn.usage.reasoning_tokens,
            },
            cost_nanousd=cost,
            duration_ms=round(response.duration_ms, 3),
            attempts=response.attempts,
        )

    def _announce(self, call: RecordedCall) -> None:
        wire_call = call.call
        by_provider = wire_call.kind != "client"
        self._events.emit(
            "call.requested",
            call_uid=call.call_uid,
            provider_call_id=wire_call.id,
            step=call.step,
            position=call.position,
            tool_name=wire_call.name,
            arguments=wire_call.arguments if isinstance(wire_call.arguments, dict) else None,
            arguments_raw=wire_call.arguments if isinstance(wire_call.arguments, str) else None,
            executed_by="provider" if by_provider else "client",
        )
        if wire_call.pending == "result":
            self._at_provider.append(call)
        elif by_provider and wire_call.pending is None:
            self._tell_provider_call(call)

    def drop_calls(self, calls: Iterable[RecordedCall]) -> None:
        """Close the calls of an answer that a middleware did not go on with: nobody runs them."""
        for call in calls:
            if call.call.kind == "client" or call.call.pending == "approval":
                why = "a middleware went on with another answer"
                self._close_unfinished(call, "cancelled", "not_taken", why)

    def close_provider_calls(self) -> None:
        """Close what the provider left open; for the end of the run."""
        while self._at_provider:
            why = "the run ended before the provider told a result"
            self._close_unfinished(self._at_provider.pop(0), "unknown", "run_ended", why)

    def _close_unfinished(self, call: RecordedCall, outcome: Outcome, error_type: str, message: str) -> None:
        self._recorder.close_call(call, outcome=outcome, error_type=error_type, error_message=message)
        self._tell_closed(call, outcome, {"type": error_type, "message": message})

    def _tell_provider_call(self, call: RecordedCall) -> None:
        """Count and tell what became of a call that the provider ran; `record_turn` has closed it in the ledger."""
        error = call.call.error
        if error is not None:
            self._tell_closed(call, "failed", {"type": "provider_reported", "message": error})
        else:
            self._tell_closed(call, "unknown" if call.call.result is None else "success", None)

    def _tell_closed(self, call: RecordedCall, outcome: Outcome, error: dict[str, JSON] | None) -> None:
        self._result.calls += 1
        self._result.failed_calls += outcome != "success"
        self._events.emit(
            "call.finished",
            call_uid=call.call_uid,
            tool_name=call.call.name,
            outcome=outcome,
            duration_ms=None,
            result_bytes=None,
            truncated=False,
            metadata={},
            error=error,
        )


def _may_be_charged(error: ProviderError) -> bool:
    """Whether a provider may charge for an attempt that failed so: not for a refusal, nor where nobody was reached."""
    if error.status is not None:
        return error.status < HTTPStatus.MULTIPLE_CHOICES
    return isinstance(error, ProviderTimeoutError)
