"""Moments on the command line: read from options, shown in local time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since_option(command: Command) -> Command:
    """Add `--since WHEN` to a click command; the command gets an aware moment or None."""
    return click.option(
        "--since",
        metavar="WHEN",
        callback=_read,
        help="Only from then on: 30m, 2h, 3d, 1w (ago), today, 2026-01-02 or 2026-01-02T15:04.",
    )(command)


def _read(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    moment = parse_moment(value, datetime.now(UTC))
    if moment is None:
        raise click.BadParameter(f'"{value}" is no moment. Write 30m, 2h, 3d, 1w, today or 2026-01-02.')
    return moment


def parse_moment(text: str, now: datetime) -> datetime | None:
    """Read a moment.

    Args:
        now: What durations count back from; aware.

    Returns:
        An aware moment; None when `text` is none.

    Example:
        >>> now = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
        >>> parse_moment("2h", now).isoformat(), parse_moment("2026-01-01T00:00Z", now).isoformat()
        ('2026-01-02T10:00:00+00:00', '2026-01-01T00:00:00+00:00')
        >>> parse_moment("soon", now)
    """
    text = text.strip()
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        if text == "today":
            return now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError):
        return None


def local(moment: datetime) -> str:
    """A moment as a person reads it: local time, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def local_to_the_second(moment: datetime) -> str:
    """A moment in local time, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
