"""`equitrcoder stats`: tool calls, counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from equitrcoder.cli import text
from equitrcoder.cli.output import print_json, print_lines
from equitrcoder.cli.reading import open_reader, say_nothing_found
from equitrcoder.cli.tables import Column, screen_width, table
from equitrcoder.cli.times import since_option

if TYPE_CHECKING:
    from equitrcoder.ledger.reader import Reader
    from equitrcoder.ledger.stats import ToolRow
    from equitrcoder.records import ModelTurn, Run

COLUMNS = (
    Column("tool"),
    Column("calls", right=True),
    Column("failed", right=True),
    Column("p50 ms", right=True),
    Column("p95 ms", right=True),
    Column("total", right=True),
    Column(""),
)


@click.command(
    "stats",
    epilog="""\b
Examples
  equitrcoder stats
  equitrcoder stats --run last
  equitrcoder stats --since 1w --json | jq .success_rate

\b
Closed calls are counted; "failed" is every end but success. p50 and p95: half of the calls, and 95 of 100, took at
most so long.""",
)
@click.option("--run", metavar="RUN", help='Of this run: its id, the tail that is shown, or "last".')
@since_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as get_tool_call_stats() gives it.")
def command(run: str | None, since: datetime | None, as_json: bool) -> None:
    """Count tool calls: how many, how often they failed, how long they took, and what the models cost."""
    from equitrcoder.ledger import CallQuery

    with open_reader() as reader:
        query = CallQuery(run=run, since=since)
        if as_json:
            print_json(reader.stats(query))
            return
        tools = reader.tool_rows(query)
        if tools:
            cost = cost_of(_turns(reader, run, since))
            print_lines(table(COLUMNS, rows(tools, cost), screen_width()))
        else:
            say_nothing_found("calls", filtered=bool(reader.runs(limit=1)))


def _turns(reader: Reader, run: str | None, since: datetime | None) -> Iterator[tuple[int, int, int]]:
    """Cost, unpriced turns and turns of each run that is meant; of a run that began before `since` its later turns."""
    for one in [reader.run(run)] if run is not None else reader.runs():
        if since is None or one.started_at >= since:
            yield one.cost_nanousd, one.unpriced_turns, one.steps_taken
        elif _goes_beyond(one, since):
            turns = [turn for turn in reader.turns(one.run_id) if turn.at >= since]
            yield _cost_of_turns(turns)


def _goes_beyond(run: Run, moment: datetime) -> bool:
    return run.completed_at is None or run.completed_at >= moment


def _cost_of_turns(turns: Sequence[ModelTurn]) -> tuple[int, int, int]:
    costs = [turn.cost_nanousd for turn in turns]
    return sum(cost or 0 for cost in costs), costs.count(None), len(costs)


def cost_of(runs: Iterator[tuple[int, int, int]]) -> str:
    """What runs cost together, and how many of their turns nobody has a price for; never $0 for the unknown.

    Args:
        runs: Cost in nano-dollars, unpriced turns and turns of each.

    Example:
        >>> cost_of(iter([(41_000_000, 0, 9)])), cost_of(iter([(0, 2, 2)])), cost_of(iter([(0, 0, 2)]))
        ('$0.0410, 0 turns unpriced', 'unpriced, 2 turns', 'no charge')
    """
    cost_nanousd, unpriced, turns = (sum(part) for part in zip((0, 0, 0), *runs, strict=True))
    if not cost_nanousd and not unpriced:
        return "no charge" if turns else ""
    if not cost_nanousd and unpriced >= turns:
        return f"unpriced, {text.count(turns, 'turn')}"
    return f"{text.money(cost_nanousd)}, {text.count(unpriced, 'turn')} unpriced"


def rows(tools: Sequence[ToolRow], cost: str) -> Iterator[tuple[str, ...]]:
    for tool in tools:
        yield (
            tool.tool_name or "(no name)",
            f"{tool.calls:,}",
            _failed(tool.failed, tool.calls),
            _milliseconds(tool.p50_ms),
            _milliseconds(tool.p95_ms),
            "-" if tool.p50_ms is None else seconds(tool.total_ms),
            "",
        )
    calls, failed = sum(tool.calls for tool in tools), sum(tool.failed for tool in tools)
    total = sum(tool.total_ms for tool in tools)
    yield ("all", f"{calls:,}", _failed(failed, calls), "", "", seconds(total), cost)


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
