"""One thing that was looked at."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Level: TypeAlias = Literal["ok", "warning", "problem"]
"""A problem keeps runs from working; a warning costs something, or touches only part of it."""


class Finding(NamedTuple):
    """What was found."""

    check: str
    """What was looked at, in a word or two."""
    level: Level
    message: str
    fix: str = ""
    """What to do; empty when there is nothing to do."""
    skew_s: float | None = None
    """How far this machine's clock is ahead of the server that was asked; None when it did not say."""
