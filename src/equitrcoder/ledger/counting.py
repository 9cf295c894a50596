"""Counting what a batch of events changes in the statistics, beside the rows and in their transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from equitrcoder.ledger import cells, days
from equitrcoder.ledger.batch import Batch
from equitrcoder.records import CLOSED_OUTCOMES

_WORDS = ("provider", "model_requested", "agent_role", "agent_name")


class Counting:
    """The cells of a run that a batch adds to.

    Calls and answers are counted as their rows are written. What no recorder writes (a second end of a call, an answer
    that comes twice) makes the run be counted anew from its rows, in `finish`.

    Args:
        state: What is known of the run before: its row of `journals`, and `_WORDS` of `agent_runs`.
    """

    def __init__(self, connection: sqlite3.Connection, batch: Batch, state: dict[str, Any]) -> None:
        self._connection = connection
        self._batch = batch
        self._number: int = state["number"]
        self._words = [batch.facts.get(name) or state[name] for name in _WORDS]
        self._again = state["seq"] > 0 and any(
            state[name] != word for name, word in zip(_WORDS, self._words, strict=True)
        )
        self._found: cells.Cells = {}
        self._recent: dict[tuple[str, str, str, int], cells.Cell] = {}
        self._answered = {row["step"]: row["model_answered"] for row in batch.turns}
        self._actors: dict[str | None, int] = {}
        self._asking: dict[int, int] = {}

    def actor(self, step: int) -> int:
        """Who asked for the calls of an answer."""
        if step not in self._answered:
            found = self._connection.execute(
                "SELECT model_answered FROM model_turns WHERE run_id = ? AND step = ?", (self._batch.run_id, step)
            ).fetchone()
            self._answered[step] = found[0] if found else None
        return self._actor(self._answered[step])

    def _actor(self, answered: str | None) -> int:
        number = self._actors.get(answered)
        if number is None:
            actor = cells.actor_of(self._words, answered)
            number = self._actors[answered] = cells.enter_actor(self._connection, actor)
        return number

    def _cell(self, at: str, tool: str, actor: int) -> cells.Cell:
        key = (at[:16], at[26:], tool, actor)  # to the minute, and the zone: most of a batch is of one
        cell = self._recent.get(key)
        if cell is None:
            cell = self._found.setdefault((days.quarter_of(at), tool, actor), cells.Cell())
            self._recent[key] = cell
        return cell

    def new_call(self, row: dict[str, Any]) -> None:
        """A row that is about to be written."""
        step, outcome = row["step"], row["outcome"]
        actor = self._asking.get(step)
        if actor is None:
            actor = self._asking[step] = self.actor(step)
        row["actor"] = actor
        if outcome in CLOSED_OUTCOMES:
            self._cell(row["requested_at"], row["tool_name"], actor).take_call(outcome, row["duration_ms"])

    def replaced_call(self, outcome: str, run_id: str) -> None:
        """What stood in the place of a new row."""
        self._again |= outcome in CLOSED_OUTCOMES or run_id != self._batch.run_id

    def changed_call(self, uid: str, row: dict[str, Any]) -> None:
        """Columns that are about to change."""
        if "outcome" not in row:
            return
        found = self._connection.execute(
            "SELECT outcome, requested_at, tool_name, actor, duration_ms FROM tool_calls "
            "WHERE call_uid = ? AND run_id = ?",
            (uid, self._batch.run_id),
        ).fetchone()
        if found is None:
            return
        before, at, tool, actor, duration_ms = found
        if before in CLOSED_OUTCOMES:
            self._again = True
        elif row["outcome"] in CLOSED_OUTCOMES:
            self._cell(at, tool, actor).take_call(row["outcome"], row.get("duration_ms", duration_ms))

    def turns(self) -> None:
        """The answers and failed requests of the batch, before they are written."""
        last = 0
        if self._batch.turns:
            (found,) = self._connection.execute(
                "SELECT max(step) FROM model_turns WHERE run_id = ?", (self._batch.run_id,)
            ).fetchone()
            last = found or 0
        for row in self._batch.turns:
            self._again |= row["step"] <= last
            last = row["step"]
            self._cell(row["at"], "", self._actor(row["model_answered"])).take_turn(row)

    def failed_cost(self, started_at: str) -> None:
        """What failed requests cost belongs to the moment at which their run started."""
        cost_nanousd, unpriced = self._batch.failed_cost_nanousd, self._batch.sums["unpriced_requests"]
        if cost_nanousd or unpriced:
            self._cell(started_at, "", self._actor(None)).take_failed_cost(cost_nanousd, unpriced)

    def lost_calls(self) -> int:
        """The calls of a finished run that have no end, before they get one; returns how many."""
        lost = self._connection.execute(
            "SELECT requested_at, tool_name, actor, duration_ms FROM tool_calls "
            "WHERE run_id = ? AND outcome IN ('requested', 'running')",
            (self._batch.run_id,),
        ).fetchall()
        for at, tool, actor, duration_ms in lost:
            self._cell(at, tool, actor).take_call("unknown", duration_ms)
        return len(lost)

    def finish(self) -> None:
        """Write what was counted, after the rows."""
        if self._again:
            cells.recount(self._connection, self._batch.run_id, self._number)
        else:
            cells.add_to_run(self._connection, self._number, self._found)
