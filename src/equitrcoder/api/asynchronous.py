"""`EquitrAPI`, for programs that run an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equitrcoder.api.arguments import Face

if TYPE_CHECKING:
    from types import TracebackType

    from equitrcoder.agent.result import RunResult


class EquitrAPI(Face):
    """A coding agent in one repository that keeps its conversation, and the ledger of what it did.

    Attributes:
        session_id: ULID; all chats of this object share it.

    Example:
        >>> async def main():
        ...     async with EquitrAPI(repo_path="./my_project", budget=0.5) as api:
        ...         response = await api.chat("Make the failing test pass.")
        ...         print(response, response.cost)
        ...         print(api.get_tool_call_stats()["total_calls"])

    Source: tool logging guide, "Programmatic API".
    """

    async def chat(self, message: str) -> RunResult:
        """Work on one message until the model is done.

        The conversation goes on from the chat before. Chats that are started at the same time take turns.

        Args:
            message: What to do, in words.

        Returns:
            The result; it prints as the model's last words. Its status is `completed`; or `failed`, with `error` set,
            when the model reported failure or the check failed.

        Raises:
            RunStopped: The budget (`BudgetExceeded`), a limit (`StepLimitReached`, `TimeLimitReached`) or a missing
                approval (`ApprovalNeeded`) ended the run; `error.result` has what there is. Another chat goes on.
            ProviderError: The provider gave no usable answer, after all attempts; `error.result` likewise.
            ConfigError: The settings, the key or the model's name cannot be used; nothing was run.
            LedgerError: The ledger cannot be written; nothing was run.
        """
        return await self._chats.chat(message)

    async def resume(self, run: str, message: str | None = None, *, anyway: bool = False) -> RunResult:
        """Go on where a run ended: after a kill, a limit, the budget, an error. Further chats go on from there.

        The first thing to do with an object, which takes over that run's session (`session_id`), repository and model
        where none were given. The conversation is as the journals have it. No call that ended is carried out again; of
        one that was running the model is told that its outcome is unknown. What was spent counts against the budget.

        Args:
            run: Its id, a tail of it that no other has, or "last". If something has gone on with it already, the newest
                run of its session is gone on with.
            message: What the model is told now. None: it goes on with the task; a run that is done needs one.
            anyway: Go on although the ledger does not keep all that the model was told; it is told what is not kept.

        Returns:
            The result of the new run, as of `chat`.

        Raises:
            UsageError: The run lives, is done, or cannot go on as it was; or this object has chatted already.
            LedgerError: There is no such run, or its journal is gone.
            RunStopped, ProviderError, ConfigError: As `chat`.
        """
        return await self._chats.resume(run, message, anyway=anyway, began=self._take_session)

    async def close(self) -> None:
        """End what was opened. Waits for a chat that is going on; may be called again.

        Statistics, logs, runs and calls can still be asked for.
        """
        await self._chats.close()

    async def __aenter__(self) -> EquitrAPI:
        await self._chats.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
