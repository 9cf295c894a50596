"""`equitrcoder stats`: tool calls, counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from equitrcoder.cli import text
from equitrcoder.cli.output import print_json, print_lines
from equitrcoder.cli.reading import open_reader, run_option, say_nothing_found
from equitrcoder.cli.tables import Column, screen_width, table
from equitrcoder.cli.times import since_option

if TYPE_CHECKING:
    from equitrcoder.ledger.breakdown import Breakdown, Grouping, GroupRow

GROUPINGS = ("tool", "model", "provider", "agent", "role", "day")


@click.command(
    "stats",
    epilog="""\b
Examples
  equitrcoder stats
  equitrcoder stats --run last
  equitrcoder stats --by model --since 1w
  equitrcoder stats --since 1w --json | jq .success_rate

\b
Closed calls are counted; "failed" is every end but success. p50, p95 and p99: half of the calls, 95 and 99 of 100,
took at most so long. What an answer cost is not the cost of a tool: by tool it stands in the last line only.""",
)
@click.option(
    "--by",
    type=click.Choice(GROUPINGS),
    metavar="GROUP",
    help=f"One line per {', '.join(GROUPINGS[:-1])} or {GROUPINGS[-1]} (tool).",
)
@run_option
@since_option
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object, as get_tool_call_stats() gives it; with --by also groups."
)
def command(by: Grouping | None, run: str | None, since: datetime | None, as_json: bool) -> None:
    """Count tool calls: how many, how often they failed, how long they took, and what the models cost."""
    from equitrcoder.ledger import CallQuery

    with open_reader() as reader:
        query = CallQuery(run=run, since=since)
        if as_json and by is None:
            print_json(reader.stats(query))
            return
        breakdown = reader.breakdown(by or "tool", query)
        if as_json:
            from equitrcoder.ledger.breakdown import breakdown_to_dict

            print_json({**reader.stats(query), **breakdown_to_dict(breakdown)})
        elif breakdown.groups:
            print_lines(table(columns(breakdown.by), rows(breakdown), screen_width()))
        else:
            say_nothing_found("calls", filtered=bool(reader.runs(limit=1)))


def columns(by: Grouping) -> tuple[Column, ...]:
    """The columns of the table: by tool there are no costs, because nobody knows what a tool cost."""
    figures = ["calls", "failed", "p50 ms", "p95 ms", "p99 ms", "total"]
    figures += [] if by == "tool" else ["turns", "unpriced", "cost"]
    return (Column(by), *(Column(figure, right=True) for figure in figures), Column(""))


def rows(breakdown: Breakdown) -> Iterator[tuple[str, ...]]:
    """The groups as cells, and one line for all of them."""
    by_tool = breakdown.by == "tool"
    for group in breakdown.groups:
        yield (*_cells(group), *(() if by_tool else _spent(group)), "")
    everything = breakdown.all
    yield (*_cells(everything, sums=True), *((cost_of(everything),) if by_tool else (*_spent(everything), "")))


def _spent(row: GroupRow) -> tuple[str, str, str]:
    turns, unpriced = row.turns or 0, row.unpriced_turns or 0
    if row.cost_nanousd:
        cost = text.money(row.cost_nanousd)
    else:
        cost = "unpriced" if unpriced else "no charge" if turns else "-"
    return f"{turns:,}", f"{unpriced:,}", cost


def cost_of(row: GroupRow) -> str:
    """What the answers cost, and how many of them nobody has a price for; never $0 for the unknown.

    Example: `$0.0410, 0 turns unpriced`, `unpriced, 2 turns`, `no charge`; nothing when there was no answer.
    """
    turns, unpriced = row.turns or 0, row.unpriced_turns or 0
    if row.cost_nanousd:
        return f"{text.money(row.cost_nanousd)}, {text.count(unpriced, 'turn')} unpriced"
    if unpriced >= turns and turns:
        return f"unpriced, {text.count(turns, 'turn')}"
    if unpriced:
        return f"no charge, {text.count(unpriced, 'turn')} unpriced"
    return "no charge" if turns else ""


def _cells(row: GroupRow, *, sums: bool = False) -> tuple[str, ...]:
    percentiles = ("", "", "") if sums else map(_milliseconds, (row.p50_ms, row.p95_ms, row.p99_ms))
    return (
        row.name or "(no name)",
        f"{row.calls:,}",
        _failed(row.failed, row.calls),
        *percentiles,
        "-" if row.p50_ms is None and not sums else seconds(row.total_ms),
    )


def _failed(failed: int, calls: int) -> str:
    if not failed:
        return "0"
    share = f"{100 * failed / calls:.0f}%"
    return f"{failed:,} ({'<1%' if share == '0%' else share})"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def seconds(milliseconds: float) -> str:
    """A sum of durations, in seconds where that says something.

    Example:
        >>> seconds(6412.0), seconds(31.4), seconds(0.0), seconds(200_000)
        ('6.4 s', '31 ms', '0 s', '3 min 20 s')
    """
    if milliseconds == 0:
        return "0 s"
    if milliseconds < 100 or milliseconds >= 120_000:
        return text.duration(milliseconds)
    return f"{milliseconds / 1000:.1f} s"
