"""What is typed while a turn runs: Ctrl-O acts at once, everything else is kept for the next prompt."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

CTRL_O = b"\x0f"
_LOCAL_FLAGS = 3  # place in what tcgetattr gives
_SPECIAL = 6


class Keys:
    """Reads the terminal without echo. Ctrl-C and Ctrl-Z stay signals.

    Args:
        on_show: Called for Ctrl-O.
    """

    def __init__(self, *, on_show: Callable[[], None], descriptor: int = 0) -> None:
        self._on_show = on_show
        self._descriptor = descriptor
        self._typed = bytearray()
        self._before: list[Any] | None = None

    def taken(self) -> str:
        """What was typed since the last time; it is handed out once."""
        typed, self._typed = self._typed, bytearray()
        return typed.decode("utf-8", "replace")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While inside, keys are read and not echoed."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While inside, the terminal is as it was before: a question has it. What was typed so far is no answer."""
        was_reading = self._before is not None
        if was_reading:
            self._take()
        self._end()
        try:
            yield
        finally:
            if was_reading:
                self._begin()

    def restore(self) -> None:
        """Give the terminal back as it was."""
        if self._before is not None:
            with suppress(termios.error, OSError):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)
            self._before = None

    def _begin(self) -> None:
        with suppress(termios.error):
            before = termios.tcgetattr(self._descriptor)
            quiet = termios.tcgetattr(self._descriptor)
            # IEXTEN: on macOS Ctrl-O would be eaten by the terminal
            quiet[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
            quiet[_SPECIAL][termios.VMIN] = 1
            quiet[_SPECIAL][termios.VTIME] = 0
            termios.tcsetattr(self._descriptor, termios.TCSANOW, quiet)
            self._before = before
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self.restore()

    def _take(self) -> None:
        """Read what waits in the terminal."""
        import select

        while select.select([self._descriptor], [], [], 0)[0] and self._read():
            pass

    def _read(self) -> bool:
        """Read once; False at the end."""
        try:
            piece = os.read(self._descriptor, 4096)
        except OSError:
            piece = b""
        if not piece:  # the terminal has gone; SIGHUP ends the session
            asyncio.get_running_loop().remove_reader(self._descriptor)
            return False
        self._typed += piece.replace(CTRL_O, b"")
        if CTRL_O in piece:
            self._on_show()
        return True
