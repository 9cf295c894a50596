"""What the demo prints after its run: the calls, the statistics, and what to type next. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equitrcoder.records import ToolCall

if TYPE_CHECKING:
    from equitrcoder.providers.choice import ModelChoice, Probe
    from equitrcoder.settings import Settings

NO_AI = "scripted model, no AI was called"

_SUBJECTS = ("file_path", "command", "path", "pattern", "message")
_SUBJECT_WIDTH = 44


def calls_table(calls: Sequence[ToolCall]) -> str:
    """One line for each call: tool, what it was about, time, and what went wrong.

    Returns:
        Lines without a newline at the end; a sentence when there are no calls.
    """
    if not calls:
        return "no calls"
    rows = [(call.tool_name, _subject(call), milliseconds(call.duration_ms), _trouble(call)) for call in calls]
    return _columns([("tool", "on", "time", ""), *rows], right=(2,))


def stats_table(stats: Mapping[str, Any]) -> str:
    """The statistics by tool, most used first, and of all together.

    Args:
        stats: `Stats` of the ledger: `total_calls`, `failed_calls`, `total_duration_ms` and `tool_usage`.
    """
    rows: list[tuple[str, ...]] = [("tool", "calls", "failed", "average", "total")]
    for name, used in stats["tool_usage"].items():
        rows.append(_stats_row(name, used["count"], used["count"] - used["success_count"], used["total_duration_ms"]))
    rows.append(_stats_row("all", stats["total_calls"], stats["failed_calls"], stats["total_duration_ms"]))
    return _columns(rows, right=(1, 2, 3, 4))


def next_command(settings: Settings, environ: Mapping[str, str], *, probe: Probe | None = None) -> str:
    """What to type next to see it with a model: for the settings, key or local server that is found here.

    Args:
        settings: The user's own; `Settings()` when he has none.
        probe: Instead of asking local servers, for tests.

    Returns:
        Two or three lines; how to set up a provider when none is.
    """
    from equitrcoder.errors import EquitrError
    from equitrcoder.providers.choice import choose_model
    from equitrcoder.providers.ready import wire_stands
    from equitrcoder.providers.registry import PROVIDERS

    try:
        choice = choose_model(settings, environ, probe=probe)
    except EquitrError as error:
        return _how_to_set_up(error)
    if not wire_stands(choice.provider.wire):
        ready = ", ".join(row.name for row in PROVIDERS.values() if wire_stands(row.wire))
        return f"{choice.provider.name} ({choice.key_variable or choice.base_url}) comes next. Ready today: {ready}"
    return f'{_found(choice)}\n  equitrcoder run --model {choice.model_requested} "make the failing test pass"'


def _found(choice: ModelChoice) -> str:
    if choice.key_variable:
        return f"With a model, in a repository of yours ({choice.key_variable} is set):"
    return f"With a model, in a repository of yours ({choice.provider.name} answers at {choice.base_url}):"


def _how_to_set_up(error: Exception) -> str:
    from equitrcoder.providers.choice import no_provider

    if getattr(error, "message", "") != no_provider():
        return str(error)
    lines = [line for line in no_provider().splitlines() if "equitrcoder demo" not in line]
    return "\n".join([*lines, 'Then, in a repository of yours: equitrcoder run "make the failing test pass"'])


def milliseconds(duration: float | None) -> str:
    """A duration; never 0 for something that took time.

    Example:
        >>> milliseconds(12.4), milliseconds(0.02), milliseconds(1234.0), milliseconds(None)
        ('12 ms', '0.1 ms', '1,234 ms', '-')
    """
    if duration is None:
        return "-"
    return f"{duration:,.0f} ms" if duration >= 1 else f"{max(duration, 0.1):.1f} ms"


def _subject(call: ToolCall) -> str:
    arguments = call.arguments or {}
    text = next((str(arguments[key]) for key in _SUBJECTS if key in arguments), "")
    return printable(text, _SUBJECT_WIDTH)


def _trouble(call: ToolCall) -> str:
    if call.success:
        return ""
    code = (call.result_metadata or {}).get("exit_code")
    why = f"exit {code}" if call.error_type == "exit_status" and code is not None else call.error_type
    return f"{call.outcome} ({why})" if why else call.outcome


def _stats_row(name: str, count: int, failed: int, total_ms: float) -> tuple[str, ...]:
    rate = f" ({100 * failed / count:.0f}%)" if failed else ""
    average = milliseconds(total_ms / count if count else None)
    return printable(name, 30), f"{count:,}", f"{failed:,}{rate}", average, milliseconds(total_ms or None)


def _columns(rows: Sequence[tuple[str, ...]], *, right: Sequence[int]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def printable(text: str, width: int) -> str:
    """A text on one line that a terminal shows and does not obey, cut to a width.

    Example:
        >>> print(printable("a\\x1b[31m b\\nc", 20), printable("abcdef", 4))
        a?[31m b c abc…
    """
    line = "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
    return line if len(line) <= width else line[: width - 1] + "…"
