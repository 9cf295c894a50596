"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

from equitrcoder.records import JSON, RunStatus


@dataclass(slots=True, kw_only=True)
class RunResult:
    """How a run ended and what it took; prints as its text.

    Counts and costs are of this run only. Filled while the run goes on, so that a run that is stopped has its figures.

    Source: provider-aware tool call tracking, "Database Integration" (AgentExecutionResult).

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
    unpriced_requests: int = 0
    """Requests that gave no answer and may be charged for, nobody knows how much."""
    duration_ms: float = 0.0
    check: CheckResult | None = None
    tool_calls: list[dict[str, JSON]] = field(default_factory=list, repr=False)
    """What `chat` took from the ledger when the run had ended: {tool_name, input, step, output, status, …} per call, in
    order; `step` is the call's number within the run, from 1."""
    execution_steps: list[dict[str, JSON]] = field(default_factory=list, repr=False)
    """Likewise: {step, type, timestamp, content, tokens} for each answer, call, result, approval and error."""

    def __str__(self) -> str:
        return self.response

    @property
    def cost(self) -> float | None:
        """Dollars; None when a turn or a broken request is unpriced (`cost_nanousd` has the sum of the others).

        Example:
            >>> RunResult(run_id="01J", session_id="s", cost_nanousd=6_100_000).cost
            0.0061
        """
        return None if self.unpriced_turns or self.unpriced_requests else self.cost_nanousd / 1_000_000_000

    @property
    def token_usage(self) -> dict[str, int]:
        """Tokens as the record of a run has them: input (cached ones included), output (reasoning included), the sum.

        Example:
            >>> result = RunResult(run_id="01J", session_id="s", input_tokens=1270, output_tokens=157)
            >>> result.token_usage["total_tokens"]
            1427
        """
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "cached_read_tokens": self.cached_read_tokens,
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
