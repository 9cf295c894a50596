"""`equitrcoder models`, the command that errors about models name."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import World


def test_the_models_of_a_provider_with_price_and_context(tmp_path: Path) -> None:
    world = World(tmp_path)
    done = world.equitrcoder("models", "groq")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split()[:2] == ["groq/openai/gpt-oss-120b", "(default)"]
    rows = [json.loads(line) for line in world.equitrcoder("models", "groq", "--json").out.splitlines()]
    assert rows[0]["default"] and rows[0]["usd_per_mtok_out"] > rows[0]["usd_per_mtok_in"] > 0
    assert rows[0]["context_tokens"] > 0


def test_an_unknown_price_is_said_not_shown_as_nothing(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in World(tmp_path).equitrcoder("models", "cohere", "--json").out.splitlines()]
    (unpriced,) = [row for row in rows if row["model"] == "cohere/command-a-plus-05-2026"]
    assert unpriced["usd_per_mtok_in"] is None


def test_a_context_that_nobody_tells_is_unknown(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in World(tmp_path).equitrcoder("models", "replicate", "--json").out.splitlines()]
    untold = [row["model"] for row in rows if row["context_tokens"] is None]
    lines = World(tmp_path).equitrcoder("models", "replicate").out.splitlines()
    assert untold and all(line.endswith("unknown") for line in lines if line.split()[0] in untold)


def test_only_models_that_take_tools(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert "replicate/" in world.equitrcoder("models").out
    assert "replicate/" not in world.equitrcoder("models", "--tools").out


def test_an_unknown_provider_and_one_without_known_models(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.equitrcoder("models", "grok").code == 3
    assert "local/NAME" in world.equitrcoder("models", "local").out
