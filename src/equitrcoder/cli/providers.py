"""`equitrcoder providers`: who can be asked, and what each still needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equitrcoder.cli.output import print_json_lines, print_lines

if TYPE_CHECKING:
    from equitrcoder.providers.status import ProviderStatus

WIRE_FROM, CHECKED_FROM = 112, 130
"""Places of the screen from which on these columns are shown; names of models are never cut."""


@click.command(
    "providers",
    epilog="""\b
Examples
  equitrcoder providers
  equitrcoder providers --json | jq -r 'select(.state == "ready") | .name'

\b
State: ready; no key (export the variable); no base URL (say it in the settings).
A provider of your own: `providers:` in the settings.""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per provider and line.")
def command(as_json: bool) -> None:
    """List the providers, whether their keys are set, and the default models.

    Keys themselves are never shown. "Checked on" says what the reading of a provider's messages was checked on.
    """
    from equitrcoder.agent.startup import settings_for
    from equitrcoder.providers.status import provider_rows

    settings = settings_for(Path(), os.environ, {})
    rows = provider_rows(settings, os.environ)
    if as_json:
        print_json_lines(_shown(row) for row in rows)
    else:
        _print_table(rows)
    for warning in settings.warnings:
        click.echo(warning, err=True)


def _shown(row: ProviderStatus) -> dict[str, object]:
    from equitrcoder.settings.show import without_password

    return {**row._asdict(), "base_url": row.base_url and without_password(row.base_url)}


def _print_table(rows: list[ProviderStatus]) -> None:
    from equitrcoder.cli.tables import Column, screen_width, table

    width = screen_width()
    columns = [Column("provider"), Column("state"), Column("key"), Column("default model")]
    columns += [Column("wire")] if width >= WIRE_FROM else []
    columns += [Column("checked on")] if width >= CHECKED_FROM else []
    cells = ((row.name, row.state, _key(row), row.default_model or "-", row.wire, row.checked) for row in rows)
    print_lines(table(columns, (row[: len(columns)] for row in cells), width))


def _key(row: ProviderStatus) -> str:
    if row.key_variable is None:
        return "none needed"
    if not row.key_set and (row.free or row.state == "ready"):
        return f"{row.key_variable} not needed"
    return f"{row.key_variable} {'is set' if row.key_set else 'not set'}"
