"""`equitrcoder run`: one task, headless."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import click

from equitrcoder.cli.options import settings_options, take_settings
from equitrcoder.errors import EquitrError, UsageError


@click.command(
    "run",
    epilog="""\b
Examples
  equitrcoder run "make the failing test pass"
  equitrcoder run --model anthropic/claude-sonnet-5-5 --budget 0.50 --check "pytest -q" "fix the date parser"
  echo "add type hints to src/dates.py" | equitrcoder run -
  equitrcoder run --json "list the modules" | jq -r .type

\b
Exit codes: 0 done, 1 the model reported failure or the check failed, 2 usage, 3 settings or key, 4 provider,
5 budget, 6 limit, 7 approval needed, 130 interrupted. What was done is kept in every case.""",
)
@click.argument("task")
@click.option(
    "--repo", type=click.Path(path_type=Path), default=Path(), show_default="this folder", help="The repository."
)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="One event per line on stdout (docs/events.md).")
@click.option("--trust", is_flag=True, help="Trust this folder's own equitrcoder.yaml, now and later.")
@click.option("--plain", is_flag=True, help="Never move the cursor (also: NO_COLOR, TERM=dumb, no terminal).")
@click.option("-v", "--verbose", count=True, help="Also the second seed's lines; -vv: tracebacks.")
def command(task: str, repo: Path, as_json: bool, trust: bool, plain: bool, verbose: int, **flags: Any) -> int:
    """Work on TASK in a repository, without asking anybody, and keep every call in the ledger.

    TASK is the words for the model; "-" reads them from standard input. What the model says in the end goes to
    standard output, everything else to standard error.
    """
    import asyncio  # 20 ms that neither --help nor completion has to wait for

    if task == "-":
        task = sys.stdin.read()
    try:
        return asyncio.run(_run(task, repo, as_json=as_json, trust=trust, plain=plain, verbose=verbose, flags=flags))
    except EquitrError as error:
        if as_json:
            from equitrcoder.cli.json_events import print_failed_start

            print_failed_start(error)
        raise


async def _run(
    task: str, repo: Path, *, as_json: bool, trust: bool, plain: bool, verbose: int, flags: dict[str, Any]
) -> int:
    from equitrcoder.agent.session import Session, SessionOptions
    from equitrcoder.agent.startup import settings_for
    from equitrcoder.cli.signals import stopping_on_signals

    if not repo.is_dir():
        raise UsageError(f"{repo} is not a folder.", hint="name the repository with --repo DIR")
    model = flags.pop("model")
    settings = settings_for(repo, os.environ, take_settings(flags), trust=trust)
    with stopping_on_signals() as stop:
        sink, view = faces(as_json=as_json, plain=plain, verbose=verbose, stop=stop)
        options = SessionOptions(
            sink=sink, approver=approver(as_json), accept_tools=accept_tools(as_json), on_notice=view.notice
        )
        async with Session(repo, settings, os.environ, model=model, options=options) as session:
            view.begin(session)
            return await show_run(session.run(task, check=settings.check), view)


async def show_run(run: Awaitable[Any], view: Any) -> int:
    """Wait for a run that `view` shows; returns the exit code."""
    from asyncio import CancelledError

    error: EquitrError | None = None
    try:
        await run
    except EquitrError as raised:
        if not view.finished:
            raise  # there was no run to begin with
        error = raised
    except CancelledError:
        pass  # a signal or a closed pipe; the run stands in the ledger as cancelled
    return int(view.end(error))


def faces(*, as_json: bool, plain: bool, verbose: int, stop: Any) -> tuple[Any, Any]:
    """What takes the events of a run, and what shows it to the user."""
    if as_json:
        from equitrcoder.cli.json_events import JsonView

        json_view = JsonView(stop)
        return json_view.take, json_view
    from equitrcoder.cli.progress import RunView

    view = RunView(plain=plain, verbose=verbose, stop=stop)
    return view.take, view


def approver(as_json: bool) -> Any:
    """A person to ask; None without a terminal: then nothing prompts."""
    if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    from equitrcoder.cli.asking import AskAtTerminal

    return AskAtTerminal()


def accept_tools(as_json: bool) -> Any:
    """A person to ask about changed tools of MCP servers; None without a terminal."""
    if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    from equitrcoder.cli.interactive.lines import PlainLines
    from equitrcoder.cli.mcp_text import asking

    return asking(PlainLines(terminal=True))
