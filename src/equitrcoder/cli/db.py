"""`equitrcoder db`: the ledger's files, and the index, which can always be made anew from the journals."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equitrcoder.cli import text
from equitrcoder.cli.output import print_json, print_lines
from equitrcoder.cli.removing import json_option, remove, yes_option
from equitrcoder.cli.tables import Column, one_line, screen_width, table
from equitrcoder.cli.times import parse_moment
from equitrcoder.errors import LedgerError

if TYPE_CHECKING:
    from equitrcoder.ledger.rebuild import RebuildReport

TELL_EVERY_RUNS = 50


@click.group(
    "db",
    epilog="""\b
Examples
  equitrcoder db size
  equitrcoder db check
  equitrcoder db prune --older-than 90d --dry-run
  equitrcoder db backup ledger.tar.gz

\b
The journals are the truth, one file per run; the index is made from them and can be deleted at any time.""",
)
def command() -> None:
    """Look after the files of the ledger: check, make anew, measure, prune, back up."""


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


@command.command("check")
@json_option
def check(as_json: bool) -> None:
    """Compare the index with the ends of the journals, and the statistics with the calls. Exit code 1: they differ.

    It reads the end of each journal only. To have every entry read and compared: equitrcoder audit.
    """
    from equitrcoder.ledger.checking import check_index
    from equitrcoder.settings import state_dir

    folder = state_dir(os.environ)
    with _told(f"Cannot read the index in {folder}"):
        found = check_index(folder)
    if as_json:
        print_json({"ok": not found, "differences": [difference._asdict() for difference in found]})
    else:
        print_lines(f"{one_line(where)}: {one_line(what)}" for where, what in found)
        print_lines(["Fix: equitrcoder db rebuild"] if found else [f"The index is as the journals say: {folder}"])
    if found:
        raise click.exceptions.Exit(1)


@command.command("size")
@json_option
def size(as_json: bool) -> None:
    """Say how much room the ledger takes, by part."""
    from equitrcoder.ledger.sizes import measure
    from equitrcoder.settings import state_dir

    parts = measure(state_dir(os.environ))
    if as_json:
        print_json({part.name: {"files": part.files, "bytes": part.bytes} for part in parts})
        return
    whole = sum(part.bytes for part in parts)
    columns = (Column("part"), Column("files", right=True), Column("size", right=True))
    lines = [(part.name, f"{part.files:,}", text.size(part.bytes)) for part in parts]
    print_lines(table(columns, [*lines, ("all", "", text.size(whole))], screen_width()))


@command.command("prune")
@click.option(
    "--older-than",
    "moment",
    required=True,
    metavar="WHEN",
    callback=lambda _context, _option, value: _moment(value),
    help="Runs that ended before: 30d, 12w (ago), or 2026-01-02.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go, and how much.")
@yes_option
@json_option
def prune(moment: datetime, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove the journals of old runs. Their statistics stay, and a line in runs.jsonl that says what there was.

    A run that lives is never removed. What was removed is gone: back it up first, or export it.

    \b
    Examples
      equitrcoder db prune --older-than 90d --dry-run
      equitrcoder db prune --older-than 90d --yes
    """
    from equitrcoder.ledger import pruning
    from equitrcoder.settings import state_dir

    folder = state_dir(os.environ)
    with _told(f"Cannot prune the ledger in {folder}"):
        remove(folder, pruning.ended_before(folder, moment), "pruned", dry_run=dry_run, yes=yes, as_json=as_json)


def _moment(value: str) -> datetime:
    moment = parse_moment(value, datetime.now(UTC))
    if moment is None:
        raise click.BadParameter(f'"{value}" is no moment. Write 30d, 12w or 2026-01-02.', param_hint="--older-than")
    return moment


@command.command("backup")
@click.argument("to", required=False, type=click.Path(path_type=Path))
@json_option
def backup(to: Path | None, as_json: bool) -> None:
    """Copy the ledger, also while runs go on, and verify the copy. TO is a new folder, or a .tar or .tar.gz file.

    Without TO: a folder beside the ledger, named by the time. To go back to it: EQUITRCODER_STATE_DIR=TO, or put it in
    the ledger's place. Exit code 1: something in the copy is damaged.
    """
    from equitrcoder.ledger.backup import back_up
    from equitrcoder.settings import state_dir

    folder = state_dir(os.environ)
    target = to or folder.with_name(f"{folder.name}-backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    with _told(f"Cannot back up to {target}"):
        report = back_up(folder, target)
    if as_json:
        damage = [found._asdict() for found in report.damage]
        print_json({"to": str(report.target), "journals": report.journals, "bytes": report.bytes, "damage": damage})
    else:
        print_lines([f"{text.count(report.journals, 'journal')}, {text.size(report.bytes)}, verified: {report.target}"])
        print_lines(f"damaged: {one_line(str(found))}" for found in report.damage)
    if report.damage:
        raise click.exceptions.Exit(1)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say in words what the disk or the database refused."""
    import sqlite3

    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LedgerError(f"{what}: {reason.lower()}.", hint="check the folder and the room on the disk") from error
