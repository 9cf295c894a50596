"""The loop of a session: a line in, a turn or a command, until the lines end or somebody leaves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.cli.interactive import commands
from equitrcoder.cli.interactive.lines import EndOfLines, Interrupted, Lines
from equitrcoder.errors import EquitrError, UsageError

if TYPE_CHECKING:
    from equitrcoder.cli.interactive.status import Status
    from equitrcoder.cli.interactive.stops import Stops
    from equitrcoder.cli.interactive.view import ChatView

INTERRUPTED = 130


class Chat:
    """One session with a person, or with what a pipe says.

    Args:
        open_session: Gives the session (`agent.session.Session`); opened at the first call.
        check: A command that must pass after every turn; None: there is none.
        person: Whether somebody sits there.
    """

    def __init__(
        self,
        *,
        repo: Path,
        lines: Lines,
        view: ChatView,
        status: Status,
        stops: Stops,
        open_session: Callable[[], Awaitable[Any]],
        check: str | None,
        person: bool,
    ) -> None:
        self._repo = repo
        self._lines = lines
        self.view = view
        self.status = status
        self._stops = stops
        self.session = open_session
        self._check = check
        self._person = person
        self._code = 0
        self._messages = 0
        self.always: dict[str, str] = {}
        """What was allowed for the session (`approving.Asking.always`)."""

    @property
    def run_id(self) -> str:
        """The last turn's run; "" before the first."""
        return self.view.run_id

    async def talk(self) -> int:
        """Take lines until they end.

        Returns:
            The exit code. With a person: 0, or 130 when Ctrl-C or a signal ended the session. Without: 0 when every
            message was done, else the code of the first that was not.

        Raises:
            EquitrError: The session could not be opened.
        """
        while not self._stops.leave:
            self.view.tell_notices()
            try:
                line = await self._lines.message()
            except EndOfLines:
                break
            except Interrupted:
                if not self._stops.at_prompt():
                    self.view.say("Ctrl-C again leaves, and so does /quit.")
                continue
            self._stops.heard()
            try:
                await self._take(line)
            except commands.Quit:
                break
        if self._stops.leave:
            return INTERRUPTED
        if not self._person and not self._messages:
            raise UsageError("There was no message on standard input.", hint='echo "list the modules" | equitrcoder')
        return 0 if self._person else self._code

    async def _take(self, line: str) -> None:
        """A line: nothing, a command, the user's own shell, or a message."""
        if not line.strip():
            return
        self._messages += 1
        if line.lstrip().startswith("!"):
            await self._shell(line.lstrip()[1:].strip())
            return
        command = commands.split(line)
        if command is None:
            self._note(await self._turn(line))
            return
        try:
            await commands.execute(self, *command)
        except EquitrError as error:
            self.view.say(str(error))
            self._note(error.exit_code)

    def _note(self, code: int) -> None:
        self._code = self._code or code

    async def _shell(self, command: str) -> None:
        from equitrcoder.cli.interactive.shell import run_in_shell

        if not command:
            return
        with self._stops.ignored():
            code = await run_in_shell(command, self._repo)
        if code:
            self.view.say(f"exit {code}")

    async def _turn(self, message: str) -> int:
        """Let the model work on a message; return the exit code that `run` would have."""
        session = await self.session()
        self.view.begin(session)
        error: EquitrError | None = None
        turn = asyncio.ensure_future(session.run(message, check=self._check))
        try:
            with self._lines.turn(), self._stops.during(turn):
                await turn
        except EquitrError as raised:
            error = raised
        except asyncio.CancelledError:  # Ctrl-C; or a signal, and then the loop is over: `stops.leave`
            pass
        except Exception as fault:
            if os.environ.get("EQUITRCODER_TRACEBACK"):
                raise
            self.view.end(None)  # the run is closed in the ledger; the conversation need not end
            self.view.say(
                f"E900 This is a fault of equitrcoder: {type(fault).__name__}: {fault}. Fix: start it again with "
                "EQUITRCODER_TRACEBACK=1 and report what it prints"
            )
            return 1
        return self._conclude(error)

    def _conclude(self, error: EquitrError | None) -> int:
        code = self.view.end(error)
        if error is not None and not self.view.finished:  # there was no run to begin with
            self.view.say(str(error))
            return error.exit_code
        return code
