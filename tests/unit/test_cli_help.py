"""What `--help` says, held against tests/golden/help. EQUITR_WRITE_GOLDEN=1 writes those files anew."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from equitrcoder.cli.app import COMMANDS, app, run_app

GOLDEN = Path(__file__).parents[1] / "golden" / "help"
BELOW = {
    "config": ("path", "show"),
    "db": ("backup", "check", "path", "prune", "rebuild", "size"),
    "export": ("calls", "runs", "turns"),
    "mcp": ("accept", "check", "list", "tools"),
    "runs": ("delete",),
}
NAMES = [
    (),
    *((name,) for name in COMMANDS),
    *((name, below) for name, several in BELOW.items() for below in several),
]


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")


@pytest.mark.parametrize("words", NAMES, ids=lambda words: " ".join(words) or "equitrcoder")
def test_help_is_what_it_was_and_teaches_by_example(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app([*words, "--help"]) == 0
    said = capsys.readouterr().out
    file = GOLDEN / ("-".join(words or ("equitrcoder",)) + ".txt")
    if os.environ.get("EQUITR_WRITE_GOLDEN"):
        file.write_text(said, encoding="utf-8")
    assert said == file.read_text(encoding="utf-8")
    assert "Example" in said or "First steps" in said or words[0] in (*BELOW, "demo")  # these say it by themselves


def test_there_is_a_file_for_each_command_and_no_other() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {"-".join(words or ("equitrcoder",)) + ".txt" for words in NAMES}


@pytest.mark.parametrize("name", BELOW)
def test_groups_hold_what_is_tested_here(name: str) -> None:
    group = app.get_command(click.Context(app), name)
    assert isinstance(group, click.Group)
    assert tuple(group.list_commands(click.Context(group))) == BELOW[name]


def test_a_slip_in_a_commands_name_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["stat"]) == 2
    assert "Closest: stats" in capsys.readouterr().err
