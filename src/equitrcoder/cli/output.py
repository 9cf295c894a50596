"""Printing results: text and JSON on stdout, whatever the locale can show."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from equitrcoder import jsontext


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of text as they come; characters that the terminal's encoding lacks are replaced.

    Raises:
        BrokenPipeError: The reader has gone; `run_app` makes that a quiet end.
    """
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        sys.stdout.write(line.encode(encoding, "replace").decode(encoding, "replace") + "\n")


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, UTF-8."""
    print_json_lines([value])


def print_json_lines(values: Iterable[Any]) -> None:
    """Print values as JSON Lines, UTF-8, as they come."""
    sys.stdout.flush()
    for value in values:
        sys.stdout.buffer.write(jsontext.dumps(value) + b"\n")
    sys.stdout.buffer.flush()
