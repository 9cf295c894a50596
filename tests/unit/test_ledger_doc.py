"""docs/ledger.md says what the journals hold, and its example runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from equitrcoder.ledger import Ledger
from tests.ledger_runs import ask, journal_of, one_call, start

PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()


def test_every_field_that_is_written_is_documented(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        run.message(role="user", text="x")
        run.results_told([{"text": "x", "is_error": True}])
        run.answer_taken(step=1, first=1)
        run.request_sent(step=1, attempt=1)
        run.request_failed(step=1, attempt=1, error_type="x", message="y")
        (call,) = ask(run, ("a", {"n": 2**80}))
        run.approval(call, decision="granted", by="user", waited_ms=1.0)
        run.start(call)
        run.close_call(
            call,
            outcome="failed",
            result="r",
            result_metadata={"a": 1},
            error_type="e",
            error_message="m",
            duration_ms=1.0,
            truncated_to=1,
            approval="granted",
        )
        run.finish(status="completed")
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|$", PAGE, re.MULTILINE))
    common = {"v", "seq", "prev", "at", "type", "exact", "redactions"}
    assert common <= set(rows)
    for line in journal_of(tmp_path).read_text().splitlines():
        event = json.loads(line)
        named = set(re.findall(r"\w+", rows[event["type"]]))
        assert set(event) - common <= named, event["type"]


def test_the_example_runs(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        one_call(run, outcome="failed")
        run.finish(status="completed")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    printed: list[tuple[object, ...]] = []
    code = code.replace('Path("~/.local/state/equitrcoder").expanduser()', f"Path({str(tmp_path)!r})")
    exec(code, {"print": lambda *words: printed.append(words)})
    assert printed == [("read_file", "failed", None), (0.0,)]
