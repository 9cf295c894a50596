"""Taking runs out of the ledger: what `db prune` and `runs delete` share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equitrcoder.cli import text
from equitrcoder.cli.output import print_json, print_lines
from equitrcoder.cli.reading import tell
from equitrcoder.errors import UsageError

if TYPE_CHECKING:
    from equitrcoder.ledger.pruning import Doomed, PruneReport, Why

SHOWN = 10

yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


def remove(folder: Path, runs: Sequence[Doomed], why: Why, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Say what would go, ask, remove it, and say what went."""
    from equitrcoder.ledger import pruning

    found = pruning.PruneReport(removed=list(runs))
    if dry_run or not runs:
        _say(found, "would be removed", as_json=as_json, dry_run=True)
        return
    if not yes and not _agreed(found):
        tell("Nothing was removed.")
        raise click.exceptions.Exit(1)
    report = pruning.remove(folder, runs, why)
    _say(report, "removed; statistics are kept", as_json=as_json, dry_run=False)
    if report.living:
        tell(f"Still running, and kept: {', '.join(map(text.short_id, report.living))}")
    if not report.removed:
        raise click.exceptions.Exit(1)


def _agreed(found: PruneReport) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("Removing runs needs a word, and there is no terminal.", hint="--yes")
    return click.confirm(f"Remove {_words(found)} for good?", err=True)


def _words(found: PruneReport) -> str:
    runs, calls = text.count(len(found.removed), "run"), text.count(found.calls, "call")
    return f"{runs} with {calls}, {text.size(found.bytes)}"


def _say(found: PruneReport, what: str, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        ids = [run.run_id for run in found.removed]
        totals = {"calls": found.calls, "bytes": found.bytes, "dry_run": dry_run}
        print_json({"runs": list(ids), **totals, "living": list(found.living)})
        return
    if dry_run:
        lines = [
            f"  {text.short_id(run.run_id)}  {text.count(run.calls, 'call')}, {text.size(run.bytes)}"
            for run in found.removed
        ]
        print_lines(lines[:SHOWN])
        if len(lines) > SHOWN:
            print_lines([f"  … and {len(lines) - SHOWN:,} more"])
    print_lines([f"{_words(found)}: {what}" if found.removed else "No run is meant."])
