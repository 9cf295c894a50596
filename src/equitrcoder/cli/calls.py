"""`equitrcoder calls`: every tool call, as a table or as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from equitrcoder.cli import call_text, text
from equitrcoder.cli.call_filters import call_filters, call_query
from equitrcoder.cli.output import print_json_lines, print_lines
from equitrcoder.cli.reading import open_reader, say_nothing_found
from equitrcoder.cli.tables import Column, screen_width, table

if TYPE_CHECKING:
    from equitrcoder.records import ToolCall

COLUMNS = (
    Column("run"),
    Column("step", right=True),
    Column("tool"),
    Column("about", flexible=True),
    Column("outcome"),
    Column("time", right=True),
)


@click.command(
    "calls",
    epilog="""\b
Examples
  equitrcoder calls --run last
  equitrcoder calls --failed --since 2h
  equitrcoder calls --tool run_command --outcome timeout
  equitrcoder calls --json > calls.jsonl
  equitrcoder calls --json | jq -r 'select(.duration_ms > 1000) | .arguments.command'

\b
The fields of --json: docs/terminal.md. Oldest first; with --limit N the newest N.""",
)
@call_filters
@click.option("--json", "as_json", is_flag=True, help="Whole records, one JSON object per line.")
def command(as_json: bool, **chosen: Any) -> None:
    """List tool calls, oldest first, or print every record as JSON.

    What chooses is combined: a call is listed when all of it holds.
    """
    from equitrcoder.ledger import CallQuery, call_to_dict

    with open_reader() as reader:
        query = call_query(reader, **chosen)
        calls = reader.calls(query, full=as_json)
        if as_json:
            print_json_lines(map(call_to_dict, calls))
        elif not _print_table(calls):
            say_nothing_found("calls", filtered=bool(reader.runs(limit=1)) and query != CallQuery())


def _print_table(calls: Iterable[ToolCall]) -> bool:
    """Print the calls; False when there are none."""
    lines = table(COLUMNS, map(_cells, calls), screen_width())
    first = next(lines, None)
    if first is None:
        return False
    print_lines(_with(first, lines))
    return True


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _cells(call: ToolCall) -> tuple[str, ...]:
    return (
        text.short_id(call.run_id),
        str(call.step),
        call.tool_name,
        call_text.subject(call),
        call_text.outcome(call),
        text.duration(call.duration_ms),
    )
