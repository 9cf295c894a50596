"""What the commands that read the ledger share: opening it, and what to say when something is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from equitrcoder.cli.completing import complete_run
from equitrcoder.cli.tables import one_line

if TYPE_CHECKING:
    from equitrcoder.ledger.reader import Reader

run_option = click.option(
    "--run",
    metavar="RUN",
    shell_complete=complete_run,
    help='Of this run: its id, the tail that is shown, or "last".',
)
"""The option `--run RUN`, on every command that counts or lists what runs did."""


@contextmanager
def open_reader() -> Iterator[Reader]:
    """The ledger of this user, caught up with what other processes wrote; closed in the end.

    Damage that was found is told on stderr, on one line.
    """
    from equitrcoder.ledger import Reader
    from equitrcoder.settings import state_dir

    with Reader(state_dir(os.environ)) as reader:
        yield reader
        _tell_damage(reader)


def _tell_damage(reader: Reader) -> None:
    damage = reader.damage()
    if damage:
        first = damage[0]
        more = f" (and {len(damage) - 1} more)" if len(damage) > 1 else ""
        tell(f"The ledger is damaged: {one_line(f'{first.path}: {first.what}')}{more}. All: equitrcoder db rebuild")


def say_nothing_found(what: str, *, filtered: bool) -> None:
    """Say on stderr that there is nothing to show, and what to do.

    Args:
        what: "runs" or "calls": the noun, and the command that shows them all.
    """
    if filtered:
        tell(f"No {what} match. All: equitrcoder {what}")
    else:
        tell(f"No {what} yet. See it work: equitrcoder demo")


def tell(line: str) -> None:
    """A line for people, on stderr."""
    click.echo(line, err=True)
