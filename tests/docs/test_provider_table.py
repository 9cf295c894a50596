"""docs/providers.md says what the registry says."""

from __future__ import annotations

from pathlib import Path

from equitrcoder.providers import PROVIDERS
from equitrcoder.providers.choice import KEY_ORDER
from equitrcoder.providers.table import checked_table, provider_table, short_table

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")


def test_the_table_is_the_registry() -> None:
    _, _, rest = PAGE.partition("<!-- providers: made from src/equitrcoder/providers/registry.py -->\n")
    table, _, _ = rest.partition("<!-- /providers -->")
    assert table == provider_table()


def test_the_table_of_checks_is_the_registry() -> None:
    _, _, rest = PAGE.partition("<!-- checked: made by make docs -->\n")
    table, _, _ = rest.partition("<!-- /checked -->")
    assert table == checked_table()


def test_the_table_of_the_readme_is_the_registry() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    _, _, rest = readme.partition("<!-- providers: made by make docs -->\n")
    table, _, _ = rest.partition("<!-- /providers -->")
    assert table == short_table()


def test_the_order_of_keys_is_told() -> None:
    words = " ".join(PAGE.split())
    assert f"in this order: {', '.join(KEY_ORDER)}." in words


def test_every_retired_name_of_the_seeds_is_told() -> None:
    words = " ".join(PAGE.split())
    for provider, old in (("anthropic", "claude-3.5-sonnet"), ("anthropic", "claude-3-haiku")):
        assert f"`{provider}/{old}` is sent as `{PROVIDERS[provider].aliases[old]}`" in words
    for old in ("gpt-4", "gpt-3.5-turbo"):
        assert f"`openai/{old}` as `{PROVIDERS['openai'].aliases[old]}`" in words
