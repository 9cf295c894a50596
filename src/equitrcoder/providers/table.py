"""The tables of README.md and docs/providers.md, made from the registry; `make docs` writes them."""

from __future__ import annotations

from collections.abc import Sequence

from equitrcoder.providers.checks import checks_of
from equitrcoder.providers.provider import Provider
from equitrcoder.providers.registry import PROVIDERS

_COLUMNS = (
    "provider",
    "wire",
    "base URL",
    "key variables",
    "base-URL variables",
    "capture",
    "default model; for workers",
    "tools",
    "source",
)
_CHECKED = ("provider", "wire", "tools", "parallel calls", "streaming", "provider tools")


def provider_table() -> str:
    """The 15 rows as a Markdown table, ending in a newline."""
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *(_line(_cells(row)) for row in PROVIDERS.values())]
    return "\n".join(lines) + "\n"


def checked_table() -> str:
    """What the reading of each row was checked on, as a Markdown table, ending in a newline."""
    rows = [
        (f"**{row.name}**", wire, *checks_of(row, wire))
        for row in PROVIDERS.values()
        for wire in dict.fromkeys(filter(None, (row.wire, row.wire_with_base_url)))
    ]
    return "\n".join([_line(_CHECKED), _line(["---"] * len(_CHECKED)), *map(_line, rows)]) + "\n"


def short_table() -> str:
    """Provider, key and what its tool calls were checked on, as a Markdown table, ending in a newline."""
    columns = ("provider", "key", "default model", "tool calls checked on")
    rows = [
        (
            row.name,
            _code(row.keys[0]) if row.keys else "none",
            _code(row.default_model or "yours"),
            checks_of(row).tools if row.takes_tools else "has no tools",
        )
        for row in PROVIDERS.values()
    ]
    return "\n".join([_line(columns), _line(["---"] * len(columns)), *map(_line, rows)]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Provider) -> list[str]:
    return [
        f"**{row.name}**",
        f"{row.wire}; {row.wire_with_base_url} at a base URL of yours" if row.wire_with_base_url else row.wire,
        _code(row.base_url) if row.base_url else "yours",
        ", ".join(map(_code, row.keys)) + (" (optional)" if row.auth == "bearer-optional" else ""),
        ", ".join(map(_code, row.base_url_variables)),
        row.capture,
        _models(row),
        {"yes": "yes", "no": "no", "model": "by model"}[row.tools],
        f"[page]({row.source})",
    ]


def _models(row: Provider) -> str:
    if row.default_model is None:
        return "none"
    return f"{_code(row.default_model)}; {_code(row.worker_model or row.default_model)}"


def _code(text: str) -> str:
    return f"`{text}`"
