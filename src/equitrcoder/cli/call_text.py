"""A recorded call in a few words: what it was about, and what became of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equitrcoder import jsontext

if TYPE_CHECKING:
    from equitrcoder.records import ToolCall

_TELLING = ("command", "pattern", "file_path", "path", "message")
"""Arguments that say what a call is about, the most telling first."""


def subject(call: ToolCall) -> str:
    """The path, command or pattern of a call; else its arguments as JSON; the raw text when they were none."""
    if call.arguments is None:
        return call.arguments_raw or ""
    for name in _TELLING:
        value = call.arguments.get(name)
        if isinstance(value, str) and value:
            return value
    return jsontext.dumps(call.arguments).decode() if call.arguments else ""


def outcome(call: ToolCall) -> str:
    """What became of a call, with the exit code or the kind of error where there is one.

    Example: `success`, `failed (exit 1)`, `failed (not_found)`, `running`.
    """
    exit_code = (call.result_metadata or {}).get("exit_code")
    if call.outcome == "success":
        return "success"
    if isinstance(exit_code, int):
        return f"{call.outcome} (exit {exit_code})"
    return f"{call.outcome} ({call.error_type})" if call.error_type not in (None, call.outcome) else call.outcome
