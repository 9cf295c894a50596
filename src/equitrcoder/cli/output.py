"""Printing results: text and JSON on stdout, whatever the locale can show, until the reader has had enough."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from equitrcoder import jsontext


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of text as they come; characters that the terminal's encoding lacks are replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    with _ending_with_the_reader():
        for line in lines:
            sys.stdout.write(line.encode(encoding, "replace").decode(encoding, "replace") + "\n")
        sys.stdout.flush()


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, UTF-8."""
    print_json_lines([value])


def print_json_lines(values: Iterable[Any]) -> None:
    """Print values as JSON Lines, UTF-8, as they come."""
    with _ending_with_the_reader():
        sys.stdout.flush()
        for value in values:
            sys.stdout.buffer.write(jsontext.dumps(value) + b"\n")
        sys.stdout.buffer.flush()


@contextmanager
def _ending_with_the_reader() -> Iterator[None]:
    """A pipe that was closed (`| head -1`) ends the command well: its reader has what it wanted."""
    try:
        yield
    except BrokenPipeError:
        from equitrcoder.cli.json_events import silence_stdout

        silence_stdout()
        raise click.exceptions.Exit(0) from None
