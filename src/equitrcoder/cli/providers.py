"""`equitrcoder providers`: who can be asked, and what each still needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equitrcoder.cli.output import print_json_lines, print_lines

if TYPE_CHECKING:
    from equitrcoder.providers.status import ProviderStatus

_SHORT = {"recorded traffic": "recorded", "official SDK": "SDK", "specification": "spec", "none": "none"}
_LEGEND = """\
recorded: checked on answers recorded from the service; SDK: its official client reads the same; spec: on what its
pages say, no more; none: it has none. "own tools" are those that the provider runs itself."""


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
    """List the providers: keys, default models, addresses, and what the reading of their answers was checked on.

    Keys themselves are never shown. On narrow screens the last columns are left out; --json has everything.
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

    base_url = row.base_url and without_password(row.base_url)
    return {**row._asdict(), "checks": row.checks._asdict(), "base_url": base_url}


def _print_table(rows: list[ProviderStatus]) -> None:
    setup = [(row.name, row.state, _key(row), row.default_model or "-") for row in rows]
    print_lines(_table(("provider", "state", "key", "default model"), setup))
    titles = ("provider", "tools", "parallel", "streaming", "own tools", "capture", "wire", "base URL")
    print_lines(["", *_table(titles, [_reading(row) for row in rows]), "", *_LEGEND.splitlines()])


def _reading(row: ProviderStatus) -> tuple[str, ...]:
    checked = [_SHORT[check] for check in row.checks]
    return (row.name, *checked, row.capture, row.wire, str(_shown(row)["base_url"] or "yours"))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table without the last columns that the screen has no room for: names and addresses are never cut."""
    from equitrcoder.cli.tables import GAP, Column, places, screen_width, table

    kept, used = 0, -len(GAP)
    for number, title in enumerate(titles):
        used += len(GAP) + max(places(title), *(places(row[number]) for row in rows))
        kept += used <= screen_width() or number < 4
    return table([Column(title) for title in titles[:kept]], (row[:kept] for row in rows), screen_width())


def _key(row: ProviderStatus) -> str:
    if row.key_variable is None:
        return "none needed"
    if not row.key_set and (row.free or row.state == "ready"):
        return f"{row.key_variable} not needed"
    return f"{row.key_variable} {'is set' if row.key_set else 'not set'}"
