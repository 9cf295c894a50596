"""How a run looks to a person while it goes on: one line per call, then what came out of it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from equitrcoder.cli import text
from equitrcoder.errors import EquitrError

SHOW_RUNNING_AFTER_S = 1.0
NAME_AND_SUBJECT_WIDTH = 56


class RunView:
    """Prints the events of a run on stderr, the model's last words on stdout.

    Args:
        plain: Never move the cursor.
        verbose: From 1 on: what the model says between calls, and the second seed's lines.
        stop: Called when stdout is closed.
        foot: Shows what runs, in place of one line.
    """

    def __init__(
        self, *, plain: bool, verbose: int, stop: Callable[[str], None], foot: RunningLine | None = None
    ) -> None:
        self._verbose = verbose
        self._stop = stop
        self._running = foot or RunningLine(enabled=not plain and can_move_cursor())
        self._subjects: dict[str, str] = {}
        self._calls: list[tuple[str, Any]] = []
        self._finished: dict[str, Any] | None = None
        self._check: dict[str, Any] | None = None
        self.run_id = ""
        """The run that is shown; "" before it began."""
        self._session: Any = None

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self._finished is not None

    def begin(self, session: Any) -> None:
        """Take the session that is about to run, for the first and last lines."""
        self._session = session

    def notice(self, line: str) -> None:
        """A line for people."""
        self._say(text.safe(line))

    def take(self, event: dict[str, Any]) -> None:
        """Show one event."""
        handler = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        if handler is not None:
            handler(event)

    def _on_run_started(self, event: dict[str, Any]) -> None:
        from equitrcoder import __version__

        self.run_id = event["run"]
        parts = [f"equitrcoder {__version__}", event["model_requested"]]
        if not event["tools"]:
            parts.append("no tools")
        parts += [f"sandbox {event['sandbox']}", f"approve {event['approve']}"]
        if event["budget"] is not None:
            parts.append(f"budget ${event['budget']:.2f}")
        self._say(" · ".join([*map(text.safe, parts), f"run {self.run_id[:4]}…{text.short_id(self.run_id)}"]))

    def _on_turn_finished(self, event: dict[str, Any]) -> None:
        if self._verbose and event["text"] and event["calls"]:
            self._say(text.safe(event["text"].rstrip()))

    def _on_call_requested(self, event: dict[str, Any]) -> None:
        arguments = event["arguments"] if event["arguments"] is not None else event["arguments_raw"]
        self._calls.append((event["tool_name"], arguments))
        if event["executed_by"] == "provider":
            self._subjects[event["call_uid"]] = "(run by the provider)"

    def _on_call_started(self, event: dict[str, Any]) -> None:
        self._subjects[event["call_uid"]] = event["subject"]
        self._running.start(event["call_uid"], f"{event['tool_name']} {event['subject']}")

    def _on_call_finished(self, event: dict[str, Any]) -> None:
        self._running.end(event["call_uid"])
        subject = self._subjects.pop(event["call_uid"], "")
        self._say(call_line(event["tool_name"], subject, event))

    def _on_request_failed(self, event: dict[str, Any]) -> None:
        error = event["error"]
        if event["wait_s"]:  # what is asked again at once is not worth a line
            again = f"Waiting {event['wait_s']:.0f} s, then attempt {event['attempt'] + 1}."
            self._say(text.safe(f"{error['code']} {error['message']} {again} Ctrl-C stops and keeps the work."))

    def _on_budget_warned(self, event: dict[str, Any]) -> None:
        spent, limit = text.money(event["spent_nanousd"]), text.money(event["limit_nanousd"])
        self._say(f"{spent} of {limit} are spent")

    def _on_check_started(self, event: dict[str, Any]) -> None:
        self._running.start("check", f"check {event['command']}")

    def _on_check_finished(self, event: dict[str, Any]) -> None:
        self._running.end("check")
        self._check = event
        if not event["passed"]:
            self._say(text.safe(event["output"].rstrip()))

    def _on_run_finished(self, event: dict[str, Any]) -> None:
        self._finished = event

    def end(self, error: EquitrError | None) -> int:
        """Print the model's last words and the sums; return the exit code."""
        self._running.clear()
        if self._finished is None:
            return 130  # stopped before the run began
        if self._finished["response"]:
            self._answer(text.safe(self._finished["response"].rstrip()))
        if error is not None:
            self._say(text.safe(str(error)))
        elif self._finished["error"]:
            self._say(text.safe(f"{self._finished['status']}: {self._finished['error']['message']}"))
        self._say(text.summary(self._finished["totals"], None if self._check is None else self._check["passed"]))
        if self._verbose:
            self._say(self._seed_lines())
        self._say(text.what_next(self.run_id, self._finished["status"]))
        return int(self._finished["exit_code"])

    def _seed_lines(self) -> str:
        from equitrcoder.cli.seed_lines import seed_lines

        provider = self._session.choice.provider
        usage = self._finished["totals"]["tokens"] if self._finished else {}
        return text.safe(seed_lines(provider.name, provider.capture, self._calls, usage))

    def _answer(self, words: str) -> None:
        try:
            sys.stdout.write(words + "\n")
            sys.stdout.flush()
        except OSError:  # the reader has gone; the words are in the ledger
            from equitrcoder.cli.json_events import silence_stdout

            silence_stdout()

    def _say(self, line: str) -> None:
        self._running.clear()
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except OSError:  # the terminal has gone
            self._stop("closed terminal")
        self._running.draw()


