"""docs/tools.md says what the code does: tools, effects, limits and error types."""

from __future__ import annotations

import re
from pathlib import Path

from equitrcoder.tools.catalog import TOOLS
from equitrcoder.tools.schema import spec_of
from equitrcoder.tools.values import ToolLimits

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs/tools.md").read_text("utf-8")


def test_every_tool_stands_with_its_parameters_and_effect() -> None:
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \| (\w+) \|", DOC, re.MULTILINE)
    assert rows == [
        (name, ", ".join(spec_of(function).parameters["properties"]), effect)
        for name, (function, effect, _) in TOOLS.items()
    ]


def test_every_error_type_stands() -> None:
    named: set[str] = set()
    for file in (ROOT / "src/equitrcoder/tools").glob("*.py"):
        text = file.read_text("utf-8")
        named |= set(re.findall(r"(?<![a-z_])(?:ToolFailure|InvalidCall|failed)\(\s*\"([a-z_]+)\"", text))
        named |= set(re.findall(r"errno\.E\w+: \(\"([a-z_]+)\"", text))
        named |= set(re.findall(r"error_type=\"([a-z_]+)\"", text))
    section = DOC.partition("## Errors")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`([a-z_]+)`", section)) - {"edit_file"}
    assert documented == named | {"exit_status", "ended_by_sandbox"}


def test_the_limits_are_those_of_the_code() -> None:
    limits = ToolLimits()
    for shown in (
        f"{limits.lines:,} lines, {limits.text_bytes // 1024} KB",
        f"| {limits.output_bytes // 1024} KB |",
        f"{limits.matches} matches",
        f"{limits.entries:,} entries",
        f"up to {limits.file_bytes // 1_000_000} MB",
        f"up to {limits.scan_bytes // 1_000_000_000} GB",
    ):
        assert shown in DOC, shown
