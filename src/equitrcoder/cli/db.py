"""`equitrcoder db`: the index of the ledger, which can always be made anew from the journals."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from equitrcoder.cli import text
from equitrcoder.cli.output import print_lines
from equitrcoder.cli.tables import one_line
from equitrcoder.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

    from equitrcoder.ledger.rebuild import RebuildReport

TELL_EVERY_RUNS = 50


@click.group("db")
def command() -> None:
    """Look after the index of the ledger."""


@command.command("path")
def path() -> None:
    """Print where the index is, or would be. The journals are beside it.

    \b
    Example
      sqlite3 "$(equitrcoder db path)" "SELECT tool_name, count(*) FROM tool_calls GROUP BY 1"
    """
    from equitrcoder.settings import state_dir

    print_lines([str(state_dir(os.environ) / "index.sqlite")])


@command.command("rebuild")
def rebuild() -> None:
    """Make the index anew from the journals, and say what in them is damaged.

    Commands that run meanwhile go on with the old one. Nothing in the journals is changed. Exit code 1: damage was
    found.
    """
    from equitrcoder.settings import state_dir

    folder = state_dir(os.environ)
    report = _rebuild(folder)
    took = text.duration(report.duration_ms)
    print_lines([f"{text.count(report.runs, 'run')}, {text.count(report.calls, 'call')} in {took}: {folder}"])
    for damage in report.damage:
        print_lines([f"damaged: {one_line(damage.path)} at byte {damage.offset:,}: {one_line(damage.what)}"])
    if report.damage:
        raise click.exceptions.Exit(1)


def _rebuild(folder: Path) -> RebuildReport:
    import sqlite3

    from equitrcoder.ledger import rebuild_index

    try:
        return rebuild_index(folder, on_progress=_show_progress if sys.stderr.isatty() else None)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"Cannot make the index anew in {folder}: {error}. The journals are unharmed.",
            hint="make room, or give the folder to this user",
        ) from error


def _show_progress(done: int, runs: int) -> None:
    if done % TELL_EVERY_RUNS == 0 or done == runs:
        end = "\n" if done == runs else ""
        sys.stderr.write(f"\r{done:,} of {runs:,} runs{end}")
        sys.stderr.flush()
