"""`equitrcoder stats`: tool calls, counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import click

from equitrcoder.cli import text
from equitrcoder.cli.call_filters import call_query, counting_filters
from equitrcoder.cli.output import print_json, print_lines
from equitrcoder.cli.reading import open_reader, say_nothing_found
from equitrcoder.cli.tables import Column, screen_width, table
from equitrcoder.records import AgentRole

if TYPE_CHECKING:
    from equitrcoder.ledger.breakdown import Breakdown, Grouping, GroupRow

_ROLES = "single, supervisor or worker"
GROUPINGS = ("tool", "model", "provider", "agent", "role", "day")


@click.command(
    "stats",
    epilog="""\b
Examples
  equitrcoder stats
  equitrcoder stats --run last
  equitrcoder stats --by model --since today
  equitrcoder stats --tool run_command --by day --since 2026-01-01
  equitrcoder stats --since 1w --json | jq .success_rate

\b
Closed calls are counted; "failed" is every end but success. p50, p95 and p99: half of the calls, 95 and 99 of 100,
took at most so long. What an answer cost is not the cost of a tool: by tool it stands in the last line only.

\b
"sketch" in the last line: from figures kept while calls are recorded, in no time however many there are; p50, p95 and
p99 are at most 1 % off, all else is exact, and pruned runs are counted. "exact": counted now from the calls that are
there, because --outcome, --failed or a --since within a day asks for what is not kept.""",
)
@click.option(
    "--by",
    type=click.Choice(GROUPINGS),
    metavar="GROUP",
    help=f"One line per {', '.join(GROUPINGS[:-1])} or {GROUPINGS[-1]} (tool).",
)
@counting_filters
@click.option(
    "--role", type=click.Choice(get_args(AgentRole)), metavar="ROLE", help="By agents that are " + _ROLES + "."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One JSON object, as get_tool_call_stats() gives it, and its source; with --by also groups.",
)
def command(by: Grouping | None, as_json: bool, **chosen: Any) -> None:
    """Count tool calls: how many, how often they failed, how long they took, and what the models cost."""
    with open_reader() as reader:
        query = call_query(reader, **chosen)
        if as_json and by is None:
            stats, source = reader.stats_with_source(query)
            print_json({**stats, "source": source})
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
    yield (*_cells(everything, breakdown.source), *((cost_of(everything),) if by_tool else (*_spent(everything), "")))


def _spent(row: GroupRow) -> tuple[str, str, str]:
    turns, unpriced = row.turns or 0, row.unpriced_turns or 0
    if row.cost_nanousd:
        cost = text.money(row.cost_nanousd) + ("+" if row.unpriced_requests else "")
    else:
        cost = "unpriced" if unpriced or row.unpriced_requests else "no charge" if turns else "-"
    return f"{turns:,}", f"{unpriced:,}", cost


def cost_of(row: GroupRow) -> str:
    """What the answers cost, and how many of them nobody has a price for; never $0 for the unknown.

    Example: `$0.0410, 0 turns unpriced`, `unpriced, 2 turns`, `no charge`; nothing when there was no answer.
    """
    turns, unpriced, requests = row.turns or 0, row.unpriced_turns or 0, row.unpriced_requests or 0
    broken = f", {text.count(requests, 'request')} unpriced" if requests else ""
    if row.cost_nanousd:
        return f"{text.money(row.cost_nanousd)}, {text.count(unpriced, 'turn')} unpriced{broken}"
    if unpriced >= turns and turns + requests:
        return "unpriced, " + (text.count(turns, "turn") if turns else text.count(requests, "request"))
    if unpriced:
        return f"no charge, {text.count(unpriced, 'turn')} unpriced{broken}"
    return f"no charge{broken}" if turns else ""


def _cells(row: GroupRow, source: str = "") -> tuple[str, ...]:
    """A line; that of all groups has its source where they have percentiles."""
    percentiles = (source, "", "") if source else map(_milliseconds, (row.p50_ms, row.p95_ms, row.p99_ms))
    return (
        row.name or "(no name)",
        f"{row.calls:,}",
        _failed(row.failed, row.calls),
        *percentiles,
        "-" if row.p50_ms is None and not source else seconds(row.total_ms),
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
