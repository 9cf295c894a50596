"""How a run ended, from what ended it."""

from __future__ import annotations

import asyncio

from equitrcoder.errors import (
    BudgetExceeded,
    EquitrError,
    ProviderError,
    RunCancelled,
    RunStopped,
    StepLimitReached,
    TimeLimitReached,
)
from equitrcoder.records import RunStatus

_CANCELLED = (asyncio.CancelledError, KeyboardInterrupt, RunCancelled)


def status_of(error: BaseException) -> RunStatus:
    """The status of a run that `error` ended."""
    if isinstance(error, BudgetExceeded):
        return "budget"
    if isinstance(error, StepLimitReached | TimeLimitReached):
        return "limit"
    return "cancelled" if isinstance(error, _CANCELLED) else "failed"


def sentence_of(error: BaseException) -> str:
    """What the record says about the error."""
    if isinstance(error, EquitrError):
        return str(error)
    return "the run was stopped" if isinstance(error, _CANCELLED) else f"{type(error).__name__}: {error}"


def error_type_of(error: BaseException | None) -> str | None:
    """The record's error type; None when nothing went wrong."""
    if error is None:
        return None
    if isinstance(error, ProviderError):
        return error.error_type
    if isinstance(error, _CANCELLED):
        return "cancelled"
    return type(error).__name__ if isinstance(error, RunStopped) else "crashed"


def exit_code_of(status: RunStatus, error: BaseException | None) -> int:
    """The exit code of the commands (DESIGN.md section 8) for a run that ended so."""
    if isinstance(error, EquitrError):
        return error.exit_code
    return {"completed": 0, "budget": 5, "limit": 6, "cancelled": 130, "interrupted": 130}.get(status, 1)
