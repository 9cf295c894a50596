"""The records of what an agent did: runs, model turns and tool calls, as plain data.

Source: design/record.md. Standard library only; everything else in the package may import this.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

Outcome: TypeAlias = Literal[
    "requested",
    "running",
    "success",
    "failed",
    "invalid",
    "denied",
    "cancelled",
    "timeout",
    "interrupted",
    "unknown",
]
"""What became of a call; a closed set. `requested` and `running` are open, all others are closed."""

OPEN_OUTCOMES: frozenset[str] = frozenset({"requested", "running"})
CLOSED_OUTCOMES: frozenset[str] = frozenset(get_args(Outcome)) - OPEN_OUTCOMES

RunStatus: TypeAlias = Literal["running", "completed", "failed", "cancelled", "limit", "budget", "interrupted"]
AgentRole: TypeAlias = Literal["single", "supervisor", "worker"]
Capture: TypeAlias = Literal["middleware", "native"]
ExecutedBy: TypeAlias = Literal["client", "provider"]
ToolKind: TypeAlias = Literal["function", "mcp", "builtin"]
DurationSource: TypeAlias = Literal["measured", "provider", "unknown"]
Approval: TypeAlias = Literal["auto", "asked", "granted", "denied"]
SandboxLevel: TypeAlias = Literal["bubblewrap", "landlock", "none", "not_applicable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One tool call a model asked for, whatever became of it.

    Field names are those of `equitrcoder calls --json`; they are only ever added to.

    Source: design/record.md.
    """

    call_uid: str
    """Our id (ULID): provider ids are missing, empty or repeat."""
    provider_call_id: str | None
    """The provider's id as on the wire; None when there was none."""
    session_id: str
    """Runs that share a history share a session."""
    run_id: str
    """Run that made the call (ULID, so ids sort by time)."""
    parent_run_id: str | None = None
    """The supervisor's run, for a worker's call."""
    step: int
    """Model answer within the run, from 1."""
    position: int
    """Place among the calls of that answer, from 0."""
    ordinal: int
    """Call within the run, from 1."""
    provider: str
    model_requested: str
    model_answered: str | None = None
    agent_role: AgentRole = "single"
    agent_name: str = "single"
    tool_name: str
    tool_kind: ToolKind = "function"
    executed_by: ExecutedBy = "client"
    capture: Capture
    arguments: dict[str, JSON] | None
    """What the model asked for, redacted; None when it was no JSON object: then `arguments_raw` has the text.
    Both are None when the setting `content` keeps no arguments."""
    arguments_raw: str | None = None
    result: JSON = None
    """What the tool gave back, redacted and bounded."""
    result_metadata: dict[str, JSON] | None = None
    """What the tool says beside its text: exit code, lines, matches."""
    result_bytes: int | None = None
    """Size of the whole result, UTF-8, before any truncation; None while the call is open."""
    result_sha256: str | None = None
    truncated_to: int | None = None
    """Bytes kept in `result` when it was cut; None when it is whole."""
    outcome: Outcome = "requested"
    error_type: str | None = None
    error_message: str | None = None
    requested_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: float | None = None
    """Time inside the tool, monotonic clock; None when it never started or nobody knows."""
    duration_source: DurationSource = "unknown"
    approval: Approval = "auto"
    attempt: int = 1
    sandbox: SandboxLevel = "not_applicable"
    redactions: dict[str, int] | None = None
    """How many values each redaction rule replaced; None when nothing was."""

    @property
    def success(self) -> bool:
        """True only for the outcome `success`."""
        return self.outcome == "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTurn:
    """One answer of a model: its tokens, its time and what it cost.

    Tokens and cost belong to the turn; a call points to its turn by `run_id` and `step`.
    """

    run_id: str
    step: int
    provider: str
    model_requested: str
    model_answered: str | None
    at: datetime
    input_tokens: int | None
    """Cached ones included; None when the provider did not say."""
    cached_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None
    """Reasoning included."""
    reasoning_tokens: int | None = None
    finish: str | None
    """The provider's own word."""
    duration_ms: float | None = None
    time_to_first_byte_ms: float | None = None
    attempts: int = 1
    """Requests that it took; 0: none, a middleware gave this answer."""
    cost_nanousd: int | None = None
    """None: unpriced. 0 only where nothing is charged (ollama, local)."""
    price_version: str | None = None
    text: str = ""
    calls: int = 0
    """How many tool calls the answer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: a prompt, the turns and calls it took, and how it ended."""

    run_id: str
    session_id: str
    parent_run_id: str | None = None
    previous_run_id: str | None = None
    """The attempt before this one (resume, retry)."""
    agent_role: AgentRole = "single"
    agent_name: str = "single"
    provider: str
    model_requested: str
    model_answered: str | None = None
    repo_path: str
    task: str
    status: RunStatus
    started_at: datetime
    completed_at: datetime | None = None
    response: str | None = None
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
    journal: str = ""
    """Path of the journal, relative to the state directory."""


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid() -> str:
    """Make a ULID: 26 characters, 48 bits of milliseconds, then 80 random bits.

    Two made in different milliseconds sort by time.

    Example:
        >>> len(new_ulid())
        26

    Source: https://github.com/ulid/spec
    """
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def utc_now() -> datetime:
    """The present moment, UTC, aware, with microseconds."""
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """Write a moment as ISO 8601, UTC, always with six decimals and the offset.

    Example:
        >>> format_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        '2026-01-02T03:04:05.000000+00:00'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
