"""`equitrcoder config`: the settings that hold here, and where each comes from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equitrcoder.cli.output import print_json, print_lines
from equitrcoder.errors import UsageError

if TYPE_CHECKING:
    from equitrcoder.records import JSON
    from equitrcoder.settings import Settings


@click.group("config")
def command() -> None:
    """Show the settings and where each comes from."""


@command.command(
    "show",
    epilog="""\b
Examples
  equitrcoder config show
  equitrcoder config show --repo ~/projects/site
  equitrcoder config show --json | jq .budget
""",
)
@click.option(
    "--repo", type=click.Path(path_type=Path), default=Path(), show_default="this folder", help="The repository."
)
@click.option("--json", "as_json", is_flag=True, help="One object: each key with its value and origin.")
def show(repo: Path, as_json: bool) -> None:
    """Print each setting with its value and its origin.

    Later ones win: default, the user's file, the repository's equitrcoder.yaml, environment (EQUITRCODER_…), options.
    A repository's file can only tighten until the folder is trusted. Keys are shown as "set" or "not set".
    """
    from equitrcoder.agent.startup import settings_for
    from equitrcoder.settings import show_rows

    if not repo.is_dir():
        raise UsageError(f"{repo} is not a folder.", hint="name the repository with --repo DIR")
    settings = settings_for(repo, os.environ, {})
    rows = show_rows(settings)
    if as_json:
        print_json({key: {"value": _value(settings, key, text), "origin": origin} for key, text, origin in rows})
    else:
        _print_table(rows)
    for warning in settings.warnings:
        click.echo(warning, err=True)


def _print_table(rows: list[tuple[str, str, str]]) -> None:
    from equitrcoder.cli.tables import Column, screen_width, table

    columns = [Column("setting"), Column("value", flexible=True), Column("origin", flexible=True)]
    print_lines(table(columns, rows, screen_width()))


def _value(settings: Settings, key: str, text: str) -> JSON:
    """A value for programs: figures and switches as such, the rest as the table has it, secrets hidden."""
    value = getattr(settings, key.rpartition(".")[2])
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | tuple):
        return [str(item) for item in value]  # of own rows and prices the names only: rows may hold credentials
    return text


@command.command("path")
def path() -> None:
    """Print where the user's settings file is, or would be.

    \b
    Example
      "${EDITOR:-vi}" "$(equitrcoder config path)"
    """
    from equitrcoder.settings import user_config_path

    file = user_config_path(os.environ)
    print_lines([str(file)])
    if sys.stderr.isatty() and not file.exists():
        click.echo("There is no such file yet: make it, and its settings hold everywhere.", err=True)
