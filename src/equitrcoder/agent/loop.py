"""One run: a prompt, turns and tools until the model is done or something stops it.

Everything that happens is in the ledger before the next thing happens, and a run always ends with `run_finished`,
whichever way it ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from equitrcoder.errors import ProviderError, RunStopped, StepLimitReached, TimeLimitReached
from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.providers.client import ModelRequest
from equitrcoder.records import RunStatus
from equitrcoder.wires.values import (
    AssistantMessage,
    Conversation,
    EchoedCall,
    RequestOptions,
    ToolResults,
    Turn,
    UserMessage,
)

from .ending import error_type_of, exit_code_of, sentence_of, status_of
from .middleware import ModelFunction, ModelMiddleware, TurnTracker, compose
from .prompts import FAILED_MARK
from .result import CheckResult, RunResult

if TYPE_CHECKING:
    from equitrcoder.ledger.recorder import RecordedCall, RunRecorder
    from equitrcoder.providers.choice import ModelChoice
    from equitrcoder.providers.client import FailedAttempt, ModelClient, ModelResponse
    from equitrcoder.sandbox import Sandbox
    from equitrcoder.tools import Toolbox
    from equitrcoder.wires.values import Delta

    from .accounting import Accounts
    from .calls import CallRunner
    from .events import RunEvents

CALLS_CLAIMED = frozenset({"tool_calls", "tool_call", "tool_use", "function_call"})
"""Words of the wires for an answer that ends because tools were called."""
CHECK_OUTPUT_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """What stops a run that goes on for too long."""

    max_turns: int = 100
    max_time_s: float | None = None
    output_limit_tokens: int | None = None
    check_timeout_s: float = 600.0


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """Everything that one run works with; `agent.setup` puts it together."""

    choice: ModelChoice
    client: ModelClient
    conversation: Conversation
    toolbox: Toolbox
    sandbox: Sandbox
    recorder: RunRecorder
    accounts: Accounts
    runner: CallRunner
    events: RunEvents
    result: RunResult
    limits: RunLimits
    stream: bool = True
    reasoning_effort: str | None = None
    check: str | None = None
    goes_on: bool = False
    """Whether the conversation holds the task already: another model goes on where one stopped answering, or a run
    where one was stopped."""
    middleware: Sequence[ModelMiddleware] = ()


class AgentRun:
    """Runs one task to its end."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self.result = parts.result
        self._tracker = TurnTracker(parts.accounts.record_answer, parts.accounts.drop_calls)
        self._one_request = asyncio.Lock()
        self._seen_ids = {
            call.wire_id
            for message in parts.conversation.messages
            if isinstance(message, AssistantMessage)
            for call in message.calls
        }
        self._partial_text: list[str] = []

    async def execute(self, task: str) -> RunResult:
        """Work on `task` until the model is done, and close the run in the ledger.

        Returns:
            The result; its status is `completed`, or `failed` when the model reported failure or the check failed.

        Raises:
            RunStopped: A limit, the budget or a missing approval ended the run; `result` is with it.
            ProviderError: The provider gave no usable answer; `result` is with it.
            asyncio.CancelledError: The task was cancelled; the run stands in the ledger as `cancelled`.
        """
        started = time.monotonic()
        status: RunStatus = "failed"
        error: BaseException | None = None
        try:
            status = await self._within_time(task)
        except BaseException as raised:
            error, status = raised, status_of(raised)
            if isinstance(raised, RunStopped | ProviderError):
                raised.result = self.result
            raise
        finally:
            self.result.duration_ms = (time.monotonic() - started) * 1000
            self._end(status, error)
        return self.result

    async def _within_time(self, task: str) -> RunStatus:
        limit_s = self._parts.limits.max_time_s
        try:
            async with asyncio.timeout(limit_s) as deadline:
                return await self._work(task)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise TimeLimitReached(
                f"The run took longer than {limit_s:g} s. Work is kept.", hint="a larger --max-time"
            ) from None

    async def _work(self, task: str) -> RunStatus:
        self._model = self._model_function()
        self._parts.recorder.message(role="user", text=task)
        if not self._parts.goes_on:
            self._say(UserMessage(text=task), [task])
        status = await self._converse()
        if status == "completed" and self._parts.check:
            status = await self._run_check(self._parts.check)
        return status

    async def _converse(self) -> RunStatus:
        while True:
            turn, recorded = await self._next_turn()
            calls = self._echo(turn, recorded)
            if calls:
                results = await self._parts.runner.run_all(calls)
                self._say(ToolResults(results=results), [result.text for result in results])
                self._check_not_stuck()
            elif turn.stop != "paused":
                return self._conclude(turn)

    async def _next_turn(self) -> tuple[Turn, tuple[RecordedCall, ...]]:
        parts = self._parts
        self._check_turns_left()
        self._partial_text.clear()
        answers_before = self.result.steps_taken
        options = RequestOptions(
            model=parts.choice.model,
            stream=parts.stream,
            output_limit_tokens=parts.limits.output_limit_tokens,
            reasoning_effort=parts.reasoning_effort,
        )
        response = await self._model(
            ModelRequest(
                conversation=parts.conversation,
                tools=parts.choice.provider.offered(parts.toolbox.specs),
                options=options,
            )
        )
        taken = self._tracker.take(response)
        if self.result.steps_taken > answers_before + 1:  # who goes on with this run must know which one it was
            step = answers_before + 1 + self._tracker.taken_place
            parts.recorder.answer_taken(step=step, first=answers_before + 1)
        return taken

    def _model_function(self) -> ModelFunction:
        """The caller's middleware around the limits, around the tracking where the row has it, around the request."""
        ask: ModelFunction = self._ask_provider
        if self._parts.choice.provider.capture == "middleware":
            ask = self._tracker.middleware(ask)
        return compose(self._within_limits(ask), self._parts.middleware)

    def _within_limits(self, call_next: ModelFunction) -> ModelFunction:
        """A middleware that reserves what each request may cost; one at a time, also when somebody asks for more."""

        async def ask(request: ModelRequest) -> ModelResponse:
            async with self._one_request:
                self._check_turns_left()
                reservation = self._parts.accounts.reserve(request.options.output_limit_tokens)
                self._partial_text.clear()
                try:
                    options = replace(request.options, output_limit_tokens=reservation.output_limit_tokens)
                    return await call_next(replace(request, options=options))
                finally:
                    reservation.release()

        return ask

    async def _ask_provider(self, request: ModelRequest) -> ModelResponse:
        try:
            response = await self._parts.client.ask(
                request,
                on_delta=self._note_delta,
                on_failed_attempt=self._note_failed_attempt,
                on_attempt=self._parts.accounts.record_request,
            )
        except asyncio.CancelledError:
            self._parts.accounts.record_cancelled_request()
            raise
        if self._parts.choice.provider.capture == "native":
            self._tracker.record(response)
        return response

    def _note_delta(self, delta: Delta) -> None:
        if delta.kind == "text":
            self._partial_text.append(delta.text)
        self._parts.events.say(delta.text, kind=delta.kind)

    def _note_failed_attempt(self, failed: FailedAttempt) -> None:
        self._partial_text.clear()
        self._parts.accounts.record_failed_attempt(failed)

    def _check_turns_left(self) -> None:
        if self.result.steps_taken >= self._parts.limits.max_turns:
            raise StepLimitReached(
                f"The run took {self.result.steps_taken} turns, as many as it may. Work is kept.",
                hint="a larger --max-turns",
            )

    def _check_not_stuck(self) -> None:
        if self._parts.runner.guard.only_denied:
            raise StepLimitReached(
                f"Every call of {self._parts.runner.guard.STOP_DENIED_AT} answers in a row was denied. Work is kept.",
                hint="look at why with: equitrcoder show last; then change the rules (docs/approvals.md) or the task",
                code="E206",
            )
        if self._parts.runner.guard.stuck:
            raise StepLimitReached(
                f"{self._parts.runner.guard.stuck}. Work is kept.",
                hint="look at it with: equitrcoder show last; then say the task differently",
                code="E206",
            )

    def _say(self, message: UserMessage | ToolResults, texts: list[str]) -> None:
        self._parts.conversation.messages.append(message)
        self._parts.accounts.add_to_prompt(sum(len(text_bytes(text)) for text in texts))

    def _echo(self, turn: Turn, recorded: tuple[RecordedCall, ...]) -> list[tuple[RecordedCall, str]]:
        """Append the answer to the conversation; return the calls that are ours to answer, with their ids in it."""
        ours = [call for call in recorded if call.call.kind == "client" or call.call.pending == "approval"]
        calls = [(call, self._wire_id(call)) for call in ours]
        echoed = tuple(
            EchoedCall(
                wire_id=wire_id,
                name=call.call.name,
                arguments=call.call.arguments if isinstance(call.call.arguments, dict) else None,
                index=call.call.index,
            )
            for call, wire_id in calls
        )
        origin = self._parts.choice.provider.name
        self._parts.conversation.messages.append(
            AssistantMessage(text=turn.text, calls=echoed, native=turn.native or None, origin=origin)
        )
        return calls

    def _wire_id(self, call: RecordedCall) -> str:
        """The provider's id, or one of ours where that is missing or was used before in this conversation."""
        wire_id = call.call.id
        if not wire_id or wire_id in self._seen_ids:
            wire_id = f"call_{call.call_uid.lower()}"
        self._seen_ids.add(wire_id)
        return wire_id

    def _conclude(self, turn: Turn) -> RunStatus:
        result = self.result
        result.response = turn.text or turn.refusal or ""
        if turn.stop in ("refusal", "filtered"):
            result.error = f"the model refused: {turn.refusal or turn.finish or 'no reason given'}"
        elif turn.stop == "length":
            result.error = "the answer was cut at the output limit"
        elif turn.text.lstrip().startswith(FAILED_MARK):
            result.error = "the model reported failure"
        elif not turn.calls and (turn.finish or "").lower() in CALLS_CLAIMED:
            result.error = f"the provider said that the model called tools ({turn.finish}), but sent no call"
        elif not turn.calls and not turn.text and (turn.stop == "unknown" or not result.calls):
            result.error = f"the answer was empty (finish: {turn.finish or 'none'})"
        return "failed" if result.error else "completed"

    async def _run_check(self, command: str) -> RunStatus:
        parts = self._parts
        parts.events.emit("check.started", command=command)
        done = await parts.sandbox.run(
            command, timeout_s=parts.limits.check_timeout_s, output_limit_bytes=CHECK_OUTPUT_BYTES
        )
        passed = done.exit_code == 0 and not done.timed_out
        how = "passed" if passed else "timed out" if done.timed_out else f"failed (exit {done.exit_code})"
        output = done.output.decode("utf-8", "replace")
        self.result.check = CheckResult(
            command=command, passed=passed, exit_code=done.exit_code, output=output, duration_ms=done.duration_ms
        )
        parts.recorder.message(role="check", text=f"{command}\n{how}\n{output}")
        parts.events.emit(
            "check.finished",
            command=command,
            passed=passed,
            exit_code=done.exit_code,
            output=output,
            duration_ms=round(done.duration_ms, 3),
        )
        if not passed:
            self.result.error = f"check {how}: {command}"
        return "completed" if passed else "failed"

    def _end(self, status: RunStatus, error: BaseException | None) -> None:
        result = self.result
        result.status = status
        if error is not None:
            result.error = sentence_of(error)
        if not result.response:
            result.response = "".join(self._partial_text)
        self._parts.accounts.close_provider_calls()
        self._parts.recorder.finish(
            status=status, response=result.response or None, error=result.error, error_type=error_type_of(error)
        )
        self._parts.events.emit(
            "run.finished",
            status=status,
            exit_code=exit_code_of(status, error),
            response=result.response,
            error=None if result.error is None else {"type": error_type_of(error), "message": result.error},
            totals={
                "turns": result.steps_taken,
                "calls": result.calls,
                "failed_calls": result.failed_calls,
                "tokens": _tokens_told(result),
                "cost_nanousd": result.cost_nanousd,
                "unpriced_turns": result.unpriced_turns,
                "unpriced_requests": result.unpriced_requests,
                "duration_ms": round(result.duration_ms, 3),
            },
        )


def _tokens_told(result: RunResult) -> dict[str, int]:
    """Token totals with the field names of docs/events.md."""
    told = result.token_usage
    told["cached_tokens"] = told.pop("cached_read_tokens")
    return told
