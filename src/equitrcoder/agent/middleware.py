"""Middleware around the model call, and the one place where an answer enters the ledger.

A middleware takes the next model function and returns another. The innermost one, for rows whose capture is
`middleware`, is the tracking middleware; for `native` rows the loop hands the answer to the same tracker.

Source: DESIGN.md section 4 (capture); the second seed, "For OpenAI-Compatible Providers: ModelMiddleware".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from equitrcoder.ledger.recorder import RecordedCall
    from equitrcoder.providers.client import ModelRequest, ModelResponse

ModelFunction: TypeAlias = "Callable[[ModelRequest], Awaitable[ModelResponse]]"
"""Asks a model once and returns its answer; raises ProviderError."""

ModelMiddleware: TypeAlias = Callable[[ModelFunction], ModelFunction]
"""Wraps a model function.

Example:
    >>> def shout(call_next):
    ...     async def ask(request):
    ...         response = await call_next(request)
    ...         print(len(response.turn.calls), "calls")
    ...         return response
    ...     return ask
"""


def compose(ask: ModelFunction, middleware: Sequence[ModelMiddleware]) -> ModelFunction:
    """Wrap `ask` so that the first middleware of the list is the outermost."""
    for wrap in reversed(middleware):
        ask = wrap(ask)
    return ask


class TurnTracker:
    """Records each answer exactly once and keeps the calls that stand in the ledger for it.

    Args:
        record: Writes an answer to the ledger; returns its recorded calls, in the order of the answer.
    """

    def __init__(self, record: Callable[[ModelResponse], tuple[RecordedCall, ...]]) -> None:
        self._record = record
        self._calls: tuple[RecordedCall, ...] | None = None

    def middleware(self, call_next: ModelFunction) -> ModelFunction:
        """The tracking `ModelMiddleware`."""

        async def ask(request: ModelRequest) -> ModelResponse:
            response = await call_next(request)
            self.record(response)
            return response

        return ask

    def record(self, response: ModelResponse) -> None:
        """Write one answer to the ledger."""
        self._calls = self._record(response)

    def take_calls(self) -> tuple[RecordedCall, ...]:
        """The recorded calls of the last answer; each answer's are given out once."""
        if self._calls is None:
            raise RuntimeError("an answer reached the agent without being recorded")
        calls, self._calls = self._calls, None
        return calls
