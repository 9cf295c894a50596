"""The options that choose tool calls: the same on every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from equitrcoder.cli.completing import complete_model, complete_provider, complete_tool
from equitrcoder.cli.reading import run_option
from equitrcoder.cli.times import since_option
from equitrcoder.records import Outcome

if TYPE_CHECKING:
    from equitrcoder.ledger.queries import CallQuery
    from equitrcoder.ledger.reader import Reader

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    run_option,
    click.option("--session", metavar="SESSION", help='Of this session: its id, a tail of it, or "last".'),
    click.option("--tool", metavar="TOOL", shell_complete=complete_tool, help="Of this tool."),
    click.option(
        "--outcome",
        type=click.Choice(get_args(Outcome)),
        metavar="OUTCOME",
        help=f"That ended so: {', '.join(get_args(Outcome))}.",
    ),
    click.option("--failed", is_flag=True, help="That are closed and no success."),
    click.option(
        "--provider",
        metavar="PROVIDER",
        shell_complete=complete_provider,
        help="Asked for by a model of this provider.",
    ),
    click.option("--model", metavar="MODEL", shell_complete=complete_model, help="Asked for by this model."),
    click.option("--agent", metavar="AGENT", help="By this agent: its name, or single, supervisor or worker."),
    since_option,
)
_LIMIT = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N.")


def call_filters(command: Command) -> Command:
    """Add the options to a click command; it gets them as keyword arguments, for `call_query`."""
    return counting_filters(_LIMIT(command))


def counting_filters(command: Command) -> Command:
    """The same without --limit, for what counts."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def call_query(reader: Reader, *, session: str | None, **chosen: Any) -> CallQuery:
    """The query that the options ask for.

    Raises:
        LedgerError: There is no such session.
    """
    from equitrcoder.ledger import CallQuery

    return CallQuery(session=reader.session(session) if session is not None else None, **chosen)
