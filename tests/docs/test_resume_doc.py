"""docs/resume.md quotes what the model is told, and names the errors that there are."""

from __future__ import annotations

import re
from pathlib import Path

from equitrcoder.agent.rebuilding import NOT_RUN, OUTCOME_UNKNOWN, RESULT_NOT_KEPT
from equitrcoder.cli.text import what_next

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "resume.md").read_text(encoding="utf-8")


def test_what_the_model_is_told_stands_there() -> None:
    for words in (OUTCOME_UNKNOWN, NOT_RUN, RESULT_NOT_KEPT.format(outcome="success")):
        assert f'"{words}"' in PAGE
    assert what_next("7F3K", "limit") in PAGE


def test_every_error_of_going_on_is_there_and_no_other() -> None:
    code = "".join(
        (ROOT / "src" / "equitrcoder" / path).read_text(encoding="utf-8")
        for path in ("agent/resuming.py", "ledger/chains.py")
    )
    assert set(re.findall(r"E12\d", PAGE)) == set(re.findall(r"E12\d", code))
