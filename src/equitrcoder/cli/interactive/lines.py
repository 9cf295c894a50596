"""Where a session's messages come from, and the plain source: one message per line of standard input."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

PROMPT = "> "
_PIECE_BYTES = 65_536


class EndOfLines(Exception):
    """There is no more to read."""


class Interrupted(Exception):
    """Ctrl-C while a line was awaited."""


class Lines(Protocol):
    """A person's lines, or a pipe's."""

    async def message(self) -> str:
        """The next message or command. Raises EndOfLines, Interrupted."""
        ...

    async def answer(self, question: str, default: str = "") -> str:
        """The answer to a question; what was typed before it was asked is none. Raises EndOfLines, Interrupted.

        Args:
            default: What can be edited, or is the answer when nothing is said.
        """
        ...

    def turn(self) -> AbstractContextManager[None]:
        """While inside, a turn is running, and no line is awaited."""
        ...

    def lent(self) -> AbstractContextManager[None]:
        """While inside, another program has the terminal."""
        ...

    def interrupt(self) -> None:
        """Ctrl-C came as a signal: end the waiting with Interrupted; nothing when no line is awaited."""
        ...

    def restore(self) -> None:
        """Put the terminal back at once; the process is about to end."""
        ...


class PlainLines:
    """Reads standard input line by line and moves no cursor; a line goes out to a person as `> ` before it.

    Args:
        descriptor: Where to read.
        terminal: Whether a person sits there; a pipe is not prompted.
    """

    def __init__(self, descriptor: int = 0, *, terminal: bool) -> None:
        self._descriptor = descriptor
        self._terminal = terminal
        self._read = bytearray()
        self._waiting: asyncio.Future[None] | None = None

    async def message(self) -> str:
        self._show(PROMPT)
        return await self._line()

    async def answer(self, question: str, default: str = "") -> str:
        self._take_what_was_typed()
        before, self._read = self._read, bytearray()
        self._show(f"{question}(empty: as it is) " if default else question)
        try:
            return await self._line() or default
        finally:
            self._read = before + self._read

    @contextmanager
    def turn(self) -> Iterator[None]:
        yield

    @contextmanager
    def lent(self) -> Iterator[None]:
        yield

    def interrupt(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Interrupted())

    def restore(self) -> None:
        pass

    def _show(self, words: str) -> None:
        if self._terminal:
            with suppress(OSError):
                sys.stderr.write(words)
                sys.stderr.flush()

    async def _line(self) -> str:
        while b"\n" not in self._read:
            piece = await self._piece()
            if not piece:
                break
            self._read += piece
        if not self._read:
            raise EndOfLines
        line, _, rest = bytes(self._read).partition(b"\n")
        self._read = bytearray(rest)
        return line.decode("utf-8", "replace").removesuffix("\r")

    async def _piece(self) -> bytes:
        """The next bytes; none at the end."""
        loop = asyncio.get_running_loop()
        self._waiting = waiting = loop.create_future()
        try:
            loop.add_reader(self._descriptor, _wake, waiting)
        except OSError:  # a file, which is always ready: selectors refuse it
            pass
        else:
            try:
                await waiting
            finally:
                loop.remove_reader(self._descriptor)
        finally:
            self._waiting = None
        try:
            return os.read(self._descriptor, _PIECE_BYTES)
        except OSError:  # the terminal has gone
            return b""

    def _take_what_was_typed(self) -> None:
        """Keep whole lines that were typed ahead for later; half a line is dropped."""
        if not self._terminal:
            return
        import select
        import termios

        with suppress(OSError):
            while select.select([self._descriptor], [], [], 0)[0]:
                piece = os.read(self._descriptor, _PIECE_BYTES)
                if not piece:
                    return
                self._read += piece
        with suppress(termios.error):
            termios.tcflush(self._descriptor, termios.TCIFLUSH)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
