"""Which calls: a query as plain data, and the SQL that answers it, with a placeholder for every value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from equitrcoder.records import Outcome, format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class CallQuery:
    """Which calls are meant; what is None or unset does not choose.

    Example:
        >>> CallQuery(tool="read_file", outcome="failed").limit is None
        True
    """

    run: str | None = None
    """A whole run id, its unique tail, or "last"."""
    session: str | None = None
    tool: str | None = None
    outcome: Outcome | None = None
    provider: str | None = None
    model: str | None = None
    """As requested or as answered."""
    agent: str | None = None
    """Name or role of the agent."""
    role: str | None = None
    """single, supervisor or worker."""
    since: datetime | None = None
    """Requested at or after this moment (aware)."""
    until: datetime | None = None
    """Requested before this moment (aware)."""
    limit: int | None = None
    """The newest n (still oldest first)."""
    failed: bool = False
    """Only calls that are closed and not success."""


EVERY_CALL = CallQuery()

_OF_RUNS = "c.run_id IN (SELECT run_id FROM agent_runs WHERE"
_OF_ACTORS = "c.actor IN (SELECT id FROM actors WHERE"


def where(query: CallQuery) -> tuple[str, list[object]]:
    """The conditions of a query on `tool_calls AS c`: SQL terms joined by AND, at least one, and their values.

    `run` must be a whole id; `limit` is no condition.
    """
    terms: list[str] = []
    values: list[object] = []

    def term(sql: str, *given: object) -> None:
        terms.append(sql)
        values.extend(given)

    if query.run is not None:
        term("c.run_id = ?", query.run)
    if query.session is not None:
        term(f"{_OF_RUNS} session_id = ?)", query.session)
    if query.tool is not None:
        term("c.tool_name = ?", query.tool)
    if query.outcome is not None:
        term("c.outcome = ?", query.outcome)
    if query.failed:
        term("c.outcome NOT IN ('success', 'requested', 'running')")
    if query.provider is not None:
        term(f"{_OF_ACTORS} provider = ?)", query.provider)
    if query.model is not None:
        term(f"{_OF_ACTORS} model_requested = ? OR model_answered = ?)", query.model, query.model)
    if query.agent is not None:
        term(f"{_OF_ACTORS} agent_name = ? OR agent_role = ?)", query.agent, query.agent)
    if query.role is not None:
        term(f"{_OF_ACTORS} agent_role = ?)", query.role)
    if query.since is not None:
        term("c.requested_at >= ?", format_time(query.since))
    if query.until is not None:
        term("c.requested_at < ?", format_time(query.until))
    return " AND ".join(terms) or "1", values
