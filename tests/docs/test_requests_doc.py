"""docs/requests.md says what the code does."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from equitrcoder.providers import PROVIDERS
from equitrcoder.wires.effort import WORDS
from equitrcoder.wires.schemas import EVERY_HOST, MOST_BYTES, MOST_LEVELS

DOC = (Path(__file__).parents[2] / "docs" / "requests.md").read_text(encoding="utf-8")
HOSTS = {
    "Chat Completions": "openai_chat",
    "Anthropic": "anthropic_messages",
    "Gemini": "gemini_generate",
    "Ollama": "ollama_chat",
}


def rules_of(module: str) -> set[str]:
    rules = import_module(f"equitrcoder.wires.{module}.requests").SCHEMA_RULES
    return {rule.__qualname__.partition(".")[0] for rule in rules} - {rule.__name__ for rule in EVERY_HOST}


def test_every_rule_stands_there_for_the_hosts_that_have_it() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", DOC, re.MULTILINE))
    assert [rule for rule, hosts in rows.items() if hosts == "all"] == [rule.__name__ for rule in EVERY_HOST]
    for host, module in HOSTS.items():
        assert {rule for rule, hosts in rows.items() if host in hosts} == rules_of(module), host


def test_the_measures_are_those_of_the_code() -> None:
    assert f"more than {MOST_LEVELS} deep" in DOC
    assert f"more than {MOST_BYTES // 1000} kB" in DOC
    assert all(f"`{word}`" in DOC for word in WORDS)


def test_every_provider_that_thinks_stands_in_the_table() -> None:
    named = {name.strip() for row in re.findall(r"^\| ([a-z, ]+) \|", DOC, re.MULTILINE) for name in row.split(",")}
    assert set(PROVIDERS) - {"replicate"} <= named
