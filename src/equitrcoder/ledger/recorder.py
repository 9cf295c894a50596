"""Recording one run: every method appends to its journal before it returns, and none of them does anything slow."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from equitrcoder.errors import LedgerError
from equitrcoder.ledger.encoding import encode
from equitrcoder.ledger.entries import compose
from equitrcoder.records import CLOSED_OUTCOMES, new_ulid

if TYPE_CHECKING:
    from equitrcoder.ledger.content import Content
    from equitrcoder.ledger.journal import Journal, Written
    from equitrcoder.ledger.redaction import Redactor
    from equitrcoder.ledger.spilled import LargeResult, Spills
    from equitrcoder.records import JSON, Approval, Outcome, RunStatus, SandboxLevel, ToolKind
    from equitrcoder.wires.values import LateResult, Turn, WireCall


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class RecordedCall:
    """A call that stands in the journal, open or closed.

    Attributes:
        call_uid: Our id (ULID).
        ordinal: The call within the run, from 1.
        step: The model answer within the run, from 1.
        position: Place among the calls of that answer, from 0.
        call: The call as the model asked for it, not redacted.
    """

    __slots__ = ("call", "call_uid", "ordinal", "position", "step")

    def __init__(self, call_uid: str, ordinal: int, step: int, position: int, call: WireCall) -> None:
        self.call_uid = call_uid
        self.ordinal = ordinal
        self.step = step
        self.position = position
        self.call = call

    def __repr__(self) -> str:
        return f"RecordedCall({self.ordinal}, {self.call.name!r}, {self.call_uid})"


class RunRecorder:
    """Records one run. Made by `Ledger.start_run`. Thread-safe; every method is synchronous and takes some 20 µs.

    Attributes:
        run_id: ULID.
        session_id: Runs that share a history share it.
        previous_run_id: The run that this one goes on with; None: it begins a task.
        journal_path: The run's journal.

    No method raises for what a disk does or a value holds: trouble is told through the ledger's `on_trouble`. Misuse
    (a call closed twice, an entry after the end) raises `LedgerError`.
    """

    def __init__(
        self,
        run_id: str,
        session_id: str,
        journal: Journal,
        redactor: Redactor,
        *,
        on_event: Callable[[bytes, Written | None, dict[str, Any]], None],
        on_finish: Callable[[RunRecorder, RunStatus], None],
        content: Content | None = None,
        previous_run_id: str | None = None,
        spills: Spills | None = None,
    ) -> None:
        self.run_id = run_id
        self.session_id = session_id
        self.previous_run_id = previous_run_id
        self.journal_path: Path = journal.path
        self.journal = journal
        self._redactor = redactor
        self._content = content
        self._spills = spills
        self._on_event = on_event
        self._on_finish = on_finish
        self._guard = threading.Lock()
        # Each call is in one of them, by its uid, until it is closed; popping from a dict is atomic.
        self._requested: dict[str, RecordedCall] = {}
        self._running: dict[str, RecordedCall] = {}
        self._ordinal = 0
        self._random = new_ulid()[10:22]
        self._finished = False

    def message(self, *, role: str, text: str) -> None:
        """Record words that go to the model: a prompt, or what the harness says on the user's side."""
        self._append(b"message", {"role": role, "text": text})

    def results_told(self, results: Sequence[Mapping[str, JSON]]) -> None:
        """Record what the model is told in this run of calls that the run before left without results.

        Args:
            results: `text` and `is_error` of each call of the last answer, in its order.
        """
        self._append(b"results_told", {"calls": len(results)}, {"results": list(results)})

    def answer_taken(self, *, step: int, first: int) -> None:
        """Record which of several answers, from step `first` on, the run goes on with: a middleware asked for more."""
        self._append(b"answer_taken", {"step": step, "first": first})

    def request_sent(self, *, step: int, attempt: int) -> None:
        """Record that a model request is about to go out; BEFORE it does.

        Whatever a kill leaves of it, the ledger knows that the provider may have seen it, and charged for it.
        """
        self._append(b"request_sent", {"step": step, "attempt": attempt})

    def request_failed(
        self,
        *,
        step: int,
        attempt: int,
        error_type: str,
        message: str,
        status: int | None = None,
        wait_s: float | None = None,
        cost_nanousd: int | None = None,
    ) -> None:
        """Record a model request that gave no answer; `wait_s` is the pause before the next attempt, None: no more."""
        self._append(
            b"request_failed",
            {
                "step": step,
                "attempt": attempt,
                "error_type": error_type,
                "message": message,
                "status": status,
                "wait_s": wait_s,
                "cost_nanousd": cost_nanousd,
            },
        )

    def record_turn(
        self,
        turn: Turn,
        *,
        step: int,
        duration_ms: float | None,
        time_to_first_byte_ms: float | None,
        attempts: int,
        cost_nanousd: int | None,
        price_version: str | None,
        tool_kinds: Mapping[str, ToolKind] = {},
    ) -> tuple[RecordedCall, ...]:
        """Record a model's answer and, one entry each, the calls that it asks for. Once per answer.

        Calls that the provider ran itself are closed at once: success, failed, or unknown when it did not report. One
        that it left open (`WireCall.pending`) stays so until a later answer tells its result: its `RecordedCall.call`
        has that then, and is pending no more. At the end of the run it is unknown.

        Args:
            tool_kinds: Kind of each tool by name; others are functions.

        Returns:
            The calls in the order of the answer, those of the provider included.
        """
        calls = self._number(turn.calls, step)
        self._answer(
            turn,
            calls,
            tool_kinds,
            step=step,
            duration_ms=duration_ms,
            time_to_first_byte_ms=time_to_first_byte_ms,
            attempts=attempts,
            cost_nanousd=cost_nanousd,
            price_version=price_version,
        )
        for late in turn.late_results:
            self._take_late(late)
        for call in calls:
            self._request(call, tool_kinds)
        return calls

    def _answer(
        self, turn: Turn, calls: tuple[RecordedCall, ...], tool_kinds: Mapping[str, ToolKind], **measured: Any
    ) -> None:
        fields = {
            **measured,
            "text": turn.text,
            "refusal": turn.refusal,
            "calls": [_outline(call, tool_kinds) for call in calls],
            "usage": _usage(turn),
            "finish": turn.finish,
            "stop": turn.stop,
            "model_answered": turn.model_answered,
            "response_id": turn.response_id,
        }
        long: dict[str, Any] = {"native": turn.native or None}  # null: it is no provider's message
        if turn.further:
            long["further"] = list(turn.further)
        self._append(b"turn", fields, long)

    def _number(self, calls: tuple[WireCall, ...], step: int) -> tuple[RecordedCall, ...]:
        with self._guard:
            first = self._ordinal + 1
            self._ordinal += len(calls)
        made = new_ulid()[:10] if calls else ""  # the time; what is random comes from the run
        return tuple(
            RecordedCall(self._call_uid(made, first + position), first + position, step, position, call)
            for position, call in enumerate(calls)
        )

    def _call_uid(self, made: str, ordinal: int) -> str:
        """A ULID, at a fifth of its cost: 60 random bits of the run's, then the call's number."""
        if ordinal >= 1 << 20:
            return new_ulid()
        digits = _CROCKFORD
        number = f"{digits[ordinal >> 15]}{digits[ordinal >> 10 & 31]}{digits[ordinal >> 5 & 31]}{digits[ordinal & 31]}"
        return f"{made}{self._random}{number}"

    def _request(self, call: RecordedCall, tool_kinds: Mapping[str, ToolKind]) -> None:
        asked = call.call.arguments
        self._requested[call.call_uid] = call
        fields = _outline(call, tool_kinds)
        fields["step"] = call.step
        name = "arguments_raw" if isinstance(asked, str) else "arguments"
        self._append(b"call_requested", fields, {name: asked})
        if call.call.kind == "provider-executed" and call.call.pending is None:
            self._close_provider_call(call)

    def _take_late(self, late: LateResult) -> None:
        """Close the newest open call that a result belongs to. One that no open call waits for changes nothing."""
        for call in reversed(list(self._requested.values())):
            if call.call.pending == "result" and call.call.id == late.id:
                call.call = replace(call.call, result=late.result, error=late.error, pending=None)
                self._close_provider_call(call)
                return

    def _close_provider_call(self, call: RecordedCall) -> None:
        wire_call = call.call
        if wire_call.error is not None:
            self.close_call(
                call,
                outcome="failed",
                result=wire_call.result,
                error_type="provider_reported",
                error_message=wire_call.error,
            )
        else:
            outcome: Outcome = "unknown" if wire_call.result is None else "success"
            self.close_call(call, outcome=outcome, result=wire_call.result)

    def start(
        self, call: RecordedCall, *, sandbox: SandboxLevel = "not_applicable", approval: Approval = "auto"
    ) -> None:
        """Record that a call starts; BEFORE its tool runs.

        Raises:
            LedgerError: It has started before, or is closed.
        """
        if self._requested.pop(call.call_uid, None) is None:
            raise LedgerError(f"Call {call.ordinal} ({call.call.name}) has started or is closed.", code="E605")
        self._running[call.call_uid] = call
        fields = {"call_uid": call.call_uid, "sandbox": sandbox, "approval": approval}
        self._write(b"call_started", encode(fields), fields)  # all words of ours: there is nothing to redact

    def large_result(self, call: RecordedCall) -> LargeResult:
        """Around the run of a call's tool: what it cuts is counted and hashed as redacted, and perhaps written."""
        from equitrcoder.ledger.spilled import LargeResult

        keeps = self._content is None or self._content.of(call.call.name, "results") == "full"
        return LargeResult(self._redactor, self._spills if keeps else None, self.run_id)

    def approval(
        self,
        call: RecordedCall,
        *,
        decision: Literal["granted", "denied"],
        by: str,
        reason: str = "",
        waited_ms: float,
    ) -> None:
        """Record who decided on a call; `waited_ms` is how long it took."""
        self._append(
            b"approval",
            {"call_uid": call.call_uid, "decision": decision, "by": by, "reason": reason, "waited_ms": waited_ms},
            tool=call.call.name,
        )

    def close_call(
        self,
        call: RecordedCall,
        *,
        outcome: Outcome,
        result: JSON = None,
        result_metadata: Mapping[str, JSON] | None = None,
        error_type: str | None = None,
        error_message: str | None = None,
        duration_ms: float | None = None,
        result_bytes: int | None = None,
        result_sha256: str | None = None,
        truncated_to: int | None = None,
        approval: Approval | None = None,
    ) -> None:
        """Record what became of a call.

        Args:
            outcome: One of the closed ones.
            duration_ms: Time inside the tool by a monotonic clock; None when it never started or nobody knows.
            result_bytes: Size of the whole result, only when the tool cut it; else computed from the redacted one.
            result_sha256: Likewise, SHA-256 in hex.
            truncated_to: Bytes that the tool kept, when it cut.

        Raises:
            LedgerError: It is closed already, or the outcome is none that closes.
        """
        if outcome not in CLOSED_OUTCOMES:
            raise LedgerError(f"{outcome!r} closes no call.", code="E605")
        uid = call.call_uid
        if self._running.pop(uid, None) is None and self._requested.pop(uid, None) is None:
            raise LedgerError(f"Call {call.ordinal} ({call.call.name}) is closed already.", code="E605")
        fields: dict[str, Any] = {"call_uid": call.call_uid, "outcome": outcome}
        if duration_ms is not None:
            fields["duration_ms"] = duration_ms
        if error_type is not None or error_message is not None:
            fields["error_type"] = error_type
            fields["error_message"] = error_message
        if truncated_to is not None:
            fields["truncated_to"] = truncated_to
        if approval is not None:
            fields["approval"] = approval
        long: dict[str, Any] = {"result_metadata": dict(result_metadata)} if result_metadata else {}
        if result is not None:
            long["result"] = result
            fields["result_bytes"] = result_bytes
            fields["result_sha256"] = result_sha256
        self._append(b"call_finished", fields, long, tool=call.call.name)

    def finish(
        self,
        *,
        status: RunStatus,
        response: str | None = None,
        error: str | None = None,
        error_type: str | None = None,
        reported: Mapping[str, JSON] | None = None,
    ) -> None:
        """End the run: calls still open are closed as cancelled, those that the provider runs as unknown, the lock is
        released. A second time does nothing.

        Args:
            reported: Of a run that the agent did not make (`AgentRuns`), what somebody else counted and comes before
                what the entries add up to: `steps_taken`, `execution_steps`, `usage`, `ended_at`.
        """
        with self._guard:
            if self._finished:
                return
            self._finished = True
        still_open = [*self._running.values(), *self._requested.values()]
        for call in still_open:
            outcome: Outcome = "unknown" if call.call.pending == "result" else "cancelled"
            with contextlib.suppress(LedgerError):  # its own thread was faster
                self.close_call(call, outcome=outcome, error_type="run_ended")
        fields: dict[str, Any] = {"status": status, "response": response, "error": error, "error_type": error_type}
        if self.journal.lost:
            fields["entries_lost"] = self.journal.lost
        self._append(b"run_finished", fields, reported or {}, last=True)
        self._on_finish(self, status)

    def _append(
        self,
        kind: bytes,
        fields: dict[str, Any],
        long: Mapping[str, Any] = {},
        *,
        last: bool = False,
        tool: str | None = None,
    ) -> None:
        """Add an entry. `long` has its fields that come from outside and can be large; `fields` is ours to change."""
        if self._content is not None:
            long = self._content.reduce(kind, fields, long, self._redactor, tool=tool)
        self._write(kind, compose(self._redactor, fields, long), fields, last=last)

    def _write(self, kind: bytes, entry: bytes, fields: dict[str, Any], *, last: bool = False) -> None:
        try:
            written = self.journal.append(kind, entry, last=last)
        except ValueError as error:
            raise LedgerError(f"Run {self.run_id} {error}.", hint="start a run", code="E605") from None
        self._on_event(kind, written, fields)


def _outline(call: RecordedCall, tool_kinds: Mapping[str, ToolKind]) -> dict[str, Any]:
    """What a turn says of each of its calls: enough to enter it if the process dies before it does so itself."""
    by_provider = call.call.kind == "provider-executed"
    return {
        "call_uid": call.call_uid,
        "ordinal": call.ordinal,
        "position": call.position,
        "provider_call_id": call.call.id,
        "tool_name": call.call.name,
        "tool_kind": "builtin" if by_provider else tool_kinds.get(call.call.name, "function"),
        "executed_by": "provider" if by_provider else "client",
    }


def _usage(turn: Turn) -> dict[str, int | None]:
    usage = turn.usage
    return {
        "input_tokens": usage.input_tokens,
        "cached_read_tokens": usage.cached_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
