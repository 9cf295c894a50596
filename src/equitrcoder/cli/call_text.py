"""A recorded call in a few words: what it was about, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from equitrcoder import jsontext

if TYPE_CHECKING:
    from equitrcoder.records import ToolCall

_TELLING = ("command", "pattern", "file_path", "path", "message")
"""Arguments that say what a call is about, the most telling first."""


def subject(call: ToolCall) -> str:
    """The path, command or pattern of a call; else its arguments as JSON; the raw text when they were none."""
    return subject_of(call.arguments, call.arguments_raw)


def subject_of(arguments: Mapping[str, Any] | None, arguments_raw: str | None) -> str:
    """The same of arguments.

    Example:
        >>> subject_of({"path": ".", "command": "pytest -q"}, None), subject_of({"depth": 2}, None)
        ('pytest -q', '{"depth":2}')
    """
    if arguments is None:
        return arguments_raw or ""
    for name in _TELLING:
        value = arguments.get(name)
        if isinstance(value, str) and value:
            return value
    return jsontext.dumps(arguments).decode() if arguments else ""


def outcome(call: ToolCall) -> str:
    """What became of a call, with the exit code or the kind of error where there is one.

    Example: `success`, `failed (exit 1)`, `failed (not_found)`, `running`.
    """
    return outcome_of(call.outcome, call.error_type, call.result_metadata)


def outcome_of(outcome: str, error_type: str | None, metadata: Mapping[str, Any] | None) -> str:
    """The same of its parts.

    Example:
        >>> outcome_of("failed", "exit_status", {"exit_code": 1}), outcome_of("timeout", "timeout", None)
        ('failed (exit 1)', 'timeout')
    """
    exit_code = (metadata or {}).get("exit_code")
    if outcome == "success":
        return "success"
    if isinstance(exit_code, int):
        return f"{outcome} (exit {exit_code})"
    return f"{outcome} ({error_type})" if error_type not in (None, outcome) else outcome
