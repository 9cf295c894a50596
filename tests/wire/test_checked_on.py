"""What `equitrcoder providers` says that readings were checked on, held to what there is."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

from equitrcoder.providers.checks import OFFICIAL_SDK, RECORDED, Checks, checks_of
from equitrcoder.providers.registry import PROVIDERS
from equitrcoder.providers.user_rows import all_rows
from tests.wire.recorded import load, needs_recordings

ROOT = Path(__file__).parents[2]


@needs_recordings
def test_recorded_is_what_there_are_recordings_of() -> None:
    counts = runpy.run_path(str(ROOT / "scripts" / "count_recordings.py"))["count"](load("expected.json"))
    shown = {key: {what for what in Checks._fields if found[what]} for key, found in counts.items()}
    assert {key: set(claims.split()) for key, claims in RECORDED.items()} == {
        key: what for key, what in shown.items() if what
    }


def test_what_is_not_recorded_is_not_said_to_be() -> None:
    for row in PROVIDERS.values():
        for wire in filter(None, (row.wire, row.wire_with_base_url)):
            found = checks_of(row, wire)._asdict()
            claimed = {what for what, check in found.items() if check == "recorded traffic"}
            assert claimed == set(RECORDED.get((row.name, wire), "").split())
    for name in ("fireworks", "perplexity", "replicate", "anyscale"):
        assert "recorded traffic" not in checks_of(PROVIDERS[name])


@pytest.mark.parametrize(("row", "wire"), OFFICIAL_SDK)
def test_each_sdk_that_is_named_is_a_test(row: str, wire: str) -> None:
    what, sdk, file = OFFICIAL_SDK[row, wire]
    assert set(what.split()) <= set(Checks._fields) - set(RECORDED.get((row, wire), "").split())
    nodes = ast.walk(ast.parse((ROOT / file).read_text()))
    assert sdk in {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}


def test_a_row_of_the_users_own_was_checked_by_nobody() -> None:
    own = {"wire": "openai-responses", "base_url": "https://a.example/v1"}
    rows = all_rows({"mine": own, "groq": {"base_url": "https://groq.example/v1"}})
    assert set(checks_of(rows["mine"])) == {"specification"}
    assert checks_of(rows["groq"]).tools == "recorded traffic"


def test_what_a_provider_lacks_is_said() -> None:
    assert checks_of(PROVIDERS["replicate"]) == ("none", "none", "official SDK", "none")
    assert checks_of(PROVIDERS["deepseek"]).provider_tools == "none"
    text_only = {"wire": "replicate-predictions", "base_url": "https://a.example/v1", "tools": "yes"}
    assert checks_of(all_rows({"mine": text_only})["mine"]).tools == "none"
