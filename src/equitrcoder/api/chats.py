"""The body of both faces: one session, opened when it is needed, that chats one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from equitrcoder.errors import EquitrError, LedgerError, ProviderError, RunStopped, UsageError

if TYPE_CHECKING:
    from equitrcoder.agent.result import RunResult
    from equitrcoder.agent.session import Session
    from equitrcoder.api.opening import Opening


class Chats:
    """The chats of one session.

    Attributes:
        closed: Set it to refuse what comes; `close` does.
    """

    def __init__(self, opening: Opening) -> None:
        self.closed = False
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
            try:
                with _own_words():
                    result = await session.run(message, check=session.settings.check)
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
