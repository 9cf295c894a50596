"""What the shell offers after Tab: runs and tools from the ledger, providers and their models.

Nothing here may be slow, write, or say anything: where the ledger cannot be read, nothing is offered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

NEWEST_RUNS = 200
SHORTEST_TAIL = 4


def complete_run(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs, the newest first, by the tail that `equitrcoder runs` shows, or by the whole id once it is begun."""
    from equitrcoder.cli.tables import cut, one_line

    found = _ask("SELECT run_id, status, task FROM agent_runs ORDER BY number DESC LIMIT ?", NEWEST_RUNS)
    ids = [run_id for run_id, _, _ in found]
    offered = [("last", "the newest one")] if found else []
    for run_id, status, task in found:
        about = f"{status}: {cut(one_line(task), 60)}"
        offered += [(tail_of(run_id, ids), about), (run_id, about)][: 1 if len(incomplete) < SHORTEST_TAIL else 2]
    return _items(offered, incomplete)


def tail_of(run_id: str, ids: Iterable[str]) -> str:
    """The shortest tail of an id, four letters at least, that none of the others has.

    Example:
        >>> tail_of("0123456789", ["0123456789", "xxxxx56789"])
        '456789'
    """
    others = [other for other in ids if other != run_id]
    for length in range(SHORTEST_TAIL, len(run_id)):
        if not any(other.endswith(run_id[-length:]) for other in others):
            return run_id[-length:]
    return run_id


def complete_tool(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Tools that the newest runs used."""
    recent = "SELECT run_id FROM agent_runs ORDER BY number DESC LIMIT ?"
    found = _ask(f"SELECT DISTINCT tool_name FROM tool_calls WHERE run_id IN ({recent}) ORDER BY 1", NEWEST_RUNS)  # noqa: S608
    return _items([(name, None) for (name,) in found], incomplete)


def complete_provider(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in providers."""
    from equitrcoder.providers.registry import PROVIDERS

    return _items([(name, row.default_model) for name, row in PROVIDERS.items()], incomplete)


def complete_model(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`provider/` while the provider is not sure, then its models; those used before come first."""
    from equitrcoder.providers.registry import PROVIDERS

    used = _ask("SELECT model_requested FROM agent_runs GROUP BY 1 ORDER BY max(number) DESC LIMIT ?", NEWEST_RUNS)
    rows = [row for name, row in PROVIDERS.items() if f"{name}/".startswith(incomplete[: len(name) + 1].lower())]
    offered = dict.fromkeys(name for (name,) in used)
    if len(rows) == 1 and rows[0].models:
        offered |= dict.fromkeys(f"{rows[0].name}/{model}" for model in rows[0].models)
    else:
        offered |= dict.fromkeys(f"{row.name}/" for row in rows)
    return _items([(name, None) for name in offered], incomplete)


def _items(offered: Iterable[tuple[str, str | None]], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    begun = incomplete.lower()
    return [
        CompletionItem(value, help=about)
        for value, about in offered
        if value.lower().startswith(begun) and value.isprintable() and " " not in value
    ]


def _ask(sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of the index as it is, not caught up; none where there is no index."""
    import sqlite3

    from equitrcoder.settings.paths import state_dir

    path = state_dir(os.environ) / "index.sqlite"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.2)
    except (sqlite3.Error, OSError):
        return []
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.Error:
        return []
    finally:
        connection.close()