def call_line(tool_name: str, subject: str, event: dict[str, Any]) -> str:
    """One finished call: what, how long, and what became of it when it was no success."""
    what = text.one_line(f"{tool_name} {subject}", NAME_AND_SUBJECT_WIDTH)
    line = f"  {what:<{NAME_AND_SUBJECT_WIDTH}} {text.duration(event['duration_ms']):>9}"
    metadata = event.get("metadata") or {}
    if event["outcome"] == "success":
        if "lines_added" in metadata:
            line += f"  +{metadata['lines_added']} -{metadata.get('lines_removed', 0)}"
        return line
    if "exit_code" in metadata:
        return f"{line}  {event['outcome']} (exit {metadata['exit_code']})"
    error = event["error"] or {}
    why = text.one_line(error.get("message") or error.get("type") or "", 70)
    return f"{line}  {event['outcome']}" + (f": {why}" if why else "")


def can_move_cursor() -> bool:
    """Whether stderr is a terminal that may be redrawn."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class RunningLine:
    """The last line of the screen while calls run: what runs, and for how long."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._since: dict[str, tuple[str, float]] = {}
        self._drawn = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self, key: str, what: str) -> None:
        """A call began."""
        self._since[key] = (what, time.monotonic())
        if self._enabled and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SHOW_RUNNING_AFTER_S, self._tick)

    def end(self, key: str) -> None:
        """A call ended."""
        self._since.pop(key, None)

    def clear(self) -> None:
        """Take the line off the screen, so that another can be printed."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            self._drawn = False

    def draw(self) -> None:
        """Put it back."""
        now = time.monotonic()
        long = [(what, now - at) for what, at in self._since.values() if now - at >= SHOW_RUNNING_AFTER_S]
        if not self._enabled or not long:
            return
        what, seconds = long[0]
        more = f" and {len(long) - 1} more" if len(long) > 1 else ""
        sys.stderr.write(f"\r\x1b[K  {text.one_line(what, NAME_AND_SUBJECT_WIDTH)} … {seconds:.0f} s{more}")
        sys.stderr.flush()
        self._drawn = True

    def _tick(self) -> None:
        self._timer = None
        if self._since:
            self.draw()
            self._timer = asyncio.get_running_loop().call_later(SHOW_RUNNING_AFTER_S, self._tick)
