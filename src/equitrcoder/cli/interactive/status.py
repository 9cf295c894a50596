"""The figures of a session, for its one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from equitrcoder.cli import text

TOKENS = ("input_tokens", "cached_tokens", "output_tokens")
FIGURES = ("turns", "calls", "failed_calls", "cost_nanousd", "unpriced_turns", "unpriced_requests")


class Status:
    """Counts what a session did over all its turns, from the events of its runs.

    Args:
        window_of: How many tokens a model (provider and name as sent) can hold; None where nobody knows.

    Example:
        >>> status = Status(lambda provider, model: 131_072)
        >>> status.take_model("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b")
        >>> status.limit_nanousd = 500_000_000
        >>> print(status.line())
        groq/openai/gpt-oss-120b · turn 0 · 0 calls · $0 · budget $0.50 · context 0%
    """

    def __init__(self, window_of: Callable[[str, str], int | None]) -> None:
        self._window_of = window_of
        self._model = ""
        self._window_tokens: int | None = None
        self.limit_nanousd: int | None = None
        self.context_tokens = 0
        """What the next request holds already: the last prompt and its answer."""
        self._sums = dict.fromkeys((*FIGURES, *TOKENS), 0)
        self._before = dict(self._sums)

    def take_model(self, provider: str, sent: str, requested: str) -> None:
        """Another model is asked from now on."""
        self._model = requested
        self._window_tokens = self._window_of(provider, sent)

    def take(self, event: dict[str, Any]) -> None:
        """Count one event."""
        match event["type"]:
            case "run.started":
                self._before = dict(self._sums)
                self.take_model(event["provider"], event["model"], event["model_requested"])
            case "turn.finished":
                self._count_turn(event)
            case "call.finished":
                self._add(calls=1, failed_calls=event["outcome"] != "success")
            case "run.finished":
                self._settle(event["totals"])

    def _add(self, **figures: int) -> None:
        for name, number in figures.items():
            self._sums[name] += number

    def _count_turn(self, event: dict[str, Any]) -> None:
        cost, tokens = event["cost_nanousd"], event["tokens"]
        self._add(turns=1, cost_nanousd=cost or 0, unpriced_turns=cost is None)
        if tokens["input_tokens"] is not None:
            self.context_tokens = tokens["input_tokens"] + (tokens["output_tokens"] or 0)

    def _settle(self, totals: dict[str, Any]) -> None:
        """Take a run's own sums for what was counted while it went on: they hold also what failed attempts cost."""
        self._sums = dict(self._before)
        self._add(**{name: totals[name] for name in FIGURES}, **{name: totals["tokens"][name] for name in TOKENS})

    def line(self) -> str:
        """The status line."""
        sums = self._sums
        failed = f", {sums['failed_calls']:,} failed" if sums["failed_calls"] else ""
        parts = [
            text.safe(self._model),
            f"turn {sums['turns']:,}",
            text.count(sums["calls"], "call") + failed,
            text.cost(sums["cost_nanousd"], sums["unpriced_turns"], sums["turns"], sums["unpriced_requests"]),
        ]
        if self.limit_nanousd is not None:
            parts.append(f"budget ${self.limit_nanousd / 1e9:.2f}")
        return " · ".join([*parts, self._context()])

    def _context(self) -> str:
        if self._window_tokens:
            return f"context {100 * self.context_tokens / self._window_tokens:.0f}%"
        return f"context {text.count(self.context_tokens, 'token')}"

    def totals(self) -> dict[str, Any]:
        """All turns of the session, in the shape that `text.summary` takes."""
        return {
            **{name: self._sums[name] for name in FIGURES},
            "tokens": {name: self._sums[name] for name in TOKENS},
            "duration_ms": None,
        }
