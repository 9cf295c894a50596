"""The way of the calls of one answer: validate, approve, start in the ledger, run, close in the ledger."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from equitrcoder.errors import ApprovalNeeded
from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.records import JSON, Approval, Outcome
from equitrcoder.sandbox.output import cut_outputs_to
from equitrcoder.tools import InvalidCall, ToolResult
from equitrcoder.wires.values import ResultForModel

if TYPE_CHECKING:
    from equitrcoder.ledger.recorder import RecordedCall, RunRecorder
    from equitrcoder.ledger.spilled import LargeResult
    from equitrcoder.tools import Toolbox, ValidCall

    from .approvals import ApprovalAnswer, Approvals
    from .events import RunEvents
    from .result import RunResult

_NUMBER = re.compile(r"\d+")
CHANGED_SHOWN_CHARACTERS = 2_000
"""Longer arguments of a changed call stand in the record only."""
PARALLEL_CALLS = 32
"""Calls of one answer that run at the same moment; the rest wait in order."""


class CallRunner:
    """Carries out the calls of a run; every one of them is closed in the ledger, whatever happens to it."""

    def __init__(
        self,
        *,
        toolbox: Toolbox,
        recorder: RunRecorder,
        approvals: Approvals,
        events: RunEvents,
        result: RunResult,
    ) -> None:
        self._toolbox = toolbox
        self._recorder = recorder
        self._approvals = approvals
        self._events = events
        self._result = result
        self._places = asyncio.Semaphore(PARALLEL_CALLS)
        self.guard = LoopGuard()

    async def run_all(self, calls: Sequence[tuple[RecordedCall, str]]) -> tuple[ResultForModel, ...]:
        """Run the calls of one answer, in parallel.

        Args:
            calls: Each with the id that its result carries, in the order of the answer.

        Returns:
            Their results, in the same order.

        Raises:
            ApprovalNeeded: One needs approval and there is nobody to ask; the others were cancelled.
        """
        self.guard.next_answer()
        if len(calls) == 1:
            return (await self._run(*calls[0]),)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._run_in_turn(call, wire_id)) for call, wire_id in calls]
        except BaseExceptionGroup as several:
            needed, rest = several.split(ApprovalNeeded)
            if rest is None and needed is not None:
                raise needed.exceptions[0] from None
            raise
        return tuple(task.result() for task in tasks)

    async def _run_in_turn(self, call: RecordedCall, wire_id: str) -> ResultForModel:
        async with self._places:
            return await self._run(call, wire_id)

    async def _run(self, call: RecordedCall, wire_id: str) -> ResultForModel:
        approval: Approval = "auto"
        if call.call.pending == "approval":
            return self._settle(call, wire_id, _not_at_the_provider(), duration_ms=None, approval="denied")
        try:
            valid = self._toolbox.validate(call.call.name, call.call.arguments)
        except InvalidCall as error:
            result = _refused("invalid", error.error_type, error.message)
        else:
            approval, answer = await self._decide(call, valid)
            if approval == "denied":
                result = _denied(answer)
            elif answer is None or answer.arguments is None:
                return await self._carry_out(call, wire_id, valid, approval)
            else:
                return await self._carry_out_changed(call, wire_id, answer.arguments, approval)
        return self._settle(call, wire_id, result, duration_ms=None, approval=approval)

    async def _decide(self, call: RecordedCall, valid: ValidCall) -> tuple[Approval, ApprovalAnswer | None]:
        try:
            return await self._approvals.decide(call, valid, self._recorder)
        except ApprovalNeeded as needed:
            self._close(call, _refused("denied", "approval_needed", needed.message), duration_ms=None, approval="asked")
            raise

    async def _carry_out_changed(
        self, call: RecordedCall, wire_id: str, arguments: dict[str, JSON], approval: Approval
    ) -> ResultForModel:
        """Run a call as the user changed it. `arguments` of the record stay what the model asked for."""
        try:
            valid = self._toolbox.validate(call.call.name, arguments)
        except InvalidCall as error:
            result = _refused("denied", "denied", f"The user changed this call so that it cannot run: {error.message}")
            return self._settle(call, wire_id, result, duration_ms=None, approval="denied")
        return await self._carry_out(call, wire_id, valid, approval, changed=True)

    async def _carry_out(
        self, call: RecordedCall, wire_id: str, valid: ValidCall, approval: Approval, *, changed: bool = False
    ) -> ResultForModel:
        self._recorder.start(call, sandbox=valid.sandbox, approval=approval)
        self._events.emit(
            "call.started",
            call_uid=call.call_uid,
            tool_name=valid.name,
            subject=valid.subject,
            sandbox=valid.sandbox,
        )
        started = time.monotonic()
        try:
            with self._recorder.large_result(call) as large, cut_outputs_to(large.open):
                result = await self._toolbox.run(valid)
                _tell_whole(result, large)
        except asyncio.CancelledError:
            stopped = _refused("cancelled", "cancelled", "the run was stopped while this call was running")
            if changed:
                _mark_changed(stopped, valid)
            self._close(call, stopped, duration_ms=_since(started), approval=approval)
            raise
        if changed:
            _mark_changed(result, valid)
        return self._settle(call, wire_id, result, duration_ms=_since(started), approval=approval)

    def _settle(
        self, call: RecordedCall, wire_id: str, result: ToolResult, *, duration_ms: float | None, approval: Approval
    ) -> ResultForModel:
        """Close a call and say what the model is told; the ledger holds the same text, also a warning about a loop."""
        repeated = self.guard.settled(call.call.name, call.call.arguments, result.outcome)
        if repeated:
            result.text += f"\n[{repeated} Change something, or end and say why.]"
        self._close(call, result, duration_ms=duration_ms, approval=approval)
        return ResultForModel(
            wire_id=wire_id, name=call.call.name, text=result.text, is_error=result.outcome != "success"
        )

    def _close(self, call: RecordedCall, result: ToolResult, *, duration_ms: float | None, approval: Approval) -> None:
        cut = result.full_bytes is not None
        kept_bytes = len(text_bytes(result.text))
        self._recorder.close_call(
            call,
            outcome=result.outcome,
            result=result.text,
            result_metadata=result.metadata or None,
            error_type=result.error_type,
            error_message=result.error_message,
            duration_ms=duration_ms,
            result_bytes=result.full_bytes,
            result_sha256=result.full_sha256,
            truncated_to=kept_bytes if cut else None,
            approval=approval,
        )
        self._result.calls += 1
        self._result.failed_calls += result.outcome != "success"
        self._events.emit(
            "call.finished",
            call_uid=call.call_uid,
            tool_name=call.call.name,
            outcome=result.outcome,
            duration_ms=None if duration_ms is None else round(duration_ms, 3),
            result_bytes=result.full_bytes if cut else kept_bytes,
            truncated=cut,
            metadata=result.metadata,
            error=_error_of(result),
        )


def _tell_whole(result: ToolResult, large: LargeResult) -> None:
    """Say of a result that its tool cut what the whole is, as redacted, and where it stands."""
    found = large.settle(result.full_bytes)
    if found is not None:
        result.full_bytes, result.full_sha256, spilled = found
        if spilled is not None:
            result.metadata["spilled"] = spilled


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000


def _refused(outcome: Outcome, error_type: str, message: str) -> ToolResult:
    return ToolResult(text=message, outcome=outcome, error_type=error_type, error_message=message)


def _denied(answer: ApprovalAnswer | None) -> ToolResult:
    reason = answer.reason if answer and answer.reason else "no reason was given"
    who = answer.by if answer else "the user"
    return _refused("denied", "denied", f"This call was denied by {who}: {reason}. Nothing was done.")


def _not_at_the_provider() -> ToolResult:
    """The answer to a provider that asks whether it may run a tool, of an MCP server say: nobody here watches that."""
    reason = "tools that run at the provider and ask for approval are never approved. Nothing was done; go on without"
    return _refused("denied", "denied", f"This call was denied by equitrcoder: {reason}.")


def _mark_changed(result: ToolResult, valid: ValidCall) -> None:
    """Say in record and result what was carried out in place of what the model asked for."""
    from equitrcoder import jsontext

    result.metadata["changed_arguments"] = dict(valid.arguments)
    ran = jsontext.dumps(valid.arguments).decode()
    if len(ran) > CHANGED_SHOWN_CHARACTERS:
        ran = f"{valid.name} {valid.subject}, with other contents than you gave; read them before you go on"
    result.text = f"[The user changed this call before it ran. What ran: {ran}]\n{result.text}"


def _error_of(result: ToolResult) -> dict[str, JSON] | None:
    if result.outcome == "success":
        return None
    return {"type": result.error_type, "message": result.error_message}


class LoopGuard:
    """Notices a model that makes the same failing call in answer after answer, or nearly the same one.

    Calls that differ in nothing but numbers are alike. They may stand in answers that are apart (A, B, A, B, …): their
    count begins anew when a call works that has not worked before, because then the run is getting somewhere.
    """

    WARN_AT = 3
    STOP_AT = 5
    STOP_ALIKE_AT = 10
    STOP_DENIED_AT = 8
    """Answers in a row of which every call was denied."""

    def __init__(self) -> None:
        self._before: dict[int, int] = {}
        self._now: dict[int, int] = {}
        self._alike: dict[int, int] = {}
        self._alike_now: set[int] = set()
        self._worked: set[int] = set()
        self._progress = False
        self._denied = 0
        self._all_denied = False

    def next_answer(self) -> None:
        """Begin with the calls of another answer."""
        if self._progress:
            self._alike.clear()
        for key in self._alike_now:
            self._alike[key] = self._alike.get(key, 0) + 1
        self._before, self._now, self._alike_now, self._progress = self._now, {}, set(), False
        self._denied = self._denied + 1 if self._all_denied else 0
        self._all_denied = True

    def settled(self, name: str, arguments: JSON, outcome: Outcome) -> str:
        """Note how a call of this answer ended; return what the model is to be told of its repetitions, "" if nothing.

        Example:
            >>> guard = LoopGuard()
            >>> for _ in range(3):
            ...     guard.next_answer()
            ...     said = guard.settled("read_file", {"file_path": "gone"}, "failed")
            >>> said
            'This same call has failed 3 times in a row.'
        """
        self._all_denied = self._all_denied and outcome == "denied"
        if outcome == "success":
            self._note_success(name, arguments)
            return ""
        call = f"{name} {arguments!r}"
        key, alike = hash(call), hash(_NUMBER.sub("0", call))
        self._now[key] = in_a_row = self._before.get(key, 0) + 1
        self._alike_now.add(alike)
        apart = self._alike.get(alike, 0) + 1
        if in_a_row >= self.WARN_AT:
            return f"This same call has failed {in_a_row} times in a row."
        if apart >= self.WARN_AT:
            return f"Calls like this one have failed {apart} times, and nothing new has worked in between."
        return ""

    def _note_success(self, name: str, arguments: JSON) -> None:
        if not self._alike and not self._alike_now:
            return  # nothing is being repeated: the arguments, which may be large, need not be looked at
        key = hash(f"{name} {arguments!r}")
        self._progress = self._progress or key not in self._worked
        self._worked.add(key)

    @property
    def only_denied(self) -> bool:
        """Whether nothing but denied calls came for as long as is bearable."""
        return self._all_denied and self._denied + 1 >= self.STOP_DENIED_AT

    @property
    def stuck(self) -> str:
        """What the model did as often as is bearable; "" while it is not."""
        if max(self._now.values(), default=0) >= self.STOP_AT:
            return f"The model repeated the same failing call {self.STOP_AT} times"
        most = max((self._alike.get(key, 0) + 1 for key in self._alike_now), default=0)
        if most >= self.STOP_ALIKE_AT and not self._progress:
            return f"The model repeated nearly the same failing call {self.STOP_ALIKE_AT} times"
        return ""
