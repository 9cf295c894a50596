"""Ctrl-C and the signals that end a session: once stops the turn, twice leaves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from equitrcoder.cli.interactive.lines import Lines

LEAVING_MOST_S = 5.0
"""How long a session may take to end after that; then the process ends at once. The journal has everything."""
ENDING = (signal.SIGTERM, signal.SIGHUP)


class Stops:
    """Takes the signals of a session.

    Args:
        lines: Told when a signal comes while a line is awaited.
        person: Whether somebody sits there; without, one SIGINT ends the session.
    """

    def __init__(self, lines: Lines, *, person: bool) -> None:
        self._lines = lines
        self._person = person
        self._main = asyncio.current_task()
        self._turn: asyncio.Task[Any] | None = None
        self._ours = True
        self._asked = 0
        self._ending = False
        self.leave = False
        """Whether the session is to end now."""

    @contextmanager
    def taken(self) -> Iterator[None]:
        """While inside, signals come here."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, *ENDING)
        for number in numbers:
            with suppress(NotImplementedError, RuntimeError):  # not in the main thread: whoever owns it decides
                loop.add_signal_handler(number, self.interrupt if number == signal.SIGINT else self.end)
        try:
            yield
        finally:
            for number in numbers:
                with suppress(NotImplementedError, RuntimeError):
                    loop.remove_signal_handler(number)

    @contextmanager
    def during(self, turn: asyncio.Task[Any]) -> Iterator[None]:
        """While inside, Ctrl-C stops `turn`."""
        self._turn = turn
        try:
            yield
        finally:
            self._turn = None

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """While inside, Ctrl-C is for somebody else: the user's own command, or his editor."""
        self._ours = False
        try:
            yield
        finally:
            self._ours = True

    def heard(self) -> None:
        """A line came: the next Ctrl-C is a first one again."""
        self._asked = 0

    def at_prompt(self) -> bool:
        """Ctrl-C at the prompt; True when it was the second in a row and the session is to end."""
        self._asked += 1
        self.leave = self.leave or self._asked > 1 or not self._person
        return self.leave

    def interrupt(self) -> None:
        """Ctrl-C."""
        if not self._ours:
            return
        if self._turn is not None:
            self._stop_turn()
        else:
            self._lines.interrupt()

    def _stop_turn(self) -> None:
        self._asked += 1
        loop = asyncio.get_running_loop()
        if self._asked == 1 and self._turn is not None:
            self._turn.cancel()
            self.leave = not self._person
        elif self._asked == 2:
            self.leave = True
            loop.call_later(LEAVING_MOST_S, self._now)
        else:
            self._now()

    def end(self) -> None:
        """SIGTERM, or the terminal has gone: the turn is closed properly, then the session."""
        first, self._ending, self.leave = not self._ending, True, True
        if first and self._main is not None:
            self._main.cancel()
            asyncio.get_running_loop().call_later(LEAVING_MOST_S, self._now)

    def _now(self) -> None:
        self._lines.restore()
        os._exit(130)
