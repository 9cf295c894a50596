"""docs/terminal.md has every command, field of a record and exit code; the example of docs/events.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from equitrcoder.cli.app import COMMANDS, EPILOG
from equitrcoder.records import ToolCall

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "terminal.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    (found,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_every_command_is_there() -> None:
    table = PAGE.partition("## Exit codes")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(COMMANDS)


def test_every_field_of_a_record_is_there_in_its_place() -> None:
    cells = re.findall(r"^\| (`.*?`) \|", section("calls"), re.MULTILINE)
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell)] == list(ToolCall.__dataclass_fields__)


def test_the_exit_codes_are_those_of_the_help() -> None:
    codes = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    told = EPILOG.partition("Exit codes:")[2]
    assert codes == re.findall(r"\b(\d+) [a-z]", told)


def test_the_example_of_the_events_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "events.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(DOCS.parent)
    exec(compile(example, "events.md", "exec"), {})
