"""`equitrcoder doctor`: what could keep it from working here."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equitrcoder.cli.output import print_json_lines, print_lines

if TYPE_CHECKING:
    from equitrcoder.doctor import Finding

BLOCKED = 3


@click.command(
    "doctor",
    epilog="""\b
Examples
  equitrcoder doctor
  equitrcoder doctor --offline
  equitrcoder doctor --json | jq -r 'select(.level != "ok") | .check + ": " + .fix'

\b
ok; warning: something is missing or only part of it works; problem: runs will fail until it is mended.
Keys are tried with a request that costs nothing (a list of models) and are never shown.
Exit codes: 0 no problem, 3 a problem.""",
)
@click.option(
    "--repo", type=click.Path(path_type=Path), default=Path(), show_default="this folder", help="The repository."
)
@click.option("--offline", is_flag=True, help="Ask no provider: look only at what is here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per check and line.")
def command(repo: Path, offline: bool, as_json: bool) -> int:
    """Look for what could keep runs from working here, and say how to mend it.

    Settings, trust, model, keys, the way to each provider whose key is set, clock, the walls that stand here (sandbox,
    file view, network, Landlock, approvals, MCP servers), disk, permissions, ledger, git and terminal, all at a time,
    in a few seconds.
    """
    import asyncio

    from equitrcoder.doctor import examine
    from equitrcoder.errors import UsageError

    if not repo.is_dir():
        raise UsageError(f"{repo} is not a folder.", hint="name the repository with --repo DIR")
    progress = None if as_json or not sys.stderr.isatty() else _show_progress
    findings = asyncio.run(examine(repo, os.environ, offline=offline, on_progress=progress))
    if progress is not None:
        sys.stderr.write("\r\x1b[K")
    if as_json:
        print_json_lines(_shown(finding) for finding in findings)
    else:
        _print(findings)
    return BLOCKED if any(finding.level == "problem" for finding in findings) else 0


def _shown(finding: Finding) -> dict[str, object]:
    fields = finding._asdict()
    del fields["skew_s"]
    return fields


def _print(findings: list[Finding]) -> None:
    from equitrcoder.cli.tables import one_line, places

    width = max(places(finding.check) for finding in findings)
    for finding in findings:
        fix = f" Fix: {finding.fix}" if finding.fix else ""
        stop = "." if fix and not finding.message.endswith(".") else ""
        line = one_line(f"{finding.message}{stop}{fix}")
        print_lines([f"{finding.level:<8} {one_line(finding.check):<{width}}  {line}"])
    problems = sum(finding.level == "problem" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if problems or warnings:
        print_lines(["", f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}"])


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _show_progress(done: int, of: int) -> None:
    sys.stderr.write(f"\r{done} of {of} checks")
    sys.stderr.flush()
