"""`equitrcoder calls`: every tool call, as a table or as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, get_args

import click

from equitrcoder.cli import call_text, text
from equitrcoder.cli.completing import complete_model, complete_provider, complete_tool
from equitrcoder.cli.output import print_json_lines, print_lines
from equitrcoder.cli.reading import open_reader, run_option, say_nothing_found
from equitrcoder.cli.tables import Column, screen_width, table
from equitrcoder.cli.times import since_option
from equitrcoder.records import Outcome

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
@run_option
@click.option("--session", metavar="SESSION", help='Of this session: its id, a tail of it, or "last".')
@click.option("--tool", metavar="TOOL", shell_complete=complete_tool, help="Of this tool.")
@click.option(
    "--outcome",
    type=click.Choice(get_args(Outcome)),
    metavar="OUTCOME",
    help=f"That ended so: {', '.join(get_args(Outcome))}.",
)
@click.option("--failed", is_flag=True, help="That are closed and no success.")
@click.option(
    "--provider", metavar="PROVIDER", shell_complete=complete_provider, help="Asked for by a model of this provider."
)
@click.option("--model", metavar="MODEL", shell_complete=complete_model, help="Asked for by this model.")
@click.option("--agent", metavar="AGENT", help="By this agent: its name, or single, supervisor or worker.")
@since_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N.")
@click.option("--json", "as_json", is_flag=True, help="Whole records, one JSON object per line.")
def command(
    run: str | None,
    session: str | None,
    tool: str | None,
    outcome: Outcome | None,
    failed: bool,
    provider: str | None,
    model: str | None,
    agent: str | None,
    since: datetime | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List tool calls, oldest first, or print every record as JSON.

    What chooses is combined: a call is listed when all of it holds.
    """
    from equitrcoder.ledger import CallQuery, call_to_dict

    with open_reader() as reader:
        query = CallQuery(
            run=run,
            session=reader.session(session) if session is not None else None,
            tool=tool,
            outcome=outcome,
            failed=failed,
            provider=provider,
            model=model,
            agent=agent,
            since=since,
            limit=limit,
        )
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
