"""What some events of one run change in the index, gathered so that a call that came and went is written once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from equitrcoder import jsontext
from equitrcoder.ledger import rows
from equitrcoder.ledger.reading import Damage

RUN_SUMS = (
    "steps_taken",
    "calls",
    "failed_calls",
    "input_tokens",
    "cached_read_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nanousd",
    "unpriced_turns",
    "unpriced_requests",
)
RUN_FACTS = (
    "session_id",
    "parent_run_id",
    "previous_run_id",
    "agent_role",
    "agent_name",
    "attempt",
    "provider",
    "model_requested",
    "capture",
    "repo_path",
    "task",
)


class Batch:
    """What some events of one run change.

    Attributes:
        new_calls, changed_calls: Columns by call_uid; new ones are whole rows.
        calls_without_turn: Requested here, and their turn is not: it came in an earlier piece, or was damaged.
        turns: Rows of model_turns.
        sums, facts: What is added to the run's row, and what is set in it.
        failed_cost_nanousd: What of the cost was of requests that failed.
        clock: The latest time seen in the run.
        finished: 1 when the run's end is among the events.
    """

    def __init__(self, run_id: str, state: dict[str, Any]) -> None:
        self.run_id = run_id
        self.clock: str = state["clock"]
        self.finished = 0
        self.new_calls: dict[str, dict[str, Any]] = {}
        self.calls_without_turn: list[str] = []
        self._outlines: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {}
        self.changed_calls: dict[str, dict[str, Any]] = {}
        self.turns: list[dict[str, Any]] = []
        self.sums = dict.fromkeys(RUN_SUMS, 0)
        self.failed_cost_nanousd = 0
        self.facts: dict[str, Any] = {}
        self.damage: list[Damage] = []
        self._path: str = state["path"]
        self._number: int = state["number"]

    def take(self, offset: int, length: int, event: dict[str, Any]) -> None:
        """Gather one event at its place. Raises KeyError, TypeError or ValueError when it makes no sense."""
        if event["at"] > self.clock:
            self.clock = event["at"]
        handler = _HANDLERS.get(event["type"])
        if handler is not None:  # kinds of a later version, and those that only the journal needs, are passed over
            handler(self, event, offset, length)

    def _run_started(self, event: dict[str, Any], *_: int) -> None:
        self.facts |= {name: fact(name, event[name]) for name in RUN_FACTS if event.get(name) is not None}
        self.facts["started_at"] = event["at"]

    def _request_failed(self, event: dict[str, Any], *_: int) -> None:
        cost_nanousd = rows.whole_number(event.get("cost_nanousd"))
        self.sums["unpriced_requests"] += cost_nanousd is None
        self.sums["cost_nanousd"] += cost_nanousd or 0
        self.failed_cost_nanousd += cost_nanousd or 0

    def _turn(self, event: dict[str, Any], *_: int) -> None:
        row = {"run_id": self.run_id, **rows.turn_row(event)}
        self.turns.append(row)
        self.sums["steps_taken"] += 1
        self.sums["unpriced_turns"] += row["cost_nanousd"] is None
        for name in ("input_tokens", "cached_read_tokens", "output_tokens", "reasoning_tokens", "cost_nanousd"):
            self.sums[name] += row[name] or 0
        if row["model_answered"]:
            self.facts["model_answered"] = row["model_answered"]
        # Noted here already, so that no call is missing if its own entry is.
        for outline in event.get("calls") or ():
            self._outlines[str(outline["call_uid"])] = (outline, event, self.clock)
            self.sums["calls"] += 1

    def _call_requested(self, event: dict[str, Any], offset: int, length: int) -> None:
        uid = str(event["call_uid"])
        # All calls of an answer are in order by the time of the answer: a kill may leave some without their own entry.
        outline = self._outlines.get(uid)
        row = self._enter(uid, event, self.clock if outline is None else outline[2])
        if outline is None:
            self.calls_without_turn.append(uid)
        else:
            del self._outlines[uid]  # only now: what makes no sense leaves the outline standing
        row["requested_offset"] = offset
        row["requested_length"] = length

    def _enter(self, uid: str, event: dict[str, Any], clock: str) -> dict[str, Any]:
        row = rows.CALL_COLUMNS.copy()
        rows.put_requested(row, event)
        row["call_uid"] = uid
        row["run_id"] = self.run_id
        row["run_number"] = self._number
        row["order_at"] = clock
        self.new_calls[uid] = row
        return row

    def settle(self) -> None:
        """Enter the calls that only their turn has told of. After the last event."""
        for uid, (outline, turn, clock) in self._outlines.items():
            event = {"step": turn["step"], "at": turn["at"], **outline}
            self._enter(uid, event, clock).update(self.changed_calls.pop(uid, {}))
        self._outlines.clear()

    def _call_started(self, event: dict[str, Any], *_: int) -> None:
        rows.put_started(self._row(event), event)

    def _call_finished(self, event: dict[str, Any], offset: int, length: int) -> None:
        row = self._row(event)
        rows.put_finished(row, event)
        row["finished_offset"] = offset
        row["finished_length"] = length
        found = event.get("redactions")
        if isinstance(found, dict):
            row["redactions"] = rows.json_text(added_up(row.get("redactions"), found))
        self.sums["failed_calls"] += rows.is_failed(row["outcome"])

    def _approval(self, event: dict[str, Any], *_: int) -> None:
        if event.get("decision") in {"granted", "denied"}:
            self._row(event)["approval"] = event["decision"]

    def _run_finished(self, event: dict[str, Any], *_: int) -> None:
        self.finished = 1
        self.facts["status"] = rows.text(event.get("status")) or "interrupted"
        self.facts["completed_at"] = rows.text(event.get("ended_at")) or event["at"]
        for name in ("response", "error", "error_type"):
            self.facts[name] = rows.text(event.get(name))
        self.facts |= rows.reported_facts(event)
        torn = event.get("torn")
        if isinstance(torn, dict):
            size = rows.whole_number(torn.get("bytes")) or 0
            place = rows.whole_number(torn.get("offset")) or 0
            self.damage.append(Damage(self._path, place, size, "the last entry was cut off"))
        if event.get("damage"):
            self.damage.append(Damage(self._path, 0, 0, str(event["damage"])))

    def _row(self, event: dict[str, Any]) -> dict[str, Any]:
        """The columns of an event's call, new or changed."""
        uid = str(event["call_uid"])
        row = self.new_calls.get(uid)
        return self.changed_calls.setdefault(uid, {}) if row is None else row


_HANDLERS: dict[str, Callable[[Batch, dict[str, Any], int, int], None]] = {
    "run_started": Batch._run_started,
    "request_failed": Batch._request_failed,
    "turn": Batch._turn,
    "call_requested": Batch._call_requested,
    "call_started": Batch._call_started,
    "call_finished": Batch._call_finished,
    "approval": Batch._approval,
    "run_finished": Batch._run_finished,
}


def fact(name: str, value: Any) -> Any:
    """A value of run_started or of runs.jsonl as its column holds it."""
    return rows.whole_number(value) or 1 if name == "attempt" else rows.text(value)


def added_up(before: str | None, found: dict[str, Any]) -> dict[str, int]:
    """Redactions by rule: those stored as JSON, and more."""
    total: dict[str, int] = jsontext.loads(before) if before else {}
    for rule, count in found.items():
        total[rule] = total.get(rule, 0) + (rows.whole_number(count) or 0)
    return total
