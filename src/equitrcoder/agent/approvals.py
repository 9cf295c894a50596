"""Who may run a call: the mode decides, and where it says "ask", a callback answers.

Source: DESIGN.md section 6 (approvals).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from equitrcoder import policy
from equitrcoder.errors import ApprovalNeeded
from equitrcoder.records import JSON, Approval

if TYPE_CHECKING:
    from equitrcoder.ledger.recorder import RecordedCall, RunRecorder
    from equitrcoder.rules.judging import Judgement, Rules
    from equitrcoder.tools import ValidCall

    from .events import RunEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """What somebody is asked to allow."""

    call_uid: str
    tool_name: str
    arguments: dict[str, JSON]
    effect: str
    """"write" or "command"."""
    subject: str
    """The path or the command line."""
    preview: str
    """The diff of a write, or the whole command; secrets taken out, as everywhere that something is shown."""
    shown_subject: str = ""
    """`subject` with secrets taken out."""
    why: str = ""
    """Why it asks: the mode, or a rule; secrets taken out."""
    rule: str = ""
    """The rule that asks, such as "rule 2 (ask: run_command git *)"; "" when the mode does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswer:
    """What they said."""

    granted: bool
    reason: str = ""
    """Told to the model when it was not granted."""
    by: str = "user"
    arguments: dict[str, JSON] | None = None
    """What to run instead, when it was granted with a change; the record and the model are told."""


Approver: TypeAlias = Callable[[ApprovalRequest], Awaitable[ApprovalAnswer]]


class Approvals:
    """Decides calls of one run; questions are asked one at a time, in the order of the calls.

    Args:
        mode: The approval mode.
        approver: Answers questions; None: there is nobody to ask.
        preview: Shows what a call would do.
        rules: What is allowed, asked about or denied whatever the mode says; None: nothing is.
    """

    def __init__(
        self,
        mode: policy.Mode,
        approver: Approver | None,
        *,
        preview: Callable[[ValidCall], str],
        events: RunEvents,
        rules: Rules | None = None,
    ) -> None:
        self.mode: policy.Mode = mode
        self._approver = approver
        self._preview = preview
        self._events = events
        self._rules = rules
        self._one_at_a_time = asyncio.Lock()

    async def decide(
        self, call: RecordedCall, valid: ValidCall, recorder: RunRecorder
    ) -> tuple[Approval, ApprovalAnswer | None]:
        """Whether a call may run.

        Returns:
            How it was decided (`auto`, `granted` or `denied`), and the answer where there was one.

        Raises:
            ApprovalNeeded: The mode or a rule says "ask" and there is nobody to ask.
        """
        decision, why, rule = self._judged(valid)
        if decision == "allow":
            return "auto", None
        if decision == "deny":
            answer = ApprovalAnswer(granted=False, reason=self._events.redacted(why), by=rule or f"policy {self.mode}")
            self._note(call, answer, recorder, waited_ms=0.0)
            return "denied", answer
        answer = await self._ask(call, valid, recorder, why=why, rule=rule)
        return ("granted" if answer.granted else "denied"), answer

    def _judged(self, valid: ValidCall) -> tuple[policy.Decision, str, str]:
        """The decision, why, and the rule that made it ("" when the mode did)."""
        mode = policy.decide(self.mode, valid.effect)
        why = f'the approval mode is "{self.mode}"'
        if self._rules is None:
            return mode, why, ""
        writes_free = policy.decide(self.mode, "write") == "allow"
        found = self._rules.judge(valid.name, valid.arguments, writes_free=writes_free)
        if found.verdict is None:
            return mode, f"{why}; {found.why}" if found.why else why, ""
        if found.verdict == "unknown":
            return self._unknown(mode, found)
        if found.verdict == "ask" and self.mode == "deny":
            return "deny", f"{found.why}; {why}", found.rule
        return found.verdict, found.why, found.rule

    def _unknown(self, mode: policy.Decision, found: Judgement) -> tuple[policy.Decision, str, str]:
        """Nobody can say whether a rule forbids it: a person decides; without one, who would go on alone may not."""
        rule = found.rule or "rules"
        if mode == "allow":
            told = f"{found.why}. Write it so that every command stands there plainly, or do without"
            return ("deny", told, rule) if self._approver is None else ("ask", found.why, rule)
        return mode, found.why, rule

    async def _ask(
        self, call: RecordedCall, valid: ValidCall, recorder: RunRecorder, *, why: str, rule: str
    ) -> ApprovalAnswer:
        asked_at = time.monotonic()
        self._events.emit(
            "approval.needed",
            call_uid=call.call_uid,
            tool_name=valid.name,
            arguments=valid.arguments,
            effect=valid.effect,
            subject=valid.subject,
            why=why,
        )
        if self._approver is None:
            asks = f" ({rule})" if rule else ""
            raise ApprovalNeeded(
                f'{valid.name} "{valid.subject}" needs approval{asks} and there is no terminal.',
                hint="another rule, or run it interactively" if rule else "--approve all, or run it interactively",
            )
        async with self._one_at_a_time:
            answer = await self._approver(
                ApprovalRequest(
                    call_uid=call.call_uid,
                    tool_name=valid.name,
                    arguments=valid.arguments,
                    effect=valid.effect,
                    subject=valid.subject,
                    preview=self._events.redacted(self._preview(valid)),
                    shown_subject=self._events.redacted(valid.subject),
                    why=self._events.redacted(why),
                    rule=rule,
                )
            )
        waited_ms = (time.monotonic() - asked_at) * 1000
        self._note(call, answer, recorder, waited_ms=waited_ms)
        return answer

    def _note(self, call: RecordedCall, answer: ApprovalAnswer, recorder: RunRecorder, *, waited_ms: float) -> None:
        """Write the answer down, before anything runs."""
        decision: Literal["granted", "denied"] = "granted" if answer.granted else "denied"
        reason = answer.reason
        if answer.granted and answer.arguments is not None:
            from equitrcoder import jsontext

            reason = f"changed to {jsontext.dumps(answer.arguments).decode()}"
        recorder.approval(call, decision=decision, by=answer.by, reason=reason, waited_ms=waited_ms)
        self._events.emit(
            "approval.given",
            call_uid=call.call_uid,
            decision=decision,
            by=answer.by,
            reason=reason,
            waited_ms=round(waited_ms, 1),
        )
