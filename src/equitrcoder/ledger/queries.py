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
    since: datetime | None = None
    """Requested at or after this moment (aware)."""
    until: datetime | None = None
    """Requested before this moment (aware)."""
    limit: int | None = None
    """The newest n (still oldest first)."""
    failed: bool = False
    """Only calls that are closed and not success."""


EVERY_CALL = CallQuery()

JOINED = (
    "FROM tool_calls AS c JOIN agent_runs AS r USING (run_id) "
    "LEFT JOIN model_turns AS t ON t.run_id = c.run_id AND t.step = c.step"
)


def where(query: CallQuery) -> tuple[str, list[object]]:
    """The conditions of a query: SQL that starts with WHERE, or nothing, and its values. `run` must be a whole id."""
    terms: list[str] = []
    values: list[object] = []

    def term(sql: str, *given: object) -> None:
        terms.append(sql)
        values.extend(given)

    if query.run is not None:
        term("c.run_id = ?", query.run)
    if query.session is not None:
        term("r.session_id = ?", query.session)
    if query.tool is not None:
        term("c.tool_name = ?", query.tool)
    if query.outcome is not None:
        term("c.outcome = ?", query.outcome)
    if query.failed:
        term("c.outcome NOT IN ('success', 'requested', 'running')")
    if query.provider is not None:
        term("r.provider = ?", query.provider)
    if query.model is not None:
        term("(r.model_requested = ? OR t.model_answered = ?)", query.model, query.model)
    if query.agent is not None:
        term("(r.agent_name = ? OR r.agent_role = ?)", query.agent, query.agent)
    if query.since is not None:
        term("c.requested_at >= ?", format_time(query.since))
    if query.until is not None:
        term("c.requested_at < ?", format_time(query.until))
    return ("WHERE " + " AND ".join(terms) if terms else ""), values
