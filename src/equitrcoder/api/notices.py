"""What a program that uses the API is told beside results: through the logger `equitrcoder`, in its own words."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from equitrcoder.errors import EquitrError

_logger = logging.getLogger("equitrcoder")

_COMMAND = r"equitrcoder [^;,.]*"
_OPTION = r"--([a-z][a-z-]*[a-z])(?:[ =](ask|edits|all|deny|auto|required|off|DIR|\./\S+))?"
_EITHER = re.compile(f"{_COMMAND}|{_OPTION}")
_NAMES = {"repo": "repo_path", "max_time": "max_time_s"}
_SWITCHES = frozenset({"allow_unpriced", "trust", "multi_agent", "network", "log_tool_calls"})


def tell(line: str) -> None:
    """Log one line that a person should know: a default that was taken, trouble of the ledger."""
    _logger.warning("%s", in_python(line))


def guarded(callback: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A callback whose exceptions are logged: a listener must never end a run."""

    def call(event: dict[str, Any]) -> None:
        try:
            callback(event)
        except Exception:  # it is the caller's own code, whatever it raises
            _logger.exception("on_event raised at %s", event.get("type"))

    return call


def in_python(text: str) -> str:
    """Say options as arguments; commands that are told to be run stay as they are.

    Example:
        >>> in_python("a larger --max-time, or --approve all and --allow-unpriced")
        'a larger max_time_s, or approve="all" and allow_unpriced=True'
        >>> in_python("take another: equitrcoder models --tools")
        'take another: equitrcoder models --tools'
    """
    return _EITHER.sub(_argument, text)


def _argument(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    name = found[1].replace("-", "_")
    name = _NAMES.get(name, name)
    if found[2]:
        return f'{name}="{found[2]}"'
    return f"{name}=True" if name in _SWITCHES else name


def reword(error: EquitrError) -> None:
    """Put an error's message and fix into the words of a Python program."""
    error.message = in_python(error.message)
    error.hint = in_python(error.hint.replace("run it interactively", "give a function that is asked: approve=…"))
    error.args = (error.message,)
