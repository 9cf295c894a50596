"""`equitrcoder audit`: does the ledger balance?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from equitrcoder.cli import text
from equitrcoder.cli.completing import complete_run
from equitrcoder.cli.output import print_json_lines, print_lines
from equitrcoder.cli.tables import Column, one_line, screen_width, table

if TYPE_CHECKING:
    from pathlib import Path

    from equitrcoder.ledger.audit_report import AuditReport, Difference

_TELL_EVERY_S = 0.5


@click.command(
    "audit",
    epilog="""\b
Examples
  equitrcoder audit
  equitrcoder audit last
  equitrcoder audit --json | jq '.differences[] | {kind, run_id, line, fix}'

\b
Exit codes: 0 it balances, 1 something differs.""",
)
@click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: both sides, and every difference.")
def command(run: str | None, as_json: bool) -> None:
    """Prove that the ledger balances, or say where it does not; of RUN (its id, the tail that is shown, or "last").

    The calls are read again from the providers' answers, as they are kept, and held against the entries that were
    written before each call ran; those against what became of them, per who executed them. The journals' chain, the
    register, the hashes of the results and the index are checked with them. Nothing is changed. What still runs is
    looked at as far as it has come.
    """
    from equitrcoder.ledger.audit import audit
    from equitrcoder.settings import state_dir

    folder = state_dir(os.environ)
    only = None if run is None else [_run_id(folder, run)]
    report = audit(folder, runs=only, on_progress=_Progress())
    if as_json:
        print_json_lines([report.to_dict()])
    else:
        print_lines(_lines(report))
    if not report.balanced:
        raise click.exceptions.Exit(1)


def _run_id(folder: Path, which: str) -> str:
    from equitrcoder.ledger import Reader

    with Reader(folder) as reader:
        return reader.run(which).run_id


class _Progress:
    """Says on a terminal how far it has come; nothing when it is done at once."""

    def __init__(self) -> None:
        import time

        self._clock = time.monotonic
        self._told_at = self._clock()
        self._said = False

    def __call__(self, done: int, runs: int, calls: int) -> None:
        if not sys.stderr.isatty():
            return
        last = done == runs and self._said
        if last or self._clock() - self._told_at >= _TELL_EVERY_S:
            self._told_at, self._said = self._clock(), True
            sys.stderr.write(f"\r{done:,} of {runs:,} runs, {calls:,} calls" + ("\n" if last else ""))
            sys.stderr.flush()


def _lines(report: AuditReport) -> Iterator[str]:
    yield str(report)
    rows = list(_sides(report))
    ends = sorted({outcome for counted in report.outcomes.values() for outcome in counted})
    open_column = ["open"] if any(report.open_calls.values()) else []
    titles = ["executed by", "in answers", "requested", *ends, *open_column]
    columns = [Column(title, right=place > 0) for place, title in enumerate(titles)]
    yield from table(columns, rows, screen_width())
    yield from _remarks(report)
    for difference in report.differences:
        yield from _told(difference)
    more = report.differences_found - len(report.differences)
    if more:
        yield f"and {text.count(more, 'difference')} more"


def _sides(report: AuditReport) -> Iterator[tuple[str, ...]]:
    ends = sorted({outcome for counted in report.outcomes.values() for outcome in counted})
    with_open = any(report.open_calls.values())
    for who in sorted({*report.in_messages, *report.requested, *report.outcomes}):
        counts = [report.in_messages.get(who, 0), report.requested.get(who, 0)]
        counts += [report.outcomes.get(who, {}).get(outcome, 0) for outcome in ends]
        counts += [report.open_calls.get(who, 0)] if with_open else []
        yield (who, *(f"{count:,}" for count in counts))


_NOT_KEPT = {
    "messages": "{} stand in answers that are not kept: they were not read again",
    "arguments": "the arguments of {} are not kept on both sides",
    "results": "the results of {} are not kept whole: their hashes were taken before they were cut",
}


def _remarks(report: AuditReport) -> Iterator[str]:
    for name, words in _NOT_KEPT.items():
        if report.not_kept.get(name):
            yield "not compared: " + words.format(text.count(report.not_kept[name], "call"))
    if report.not_kept.get("index"):
        yield f"not compared: the index with {text.count(report.not_kept['index'], 'damaged journal')}"
    for note in report.notes:
        yield f"note: {one_line(note)}"


def _told(difference: Difference) -> Iterator[str]:
    yield ""
    where = one_line(difference.path)
    if difference.line is not None:
        where += f", line {difference.line:,}, byte {difference.byte:,}"
    parts = [f"run {text.short_id(difference.run_id)}" if difference.run_id else ""]
    parts += [f"step {difference.step}" if difference.step is not None else ""]
    parts += [f"call {difference.ordinal}" if difference.ordinal is not None else ""]
    yield one_line(" · ".join([difference.kind, *(part for part in parts if part)]))
    yield f"  {where}"
    found = "" if difference.expected is None else f": expected {difference.expected}"
    found += "" if difference.found is None else f", found {difference.found}" if found else f": {difference.found}"
    yield f"  {one_line(difference.what + found)}"
    yield f"  Fix: {difference.fix}"
