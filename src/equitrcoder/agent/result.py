"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

from equitrcoder.records import RunStatus


@dataclass(slots=True, kw_only=True)
class RunResult:
    """How a run ended and what it took; prints as its text.

    Counts and costs are of this run only. Filled while the run goes on, so that a run that is stopped has its figures.

    Example:
        >>> print(RunResult(run_id="01J", session_id="s", response="Done."))
        Done.
    """

    run_id: str
    session_id: str
    status: RunStatus = "running"
    response: str = ""
    """The model's last words; the partial text when the run was stopped."""
    error: str | None = None
    steps_taken: int = 0
    """Model answers."""
    calls: int = 0
    failed_calls: int = 0
    """Closed and not success."""
    input_tokens: int = 0
    cached_read_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0
    """Sum over the priced turns."""
    unpriced_turns: int = 0
    duration_ms: float = 0.0
    check: CheckResult | None = None

    def __str__(self) -> str:
        return self.response

    @property
    def token_usage(self) -> dict[str, int]:
        """Tokens as in the second seed's records."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "cached_tokens": self.cached_read_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What the command of `--check` said in the end."""

    command: str
    passed: bool
    exit_code: int | None
    output: str = field(repr=False)
    duration_ms: float
