"""Signals that stop a run: the first one cleanly, the second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Cancels the task that made it; says by what it was asked to."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.asked_by: str | None = None

    def __call__(self, asked_by: str) -> None:
        """Stop the run: the first time by cancelling it, the second time by leaving now.

        Leaving now loses nothing: what happened is in the journal, and calls in flight show as interrupted. Commands
        that still run are killed first.
        """
        if self.asked_by is not None and asked_by.startswith("SIG"):
            from equitrcoder.sandbox.family import end_all_now

            end_all_now()
            os._exit(130)
        first, self.asked_by = self.asked_by is None, self.asked_by or asked_by
        if first and self._task is not None:
            self._task.cancel()


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[str], None]]:
    """While inside, SIGINT, SIGTERM and SIGHUP cancel the current task."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        with suppress(NotImplementedError, RuntimeError):  # not in the main thread: whoever owns it decides
            loop.add_signal_handler(number, stop, number.name)
    try:
        yield stop
    finally:
        for number in STOPPING:
            with suppress(NotImplementedError, RuntimeError):
                loop.remove_signal_handler(number)
