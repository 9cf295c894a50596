"""The command `equitrcoder`: its subcommands, loaded when used, and the place where errors become words and codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from equitrcoder.cli.session_options import hold_session, session_options
from equitrcoder.errors import EquitrError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "run": ("equitrcoder.cli.run", "Work on one task, headless."),
    "resume": ("equitrcoder.cli.resume", "Go on where a run ended: after a kill, a limit, an error."),
    "demo": ("equitrcoder.cli.demo", "See it work: no key, no network."),
    "runs": ("equitrcoder.cli.runs", "List runs, newest first."),
    "show": ("equitrcoder.cli.show", "Show one run: steps, calls, tokens, cost."),
    "calls": ("equitrcoder.cli.calls", "List tool calls, or print every record as JSON."),
    "stats": ("equitrcoder.cli.stats", "Count tool calls: how many, how long, how often they fail."),
    "tail": ("equitrcoder.cli.tail", "Watch a run while it goes on, also in another process."),
    "audit": ("equitrcoder.cli.audit", "Prove that the ledger balances, or say where it does not."),
    "export": ("equitrcoder.cli.export", "Write runs, turns or calls as JSON, JSON Lines or CSV."),
    "providers": ("equitrcoder.cli.providers", "List the providers and which keys are set."),
    "models": ("equitrcoder.cli.models", "List known models, their prices and context sizes."),
    "mcp": ("equitrcoder.cli.mcp", "Look at MCP servers and at the tools they offer."),
    "doctor": ("equitrcoder.cli.doctor", "Find what could keep runs from working here."),
    "config": ("equitrcoder.cli.config", "Show the settings and where each comes from."),
    "db": ("equitrcoder.cli.db", "Look after the index of the ledger."),
    "completion": ("equitrcoder.cli.completion", "Print the completion script for bash, zsh or fish."),
}
"""Name -> (module with a `command`, its one-line help). The help stands here so that `--help` imports no command."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f" Closest: {close[0]}." if close else ""
            raise click.UsageError(f'There is no command "{args[0]}".{hint} All: equitrcoder --help', ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


EPILOG = """\b
First steps
  equitrcoder demo
  equitrcoder --model groq/openai/gpt-oss-120b
  export ANTHROPIC_API_KEY=…      (or OPENAI_API_KEY, GROQ_API_KEY, …: equitrcoder providers)
  equitrcoder run --model groq/openai/gpt-oss-120b --check "pytest -q" "make the failing test pass"
  equitrcoder show last

\b
Exit codes: 0 done, 1 task failed, 2 usage, 3 settings or key, 4 provider, 5 budget, 6 limit, 7 approval needed,
130 interrupted."""


@click.group(
    "equitrcoder",
    cls=LazyGroup,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="equitrcoder", message="equitrcoder %(version)s")
@session_options
@click.pass_context
def app(ctx: click.Context, /, **flags: Any) -> int | None:
    """A coding agent in which every tool call is accounted for.

    Without a command: a session in this terminal; over a pipe, one message per line, as equitrcoder-simple.
    """
    if ctx.invoked_subcommand is None:
        return hold_session(simple=False, **flags)
    # Somebody means them for the command, and there they would not arrive.
    given = [name for name in flags if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if given:
        option = next(param for param in ctx.command.params if param.name == given[0]).opts[-1]
        raise click.UsageError(f"{option} belongs behind the command: equitrcoder {ctx.invoked_subcommand} {option} …")
    return None


def run_app(arguments: Sequence[str], command: click.Command | None = None) -> int:
    """Run a command with `arguments`; return its exit code. Never raises, never prints a traceback without -vv.

    Args:
        command: None: `equitrcoder`.
    """
    chosen = command or app
    try:
        outcome = chosen.main(args=list(arguments), prog_name=chosen.name, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        import io

        error.show(said := io.StringIO())
        _say(said.getvalue().rstrip("\n"))
        return 2
    except (click.Abort, KeyboardInterrupt):
        _say("E205 Stopped.")
        return 130
    except EquitrError as error:
        _say(str(error))
        return error.exit_code
    except BrokenPipeError:
        from equitrcoder.cli.json_events import silence_stdout

        silence_stdout()
        return 0
    except Exception as error:  # the last line of defence: a person gets one sentence; a traceback only when asked
        if "-vv" in arguments or os.environ.get("EQUITRCODER_TRACEBACK"):
            raise
        _say(
            f"E900 This is a fault of equitrcoder: {type(error).__name__}: {_without_secrets(str(error))}. "
            "Fix: run it again with EQUITRCODER_TRACEBACK=1 and report what it prints"
        )
        return 1
    return outcome if isinstance(outcome, int) else 0


def _without_secrets(words: str) -> str:
    import os

    from equitrcoder.ledger.redaction import Redactor, named_secrets

    return Redactor(named_secrets(os.environ)).text(words)[0]


def _say(line: str) -> None:
    from equitrcoder.cli.text import safe

    with suppress(OSError):  # stderr is closed: nobody is left to tell
        sys.stderr.write(safe(line) + "\n")
        sys.stderr.flush()
