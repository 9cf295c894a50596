"""How the turns of a session look: text as it streams, one line per call, and what came out of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from equitrcoder.cli import text
from equitrcoder.cli.interactive.region import Region
from equitrcoder.cli.interactive.status import Status
from equitrcoder.cli.progress import RunView
from equitrcoder.errors import EquitrError

BELL = "\a"


class ChatView(RunView):
    """Shows the runs of a session, one after the other.

    Args:
        status: Counts along.
        moves: Whether the cursor may be moved: the foot of the screen is redrawn while a turn runs.
        streams: Whether the text goes to stdout as it comes; else the last answer of a turn, once it is whole.
        rings: Whether the bell says that a turn is done, that somebody is asked, or that something went wrong.
        stop: Called when stdout is closed.
    """

    def __init__(
        self,
        status: Status,
        *,
        moves: bool,
        streams: bool,
        rings: bool,
        verbose: int,
        stop: Callable[[str], None],
    ) -> None:
        self._region = Region(status.line) if moves else None
        super().__init__(plain=True, verbose=verbose, stop=stop, foot=self._region)
        self.status = status
        self._streams = streams
        self._rings = rings
        self._streamed = False
        self._open_line = False
        self._held: list[str] | None = None
        self._notices: list[str] = []
        self._in_turn = False

    # Between turns

    def notice(self, line: str) -> None:
        """A line for people, from any thread; it waits while a prompt stands."""
        if self._in_turn and threading.current_thread() is threading.main_thread():
            self.say(line)
        else:
            self._notices.append(text.safe(line))

    def tell_notices(self) -> None:
        """Say what has waited."""
        lines, self._notices = self._notices, []
        for line in lines:
            self._say(line)

    def say(self, line: str) -> None:
        """A line for people, now; foreign text in it is made harmless."""
        self._say(text.safe(line))

    def ring(self) -> None:
        """The terminal's bell."""
        if self._rings:
            self._write_people(BELL)

    # A turn

    def begin(self, session: Any) -> None:
        """A turn is about to run."""
        super().begin(session)
        self._calls.clear()
        self._subjects.clear()
        self._finished = self._check = None
        self._streamed = self._open_line = False
        self.tell_notices()
        self._in_turn = True
        if self._region is not None:
            self._region.begin(session.choice.provider.name)

    def hold(self) -> None:
        """A question stands on the screen: lines wait until `release`."""
        self._held = []
        if self._region is not None:
            self._region.clear()
            self._region.hidden = True

    def release(self) -> None:
        """The question has its answer."""
        held, self._held = self._held or [], None
        if self._region is not None:
            self._region.hidden = False
        for line in held:
            self._say(line)

    def take(self, event: dict[str, Any]) -> None:
        """Show one event."""
        self.status.take(event)
        super().take(event)

    def _on_run_started(self, event: dict[str, Any]) -> None:
        self.run_id = event["run"]

    def _on_text_delta(self, event: dict[str, Any]) -> None:
        if event["kind"] == "text" and self._streams and event["text"]:
            self._stream(text.safe(event["text"]))

    def _on_turn_finished(self, event: dict[str, Any]) -> None:
        said = event["text"]
        if self._streams:
            if said and not self._streamed:
                self._stream(text.safe(said))  # it came whole
            self._close_line()
        else:
            super()._on_turn_finished(event)
        self._streamed = False
        if self._region is not None:
            self._region.wait_for(event["provider"])

    def _on_request_failed(self, event: dict[str, Any]) -> None:
        if self._streamed:
            self._say("(the answer broke off)")
            self._streamed = False
        super()._on_request_failed(event)

    def end(self, error: EquitrError | None) -> int:
        """Print what is left to say about a turn; return its exit code."""
        self._close_line()
        self._in_turn = False
        if self._region is not None:
            self._region.finish()
        self.ring()
        finished = self._finished
        if finished is None:
            return 130  # stopped before it began
        if finished["response"] and not self._streams:
            self._answer(text.safe(finished["response"].rstrip()))
        code = int(finished["exit_code"])
        if error is not None:
            self.say(str(error))
        elif finished["error"]:
            self.say(f"{finished['status']}: {finished['error']['message']}")
        if code:
            kept = text.summary(finished["totals"], None if self._check is None else self._check["passed"])
            self._say(f"What was done is kept: {kept} · equitrcoder show {text.short_id(self.run_id)}")
        if self._verbose:
            self._say(self._seed_lines())
        if self._region is None:
            self._say(self.status.line())
        return code

    def _stream(self, words: str) -> None:
        if not self._open_line and self._region is not None:
            self._region.clear()
            self._region.hidden = True
        self._streamed = self._open_line = True
        try:
            sys.stdout.write(words)
            sys.stdout.flush()
        except OSError:  # the terminal has gone
            self._stop("closed terminal")
        if words.endswith("\n"):
            self._line_is_closed()

    def _close_line(self) -> None:
        if self._open_line:
            self._stream("\n")

    def _line_is_closed(self) -> None:
        self._open_line = False
        if self._region is not None:
            self._region.hidden = False

    def _say(self, line: str) -> None:
        if self._held is not None:
            self._held.append(line)
            return
        self._close_line()
        super()._say(line)

    def _write_people(self, words: str) -> None:
        try:
            sys.stderr.write(words)
            sys.stderr.flush()
        except OSError:  # the terminal has gone
            self._stop("closed terminal")
