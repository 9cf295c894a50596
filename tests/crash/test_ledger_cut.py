"""The journal of a small run, cut at every single byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger_runs import journal_of
from tests.unit.test_ledger_damage import check_a_cut_after_a_kill, check_a_cut_of_a_finished_run, make_whole

pytestmark = pytest.mark.crash


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that can be had: thousands of small databases are made."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.parametrize("part", range(4))
def test_cut_at_every_byte_after_a_kill(folder: Path, part: int) -> None:
    whole = make_whole(folder / "whole")
    for end in range(part, journal_of(whole).stat().st_size, 4):
        check_a_cut_after_a_kill(whole, folder / str(end), end, rebuild=end % 50 == 0)


def test_cut_after_the_end(folder: Path) -> None:
    whole = make_whole(folder / "whole")
    for end in range(0, journal_of(whole).stat().st_size, 5):
        check_a_cut_of_a_finished_run(whole, folder / str(end), end)
