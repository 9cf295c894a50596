"""Writes the generated parts of the documents anew: `make docs`."""

from __future__ import annotations

from pathlib import Path

from equitrcoder.providers.table import checked_table, provider_table, short_table

HERE = Path(__file__).parent


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marker lines of a page."""
    whole = page.read_text(encoding="utf-8")
    before, mark, rest = whole.partition(begin + "\n")
    _, other, after = rest.partition(end)
    if not mark or not other:
        raise SystemExit(f"{page.name} has no {begin} … {end}")
    page.write_text(before + mark + text + other + after, encoding="utf-8")


def main() -> None:
    write_between(
        HERE / "providers.md",
        "<!-- providers: made from src/equitrcoder/providers/registry.py -->",
        "<!-- /providers -->",
        provider_table(),
    )
    write_between(HERE / "providers.md", "<!-- checked: made by make docs -->", "<!-- /checked -->", checked_table())
    write_between(
        HERE.parent / "README.md",
        "<!-- providers: made by make docs -->",
        "<!-- /providers -->",
        short_table(),
    )


if __name__ == "__main__":
    main()
