"""`equitrcoder stats --by …`: every grouping on one ledger, as table and as JSON, against figures counted by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.cli.app import run_app
from equitrcoder.errors import LedgerError
from equitrcoder.ledger import CallQuery, Ledger, Reader, RunRecorder
from equitrcoder.ledger.breakdown import GroupRow
from equitrcoder.wires.values import Turn, Usage, WireCall

Run = Callable[..., tuple[int, str, str]]

NOON_JANUARY_1 = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z, in nanoseconds
DAY = 86_400_000_000_000


class Clock:
    """The wall clock of the ledger, set by hand."""

    def __init__(self) -> None:
        self.now_ns = NOON_JANUARY_1

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EQUITRCODER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def zone() -> Iterator[Callable[[str], None]]:
    """The time zone: UTC; call it to set another."""
    with pytest.MonkeyPatch.context() as patch:

        def set_zone(name: str) -> None:
            patch.setenv("TZ", name)
            time.tzset()

        set_zone("UTC")
        yield set_zone
    time.tzset()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def invoke(*arguments: str) -> tuple[int, str, str]:
        code = run_app(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return invoke


def answer(recorder: RunRecorder, step: int, cost: int | None, *durations: tuple[str, str, float | None]) -> None:
    """One answer and its calls: (tool, outcome, duration)."""
    asked = tuple(WireCall(name=name, arguments={}, id=None, index=n) for n, (name, _, _) in enumerate(durations))
    calls = recorder.record_turn(
        Turn(text="", calls=asked, usage=Usage(input_tokens=10, output_tokens=1), model_answered="answered"),
        step=step,
        duration_ms=1.0,
        time_to_first_byte_ms=None,
        attempts=1,
        cost_nanousd=cost,
        price_version="p",
    )
    for call, (_, outcome, duration_ms) in zip(calls, durations, strict=True):
        recorder.close_call(call, outcome=outcome, duration_ms=duration_ms)  # type: ignore[arg-type]


@pytest.fixture
def ledger_of_two_days(state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A supervisor on groq on the first day; on the second a worker on ollama and a run that never got an answer."""
    clock = Clock()
    monkeypatch.setattr(time, "time_ns", clock)
    common: dict[str, Any] = {"repo_path": "/r", "task": "t", "capture": "middleware"}
    with Ledger(state) as ledger:
        boss = ledger.start_run(
            provider="groq", model_requested="groq/big", agent_role="supervisor", agent_name="boss", **common
        )
        answer(boss, 1, 5_000_000, ("read_file", "success", 1.0), ("read_file", "failed", 3.0))
        clock.now_ns += DAY
        boss.request_failed(step=2, attempt=1, error_type="broken", message="m", cost_nanousd=1_000_000)
        answer(boss, 2, None, ("search", "success", 40.0))
        boss.finish(status="completed")
        worker = ledger.start_run(
            provider="ollama",
            model_requested="ollama/small",
            agent_role="worker",
            agent_name="w1",
            parent_run_id=boss.run_id,
            session_id=boss.session_id,
            **common,
        )
        answer(worker, 1, 0, ("read_file", "success", 2.0), ("web_search", "unknown", None))
        worker.finish(status="completed")
        silent = ledger.start_run(provider="groq", model_requested="groq/other", **common)
        answer(silent, 1, 2_000_000)
        silent.finish(status="completed")
    return state


def groups(state: Path, by: Any, query: CallQuery | None = None) -> list[Any]:
    """The groups, to be compared; percentiles may be 1 % off."""
    with Reader(state) as reader:
        found = reader.breakdown(by, query or CallQuery())
    assert found.by == by
    assert sum(row.calls for row in found.groups) == found.all.calls
    return [(*row[:3], *(near(value, found.source) for value in row[3:6]), *row[6:10]) for row in found.groups]


def near(value: float | None, source: str) -> Any:
    return value if value is None or source == "exact" else pytest.approx(value, rel=0.0101)


def test_by_tool_no_line_claims_a_cost(ledger_of_two_days: Path) -> None:
    assert groups(ledger_of_two_days, "tool") == [
        ("read_file", 3, 1, 2.0, 3.0, 3.0, 6.0, None, None, None),
        ("search", 1, 0, 40.0, 40.0, 40.0, 40.0, None, None, None),
        ("web_search", 1, 1, None, None, None, 0, None, None, None),
    ]
    with Reader(ledger_of_two_days) as reader:
        assert reader.breakdown("tool").all == GroupRow("all", 5, 2, None, None, None, 46.0, 4, 8_000_000, 1, 0)


