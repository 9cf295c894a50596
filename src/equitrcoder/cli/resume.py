"""`equitrcoder resume`: go on where a run ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equitrcoder.cli.completing import complete_run
from equitrcoder.cli.options import settings_options, take_settings
from equitrcoder.errors import EquitrError, UsageError

if TYPE_CHECKING:
    from equitrcoder.agent.resuming import Before


@click.command(
    "resume",
    epilog="""\b
Examples
  equitrcoder resume last
  equitrcoder resume 7F3K --budget 3
  equitrcoder resume 7F3K --model anthropic/claude-sonnet-5-5 --max-turns 50
  equitrcoder resume last "and now the tests for it"

\b
RUN is an id, the letters that `equitrcoder runs` shows, or "last". Exit codes: as of `equitrcoder run`; 2 also when
the run still lives, is done, or cannot go on as it was.""",
)
@click.argument("run", shell_complete=complete_run)
@click.argument("words", required=False)
@click.option("--repo", type=click.Path(path_type=Path), help="The repository, when it is elsewhere now.")
@click.option("--anyway", is_flag=True, help="Go on although the ledger does not keep all that the model was told.")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="One event per line on stdout (docs/events.md).")
@click.option("--trust", is_flag=True, help="Trust this folder's own equitrcoder.yaml, now and later.")
@click.option("--plain", is_flag=True, help="Never move the cursor (also: NO_COLOR, TERM=dumb, no terminal).")
@click.option("-v", "--verbose", count=True, help="Also the second seed's lines; -vv: tracebacks.")
def command(run: str, words: str | None, as_json: bool, **options: Any) -> int:
    """Go on where RUN ended: after a kill, a limit, the budget, an error, or Ctrl-C.

    A new run begins in the same session, with the conversation as the journals have it. No call that ended is carried
    out again; of one that was running the model is told that its outcome is unknown. Model, repository, budget,
    reasoning effort and check stay unless they are given anew; what was spent counts against the budget; turns and
    time count from the start.

    WORDS is what the model is told now ("-": from standard input). A run that is done needs some; without any, the
    model goes on with the task. When RUN was gone on with already, the newest run of the session is taken.
    """
    import asyncio  # 20 ms that neither --help nor completion has to wait for

    if words == "-":
        words = sys.stdin.read()
    try:
        if words is not None and not words.strip():
            raise UsageError("The words are empty.", hint='leave them out, or: equitrcoder resume last "and now …"')
        return asyncio.run(_resume(run, words, as_json=as_json, **options))
    except EquitrError as error:
        if as_json:
            from equitrcoder.cli.json_events import print_failed_start

            print_failed_start(error)
        raise


async def _resume(
    run: str,
    words: str | None,
    *,
    repo: Path | None,
    anyway: bool,
    as_json: bool,
    trust: bool,
    plain: bool,
    verbose: int,
    **flags: Any,
) -> int:
    from equitrcoder.agent.resuming import go_back
    from equitrcoder.cli.run import faces
    from equitrcoder.cli.signals import stopping_on_signals
    from equitrcoder.settings import state_dir

    with stopping_on_signals() as stop:
        sink, view = faces(as_json=as_json, plain=plain, verbose=verbose, stop=stop)
        with go_back(state_dir(os.environ), run, words, anyway=anyway) as before:
            return await _go_on(before, repo, flags, sink, view, trust=trust, ask=not as_json)


async def _go_on(
    before: Before, repo: Path | None, flags: dict[str, Any], sink: Any, view: Any, *, trust: bool, ask: bool
) -> int:
    from equitrcoder.agent.session import Session, SessionOptions
    from equitrcoder.agent.startup import settings_for
    from equitrcoder.cli.run import accept_tools, approver, show_run

    folder = before.folder(repo)
    model = flags.pop("model") or before.model
    settings = settings_for(folder, os.environ, {**before.flags, **take_settings(flags)}, trust=trust)
    options = SessionOptions(
        sink=sink, approver=approver(not ask), accept_tools=accept_tools(not ask), on_notice=view.notice
    )
    async with Session(folder, settings, os.environ, model=model, options=options) as session:
        view.begin(session)
        return await show_run(session.resume(before, check=settings.check), view)
