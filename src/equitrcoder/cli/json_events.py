"""`--json`: one event per line on stdout, words for people on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from equitrcoder import jsontext
from equitrcoder.cli.text import safe
from equitrcoder.errors import EquitrError


class JsonView:
    """Writes events as they come; a closed pipe stops the run, which is then closed properly."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self._stop = stop
        self._closed = False
        self._exit_code = 130  # stopped before the run began
        self.finished = False
        """Whether the run has ended."""

    def begin(self, session: Any) -> None:
        """Nothing to say: `run.started` says it."""

    def notice(self, line: str) -> None:
        """A line for people."""
        sys.stderr.write(safe(line) + "\n")
        sys.stderr.flush()

    def take(self, event: dict[str, Any]) -> None:
        """Write one event."""
        if event["type"] == "run.finished":
            self._exit_code = event["exit_code"]
            self.finished = True
        if self._closed:
            return
        try:
            sys.stdout.buffer.write(jsontext.dumps(event) + b"\n")
            sys.stdout.buffer.flush()
        except OSError:  # the reader has gone
            self._closed = True
            self._stop("closed pipe")

    def end(self, error: EquitrError | None) -> int:
        """The exit code; errors also in words."""
        if error is not None:
            self.notice(str(error))
        if self._closed:
            silence_stdout()
        return self._exit_code


def print_failed_start(error: EquitrError) -> None:
    """The event of a run that could not start: there is no run, only `run.finished` with the reason."""
    event = {
        "v": 1,
        "seq": 1,
        "type": "run.finished",
        "run": None,
        "agent": "single",
        "provider": None,
        "status": "failed",
        "exit_code": error.exit_code,
        "response": "",
        "error": {"type": type(error).__name__, "code": error.code, "message": error.message, "hint": error.hint},
    }
    sys.stdout.buffer.write(jsontext.dumps(event) + b"\n")
    sys.stdout.buffer.flush()


def silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush of a closed pipe says nothing either."""
    import os

    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
