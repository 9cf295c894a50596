"""`equitrcoder models`: the models that are known, what they cost and how much they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equitrcoder.cli.completing import complete_provider
from equitrcoder.cli.output import print_json_lines, print_lines

if TYPE_CHECKING:
    from equitrcoder.providers.provider import Provider
    from equitrcoder.settings import Settings

PICOUSD_PER_DOLLAR_AND_MTOK = 1_000_000


@click.command(
    "models",
    epilog="""\b
Examples
  equitrcoder models
  equitrcoder models groq
  equitrcoder models --json | jq -r 'select(.usd_per_mtok_in < 1) | .model'

\b
These are the names this version knows; others can be asked as well. Prices are dollars per million tokens, now and
for a short prompt; "unpriced" means that nobody has a price for it, not that it is free.""",
)
@click.argument("provider", required=False, shell_complete=complete_provider)
@click.option("--tools", is_flag=True, help="Only models that take tools, which the agent needs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per model and line.")
def command(provider: str | None, tools: bool, as_json: bool) -> None:
    """List the known models of PROVIDER, or of all."""
    from equitrcoder.agent.startup import settings_for
    from equitrcoder.providers.unknown import unknown_provider
    from equitrcoder.providers.user_rows import all_rows

    settings = settings_for(Path(), os.environ, {})
    rows = all_rows(settings.providers)
    if provider is not None and provider not in rows:
        raise unknown_provider(provider, rows)
    chosen = [row for name, row in rows.items() if provider in (None, name) and not (tools and row.tools == "no")]
    models = [about for row in chosen for about in _models(row, settings)]
    if as_json:
        print_json_lines(models)
    elif models:
        _print_table(models)
    else:
        click.echo(f"No model of {provider} is known by name; ask for any: equitrcoder run --model {provider}/NAME …")


def _models(row: Provider, settings: Settings) -> Iterator[dict[str, Any]]:
    from equitrcoder.contexts import context_window
    from equitrcoder.pricing import find_price

    for name in dict.fromkeys([*filter(None, (row.default_model, row.worker_model)), *row.models]):
        price = find_price(row.name, name, settings.prices, free=row.free)
        rates = price.rates(0) if price is not None else None
        yield {
            "model": f"{row.name}/{name}",
            "usd_per_mtok_in": None if rates is None else rates.input_picousd / PICOUSD_PER_DOLLAR_AND_MTOK,
            "usd_per_mtok_out": None if rates is None else rates.output_picousd / PICOUSD_PER_DOLLAR_AND_MTOK,
            "context_tokens": context_window(row.name, name),
            "default": name == row.default_model,
        }


def _print_table(models: list[dict[str, Any]]) -> None:
    from equitrcoder.cli.tables import Column, screen_width, table

    columns = [Column("model"), Column("$ in", right=True), Column("$ out", right=True), Column("context", right=True)]
    rows = [
        [
            one["model"] + (" (default)" if one["default"] else ""),
            _dollars(one["usd_per_mtok_in"]),
            _dollars(one["usd_per_mtok_out"]),
            "unknown" if one["context_tokens"] is None else f"{one['context_tokens']:,}",
        ]
        for one in models
    ]
    print_lines(table(columns, rows, screen_width()))


def _dollars(amount: float | None) -> str:
    return "unpriced" if amount is None else f"{amount:,.2f}"
