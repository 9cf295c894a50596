"""What a session does itself: the lines that start with `/`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, get_args

from equitrcoder.cli import text
from equitrcoder.errors import UsageError

if TYPE_CHECKING:
    from equitrcoder.cli.interactive.chat import Chat
    from equitrcoder.policy import Mode

COMMANDS = {
    "help": "what can be typed here",
    "model": "PROVIDER/MODEL: go on with another model; alone: which one it is",
    "stats": "count the tool calls of this session",
    "calls": "list the tool calls of this session",
    "show": "RUN: one run in full; alone: the last turn",
    "cost": "what this session took so far",
    "budget": "DOLLARS or off: what the session may cost in all; alone: what is left",
    "approve": "ask, edits, all or deny: what needs approval; alone: what holds",
    "quit": "leave (also Ctrl-D)",
}
"""Name -> what it does, in the order of /help."""

OTHER = """\
  !COMMAND                a command in your own shell; the model does not see it
  @                       completes names of files
  Ctrl-O                  the last output, whole
  Ctrl-C                  stops the turn; twice: leaves"""

_COMMAND = re.compile(r"/([A-Za-z]+)(?:\s+(.*))?$", re.DOTALL)


class Quit(Exception):
    """The session is to end."""


def split(line: str) -> tuple[str, str] | None:
    """Name and argument of a command; None when the line is a message.

    Example:
        >>> split("/model groq/openai/gpt-oss-20b"), split("/etc/hosts is wrong"), split("hello")
        (('model', 'groq/openai/gpt-oss-20b'), None, None)
    """
    found = _COMMAND.match(line.strip())
    return None if found is None else (found[1].lower(), (found[2] or "").strip())


async def execute(chat: Chat, name: str, argument: str) -> None:
    """Carry out a command.

    Raises:
        UsageError: There is no such command, or its argument is off.
        ConfigError: As the session's own changes.
        Quit: For /quit.
    """
    action = _ACTIONS.get(name)
    if action is None:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        raise UsageError(f"There is no /{name}." + (f" Closest: /{close[0]}." if close else ""), hint="/help lists all")
    await action(chat, argument)


def model_names() -> Iterable[str]:
    """Models that are known, as /model takes them."""
    from equitrcoder.providers.registry import PROVIDERS

    for row in PROVIDERS.values():
        for model in dict.fromkeys((*((row.default_model,) if row.default_model else ()), *row.models)):
            yield f"{row.name}/{model}"


def approval_modes() -> Iterable[Mode]:
    """What /approve takes."""
    from equitrcoder import policy

    modes: tuple[Mode, ...] = get_args(policy.Mode)
    return modes


ARGUMENTS: dict[str, Callable[[], Iterable[str]]] = {"model": model_names, "approve": approval_modes}
"""Commands -> what may follow them, for completion."""


async def _help(chat: Chat, _argument: str) -> None:
    for name, what in COMMANDS.items():
        chat.view.say(f"  /{name:<22} {what}")
    chat.view.say(OTHER)


async def _model(chat: Chat, argument: str) -> None:
    session = await chat.session()
    if argument:
        await session.change_model(argument)
        chat.status.take_model(session.choice.provider.name, session.choice.model, session.choice.model_requested)
    chat.view.tell_notices()
    chat.view.say(f"model {session.choice.model_requested}")


async def _stats(chat: Chat, _argument: str) -> None:
    from equitrcoder.cli import stats
    from equitrcoder.cli.output import print_lines
    from equitrcoder.cli.reading import open_reader
    from equitrcoder.cli.tables import screen_width, table
    from equitrcoder.ledger import CallQuery

    session = await chat.session()
    with open_reader() as reader:
        found = reader.breakdown("tool", CallQuery(session=session.session_id))
    if found.groups:
        print_lines(table(stats.columns("tool"), stats.rows(found), screen_width()))
    else:
        chat.view.say("No calls yet.")


async def _calls(chat: Chat, _argument: str) -> None:
    session = await chat.session()
    if chat.run_id:
        _run_command("calls", "--session", session.session_id)
    else:
        chat.view.say("No calls yet.")


async def _show(chat: Chat, argument: str) -> None:
    if argument or chat.run_id:
        _run_command("show", argument or chat.run_id)
    else:
        chat.view.say("No turn yet.")


def _run_command(*words: str) -> None:
    from equitrcoder.cli.app import run_app

    run_app(words)  # says itself what is wrong


async def _cost(chat: Chat, _argument: str) -> None:
    chat.view.say(text.summary(chat.status.totals()))


async def _budget(chat: Chat, argument: str) -> None:
    session = await chat.session()
    if argument:
        session.change_budget(_dollars(argument))
        chat.status.limit_nanousd = session.budget.limit_nanousd
    limit, spent = session.budget.limit_nanousd, session.budget.spent_nanousd
    if limit is None:
        chat.view.say(f"no budget; spent {text.money(spent)}")
    else:
        chat.view.say(f"budget ${limit / 1e9:.2f}; spent {text.money(spent)}, left {text.money(max(limit - spent, 0))}")


def _dollars(argument: str) -> float | None:
    if argument.lower() in ("off", "none"):
        return None
    try:
        dollars = float(argument.removeprefix("$"))
    except ValueError:
        dollars = -1.0
    if not 0 <= dollars < float("inf"):
        raise UsageError(f'"{argument}" is no sum of dollars.', hint="/budget 0.50, or /budget off")
    return dollars


async def _approve(chat: Chat, argument: str) -> None:
    session = await chat.session()
    if argument:
        mode = next((mode for mode in approval_modes() if mode == argument.lower()), None)
        if mode is None:
            raise UsageError(f'There is no approval mode "{argument}".', hint="/approve ask, edits, all or deny")
        session.change_approvals(mode)
    chat.view.say(f"approve {session.approve}")
    for reads in chat.always.values():
        chat.view.say(f"  always: {reads}")


async def _quit(_chat: Chat, _argument: str) -> None:
    raise Quit


_ACTIONS: dict[str, Callable[[Chat, str], Awaitable[None]]] = {
    "help": _help,
    "model": _model,
    "stats": _stats,
    "calls": _calls,
    "show": _show,
    "cost": _cost,
    "budget": _budget,
    "approve": _approve,
    "quit": _quit,
    "exit": _quit,
}
