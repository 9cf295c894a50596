"""What each key may hold: one table, used for files, variables, flags and arguments alike. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

from equitrcoder.settings.checks import (
    absolute_path,
    choice,
    command,
    dollars,
    effort,
    host_name,
    line,
    listed,
    path,
    seconds,
    switch,
    url,
    variable_name,
    whole,
)

Layer: TypeAlias = dict[str, tuple[Any, str]]
"""One source of settings, checked: key -> (value, where it came from)."""


class Kind:
    """How a key's value is checked, and read from a variable's text."""

    __slots__ = ("check", "expected", "read")

    def __init__(self, expected: str, check: Callable[[Any], Any], read: Callable[[str], Any] | None = str, /) -> None:
        self.expected = expected
        """In words, after "must be"."""
        self.check = check
        """Gives the value to keep; raises Mismatch."""
        self.read = read
        """Turns a variable's text into what `check` takes; raises ValueError. None: only files may set it."""


_SWITCH_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _read_switch(text: str) -> bool:
    """Raises ValueError."""
    word = _SWITCH_WORDS.get(text.strip().lower())
    if word is None:
        raise ValueError(text)
    return word


def _split(separator: str) -> Callable[[str], list[str]]:
    return lambda text: [part.strip() for part in text.split(separator) if part.strip()]


def _both(text: str) -> dict[str, Any]:
    return {"arguments": text.strip(), "results": text.strip(), "tools": {}}


def _choice(*words: str) -> Kind:
    return Kind(f"one of {', '.join(words)}", choice(*words))


def _providers(value: Any) -> Any:
    from equitrcoder.settings.rows import check_providers

    return check_providers(value)


def _numbers(text: str) -> dict[str, int]:
    """Raises ValueError."""
    return {name.strip(): int(value) for name, _, value in (part.partition("=") for part in text.split(","))}


def _command_limits(value: Any) -> Any:
    from equitrcoder.settings.rows import check_command_limits

    return check_command_limits(value)


def _content(value: Any) -> Any:
    from equitrcoder.settings.rows import check_content

    return check_content(value)


def _mcp_servers(value: Any) -> Any:
    from equitrcoder.settings.mcp_rows import check_mcp_servers

    return check_mcp_servers(value)


def _rules(value: Any) -> Any:
    from equitrcoder.settings.rows import check_rules

    return check_rules(value)


def _prices(value: Any) -> Any:
    from equitrcoder.settings.rows import check_prices

    return check_prices(value)


TEXT = Kind("one line of text", line)
SWITCH = Kind("true or false", switch, _read_switch)
SECONDS = Kind("a number of seconds, 0.001 or more", seconds, float)
WHOLE = Kind("a whole number, 1 or more", whole, int)

KEYS: dict[str, Kind] = {
    "ai_provider": TEXT,
    "ai_model": TEXT,
    "ai_api_key": TEXT,
    "ai_base_url": Kind("an http or https address", url),
    "budget": Kind("a number of dollars, 0 or more", dollars, float),
    "use_multi_agent": SWITCH,
    "supervisor_model": TEXT,
    "worker_model": TEXT,
    "log_tool_calls": SWITCH,
    "tool_log_file": Kind("a path", path),
    "providers": Kind("rows by name", _providers, None),
    "prices": Kind('prices by "provider/model"', _prices, None),
    "mcp_servers": Kind("servers by name", _mcp_servers, None),
    "approve": _choice("ask", "edits", "all", "deny"),
    "rules": Kind("a list of rules, such as - deny: run_command git push", _rules, None),
    "sandbox": _choice("auto", "required", "off"),
    "network": SWITCH,
    "network_hosts": Kind("names of hosts", listed("a list of names of hosts", host_name), _split(",")),
    "env_passthrough": Kind("names of variables", listed("a list of names of variables", variable_name), _split(",")),
    "readable_paths": Kind("absolute paths", listed("a list of absolute paths", absolute_path), _split(os.pathsep)),
    "max_turns": WHOLE,
    "max_time_s": SECONDS,
    "max_tokens": WHOLE,
    "allow_unpriced": SWITCH,
    "stream": SWITCH,
    "reasoning_effort": Kind("a word (none, minimal, low, medium, high, xhigh, max) or a number of tokens", effort),
    "output_limit_tokens": WHOLE,
    "fallback_model": TEXT,
    "fallback_models": Kind("names of models", listed("a list of names of models", line), _split(",")),
    "idle_timeout_s": SECONDS,
    "request_timeout_s": SECONDS,
    "max_attempts": WHOLE,
    "command_timeout_s": SECONDS,
    "command_limits": Kind("whole numbers by name", _command_limits, _numbers),
    "durability": _choice("process", "full"),
    "content": Kind("arguments and results, each full, hash or off, and tools", _content, _both),
    "spill_results": SWITCH,
    "spill_limit_bytes": WHOLE,
    "spill_total_bytes": WHOLE,
    "check": Kind("a command line", command),
}
"""Every key; equal to the attributes of `Settings` (a test holds them together)."""

FILE_NAMES = {"mcpServers": "mcp_servers"}
"""Names of keys that files may use as well, because other programs use them."""
SECTION = "orchestrator"
SECTION_KEYS = ("use_multi_agent", "supervisor_model", "worker_model", "log_tool_calls", "tool_log_file")
"""Keys that stand under `orchestrator:` in files."""
