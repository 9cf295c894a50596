"""docs/ledger.md names the tests that hold the twelve promises: they are there, by these names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "ledger.md").read_text()
NAMED = re.compile(r"`((?:crash|unit|contract)/test_\w+\.py)::(test_\w+)`")


def test_every_promise_names_its_tests() -> None:
    rows = re.findall(r"^\| (\d+)\. .* \| (.*) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 13))
    for number, names in rows:
        assert NAMED.findall(names), number
        assert NAMED.sub("", names).strip(", ") == "", number


def test_every_named_test_is_there() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 30
    for path, name in named:
        tree = ast.parse((TESTS / path).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, f"{path} has no {name}"
