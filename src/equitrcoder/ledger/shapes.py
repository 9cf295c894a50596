"""Rows of the index as records, with the SQL that selects them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from equitrcoder import jsontext
from equitrcoder.ledger import reading, rows
from equitrcoder.ledger.encoding import text_bytes
from equitrcoder.records import ModelTurn, Run, ToolCall

ORDER = ("c.order_at", "c.run_number", "c.ordinal")
"""Oldest first, whatever the clocks did."""

_CALL_COLUMNS = tuple(ToolCall.__dataclass_fields__)
OF_RUN = frozenset(
    {
        "session_id",
        "parent_run_id",
        "provider",
        "model_requested",
        "agent_role",
        "agent_name",
        "capture",
        "attempt",
    }
)
_PLACE_COLUMNS = (
    "arguments_form",
    "arguments_raw_form",
    "result_form",
    "requested_offset",
    "requested_length",
    "finished_offset",
    "finished_length",
)
_TURN_COLUMNS = tuple(ModelTurn.__dataclass_fields__)
_RUN_COLUMNS = tuple(name for name in Run.__dataclass_fields__ if name != "journal")


def column(name: str) -> str:
    """Where a field of a call stands, for `select_in_order`."""
    table = "r" if name in OF_RUN else "t" if name == "model_answered" else "c"
    return f"{table}.{name}"


def _turn_column(name: str) -> str:
    return f"{'r' if name in OF_RUN else 't'}.{name}"


def _select(columns: list[str], tables: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {tables}"  # noqa: S608 - names of our own


def select_in_order(columns: list[str], *, of_runs: bool) -> str:
    """SQL for columns of calls after `ORDER`, oldest first without sorting.

    Args:
        of_runs: Whether there are columns of their runs and journals among them.
    """
    runs = "CROSS JOIN agent_runs AS r ON r.run_id = c.run_id JOIN journals AS j ON j.run_id = c.run_id "
    turns = "LEFT JOIN model_turns AS t ON t.run_id = c.run_id AND t.step = c.step"
    return _select([*ORDER, *columns], f"tool_calls AS c INDEXED BY tool_calls_order {runs if of_runs else ''}{turns}")


SELECT_CALLS_IN_ORDER = select_in_order(
    [*map(column, _CALL_COLUMNS), *(f"c.{name}" for name in _PLACE_COLUMNS), "j.path"], of_runs=True
)
SELECT_RUNS = _select(
    [*(f"r.{name}" for name in _RUN_COLUMNS), "j.path"],
    "agent_runs AS r JOIN journals AS j ON j.run_id = r.run_id",
)
SELECT_TURNS = _select(
    [*map(_turn_column, _TURN_COLUMNS)], "model_turns AS t JOIN agent_runs AS r ON r.run_id = t.run_id"
)


def call(row: tuple[Any, ...], state_dir: Path, *, full: bool) -> ToolCall:
    """A row of SELECT_CALLS_IN_ORDER; with `full` its whole result, read from the journal where it must be."""
    first, last = len(ORDER), len(ORDER) + len(_CALL_COLUMNS)
    fields = dict(zip(_CALL_COLUMNS, row[first:last], strict=True))
    stored = dict(zip(_PLACE_COLUMNS, row[last:-1], strict=True))
    path = state_dir / row[-1]
    fields["arguments"] = _from_json(fields["arguments"])
    if rows.IN_JOURNAL in (stored["arguments_form"], stored["arguments_raw_form"]):
        event = reading.read_at(path, stored["requested_offset"], stored["requested_length"]) or {}
        fields["arguments"], fields["arguments_raw"] = event.get("arguments"), event.get("arguments_raw")
    _put_result(fields, stored, path, full=full)
    fields["requested_at"] = _known_time(fields["requested_at"])
    for name in ("started_at", "ended_at"):
        fields[name] = _time(fields[name])
    for name in ("result_metadata", "redactions"):
        fields[name] = _from_json(fields[name])
    return ToolCall(**fields)


def _put_result(fields: dict[str, Any], stored: dict[str, Any], path: Path, *, full: bool) -> None:
    form = stored["result_form"]
    if form == rows.WHOLE_JSON:
        fields["result"] = _from_json(fields["result"])
    elif form in (rows.HEAD, rows.HEAD_JSON):
        event = reading.read_at(path, stored["finished_offset"], stored["finished_length"]) if full else None
        if event is not None and event.get("call_uid") == fields["call_uid"]:
            fields["result"] = event.get("result")
        else:
            fields["truncated_to"] = len(text_bytes(fields["result"]))


def run(row: tuple[Any, ...]) -> Run:
    """A row of SELECT_RUNS as a record."""
    fields = dict(zip(_RUN_COLUMNS, row[:-1], strict=True))
    fields["started_at"] = _known_time(fields["started_at"])
    fields["completed_at"] = _time(fields["completed_at"])
    return Run(**fields, journal=row[-1])


def turn(row: tuple[Any, ...]) -> ModelTurn:
    """A row of SELECT_TURNS as a record."""
    fields = dict(zip(_TURN_COLUMNS, row, strict=True))
    fields["at"] = _known_time(fields["at"])
    return ModelTurn(**fields)


def _from_json(text: str | None) -> Any:
    return None if text is None else jsontext.loads(text)


def _time(value: Any) -> datetime | None:
    """A stored time; None for none, and for what damage left of one."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _known_time(value: Any) -> datetime:
    return _time(value) or datetime.fromtimestamp(0, UTC)
