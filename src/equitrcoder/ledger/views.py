"""The shapes that are given out: records as dictionaries, log entries, runs. They never change, only grow."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from equitrcoder.records import JSON, ModelTurn, Run, ToolCall, format_time

CALL_FIELDS = tuple(ToolCall.__dataclass_fields__)
OPEN = frozenset({"requested", "running"})
_EARLIER = {"session_id", "tool_name", "arguments", "arguments_raw", "result", "result_metadata", "duration_ms"}
_LATER = tuple(name for name in CALL_FIELDS if name not in _EARLIER)
LOG_FIELDS = (
    *("timestamp", "session_id", "tool_name", "tool_args", "result", "success", "duration_ms", "error"),
    *_LATER,
)
"""The keys of a log entry, in order: the eight of the tool logging guide, then the others."""
_TURN_FIELDS = tuple(ModelTurn.__dataclass_fields__)
_RUN_FIELDS = tuple(Run.__dataclass_fields__)


def call_to_dict(call: ToolCall) -> dict[str, JSON]:
    """A call with the field names of design/record.md, in their order; times as ISO 8601 text."""
    return {name: _value(getattr(call, name)) for name in CALL_FIELDS}


def turn_to_dict(turn: ModelTurn) -> dict[str, JSON]:
    """A model's answer as a dictionary; times as ISO 8601 text."""
    return {name: _value(getattr(turn, name)) for name in _TURN_FIELDS}


def run_to_dict(run: Run) -> dict[str, JSON]:
    """A run's own fields as a dictionary; times as ISO 8601 text. `run_view` adds its calls and steps."""
    return {name: _value(getattr(run, name)) for name in _RUN_FIELDS}


def _value(value: Any) -> JSON:
    return format_time(value) if isinstance(value, datetime) else value


def log_entry(call: ToolCall) -> dict[str, JSON]:
    """A call as an entry of the tool log: the eight keys of the tool logging guide first, further ones after them.

    `timestamp` is when the tool started, else when it was asked for. `result` and `error` are None while the call is
    open.

    Source: tool logging guide, "Log File Format".
    """
    metadata = call.result_metadata or {}
    entry: dict[str, JSON] = {
        "timestamp": format_time(call.started_at or call.requested_at),
        "session_id": call.session_id,
        "tool_name": call.tool_name,
        "tool_args": call.arguments if call.arguments is not None else call.arguments_raw,
        "result": None
        if call.outcome in OPEN
        else {"success": call.success, "content": call.result, "metadata": metadata},
        "success": call.success,
        "duration_ms": call.duration_ms,
        "error": _log_error(call),
    }
    return entry | {name: _value(getattr(call, name)) for name in _LATER}


def _log_error(call: ToolCall) -> str | None:
    if call.success or call.outcome in OPEN:
        return None
    return call.error_message or call.error_type or call.outcome


def run_view(run: Run, calls: Iterable[ToolCall], events: Iterable[dict[str, Any]]) -> dict[str, JSON]:
    """A run as the second guide's `agent_runs` has it: response, steps, calls, execution steps, tokens, status.

    Args:
        calls: Its calls, oldest first.
        events: Its journal's events, in order.

    Source: provider-aware tool call tracking, "Database Integration"; design/record.md, "Run".
    """
    view = run_to_dict(run)
    tool_calls: list[JSON] = [_run_call(call) for call in calls]
    view["tool_calls"] = tool_calls
    view["execution_steps"] = execution_steps(events)
    view["token_usage"] = token_usage(run)
    return view


def token_usage(run: Run) -> dict[str, JSON]:
    """The tokens of a run: input (cached ones included), output (reasoning included), and their sum."""
    return {
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "total_tokens": run.input_tokens + run.output_tokens,
        "cached_read_tokens": run.cached_read_tokens,
        "reasoning_tokens": run.reasoning_tokens,
    }


def _run_call(call: ToolCall) -> dict[str, JSON]:
    return {
        "tool_name": call.tool_name,
        "input": call.arguments if call.arguments is not None else call.arguments_raw,
        "step": call.ordinal,
        "output": call.result,
        "status": call.outcome,
        "error": _log_error(call),
        "duration_ms": call.duration_ms,
        "call_uid": call.call_uid,
        "model_step": call.step,
    }


def execution_steps(events: Iterable[dict[str, Any]]) -> list[JSON]:
    """What happened in a run, in order: {step, type, timestamp, content, tokens}, step from 1.

    `type` is model, tool_call, tool_result, approval or error; `tokens` is there for model steps only, else None. Of a
    run that the agent did not make, they are what was reported (`AgentRuns.update_completion`).
    """
    steps: list[JSON] = []
    names: dict[str, JSON] = {}
    for event in events:
        if event["type"] == "run_finished" and isinstance(event.get("execution_steps"), list):
            return list(event["execution_steps"])
        if event["type"] == "call_requested":
            names[str(event.get("call_uid"))] = event.get("tool_name")
        shaped = _execution_step(event, names)
        if shaped is not None:
            kind, content, tokens = shaped
            steps.append(
                {"step": len(steps) + 1, "type": kind, "timestamp": event["at"], "content": content, "tokens": tokens}
            )
    return steps


def _execution_step(event: dict[str, Any], names: dict[str, JSON]) -> tuple[str, JSON, JSON] | None:
    kind = event["type"]
    tool = names.get(str(event.get("call_uid")))
    if kind == "turn":
        return "model", event.get("text"), event.get("usage")
    if kind == "call_requested":
        asked = event.get("arguments")
        return "tool_call", {"tool_name": tool, "input": event.get("arguments_raw") if asked is None else asked}, None
    if kind == "call_finished":
        result = {name: event.get(name) for name in ("outcome", "result", "error_type", "error_message")}
        return "tool_result", {"tool_name": tool, **result}, None
    if kind == "approval":
        decision = {name: event.get(name) for name in ("decision", "by", "reason")}
        return "approval", {"tool_name": tool, **decision}, None
    if kind == "request_failed":
        return "error", {name: event.get(name) for name in ("error_type", "message", "status", "attempt")}, None
    if kind == "run_finished" and event.get("error"):
        return "error", {"error_type": event.get("error_type"), "message": event["error"]}, None
    return None
