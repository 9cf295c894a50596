"""How a session is opened: what was given, kept until it is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equitrcoder.api import notices
from equitrcoder.errors import UsageError
from equitrcoder.records import new_ulid

if TYPE_CHECKING:
    from equitrcoder.agent.events import EventSink
    from equitrcoder.agent.middleware import ModelMiddleware
    from equitrcoder.agent.resuming import Before
    from equitrcoder.agent.session import Session
    from equitrcoder.api.approving import ApproveFunction


class Opening:
    """What it takes to open a session, and where its records are.

    Args:
        flags: Settings by their keys.
        approve: Asked about calls; None: the mode decides.

    Attributes:
        session_id: The session's, also before it is open.
    """

    def __init__(
        self,
        repo_path: str | os.PathLike[str],
        flags: Mapping[str, Any],
        *,
        approve: ApproveFunction | None,
        trust: bool,
        on_event: EventSink | None,
        middleware: Sequence[ModelMiddleware],
    ) -> None:
        self.session_id = new_ulid()
        self._repo_path = repo_path
        self._flags = flags
        self._approve = approve
        self._trust = trust
        self._on_event = on_event
        self._middleware = tuple(middleware)
        self._state_dir: Path | None = None

    def state_dir(self) -> Path:
        """Where the ledger is: as it was when the session was opened, before that as it would be now."""
        from equitrcoder.settings import state_dir

        return self._state_dir or state_dir(os.environ)

    def open(self, before: Before | None = None) -> Session:
        """Open the session; one that goes on with `before` in its repository, with its model. Raises EquitrError."""
        from equitrcoder.agent.session import Session, SessionOptions
        from equitrcoder.agent.startup import settings_for
        from equitrcoder.api.approving import approver

        environ = dict(os.environ)
        self._state_dir = self.state_dir()
        elsewhere = None if os.fspath(self._repo_path) == "." else _folder(self._repo_path)
        repo = (elsewhere or _folder(".")) if before is None else before.folder(elsewhere)
        flags = self._flags if before is None else {**before.flags, **self._flags}
        options = SessionOptions(
            sink=None if self._on_event is None else notices.guarded(self._on_event),
            approver=None if self._approve is None else approver(self._approve),
            on_notice=notices.tell,
            middleware=self._middleware,
            session_id=self.session_id,
        )
        settings = settings_for(repo, environ, flags, trust=self._trust, source="argument")
        model = None if before is None or "ai_model" in flags else before.model
        return Session(repo, settings, environ, model=model, options=options)


def _folder(path: str | os.PathLike[str]) -> Path:
    """The repository's folder; made when only itself is missing, as for a project that is to be created."""
    folder = Path(path).expanduser()
    if not folder.exists() and folder.parent.is_dir():
        try:
            folder.mkdir()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"{folder} cannot be made: {reason}.", hint="another repo_path") from error
        notices.tell(f"{folder} was missing and is a new, empty folder now")
    return folder
