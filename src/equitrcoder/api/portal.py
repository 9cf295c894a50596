"""An event loop in a thread of its own, for callers that cannot await."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from equitrcoder.errors import UsageError

T = TypeVar("T")
_ABANDON_S = 5.0


class Portal:
    """Runs coroutines in its thread while the caller waits.

    The thread is a daemon: an interpreter that ends is not held up by it.

    Example:
        >>> import asyncio
        >>> portal = Portal()
        >>> portal.run(asyncio.sleep, 0, "slept")
        'slept'
        >>> portal.end()
    """

    def __init__(self) -> None:
        self._last: Callable[[], Awaitable[None]] | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="equitrcoder-api", daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def ended(self) -> bool:
        """Whether its thread is gone: it was ended, or this is a forked process."""
        return not self._thread.is_alive()

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
        """Run a coroutine function in the loop, wait for it, give back what it returns or raises.

        An exception in the waiting thread (Ctrl-C) cancels it, waits for its end and goes on.

        Raises:
            UsageError: It could never end: the portal is closed, or this is its own thread.
        """
        if self.ended:
            raise UsageError("This API object is closed, or was made before a fork.", hint="make a new one")
        if threading.current_thread() is self._thread:
            raise UsageError("A callback of the agent cannot wait for the agent.", hint="do it after chat has returned")
        outcome: Future[T] = Future()
        tasks: list[asyncio.Task[None]] = []
        context = contextvars.copy_context()
        self._loop.call_soon_threadsafe(
            lambda: tasks.append(self._loop.create_task(_settle(outcome, function(*arguments)))), context=context
        )
        try:
            _wait(outcome)
        except BaseException:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            _wait(outcome)
            raise
        return outcome.result()

    def end(self) -> None:
        """End the loop, cancelling what still runs, and join the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def abandon(self, last: Callable[[], Awaitable[None]]) -> None:
        """End it when nobody is left who could: what runs is stopped, then `last` is awaited, 5 s at most.

        For the garbage collector, which may come along in any thread, and for the end of the interpreter.
        """
        if self.ended:
            return
        self._last = last
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(_ABANDON_S)

    def _work(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._last is not None:
            with contextlib.suppress(Exception):  # nobody is left to be told
                await self._last()


async def _settle(outcome: Future[T], work: Coroutine[Any, Any, T]) -> None:
    try:
        outcome.set_result(await work)
    except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
        outcome.set_exception(error)


def _wait(outcome: Future[Any]) -> None:
    """Wait for the end of the work, whichever it is."""
    done = threading.Event()
    outcome.add_done_callback(lambda _: done.set())
    done.wait()
