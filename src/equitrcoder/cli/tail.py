"""`equitrcoder tail`: what a run does, line by line while it does it, also in another process."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from equitrcoder.cli.completing import complete_run
from equitrcoder.cli.output import print_json_lines, print_lines
from equitrcoder.cli.reading import open_reader, say_nothing_found, tell

if TYPE_CHECKING:
    from pathlib import Path

    from equitrcoder.ledger.reader import Reader
    from equitrcoder.records import Run

LOOK_EVERY_S = 0.1
LINES = 20


@click.command(
    "tail",
    epilog="""\b
Examples
  equitrcoder tail
  equitrcoder tail 7F3K --lines 1000
  equitrcoder tail --json | jq -c 'select(.type == "call_finished")'

\b
Without RUN: the newest run that is going on, else the last one. Ends when the run ends; Ctrl-C ends only
the watching. The events of --json: docs/terminal.md.""",
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Begin with the last N lines ({LINES}; with --json all events).",
)
@click.option("--no-follow", is_flag=True, help="Print what is there and end.")
@click.option("--json", "as_json", is_flag=True, help="The events of the run's journal, one per line.")
def command(run: str | None, lines: int | None, no_follow: bool, as_json: bool) -> None:
    """Watch a run: each answer, call and outcome as it comes."""
    try:
        with open_reader() as reader:
            chosen = choose(reader, run)
            state_dir = reader.state_dir
        if chosen is None:
            say_nothing_found("runs", filtered=False)
        else:
            _watch(state_dir, chosen, lines=lines, wait=not no_follow, as_json=as_json)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(130) from None


def choose(reader: Reader, which: str | None) -> Run | None:
    """The run that is meant; None when there is none at all.

    Args:
        which: As `Reader.run` takes it; None: the newest one that is going on, else the last.
    """
    if which is not None:
        return reader.run(which)
    going_on = reader.runs(status="running")
    first = [run for run in going_on if run.parent_run_id is None]
    found = first[:1] or going_on[:1] or reader.runs(limit=1)
    return found[0] if found else None


def _watch(state_dir: Path, run: Run, *, lines: int | None, wait: bool, as_json: bool) -> None:
    from equitrcoder.ledger.following import follow

    batches = follow(state_dir, run.run_id, run.journal, pause=_pause(), wait=wait)
    if as_json:
        _print(batches, lambda events: events, print_json_lines, lines)
        return
    from equitrcoder.cli.journal_lines import JournalLines
    from equitrcoder.cli.text import what_next
    from equitrcoder.records import utc_now

    shaped = JournalLines(run.run_id)

    def shape(events: list[dict[str, Any]]) -> list[str]:
        said = [line for event in events for line in shaped.take(event)]
        return said or list(shaped.running(utc_now()))

    _print(batches, shape, print_lines, LINES if lines is None else lines)
    tell(what_next(run.run_id, shaped.status))


def _print(
    batches: Iterator[list[dict[str, Any]]],
    shape: Callable[[list[dict[str, Any]]], Sequence[Any]],
    write: Callable[[Iterable[Any]], None],
    lines: int | None,
) -> None:
    """Of what is there already write the last items only (None: all), then everything that comes."""
    waiting: deque[Any] | None = None if lines is None else deque(maxlen=lines)
    for batch in batches:
        items = shape(batch)
        if waiting is None:
            if items:
                write(items)
            continue
        waiting.extend(items)
        if not batch:
            write(waiting)
            waiting = None
    if waiting:
        write(waiting)


def _pause() -> Callable[[], None]:
    """Waits a moment, and notices when the pipe that stdout is has lost its reader."""
    try:
        piped = stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # no file at all: a test, a notebook
        piped = False
    if not piped or not hasattr(select, "poll"):
        return lambda: time.sleep(LOOK_EVERY_S)
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)

    def wait() -> None:
        if pipe.poll(LOOK_EVERY_S * 1000):
            raise BrokenPipeError

    return wait
