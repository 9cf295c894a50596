"""docs/security.md names the tests that try to break each promise, and SECURITY.md how to report: both hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
REPORTING = (ROOT / "SECURITY.md").read_text()
NAMED = re.compile(r"`((?:crash|unit|contract|wire|mcp)/test_\w+\.py)(?:::(test_\w+))?`")
ROWS = re.findall(r"^\| (.+?) \| (.+?) \| (.+) \|$", PAGE.split("## Trust")[0], re.MULTILINE)[1:]


def test_every_promise_names_its_tests() -> None:
    assert len(ROWS) >= 15
    for promise, _, names in ROWS:
        assert NAMED.findall(names), promise
        assert NAMED.sub("", names).strip(", ") == "", promise


def test_every_named_test_is_there() -> None:
    for path, name in NAMED.findall(PAGE):
        tree = ast.parse((ROOT / "tests" / path).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert any(found.startswith("test_") for found in functions), path
        assert not name or name in functions, f"{path} has no {name}"
    for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("page", ["docs/security.md", "SECURITY.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text)
    assert links
    for path, anchor in links:
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file(), path
        titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_how_to_report_promises_nothing_that_is_not_there() -> None:
    assert "private vulnerability reporting" in REPORTING
    assert re.findall(r"https?://|[\w.]+@[\w.]+", REPORTING) == []  # no address is invented


def test_what_stands_in_words_is_what_the_code_has() -> None:
    from equitrcoder.agent.calls import PARALLEL_CALLS, LoopGuard
    from equitrcoder.agent.loop import RunLimits

    words = " ".join(PAGE.split())
    assert f"At most {PARALLEL_CALLS} calls of one answer" in words
    assert f"`max_turns` ({RunLimits().max_turns})" in words
    assert (LoopGuard.WARN_AT, LoopGuard.STOP_AT, LoopGuard.STOP_ALIKE_AT, LoopGuard.STOP_DENIED_AT) == (3, 5, 10, 8)
    assert "from the third time" in words and "at the fifth in a row" in words and "at the tenth" in words
    assert "eight answers of nothing but denied calls" in words


WALLED = ["test_sandbox_attacks", "test_sandbox_network", "test_sandbox_programs"]
"""All of their tests need bubblewrap."""


def test_without_bubblewrap_the_sandboxs_tests_are_skipped_and_say_so() -> None:
    """None of them may pass without the walls that it is about."""
    hidden = (
        "import sys, pytest; from equitrcoder.sandbox import probing; probing._BWRAP = ('/nowhere/bwrap',); "
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    files = [str(ROOT / "tests" / "contract" / f"{name}.py") for name in WALLED]
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--durations=0"]
    done = subprocess.run([sys.executable, "-c", hidden, *options, *files], capture_output=True, text=True, cwd=ROOT)
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 0 and re.match(r"\d\d+ skipped", last), done.stdout + done.stderr
    reasons = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert reasons and all(re.match(r"skipped: no bubblewrap|all above has just run", why) for why in reasons), reasons
