"""`equitrcoder runs`: what was done, newest first; `runs delete` takes it out."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from equitrcoder.cli import text
from equitrcoder.cli.completing import complete_run
from equitrcoder.cli.output import print_json_lines, print_lines
from equitrcoder.cli.reading import open_reader, say_nothing_found, tell
from equitrcoder.cli.removing import json_option, remove, yes_option
from equitrcoder.cli.tables import Column, screen_width, table
from equitrcoder.cli.times import local, since_option
from equitrcoder.records import RunStatus

if TYPE_CHECKING:
    from equitrcoder.records import Run

COLUMNS = (
    Column("run"),
    Column("when"),
    Column("status"),
    Column("model", flexible=True),
    Column("calls", right=True),
    Column("failed", right=True),
    Column("turns", right=True),
    Column("cost", right=True),
    Column("time", right=True),
    Column("task", flexible=True),
)


@click.group(
    "runs",
    invoke_without_command=True,
    subcommand_metavar="[delete RUN...]",
    epilog="""\b
Examples
  equitrcoder runs
  equitrcoder runs --repo . --status failed
  equitrcoder runs --since today --json | jq -s 'map(.cost_nanousd) | add / 1e9'
  equitrcoder runs delete 7F3K

\b
Look at one: equitrcoder show RUN, with the letters of the first column, or "last".""",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="At most N, the newest."
)
@click.option(
    "--status",
    type=click.Choice(get_args(RunStatus)),
    metavar="STATUS",
    help=f"That ended so: {', '.join(get_args(RunStatus))}.",
)
@since_option
@click.option("--repo", type=click.Path(path_type=Path), help="Only runs in this repository.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run and line.")
@click.pass_context
def command(
    ctx: click.Context, limit: int, status: RunStatus | None, since: datetime | None, repo: Path | None, as_json: bool
) -> None:
    """List runs, newest first: how they ended, what they took, what was asked.

    A cost of "unpriced" means that no price is known, "+" that it is not known for all of the answers.
    """
    if ctx.invoked_subcommand is not None:
        return
    from equitrcoder.ledger.views import run_to_dict

    where = None if repo is None else str(repo.resolve())
    with open_reader() as reader:
        runs = reader.runs(limit=limit + 1, status=status, since=since, repo=where)
        shown = runs[:limit]
        if as_json:
            print_json_lines(map(run_to_dict, shown))
        elif shown:
            print_lines(table(COLUMNS, map(_cells, shown), screen_width()))
            if len(runs) > limit:
                tell(f"Older ones: --limit {limit * 5}")
        else:
            say_nothing_found("runs", filtered=bool(reader.runs(limit=1)))


@command.command("delete")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option("--dry-run", is_flag=True, help="Only say what would go, and how much.")
@yes_option
@json_option
def delete(runs: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove the journals of single runs: what was asked, answered and done is gone then.

    RUN is an id, the tail that is shown, or "last". Statistics stay, and a line in runs.jsonl that says what there was.
    A run that lives cannot be removed. To remove old ones: equitrcoder db prune.

    \b
    Examples
      equitrcoder runs delete last --dry-run
      equitrcoder runs delete 7F3K 9B2C --yes
    """
    import os

    from equitrcoder.ledger import pruning
    from equitrcoder.settings import state_dir

    with open_reader() as reader:
        ids = list(dict.fromkeys(reader.run(which).run_id for which in runs))
    folder = state_dir(os.environ)
    remove(folder, pruning.these(folder, ids), "deleted", dry_run=dry_run, yes=yes, as_json=as_json)


def _cells(run: Run) -> tuple[str, ...]:
    return (
        text.short_id(run.run_id),
        local(run.started_at),
        run.status,
        run.model_requested,
        f"{run.calls:,}",
        f"{run.failed_calls:,}",
        f"{run.steps_taken:,}",
        cost(run),
        text.duration(duration_ms(run)),
        f"(after {text.short_id(run.previous_run_id)}) {run.task}" if run.previous_run_id else run.task,
    )


def cost(run: Run) -> str:
    """What a run cost, in a table: "+" where some of its answers or broken requests have no known price."""
    unpriced = run.unpriced_turns or run.unpriced_requests
    if unpriced and not run.cost_nanousd:
        return "unpriced"
    if not run.cost_nanousd and not run.steps_taken:
        return "-"
    return (text.money(run.cost_nanousd) if run.cost_nanousd else "no charge") + ("+" if unpriced else "")


def duration_ms(run: Run) -> float | None:
    """How long a run took by the clock on the wall; None while it runs, and when nobody saw its end."""
    if run.completed_at is None:
        return None
    return max((run.completed_at - run.started_at).total_seconds() * 1000, 0.0)
