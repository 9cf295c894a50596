"""docs/settings.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from equitrcoder.pricing import find_price
from equitrcoder.settings import FIELDS, Settings, load, show_rows
from equitrcoder.settings.kinds import KEYS, SECTION_KEYS
from equitrcoder.settings.merge import TIGHTER
from equitrcoder.settings.model import CREDENTIAL_HEADERS
from equitrcoder.settings.rows import PRICE_FIELDS, PROVIDER_FIELDS

DOC = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)


def rows() -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in DOC.splitlines() if line.startswith("| `")
    ]


def untrusted(key: str) -> str:
    if key == "ai_api_key":
        return "refused"
    if key == "stream":
        return "any"
    return "stricter" if key in TIGHTER else "no"


def test_every_key_stands_with_its_kind_default_and_trust() -> None:
    defaults = {key.rpartition(".")[2]: value for key, value, _ in show_rows(Settings())}
    expected = [
        [f"`{key}`", KEYS[key].expected, defaults[key], untrusted(key)]
        for key in [*(key for key in FIELDS if key not in SECTION_KEYS), *SECTION_KEYS]
    ]
    assert [row[:4] for row in rows()] == expected
    assert all(len(row) == 5 and row[4] for row in rows())


@pytest.mark.parametrize("block", BLOCKS)
def test_the_examples_load(block: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(block)
    settings = load(user_file=path, repo_file=None, environ={}, flags={}, trusted=False)
    assert "user file" in "".join(settings.origins.values())


def test_fields_of_rows_and_refused_headers_are_named() -> None:
    part = DOC.partition("## Providers of your own")[2]
    assert all(f"`{field}`" in part or f"{field}:" in part for field in [*PROVIDER_FIELDS, *PRICE_FIELDS])
    assert all(f"`{name}`" in DOC.lower() for name in CREDENTIAL_HEADERS)


def test_what_is_called_unpriced_is() -> None:
    named = re.findall(r"`([\w-]+/[^`…]+)`", DOC.partition("It does not know")[2].partition("Not in the costs")[0])
    assert len(named) == 4
    for name in named:
        provider, _, model = name.partition("/")
        assert find_price(provider, model) is None, name
    assert find_price("gemini", "gemma-4-31b-it") is None
