"""`equitrcoder export`: runs, model answers and tool calls as JSON, JSON Lines or CSV."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from equitrcoder.cli.call_filters import call_filters, call_query
from equitrcoder.cli.completing import complete_provider
from equitrcoder.cli.reading import open_reader, run_option, tell
from equitrcoder.cli.tables import one_line
from equitrcoder.cli.text import count
from equitrcoder.cli.times import since_option
from equitrcoder.records import RunStatus

SHOW_AFTER_S = 1.0
SHOW_EVERY_S = 0.2
_FORMATS = ("json", "jsonl", "csv")

Command = TypeVar("Command", bound=Callable[..., Any])

provider_option = click.option(
    "--provider", metavar="PROVIDER", shell_complete=complete_provider, help="Of this provider."
)


def _where_to(command: Command) -> Command:
    """Add --format and --output to a click command."""
    chosen = click.option(
        "--format",
        type=click.Choice(_FORMATS),
        help="json: one list; jsonl: one record per line; csv: with a header. Without it: as FILE ends, else json.",
    )
    output = click.option(
        "--output",
        "-o",
        metavar="FILE",
        default="-",
        help="Replaced at once when all is written; without it, or -: standard output.",
    )
    return output(chosen(command))


@click.group(
    "export",
    epilog="""\b
Examples
  equitrcoder export calls --output calls.csv
  equitrcoder export calls --failed --since 7d --format jsonl | jq -r .error
  equitrcoder export turns --run last --output tokens.csv
  equitrcoder export runs --steps --output runs.json

\b
What the fields are, and what CSV does with objects and formulas: docs/export.md.""",
)
def command() -> None:
    """Write runs, turns or calls as JSON, JSON Lines or CSV, the oldest first."""


@command.command("calls")
@call_filters
@click.option("--records", is_flag=True, help="With the field names of `calls --json`; else as in the tool log.")
@_where_to
def calls(records: bool, format: str | None, output: str, **chosen: Any) -> None:  # noqa: A002 - the option's name
    """Tool calls, with whole results, as entries of the tool log.

    \b
    Examples
      equitrcoder export calls --output calls.json
      equitrcoder export calls --run last --records --format csv
    """
    from equitrcoder.ledger.export import export_calls

    with open_reader() as reader:
        query = call_query(reader, **chosen)
        _export("call", output, format, lambda *to: export_calls(reader, query, *to, records=records))


@command.command("turns")
@run_option
@provider_option
@since_option
@_where_to
def turns(run: str | None, provider: str | None, since: datetime | None, format: str | None, output: str) -> None:  # noqa: A002
    """Model answers: tokens, times, costs.

    \b
    Example
      equitrcoder export turns --since 7d --output tokens.csv
    """
    from equitrcoder.ledger.export import export_turns

    with open_reader() as reader:
        _export("turn", output, format, lambda *to: export_turns(reader, *to, run=run, provider=provider, since=since))


@command.command("runs")
@run_option
@click.option("--status", type=click.Choice(get_args(RunStatus)), metavar="STATUS", help="That ended so.")
@provider_option
@since_option
@click.option("--repo", type=click.Path(path_type=Path), help="In this repository.")
@click.option("--steps", is_flag=True, help="Each with its calls, steps and tokens, as `show --json` has it.")
@_where_to
def runs(repo: Path | None, steps: bool, format: str | None, output: str, **chosen: Any) -> None:  # noqa: A002
    """Runs, with the field names of `runs --json`.

    \b
    Examples
      equitrcoder export runs --status failed --output failed.json
      equitrcoder export runs --run last --steps
    """
    from equitrcoder.ledger.export import export_runs

    where = None if repo is None else str(repo.resolve())
    with open_reader() as reader:
        _export("run", output, format, lambda *to: export_runs(reader, *to, steps=steps, repo=where, **chosen))


def _export(noun: str, output: str, chosen: str | None, write: Callable[..., int]) -> None:
    """Export to a file or stdout, show progress when it takes long, and say in the end what was written."""
    ending = Path(output).suffix.lower().removeprefix(".")
    progress = Progress(noun)
    try:
        written = write(output, chosen or (ending if ending in _FORMATS else "json"), progress.take)
    finally:
        progress.clear()
    if output != "-":
        tell(f"{count(written, noun)} in {one_line(output)}")


class Progress:
    """Says on a terminal how many records there are so far, from the second second on.

    Args:
        noun: What is counted: "call".
        now: The clock, in seconds.
        stream: Where it is said; None: stderr, if it is a terminal whose cursor may be moved.
    """

    def __init__(self, noun: str, *, now: Callable[[], float] = time.monotonic, stream: Any = None) -> None:
        self._noun = noun
        self._now = now
        self._stream = stream
        self._next_s = now() + SHOW_AFTER_S
        self._width = 0

    def take(self, done: int) -> None:
        """So many have been written."""
        if self._now() < self._next_s:
            return
        self._next_s = self._now() + SHOW_EVERY_S
        if self._stream is None:
            self._stream = _terminal()
            if self._stream is None:
                self._next_s = float("inf")
                return
        said = f"{count(done, self._noun)} so far"
        self._stream.write("\r" + said.ljust(self._width))
        self._stream.flush()
        self._width = len(said)

    def clear(self) -> None:
        """Take the line away."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def _terminal() -> Any:
    from equitrcoder.cli.progress import can_move_cursor  # late: it brings asyncio

    return sys.stderr if can_move_cursor() else None
