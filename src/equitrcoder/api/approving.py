"""The `approve=` function of a caller as the agent's approver."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from equitrcoder.errors import UsageError

if TYPE_CHECKING:
    from equitrcoder.agent.approvals import ApprovalAnswer, ApprovalRequest, Approver

Verdict: TypeAlias = "bool | ApprovalAnswer"
ApproveFunction: TypeAlias = "Callable[[ApprovalRequest], Verdict | Awaitable[Verdict]]"
"""Takes what somebody is asked to allow; says True, False, or why in an `ApprovalAnswer`. Sync or async."""


def approver(function: ApproveFunction) -> Approver:
    """Wrap a caller's function.

    One that is not async runs in a thread, so that it may ask a person while other calls go on. What it raises ends the
    run, and nothing is carried out.

    Raises:
        UsageError: It is no function.
    """
    if not callable(function):
        raise UsageError(
            f"approve takes ask, edits, all, deny or a function, not {function!r}.", hint='approve="all", say'
        )

    async def ask(request: ApprovalRequest) -> ApprovalAnswer:
        if inspect.iscoroutinefunction(function):
            said: Any = await function(request)
        else:
            said = await asyncio.to_thread(function, request)
            if inspect.isawaitable(said):
                said = await said
        return _answer(said)

    return ask


def _answer(said: object) -> ApprovalAnswer:
    from equitrcoder.agent.approvals import ApprovalAnswer

    if isinstance(said, ApprovalAnswer):
        return said
    if isinstance(said, bool):
        return ApprovalAnswer(granted=said, by="approve function")
    raise UsageError(
        f"The approve function returned {said!r}: it must say True, False or an ApprovalAnswer.",
        hint="return True to let the call run",
    )
