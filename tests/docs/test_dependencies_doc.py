"""docs/dependencies.md has every dependency of pyproject.toml, and no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "dependencies.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> list[str]:
    return sorted((re.split(r"[<>=!~;\[ ]", one)[0] for one in requirements), key=str.lower)


def told(part: str) -> list[str]:
    lines = [line for line in part.splitlines() if line.startswith("| ") and not line.startswith("| package")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(all(row) for row in cells), "every column is filled in"
    return sorted((row[0] for row in cells), key=str.lower)


def test_the_lists_are_those_of_the_project() -> None:
    at_run_time, _, for_development = DOC.partition("## For development")
    assert told(at_run_time) == names(PROJECT["project"]["dependencies"])
    assert told(for_development) == names(PROJECT["dependency-groups"]["dev"])


def test_what_they_bring_is_named() -> None:
    lock = (ROOT / "locks" / "runtime.txt").read_text()
    everywhere = [line for line in lock.splitlines() if re.match(r"[a-z]", line) and ";" not in line]
    for name in (line.partition("==")[0] for line in everywhere):
        spelled = re.escape(name).replace(r"\-", "[-_]")  # a lock writes prompt-toolkit, its own page prompt_toolkit
        assert re.search(rf"\b{spelled}\b", DOC, re.IGNORECASE), name
