"""What `equitrcoder` and `equitrcoder-simple` take, and how a session begins from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from equitrcoder.cli.options import Command, settings_options, take_settings

_TEAM: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--multi-agent", "use_multi_agent"), {"is_flag": True, "default": None, "help": "A supervisor with workers."}),
    (("--supervisor-model",), {"help": "PROVIDER/MODEL of the supervisor (the main model)."}),
    (("--worker-model",), {"help": "PROVIDER/MODEL of the workers (the main model)."}),
)
_OWN: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--repo",),
        {
            "type": click.Path(path_type=Path),
            "default": Path(),
            "show_default": "this folder",
            "help": "The repository.",
        },
    ),
)
_LAST: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--trust",), {"is_flag": True, "help": "Trust this folder's own equitrcoder.yaml, now and later."}),
    (("--plain",), {"is_flag": True, "help": "Plain lines: never move the cursor (also: NO_COLOR, TERM=dumb)."}),
    (("-v", "--verbose"), {"count": True, "help": "Also the second seed's lines; -vv: tracebacks."}),
)


def session_options(command: Command) -> Command:
    """Add the options of a session to a click command."""
    for names, attributes in reversed(_TEAM + _LAST):
        command = click.option(*names, **attributes)(command)
    command = settings_options(command)
    for names, attributes in reversed(_OWN):
        command = click.option(*names, **attributes)(command)
    return command


def hold_session(*, simple: bool, repo: Path, trust: bool, plain: bool, verbose: int, **flags: Any) -> int:
    """Hold a session with what was given; return its exit code. Raises EquitrError."""
    from equitrcoder.cli.interactive.start import start

    model = flags.pop("model")
    return start(repo, model, take_settings(flags), simple=simple, trust=trust, plain=plain, verbose=verbose)
