"""The foot of the screen while a turn runs: a line for each call that runs, and the status line below them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from equitrcoder.cli import text
from equitrcoder.cli.progress import NAME_AND_SUBJECT_WIDTH, RunningLine
from equitrcoder.cli.tables import cut

CALLS_SHOWN = 8
TICK_S = 1.0
WAITING = ""
"""The key of what is shown while no call runs."""


class Region(RunningLine):
    """Draws on stderr and takes away again what changes; whoever prints a line clears before and draws after.

    Args:
        status: Gives the status line.
    """

    def __init__(self, status: Callable[[], str]) -> None:
        super().__init__(enabled=True)
        self._status = status
        self._rows = 0
        self._on = False
        self.hidden = False
        """Whether something else owns the last line: a text that streams, a question."""

    def begin(self, waiting_for: str) -> None:
        """A turn began."""
        self._on = True
        self._since = {}
        self.wait_for(waiting_for)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def wait_for(self, what: str) -> None:
        """The model is being asked."""
        self._since[WAITING] = (what, time.monotonic())

    def finish(self) -> None:
        """The turn ended."""
        self.clear()
        self._on = False
        if self._timer is not None:
            self._timer.cancel()

    def start(self, key: str, what: str) -> None:
        """A call began."""
        self._since.pop(WAITING, None)
        self._since[key] = (what, time.monotonic())
        self.clear()
        self.draw()

    def clear(self) -> None:
        """Take it off the screen."""
        if self._rows:
            up = f"\x1b[{self._rows - 1}A" if self._rows > 1 else ""
            _write(f"\r{up}\x1b[J")
            self._rows = 0

    def draw(self) -> None:
        """Put it back."""
        if not self._on or self.hidden:
            return
        width = _columns() - 1  # a full line would wrap in some terminals
        lines = [cut(line, width) for line in (*self._calls(), self._status())]
        _write("\n".join(lines))
        self._rows = len(lines)

    def _calls(self) -> list[str]:
        now = time.monotonic()
        shown = [
            f"  {text.one_line(what, NAME_AND_SUBJECT_WIDTH):<{NAME_AND_SUBJECT_WIDTH}} {_running_for(now - at):>9}"
            for key, (what, at) in self._since.items()
            if key != WAITING or now - at >= TICK_S
        ]
        more = len(shown) - CALLS_SHOWN
        return shown if more <= 0 else [*shown[:CALLS_SHOWN], f"  and {more} more"]

    def _tick(self) -> None:
        if not self.hidden:
            self.clear()
            self.draw()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)


def _running_for(seconds: float) -> str:
    return f"{seconds:.0f} s …" if seconds >= 1 else "…"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _write(words: str) -> None:
    with suppress(OSError):  # the terminal has gone; the signal that says so ends the session
        sys.stdout.flush()
        sys.stderr.write(words)
        sys.stderr.flush()
