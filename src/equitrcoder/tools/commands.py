"""run_command: a command line in the sandbox, and its result in words."""

from __future__ import annotations

import re
import signal

from equitrcoder.records import JSON
from equitrcoder.sandbox import CommandResult
from equitrcoder.tools.text import plural
from equitrcoder.tools.values import Box, ToolResult


async def run_command(box: Box, command: str, timeout_s: int | None) -> ToolResult:
    """See `catalog.run_command`."""
    seconds = box.limits.command_timeout_s if timeout_s is None else min(timeout_s, box.limits.command_timeout_max_s)
    result = await box.sandbox.run(command, timeout_s=seconds, output_limit_bytes=box.limits.output_bytes)
    return command_result(result, seconds, walls=box.sandbox.level != "none")


_READ_ONLY = (
    "[Commands cannot change .git/config, .git/hooks and .git/modules: they are read-only in the sandbox, since git "
    "would run what they say as the user. Settings for one command: git -c name=value. Remotes, hooks and lasting "
    "settings are for the user to make.]"
)
_REFUSED = re.compile(
    rb"(config file \S*\.git/\S*|\.git/(?:config|hooks|modules)\S*)[^\n]{0,300}"
    rb"(?:Read-only file system|Device or resource busy)"
)


def with_reason(output: bytes, text: str) -> str:
    """The output, and why when something in it says that git's settings or hooks could not be changed.

    Example:
        >>> with_reason(b"error: could not write config file .git/config: Device or resource busy", "x")[:32]
        'x\\n[Commands cannot change .git/c'
        >>> with_reason(b"all is well", "all is well")
        'all is well'
    """
    return f"{text.rstrip()}\n{_READ_ONLY}" if _REFUSED.search(output) else text


def command_result(result: CommandResult, timeout_s: float, *, walls: bool = False) -> ToolResult:
    """The result of a command for the model: what it printed, and in front of it how it ended unless that was well."""
    output = result.output.decode("utf-8", "replace")
    if walls:
        output = with_reason(result.output, output)
    metadata: dict[str, JSON] = {"exit_code": result.exit_code, "output_bytes": result.output_bytes}
    if result.truncated:
        metadata["truncated"] = True
    if result.requests:
        metadata["network"] = [{"host": place, "refused": why or None} for place, why in result.requests]
    if result.timed_out:
        message = f"Ended after {timeout_s:g} s: it took too long"
        advice = " Give a larger timeout_s, or a command that does less."
        found = _result(result, f"{message}.{advice} Its output until then:\n{output}", metadata | {"timed_out": True})
        found.outcome, found.error_type, found.error_message = "timeout", "timeout", message
        return found
    if result.trouble is not None:
        found = _result(result, f"{result.trouble}. Its output until then:\n{output}", metadata)
        found.outcome, found.error_type, found.error_message = "failed", "ended_by_sandbox", result.trouble
        return found
    if result.exit_code == 0:
        return _result(result, output or "(no output)", metadata)
    if result.signal is not None:
        metadata["signal"] = result.signal
        message = f"Ended by signal {result.signal} ({_signal_name(result.signal)})"
    else:
        message = f"exit {result.exit_code}"
    text = (
        f"{message[:1].upper()}{message[1:]}.\n{output}"
        if output
        else f"{message[:1].upper()}{message[1:]}, no output."
    )
    found = _result(result, text, metadata)
    found.outcome, found.error_type, found.error_message = "failed", "exit_status", message
    return found


def _result(result: CommandResult, text: str, metadata: dict[str, JSON]) -> ToolResult:
    if not result.truncated:
        return ToolResult(text, metadata=metadata)
    return ToolResult(text, metadata=metadata, full_bytes=result.output_bytes, full_sha256=result.output_sha256)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return plural(number, "signal")
