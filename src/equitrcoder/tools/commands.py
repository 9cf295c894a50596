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
    read_only = box.sandbox.level != "none" and says_git_is_read_only(command, result.output)
    return command_result(result, seconds, read_only=read_only)


_READ_ONLY = (
    "[Commands cannot change .git/config, .git/hooks and .git/modules: they are read-only in the sandbox, since git "
    "would run what they say as the user. Settings for one command: git -c name=value. Remotes, hooks and lasting "
    "settings are for the user to make.]"
)
_REFUSED = re.compile(rb"Read-only file system|Device or resource busy")


def says_git_is_read_only(command: str, output: bytes) -> bool:
    """Whether a line of the output says that something of git's could not be changed: it or the command names it.

    Example:
        >>> says_git_is_read_only("make", b"error: could not write config file .git/config: Device or resource busy")
        True
        >>> says_git_is_read_only("touch /usr/x", b"touch: cannot touch '/usr/x': Read-only file system")
        False
    """
    for refused in _REFUSED.finditer(output):
        line = output[output.rfind(b"\n", 0, refused.start()) + 1 : refused.start()]
        if ".git" in command or b".git" in line or b"config file" in line:
            return True
    return False


def command_result(result: CommandResult, timeout_s: float, *, read_only: bool = False) -> ToolResult:
    """The result of a command for the model: what it printed, and in front of it how it ended unless that was well."""
    output = result.output.decode("utf-8", "replace")
    if read_only:
        output = f"{output.rstrip()}\n{_READ_ONLY}"
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
