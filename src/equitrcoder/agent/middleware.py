"""Middleware around the model call, and the one place where an answer enters the ledger.

A middleware takes the next model function and returns another. The innermost one, for rows whose capture is
`middleware`, is the tracking middleware; for `native` rows what asks the provider hands the answer to the same tracker.
How to write one: docs/middleware.md.

Source: DESIGN.md section 4 (capture); the second seed, "For OpenAI-Compatible Providers: ModelMiddleware".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from equitrcoder.errors import EquitrError, MiddlewareError
from equitrcoder.providers.client import ModelRequest, ModelResponse
from equitrcoder.wires.values import Usage

if TYPE_CHECKING:
    from equitrcoder.ledger.recorder import RecordedCall
    from equitrcoder.wires.values import Turn

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
    """Wrap `ask` so that the first middleware of the list is the outermost.

    Our own errors, those of the provider and of a limit among them, pass through all of them as they are.

    Raises:
        MiddlewareError: One raised anything else, or returned no function; in the function: no `ModelResponse`.
    """
    for place in range(len(middleware), 0, -1):
        ask = _guarded(middleware[place - 1], place, ask)
    return ask


def _guarded(wrap: ModelMiddleware, place: int, call_next: ModelFunction) -> ModelFunction:
    name = f"The middleware {getattr(wrap, '__qualname__', type(wrap).__qualname__)} (number {place} of the list)"
    try:
        inner = wrap(call_next)
    except EquitrError:
        raise
    except Exception as error:
        raise _told(name, error) from error
    if not callable(inner):
        raise MiddlewareError(
            f"{name} returned {_shown(inner)} and no function.",
            hint="return an async function that takes a ModelRequest (docs/middleware.md)",
        )

    async def ask(request: ModelRequest) -> ModelResponse:
        try:
            response = await inner(request)
        except EquitrError:
            raise
        except Exception as error:
            raise _told(name, error) from error
        if not isinstance(response, ModelResponse):
            raise MiddlewareError(
                f"{name} gave back {_shown(response)} and no ModelResponse.",
                hint="return what call_next gave (docs/middleware.md)",
            )
        return response

    return ask


def _told(name: str, error: Exception) -> MiddlewareError:
    return MiddlewareError(
        f"{name} raised {type(error).__name__}: {error}", hint="mend it, or leave it out: middleware=[…]"
    )


def _shown(value: object) -> str:
    return repr(value)[:80]


class TurnTracker:
    """Records each answer exactly once, and knows which calls in the ledger belong to the one that is gone on with.

    A middleware may ask several times for one turn, or not at all: every answer of the provider is recorded as it
    comes, and what a middleware gives in place of one (out of a cache, or changed) is an answer of its own that took no
    request and cost nothing.

    Args:
        record: Writes an answer to the ledger; returns its recorded calls, in the order of the answer.
        drop: Closes the calls of an answer that is not gone on with.
    """

    def __init__(
        self,
        record: Callable[[ModelResponse], tuple[RecordedCall, ...]],
        drop: Callable[[Iterable[RecordedCall]], None],
    ) -> None:
        self._record = record
        self._drop = drop
        self._answers: list[tuple[Turn, tuple[RecordedCall, ...]]] = []
        self._provided: dict[int, Turn] = {}
        """Every answer of the provider by its identity; a reference each, so that none is given twice."""
        self.taken_place = 0
        """Which of the answers since the one before was taken the last time, from 0."""

    def middleware(self, call_next: ModelFunction) -> ModelFunction:
        """The tracking `ModelMiddleware`."""

        async def ask(request: ModelRequest) -> ModelResponse:
            response = await call_next(request)
            self.record(response)
            return response

        return ask

    def record(self, response: ModelResponse) -> None:
        """Write one answer of the provider to the ledger."""
        self._provided[id(response.turn)] = response.turn
        self._answers.append((response.turn, self._record(response)))

    def take(self, response: ModelResponse) -> tuple[Turn, tuple[RecordedCall, ...]]:
        """The answer that the run goes on with and its recorded calls; those of the others since the last are closed.

        A provider's message (`native`) belongs to its own answer only: a changed one goes on without.
        """
        answers, self._answers = self._answers, []
        taken: tuple[RecordedCall, ...] | None = None
        self.taken_place = len(answers)
        for place, (turn, calls) in enumerate(answers):
            if turn is response.turn:
                taken, self.taken_place = calls, place
            else:
                self._drop(calls)
        if taken is not None:
            return response.turn, taken
        made = replace(response.turn, usage=Usage(), native={}, further=())  # none of this is the provider's message
        calls = self._record(replace(response, turn=made, duration_ms=0.0, time_to_first_byte_ms=None, attempts=0))
        return self._provided.get(id(response.turn), made), calls
