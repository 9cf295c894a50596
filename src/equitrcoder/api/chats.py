"""The body of both faces: one session, opened when it is needed, that chats one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from equitrcoder.errors import EquitrError, LedgerError, ProviderError, RunStopped, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from equitrcoder.agent.result import RunResult
    from equitrcoder.agent.resuming import Before
    from equitrcoder.agent.session import Session
    from equitrcoder.api.opening import Opening


class Chats:
    """The chats of one session.

    Attributes:
        closed: Set it to refuse what comes; `close` does.
    """

    def __init__(self, opening: Opening) -> None:
        self.closed = False
        self._used = False
        self._opening = opening
        self._session: Session | None = None
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> Session:
        """Open the session if it is not open yet."""
        if self.closed:
            raise UsageError("This API object is closed.", hint="make a new one")
        if self._session is None:
            with _own_words():
                self._session = self._opening.open()
        return self._session

    async def chat(self, message: str) -> RunResult:
        """See `EquitrAPI.chat`."""
        if not isinstance(message, str) or not message.strip():
            raise UsageError(
                f"chat takes a text that says what to do, not {message!r}.", hint='chat("make the failing test pass")'
            )
        async with self._one_at_a_time:
            session = await self.open()
            return await self._result_of(session.run(message, check=session.settings.check))

    async def resume(self, run: str, message: str | None, *, anyway: bool, began: Callable[[str], None]) -> RunResult:
        """See `EquitrAPI.resume`; `began` is told the session's id before the run begins."""
        from equitrcoder.agent.resuming import go_back

        if message is not None and not message.strip():
            raise UsageError("The message is empty.", hint='leave it out, or: resume("last", "and now the tests")')
        async with self._one_at_a_time:
            if self.closed or self._used:
                what = "is closed" if self.closed else "holds another conversation"
                raise UsageError(f"This API object {what}.", hint="resume with a new one")
            with _own_words():
                before = go_back(self._opening.state_dir(), run, message, anyway=anyway)
            with before:
                session = await self._open_again(before)
                began(before.session_id)
                return await self._result_of(session.resume(before, check=session.settings.check))

    async def _open_again(self, before: Before) -> Session:
        """Open the session that goes on, in place of one that nothing was said in."""
        if self._session is not None:
            await self._session.aclose()
            self._session = None
        with _own_words():
            self._session = self._opening.open(before)
        return self._session

    async def _result_of(self, run: Awaitable[RunResult]) -> RunResult:
        self._used = True
        try:
            with _own_words():
                result = await run
        except (RunStopped, ProviderError) as error:
            if error.result is not None:
                self._complete(error.result)
            raise
        self._complete(result)
        return result

    def _complete(self, result: RunResult) -> None:
        """Put into a result what the ledger says of its run. An index that fails takes no result away."""
        from equitrcoder.ledger.reader import Reader

        try:
            with Reader(self._opening.state_dir()) as reader:
                view: dict[str, Any] = reader.run_view(result.run_id)
        except LedgerError as error:
            from equitrcoder.api import notices

            notices.tell(f"The result of run {result.run_id} is without its calls and steps: {error}")
            return
        result.tool_calls = view["tool_calls"]
        result.execution_steps = view["execution_steps"]

    async def close(self) -> None:
        """Close the session, after the chat that is going on."""
        async with self._one_at_a_time:
            self.closed = True
            session, self._session = self._session, None
            if session is not None:
                await session.aclose()


class _own_words:  # noqa: N801 - reads as a function, like the context managers of contextlib
    """While inside, errors that pass are put into the words of a Python program."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EquitrError):
            from equitrcoder.api.notices import reword

            reword(error)
