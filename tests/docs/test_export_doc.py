"""docs/export.md says what the tool log and the exports do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from equitrcoder.cli.app import app
from equitrcoder.ledger.export import FORMATS, LOG_FIELDS, write_export
from equitrcoder.ledger.readable import log_line
from equitrcoder.records import ToolCall

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")


def first_cells(heading: str) -> list[str]:
    """The names in the first column of the table with that heading."""
    (table,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return re.findall(r"^\| `(\w+)`", table, re.MULTILINE)


def test_the_tables_are_complete() -> None:
    assert first_cells("key") == list(LOG_FIELDS[:8])
    assert first_cells("format") == list(FORMATS)
    group = app.get_command(click.Context(app), "export")
    assert isinstance(group, click.Group)
    assert sorted(first_cells("what")) == group.list_commands(click.Context(group))


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_what_an_empty_export_is(tmp_path: Path, form: Any) -> None:
    (said,) = re.findall(rf"^\| `{form}` \|.*\| (.*) \|$", PAGE, re.MULTILINE)
    write_export([], tmp_path / "out", form, columns=["a"])
    assert (tmp_path / "out").read_text() == {"`[]`": "[]\n", "an empty file": "", "the header": "a\n"}[said]


def test_the_lines_in_words_are_what_is_written() -> None:
    fields: dict[str, Any] = {
        "call_uid": "1", "provider_call_id": None, "session_id": "s", "run_id": "r", "step": 1, "position": 0,
        "ordinal": 1, "provider": "p", "model_requested": "m", "capture": "middleware",
    }  # fmt: skip
    start = datetime(2026, 1, 2, 15, 4, 5, 123_456, tzinfo=UTC)
    calls = [
        ToolCall(
            **fields, tool_name="read_file", arguments={"file_path": "tests/test_dates.py"}, outcome="success",
            requested_at=start, duration_ms=8.2,
        ),
        ToolCall(
            **fields, tool_name="run_command", arguments={"command": "pytest -q"}, outcome="failed",
            requested_at=start, started_at=start + timedelta(milliseconds=17), duration_ms=910.0,
            result_metadata={"exit_code": 1}, error_type="exit_status", error_message="The command exited with 1.",
        ),
    ]  # fmt: skip
    assert [f"    {log_line(call)}" for call in calls] == re.findall(r"^    2026-.*$", PAGE, re.MULTILINE)