BOSS = (3, 1, 3.0, 40.0, 40.0, 44.0, 2, 6_000_000, 1)
WORKER = (2, 1, 2.0, 2.0, 2.0, 2.0, 1, 0, 0)
SILENT = (0, 0, None, None, None, 0, 1, 2_000_000, 0)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("model", [("groq/big", *BOSS), ("ollama/small", *WORKER), ("groq/other", *SILENT)]),
        ("provider", [("groq", 3, 1, 3.0, 40.0, 40.0, 44.0, 3, 8_000_000, 1), ("ollama", *WORKER)]),
        ("agent", [("boss", *BOSS), ("w1", *WORKER), ("single", *SILENT)]),
        ("role", [("supervisor", *BOSS), ("worker", *WORKER), ("single", *SILENT)]),
        (
            "day",
            [
                ("2026-01-01", 2, 1, 1.0, 3.0, 3.0, 4.0, 1, 6_000_000, 0),
                ("2026-01-02", 3, 1, 2.0, 40.0, 40.0, 42.0, 3, 2_000_000, 1),
            ],
        ),
    ],
)
def test_every_other_grouping_has_calls_turns_and_cost(ledger_of_two_days: Path, by: str, expected: list[Any]) -> None:
    assert groups(ledger_of_two_days, by) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            {"since": "2026-01-02T00:00Z"},
            [("ollama", *WORKER), ("groq", 1, 0, 40.0, 40.0, 40.0, 40.0, 2, 2_000_000, 1)],
        ),
        ({"until": "2026-01-02T00:00Z"}, [("groq", 2, 1, 1.0, 3.0, 3.0, 4.0, 1, 6_000_000, 0)]),
        ({"agent": "worker"}, [("ollama", *WORKER)]),
        ({"model": "groq/big"}, [("groq", *BOSS)]),
        ({"provider": "mistral"}, []),
        ({"tool": "search"}, [("groq", 1, 0, 40.0, 40.0, 40.0, 40.0, None, None, None)]),
        (
            {"failed": True},
            [("groq", 1, 1, 3.0, 3.0, 3.0, 3.0, *[None] * 3), ("ollama", 1, 1, *[None] * 3, 0, *[None] * 3)],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_groups_can_be_chosen(ledger_of_two_days: Path, query: dict[str, Any], expected: list[Any]) -> None:
    from datetime import datetime

    times = {name: datetime.fromisoformat(value) for name, value in query.items() if name in ("since", "until")}
    assert groups(ledger_of_two_days, "provider", CallQuery(**(query | times))) == expected


def test_a_day_is_local(ledger_of_two_days: Path, zone: Callable[[str], None]) -> None:
    zone("Etc/GMT-14")  # fourteen hours ahead
    with Reader(ledger_of_two_days) as reader:
        assert [row.name for row in reader.breakdown("day").groups] == ["2026-01-02", "2026-01-03"]


def test_a_limit_is_refused(ledger_of_two_days: Path) -> None:
    with pytest.raises(LedgerError, match="no limit"):
        groups(ledger_of_two_days, "tool", CallQuery(limit=1))


def test_the_table(ledger_of_two_days: Path, run: Run) -> None:
    code, out, err = run("stats", "--by", "role")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "role        calls   failed  p50 ms  p95 ms  p99 ms  total  turns  unpriced       cost",
        "supervisor      3  1 (33%)     3.0      40      40  44 ms      2         1    $0.0060",
        "worker          2  1 (50%)     2.0     2.0     2.0   2 ms      1         0  no charge",
        "single          0        0       -       -       -      -      1         0    $0.0020",
        "all             5  2 (40%)  sketch                  46 ms      4         1    $0.0080",
    ]


def test_as_json_the_seeds_shape_and_the_groups(ledger_of_two_days: Path, run: Run) -> None:
    plain = json.loads(run("stats", "--json")[1])
    found = json.loads(run("stats", "--by", "model", "--json")[1])
    assert {name: found[name] for name in plain} == plain
    costs = ["turns", "cost_nanousd", "unpriced_turns", "unpriced_requests"]
    assert [name for name in found if name not in plain] == ["by", "groups", *costs]
    percentiles = [found["groups"][1].pop(name) for name in ("p50_ms", "p95_ms", "p99_ms")]
    assert percentiles == pytest.approx([2.0] * 3, rel=0.01)
    assert found["groups"][1] == (
        {
            "name": "ollama/small",
            "calls": 2,
            "failed": 1,
            "failure_rate": 0.5,
            "total_duration_ms": 2.0,
            "turns": 1,
            "cost_nanousd": 0,
            "unpriced_turns": 0,
            "unpriced_requests": 0,
        }
    )
    assert (found["turns"], found["cost_nanousd"], found["unpriced_turns"]) == (4, 8_000_000, 1)


def test_an_empty_ledger_has_no_groups(state: Path, run: Run) -> None:
    assert run("stats", "--by", "day")[:2] == (0, "")
    found = json.loads(run("stats", "--by", "day", "--json")[1])
    assert (found["groups"], found["total_calls"], found["turns"], found["cost_nanousd"]) == ([], 0, 0, 0)


def test_a_grouping_that_is_none(run: Run) -> None:
    code, _, err = run("stats", "--by", "week")
    assert code == 2
    assert "'tool', 'model', 'provider', 'agent', 'role', 'day'" in err
