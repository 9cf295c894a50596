"""`equitrcoder show`: one run, from what was asked to what it cost."""

from __future__ import annotations

import click

from equitrcoder.cli.completing import complete_run
from equitrcoder.cli.output import print_json, print_lines
from equitrcoder.cli.reading import open_reader


@click.command(
    "show",
    epilog="""\b
Examples
  equitrcoder show
  equitrcoder show 7F3K -v
  equitrcoder show last --json | jq '.execution_steps[] | select(.type == "error")'

\b
RUN is an id, the letters that `equitrcoder runs` shows, or "last" (as without RUN).""",
)
@click.argument("run", default="last", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with calls, steps and tokens, results whole.")
@click.option("-v", "--verbose", is_flag=True, help="Also what each call was asked with and gave back.")
def command(run: str, as_json: bool, verbose: bool) -> None:
    """Show one run: what the model said and did, what became of each call, tokens, cost and errors."""
    with open_reader() as reader:
        if as_json:
            print_json(reader.run_view(run))
        else:
            from equitrcoder.cli.run_page import run_page  # a program that reads JSON need not wait for it

            print_lines(run_page(reader, run, verbose=verbose))
