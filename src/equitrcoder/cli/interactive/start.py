"""Starting a session: what is needed before the first prompt and nothing else; the agent loads while it stands."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.agent.startup import settings_for
from equitrcoder.cli.interactive.chat import INTERRUPTED, Chat
from equitrcoder.cli.interactive.lines import EndOfLines, PlainLines
from equitrcoder.cli.interactive.status import Status
from equitrcoder.cli.interactive.stops import Stops
from equitrcoder.cli.interactive.view import ChatView
from equitrcoder.cli.progress import can_move_cursor
from equitrcoder.cli.text import safe
from equitrcoder.contexts import context_window
from equitrcoder.errors import MissingKeyError, UsageError
from equitrcoder.providers.choice import ModelChoice, choose_model, no_provider
from equitrcoder.settings import Settings, state_dir
from equitrcoder.settings.merge import NOT_TRUSTED

if TYPE_CHECKING:
    from equitrcoder.agent.session import Session
    from equitrcoder.cli.interactive.prompting import PromptLines

TRUST_QUESTION = "Trust this folder's own equitrcoder.yaml, now and later? [y] yes  [n] not now: "


def start(
    repo: Path, model: str | None, flags: Mapping[str, Any], *, simple: bool, trust: bool, plain: bool, verbose: int
) -> int:
    """Hold a session; return its exit code.

    Args:
        flags: Settings that were given as options.
        simple: Plain lines also at a terminal that could do more.

    Raises:
        EquitrError: It could not start.
    """
    if not repo.is_dir():
        raise UsageError(f"{repo} is not a folder.", hint="name the repository with --repo DIR")
    person = _is_terminal(sys.stdin) and _is_terminal(sys.stderr)
    asked_about: list[str] = []
    settings = settings_for(repo, os.environ, flags, trust=trust, on_trust=lambda sha256, _: asked_about.append(sha256))
    if person and any(line.startswith(NOT_TRUSTED) for line in settings.warnings) and _is_trusted_now(settings):
        settings = settings_for(repo, os.environ, flags, trust=asked_about[0])
    if settings.use_multi_agent:
        from equitrcoder.agent.roles import refuse_multi_agent

        refuse_multi_agent(settings, os.environ, model)
    try:
        choice = choose_model(settings, os.environ, model)
    except MissingKeyError as error:
        if error.message != no_provider():
            raise
        sys.stderr.write(error.message + "\n")  # the first start: what to do, and no code before it
        return error.exit_code
    screen = person and not (simple or plain) and _is_terminal(sys.stdout) and can_move_cursor()
    return asyncio.run(_Start(repo, settings, choice, person=person, screen=screen, verbose=verbose).hold())


def _is_terminal(stream: Any) -> bool:
    return stream is not None and bool(stream.isatty())


def _is_trusted_now(settings: Settings) -> bool:
    """Ask once, at a terminal."""
    for line in settings.warnings:
        sys.stderr.write(safe(line) + "\n")
    try:
        answer = asyncio.run(PlainLines(terminal=True).answer(TRUST_QUESTION))
    except EndOfLines:
        return False
    return answer.strip().lower() in ("y", "yes")


class _Start:
    """Puts the parts of a session together.

    Args:
        person: Whether somebody sits at a terminal.
        screen: Whether that terminal has a prompt with editing and a foot that is redrawn.
    """

    def __init__(
        self, repo: Path, settings: Settings, choice: ModelChoice, *, person: bool, screen: bool, verbose: int
    ) -> None:
        self._repo = repo.resolve()
        self._settings = settings
        self._choice = choice
        self._person = person
        self._screen = screen
        self._verbose = verbose
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None

    async def hold(self) -> int:
        """Talk until it ends, then close what was opened."""
        self._put_together()
        try:
            with self._stops.taken():
                if not self._screen:
                    await self._open()  # what is wrong is said before anything is read
                return await self._chat.talk()
        except asyncio.CancelledError:
            return INTERRUPTED
        except OSError:
            if self._stops.leave:  # the prompt could not be taken off a screen that has gone
                return INTERRUPTED
            raise
        finally:
            await self._close()
            _let_go_of_closed_streams()

    def _put_together(self) -> None:
        choice = self._choice
        self._status = Status(context_window)
        self._status.take_model(choice.provider.name, choice.model, choice.model_requested)
        self._status.limit_nanousd = self._settings.budget_nanousd
        self._prompt = self._prompt_lines() if self._screen else None
        self._lines = self._prompt or PlainLines(terminal=self._person)
        self._stops = Stops(self._lines, person=self._person)
        self._view = ChatView(
            self._status,
            moves=self._screen,
            streams=self._person and _is_terminal(sys.stdout),
            rings=self._screen,
            verbose=self._verbose,
            stop=lambda _why: self._stops.end(),
        )
        self._chat = Chat(
            repo=self._repo,
            lines=self._lines,
            view=self._view,
            status=self._status,
            stops=self._stops,
            open_session=self._open,
            check=self._settings.check,
            person=self._person,
        )
        if self._person:
            self._view.say(f"equitrcoder {_version()} · {choice.model_requested} · /help")

    def _prompt_lines(self) -> PromptLines:
        from equitrcoder.cli.interactive.completion import ChatCompleter, RepositoryFiles
        from equitrcoder.cli.interactive.history import LineHistory
        from equitrcoder.cli.interactive.prompting import PromptLines

        return PromptLines(
            status=lambda: self._status.line(),
            history=LineHistory(state_dir(os.environ), self._redacted),
            completer=ChatCompleter(RepositoryFiles(self._repo)),
            show_last=self._show_last,
            on_paint=self._begin_opening,
        )

    # The session itself

    def _begin_opening(self) -> None:
        """Load the agent and open the session while the prompt stands; what is wrong ends the waiting for a line."""
        self._opening = asyncio.ensure_future(self._load_and_open())
        self._opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[Session]) -> None:
        if not opening.cancelled() and (error := opening.exception()) is not None and self._prompt is not None:
            self._prompt.fail(error)

    async def _open(self) -> Session:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._load_and_open())
        return await asyncio.shield(self._opening)

    async def _load_and_open(self) -> Session:
        if self._screen:
            await asyncio.to_thread(_load_agent)
        from equitrcoder.agent.session import Session, SessionOptions

        options = SessionOptions(
            interactive=self._person,
            sink=self._view.take,
            approver=self._approver() if self._person else None,
            accept_tools=self._accept_tools if self._person else None,
            on_notice=self._view.notice,
        )
        self._session = Session(
            self._repo, self._settings, os.environ, model=self._choice.model_requested, options=options
        )
        return self._session

    def _approver(self) -> Any:
        from equitrcoder.cli.interactive.approving import Asking

        asking = Asking(self._lines, self._view, self._stops)
        self._chat.always = asking.always
        return asking

    async def _accept_tools(self, server: Any, changed: Any) -> bool:
        from equitrcoder.cli.mcp_text import asking

        self._view.hold()
        try:
            return await asking(self._lines)(server, changed)
        finally:
            self._view.release()

    async def _close(self) -> None:
        opening = self._opening
        if opening is not None:
            await asyncio.wait([opening])
        if self._session is not None:
            await self._session.aclose()

    def _show_last(self) -> None:
        output = self._session.last_output if self._session is not None else None
        if output is None:
            self._view.say("No output yet.")
        else:
            self._view.say(f"{output[0]}\n{output[1]}")

    def _redacted(self, line: str) -> str:
        from equitrcoder.ledger.redaction import Redactor, secret_values

        if self._session is not None:
            return self._session.redactor.text(line)[0]
        return Redactor(secret_values(os.environ, extra=self._settings.secrets)).text(line)[0]


def _load_agent() -> None:
    import equitrcoder.agent.session
    import equitrcoder.cli.interactive.approving
    import equitrcoder.providers.transport  # noqa: F401  (brings HTTP)


def _let_go_of_closed_streams() -> None:
    """A terminal that has gone must not turn the interpreter's last flush into another exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def _version() -> str:
    from equitrcoder import __version__

    return __version__
