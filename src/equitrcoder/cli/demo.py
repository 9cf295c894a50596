"""`equitrcoder demo`: the main job, without a key and without a network."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import click

from equitrcoder.cli.text import short_id
from equitrcoder.errors import EquitrError


@click.command(
    "demo",
    epilog="""\b
What is real: the agent, the tools, the sandbox, HTTP on loopback, the ledger, the statistics.
What is not: the model. It follows a script; the repository is a small one with a bug, in a temporary folder.""",
)
@click.option("--plain", is_flag=True, help="Never move the cursor (also: NO_COLOR, TERM=dumb, no terminal).")
@click.option(
    "-v", "--verbose", count=True, help="Also what the model says between calls, and the second seed's lines."
)
def command(plain: bool, verbose: int) -> int:
    """See it work: a scripted model fixes a bug in a small repository. No key, no network."""
    code, run_id = asyncio.run(_demo(plain=plain, verbose=verbose))
    if run_id:
        _show_the_ledger(run_id)
    return code


def _show_the_ledger(run_id: str) -> None:
    """What the ledger holds of the run, by the commands that anybody has, and what to type next."""
    from equitrcoder import demo
    from equitrcoder.cli.calls import command as calls
    from equitrcoder.cli.stats import command as stats
    from equitrcoder.settings import load, user_config_path

    for name, subcommand in (("calls", calls), ("stats", stats)):
        click.echo(f"\n$ equitrcoder {name} --run {short_id(run_id)}")
        subcommand.main(args=["--run", run_id], standalone_mode=False)
    user_file = user_config_path(os.environ)
    settings = load(user_file=user_file, repo_file=None, environ=os.environ, flags={}, trusted=False)
    click.echo(f"\n{demo.NO_AI[0].upper()}{demo.NO_AI[1:]}; everything else was real.")
    click.echo(f"\n{demo.next_command(settings, os.environ)}")


async def _demo(*, plain: bool, verbose: int) -> tuple[int, str]:
    from equitrcoder import demo
    from equitrcoder.agent.session import SessionOptions
    from equitrcoder.cli.progress import RunView
    from equitrcoder.cli.signals import stopping_on_signals

    sys.stderr.write(f"{demo.NO_AI}\ntask: {demo.TASK}\n")
    with stopping_on_signals() as stop:
        view = RunView(plain=plain, verbose=verbose, stop=stop)
        options = SessionOptions(sink=view.take, on_notice=view.notice)
        async with demo.demo_session(os.environ, options=options) as session:
            view.begin(session)
            code = await _execute(session, view)
    return code, view.run_id


async def _execute(session: Any, view: Any) -> int:
    from equitrcoder import demo

    error: EquitrError | None = None
    try:
        await session.run(demo.TASK, check=demo.CHECK)
    except EquitrError as raised:
        if not view.finished:
            raise
        error = raised
    except asyncio.CancelledError:
        pass  # a signal; the run stands in the ledger as cancelled
    return int(view.end(error))
