"""The options that stand for settings: the same on every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from equitrcoder.cli.completing import complete_model

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--model",), {"help": "PROVIDER/MODEL; without it ai_model, else the first provider whose key is set."}),
    (("--budget",), {"type": click.FloatRange(min=0), "help": "Most dollars to spend; reserved before each request."}),
    (("--allow-unpriced",), {"is_flag": True, "default": None, "help": "With --budget: also models without a price."}),
    (("--max-turns",), {"type": click.IntRange(min=1), "help": "Most model answers (100)."}),
    (("--max-tokens",), {"type": click.IntRange(min=1), "help": "Most tokens, input and output together."}),
    (("--max-time", "max_time_s"), {"type": click.FloatRange(min=0, min_open=True), "help": "Most seconds."}),
    (("--check",), {"help": "A command that must pass in the end; else exit code 1."}),
    (("--approve",), {"type": click.Choice(["ask", "edits", "all", "deny"]), "help": "What needs approval."}),
    *(
        (
            (f"--{verdict}", f"rules_{verdict}"),
            {
                "multiple": True,
                "metavar": "RULE",
                "help": f"A rule: {says}, such as '{example}'. May be given several times (docs/approvals.md).",
            },
        )
        for verdict, says, example in (
            ("allow", "what needs no approval", "run_command pytest *"),
            ("ask", "what asks in any case", "write_file migrations/**"),
            ("deny", "what is never done", "run_command git push"),
        )
    ),
    (("--sandbox",), {"type": click.Choice(["auto", "required", "off"]), "help": "Walls around commands (auto)."}),
    (("--network/--no-network",), {"default": None, "help": "Whether commands may reach the network (no)."}),
    (("--stream/--no-stream",), {"default": None, "help": "Whether answers are streamed (yes)."}),
    (
        ("--reasoning-effort",),
        {"help": "How much to think: none, minimal, low, medium, high, xhigh, max, or tokens."},
    ),
    (
        ("--fallback-model", "fallback_models"),
        {
            "multiple": True,
            "callback": lambda _context, _option, names: names or None,
            "help": "PROVIDER/MODEL to go on with when the first cannot be used; may be given several times, in order.",
        },
    ),
    (("--log-tool-calls",), {"is_flag": True, "default": None, "help": "Write every call to the tool log too."}),
    (
        ("--tool-log-file",),
        {"metavar": "FILE", "help": "The tool log: JSON Lines (tool_calls.log), and FILE.txt in words."},
    ),
)


def settings_options(command: Command) -> Command:
    """Add the options for settings to a click command."""
    for names, attributes in reversed(_OPTIONS):
        completed: dict[str, Any] = {"shell_complete": complete_model} if names[0].endswith("model") else {}
        command = click.option(*names, **attributes, **completed)(command)
    return command


def take_settings(flags: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given as options, by the settings' names; `model`, which is none, must be taken out."""
    given = {name: value for name, value in flags.items() if value is not None}
    rules = [(verdict, rule) for verdict in ("deny", "ask", "allow") for rule in given.pop(f"rules_{verdict}", ())]
    return {**given, **({"rules": rules} if rules else {})}
