"""A recorded call in words: harmless for a terminal, whatever the model, the repository or a tool put into it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equitrcoder.records import ToolCall

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
    "|(?<![\u0600-\u06ff\u0900-\u0dff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)
"""Controls, what turns the writing round, and what takes no place; joiners but where scripts and emoji use them."""
_TELLING = ("command", "pattern", "file_path", "path", "message")
"""Arguments that say what a call is about, the most telling first."""

_TOOL_PLACES, _SUBJECT_PLACES, _OUTCOME_PLACES, _DURATION_PLACES = 14, 40, 16, 8
_MOST = 200
"""Characters of a subject or error that are shown; the entry beside it has them all."""


def safe(text: str) -> str:
    r"""Make text harmless for a terminal: what it would carry out, or not show at all, is shown as an escape.

    Newlines and tabs stay.

    Example:
        >>> print(safe("a\x1b[31mb"))
        a\x1b[31mb
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def duration(milliseconds: float | None) -> str:
    """A duration as a person reads it; never "0 s" for something that took time.

    Example:
        >>> duration(8.2), duration(0.31), duration(12_400), duration(None)
        ('8 ms', '0.3 ms', '12.4 s', '-')
    """
    if milliseconds is None:
        return "-"
    if milliseconds < 1:
        return f"{max(milliseconds, 0.1):.1f} ms"
    if milliseconds < 9_950:
        return f"{milliseconds:,.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


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
    if not arguments:
        return ""
    from equitrcoder import jsontext  # late: what is shown after Tab must not wait for it

    return jsontext.dumps(arguments).decode()


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


def log_line(call: ToolCall) -> str:
    """A call on one line of the readable tool log: time (UTC), tool, subject, outcome, duration, error."""
    from datetime import UTC  # late, as above

    moment = (call.started_at or call.requested_at).astimezone(UTC)
    cells = (
        f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}Z",
        _short(call.tool_name).ljust(_TOOL_PLACES),
        _short(subject(call)).ljust(_SUBJECT_PLACES),
        _short(outcome(call)).ljust(_OUTCOME_PLACES),
        duration(call.duration_ms).rjust(_DURATION_PLACES),
        "" if call.success else _short(call.error_message or ""),
    )
    return "  ".join(cells).rstrip()


def _short(text: str) -> str:
    line = safe(" ".join(text[: _MOST * 4].split()))
    return line if len(line) <= _MOST else line[: _MOST - 1] + "…"
