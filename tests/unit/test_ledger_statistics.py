"""Promise 10: statistics equal a recomputation from the export, whatever happened to the ledger in between."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equitrcoder.ledger import CallQuery, Ledger, Reader, RunRecorder, export, pruning, rebuild_index, sketch
from equitrcoder.ledger import index as index_module
from equitrcoder.ledger.cells import microseconds
from equitrcoder.ledger.checking import check_index
from tests.ledger_runs import ask, journal_of, one_call, start

TABLES = ("run_statistics", "tombstones", "actors")


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# From the export.


def exported(state: Path, query: CallQuery | None = None) -> list[dict[str, Any]]:
    import io

    out = io.BytesIO()
    with Reader(state) as reader:
        export.export_calls(reader, query or CallQuery(), out, "jsonl", records=True)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def recomputed(calls: list[dict[str, Any]], by: str) -> dict[str, dict[str, Any]]:
    """Calls, failures, duration and exact percentiles by group, from exported records."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in calls:
        if call["outcome"] not in ("requested", "running"):
            groups[call[by]].append(call)
    found = {}
    for name, several in groups.items():
        durations = sorted(call["duration_ms"] for call in several if call["duration_ms"] is not None)
        found[name] = {
            "calls": len(several),
            "failed": sum(call["outcome"] != "success" for call in several),
            "total_ms": sum(map(microseconds, durations)) / 1000,
            "points": [durations[math.ceil(share * len(durations)) - 1] for share in (0.5, 0.95, 0.99)]
            if durations
            else None,
        }
    return found


def assert_statistics_are_the_export(state: Path) -> None:
    calls = exported(state)
    with Reader(state) as reader:
        for by, column in (("tool", "tool_name"), ("provider", "provider"), ("agent", "agent_name")):
            breakdown = reader.breakdown(by, CallQuery())  # type: ignore[arg-type]
            assert breakdown.source == "sketch"
            expected = recomputed(calls, column)
            assert {row.name for row in breakdown.groups if row.calls} == set(expected)
            for row in breakdown.groups:
                if not row.calls:
                    continue
                group = expected[row.name]
                assert (row.calls, row.failed, row.total_ms) == (group["calls"], group["failed"], group["total_ms"])
                points = [row.p50_ms, row.p95_ms, row.p99_ms]
                assert points == ([None] * 3 if group["points"] is None else pytest.approx(group["points"], rel=0.0101))
        stats = reader.stats()
        tools = recomputed(calls, "tool_name")
        assert stats["total_calls"] == sum(tool["calls"] for tool in tools.values())
        assert {name: use["count"] for name, use in stats["tool_usage"].items()} == {
            name: tool["calls"] for name, tool in tools.items()
        }
    assert check_index(state) == []


DURATIONS = st.one_of(st.none(), st.floats(1e-6, 1e7), st.just(0.0), st.integers(0, 5000).map(float))
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "start", "close", "close", "finish", "read", "rebuild", "look", "abandon", "clock"]),
        st.integers(0, 3),
        st.sampled_from(["read_file", "search", "", "é"]),
        st.sampled_from(["success", "failed", "denied", "unknown", "timeout"]),
        DURATIONS,
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(ACTIONS)
def test_over_any_history(tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[Any, ...]]) -> None:
    state = tmp_path_factory.mktemp("state")
    history = History(state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_FOLD_RUNS", 2)
        patch.setattr(time, "time_ns", history.now_ns)
        for action in actions:
            history.do(*action)
        history.end()
        assert_statistics_are_the_export(state)
        before = tables(state)
        rebuild_index(state)
        assert tables(state) == before
        assert_statistics_are_the_export(state)


def die(ledger: Ledger, run: RunRecorder) -> None:
    """What is left of a run whose process is gone."""
    del ledger._recorders[run.run_id]
    run.journal.close()


class History:
    """Runs of one or two ledgers, which do what they are told to."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.ledgers = [Ledger(state), Ledger(state)]
        self.runs: dict[int, RunRecorder] = {}
        self.open: dict[int, list[Any]] = defaultdict(list)
        self.steps: dict[int, int] = defaultdict(int)
        self.moment_ns = 1_767_268_800_000_000_000
        self.count = 0

    def now_ns(self) -> int:
        self.moment_ns += 1_000_000
        return self.moment_ns

    def do(self, what: str, number: int, tool: str, outcome: str, duration_ms: float | None) -> None:
        getattr(self, what)(number, tool, outcome, duration_ms)

    def run(self, number: int) -> RunRecorder:
        if number not in self.runs:
            self.count += 1
            providers = ["groq", "openai", "groq", "local"]
            ledger = self.ledgers[number % 2]
            self.runs[number] = start(ledger, provider=providers[number], agent_name=f"w{self.count % 2}")
        return self.runs[number]

    def ask(self, number: int, tool: str, outcome: str, duration_ms: float | None) -> None:
        self.steps[number] += 1
        run = self.run(number)
        answered = "big" if outcome == "success" else "small"
        self.open[number] += ask(run, (tool, {}), ("search", {}), step=self.steps[number], model_answered=answered)
        if outcome == "timeout":
            run.request_failed(step=9, attempt=1, error_type="x", message="m", cost_nanousd=7 if number else None)

    def start(self, number: int, *_: Any) -> None:
        for call in self.open[number][:1]:
            if call.call_uid in self.run(number)._requested:
                self.run(number).start(call)

    def close(self, number: int, tool: str, outcome: str, duration_ms: float | None) -> None:
        if self.open[number]:
            call = self.open[number].pop(0)
            self.run(number).close_call(call, outcome=outcome, duration_ms=duration_ms)  # type: ignore[arg-type]

    def finish(self, number: int, *_: Any) -> None:
        if number in self.runs:
            self.runs.pop(number).finish(status="completed")
            self.open[number].clear()
            self.steps[number] = 0

    def abandon(self, number: int, *_: Any) -> None:
        """The process dies: nobody writes the end, and the lock goes."""
        if number in self.runs:
            die(self.ledgers[number % 2], self.runs.pop(number))
            self.open[number].clear()
            self.steps[number] = 0

    def read(self, *_: Any) -> None:
        Reader(self.state).close()

    def look(self, *_: Any) -> None:
        with Reader(self.state) as reader:
            reader.stats()
            reader.breakdown("day")

    def rebuild(self, *_: Any) -> None:
        rebuild_index(self.state)

    def clock(self, number: int, *_: Any) -> None:
        self.moment_ns += (number - 2) * 86_400_000_000_000

    def end(self) -> None:
        for number in list(self.runs):
            self.finish(number)
        for ledger in self.ledgers:
            ledger.close()


def tables(state: Path) -> dict[str, Any]:
    connection = sqlite3.connect(state / "index.sqlite")
    try:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}
    finally:
        connection.close()


# What is counted, and when.


def test_a_late_end_moves_the_statistic(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, Reader(tmp_path) as reader:
        run = start(ledger)
        first, second = ask(run, ("read_file", {}), ("search", {}))
        run.start(first)
        assert reader.stats()["total_calls"] == 0
        run.close_call(first, outcome="failed", duration_ms=3.0)
        assert (reader.stats()["total_calls"], reader.stats()["failed_calls"]) == (1, 1)
        die(ledger, run)
        assert reader.stats()["total_calls"] == 2
        assert reader.breakdown("tool").all[1:3] == (2, 2)
    assert second.call.name == "search"
    assert check_index(tmp_path) == []


def test_an_unknown_duration_is_not_zero(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        for step, duration_ms in enumerate((10.0, None, 20.0), 1):
            (call,) = ask(run, ("read_file", {}), step=step)
            run.close_call(call, outcome="success", duration_ms=duration_ms)
        run.finish(status="completed")
    with Reader(tmp_path) as reader:
        (row,) = reader.breakdown("tool").groups
        assert (row.calls, row.p50_ms, row.total_ms) == (3, pytest.approx(10.0, rel=0.0101), 30.0)


def test_eight_processes_are_counted_once_each(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from equitrcoder.ledger import Ledger, Reader\n"
        "from tests.ledger_runs import one_call, start\n"
        "with Ledger(Path(sys.argv[1])) as ledger:\n"
        "    for _ in range(4):\n"
        "        run = start(ledger)\n"
        "        for step in range(1, 11): one_call(run, step=step)\n"
        "        reader = Reader(Path(sys.argv[1])); reader.stats(); reader.close()\n"
        "        run.finish(status='completed')\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    workers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=environ) for _ in range(8)]
    assert [worker.wait() for worker in workers] == [0] * 8
    with Reader(tmp_path) as reader:
        assert reader.stats()["total_calls"] == 320
        assert [row.calls for row in reader.breakdown("day").groups] == [320]
    assert check_index(tmp_path) == []


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ({}, "sketch"),
        ({"tool": "read_file"}, "sketch"),
        ({"provider": "groq", "model": "groq/openai/gpt-oss-120b"}, "sketch"),
        ({"agent": "single"}, "sketch"),
        ({"role": "single"}, "sketch"),
        ({"since": "2026-01-02T00:00Z"}, "sketch"),
        ({"since": "2026-01-01T00:00Z", "until": "2026-01-03T00:00Z"}, "sketch"),
        ({"since": "2026-01-02T00:00Z", "tool": "search"}, "sketch"),
        ({"since": "2026-01-02T07:30:01Z"}, "exact"),
        ({"until": "2026-01-02T07:30Z"}, "exact"),
        ({"outcome": "failed"}, "exact"),
        ({"failed": True}, "exact"),
    ],
    ids=str,
)
@pytest.mark.parametrize("by", ["tool", "model", "provider", "agent", "role", "day"])
@pytest.mark.parametrize("folded", [1, 1000])
def test_the_sums_and_the_calls_say_the_same(
    days: dict[int, Path], by: Any, query: dict[str, Any], source: str, folded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {name: datetime.fromisoformat(value) for name, value in query.items() if name in ("since", "until")}
    chosen = CallQuery(**(query | times))
    from equitrcoder.ledger import breakdown

    with Reader(days[folded]) as reader:
        found, stats = reader.breakdown(by, chosen), reader.stats_with_source(chosen)
        assert (found.source, stats[1]) == (source, source)
        monkeypatch.setattr(breakdown, "can_answer", lambda query: False)
        exact = reader.breakdown(by, chosen)
    assert exact.source == "exact"
    assert [(row[:3], row[6:]) for row in found.groups] == [(row[:3], row[6:]) for row in exact.groups]
    assert found.all == exact.all
    for one, other in zip(found.groups, exact.groups, strict=True):
        assert list(one[3:6]) == [None if value is None else pytest.approx(value, rel=0.0101) for value in other[3:6]]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Three days of runs, once folded run by run, once not at all."""
    found = {}
    for fold_runs in (1, 1000):
        state = tmp_path_factory.mktemp(f"fold{fold_runs}")
        found[fold_runs] = state
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(index_module, "_FOLD_RUNS", fold_runs)
            history = History(state)
            patch.setattr(time, "time_ns", history.now_ns)
            for number in range(24):
                for tool, outcome in (("read_file", "success"), ("search", "timeout"), ("", "failed")):
                    history.ask(number % 4, tool, outcome, None)
                    history.close(number % 4, tool, outcome, 1.5 * number)
                history.finish(number % 4)
                history.moment_ns += 10_800_000_000_000
            history.end()
    return found


def test_days_of_another_time_zone_are_made_anew(days: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with Reader(days[1]) as reader:
        before = [row.name for row in reader.breakdown("day").groups]
        monkeypatch.setenv("TZ", "Asia/Kathmandu")  # 5 h 45 min ahead
        time.tzset()
        here = reader.breakdown("day", CallQuery(since=datetime.fromisoformat("2026-01-02T00:00+05:45")))
        assert here.source == "sketch"
        exact = defaultdict(int)
        for call in exported(days[1]):
            at = datetime.fromisoformat(call["requested_at"]).astimezone()
            if call["outcome"] not in ("requested", "running") and at.isoformat() >= "2026-01-02":
                exact[f"{at:%Y-%m-%d}"] += 1
        assert {row.name: row.calls for row in here.groups} == exact
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        assert [row.name for row in reader.breakdown("day").groups] == before
    assert check_index(days[1]) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=200), st.integers(1, 4))
def test_a_percentile_is_at_most_one_percent_off_at_the_same_rank(values: list[float], parts: int) -> None:
    sketches = []
    for part in range(parts):
        buckets: dict[int, int] = defaultdict(int)
        for value in values[part::parts]:
            buckets[sketch.bucket(value)] += 1
        sketches.append(sketch.to_bytes(buckets))
    shares = (0.01, 0.5, 0.95, 0.99, 1.0)
    ordered = sorted(values)
    exact = [ordered[max(math.ceil(share * len(values)), 1) - 1] for share in shares]
    for found, value in zip(sketch.percentiles(sketch.merged(sketches), shares), exact, strict=True):
        assert found is not None
        assert abs(found - value) <= 0.01 * value + 1e-6


def test_what_damage_repeats_is_counted_once(tmp_path: Path) -> None:
    """Somebody wrote a second end of a call, and an answer twice: the rows decide, and the statistics follow them."""
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        one_call(run)
        die(ledger, run)
    journal = journal_of(tmp_path)
    lines = journal.read_bytes().splitlines()
    again = [json.loads(line) for line in lines if json.loads(line)["type"] in ("turn", "call_finished")]
    for seq, event in enumerate(again, len(lines) + 1):
        lines.append(
            json.dumps({**event, "seq": seq, **({"outcome": "denied"} if "outcome" in event else {})}).encode()
        )
    Reader(tmp_path).close()
    (tmp_path / "index.sqlite").unlink()
    (tmp_path / "runs.jsonl").unlink()
    journal.write_bytes(b"\n".join(lines) + b"\n")
    rebuild_index(tmp_path)
    with Reader(tmp_path) as reader:
        assert reader.stats()["tool_usage"]["read_file"]["count"] == 1
    assert check_index(tmp_path) == []


# Pruning and deleting.


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, list[str]]:
    with Ledger(tmp_path) as ledger:
        ids = []
        for number in range(3):
            run = start(ledger, session_id="s", provider=f"p{number}")
            one_call(run)
            one_call(run, step=2, outcome="failed")
            run.finish(status="completed")
            ids.append(run.run_id)
    return tmp_path, ids


def everything(state: Path) -> list[Any]:
    with Reader(state) as reader:
        answers: list[Any] = [reader.breakdown(by) for by in ("tool", "model", "provider", "agent", "role", "day")]  # type: ignore[arg-type]
        return [*answers, reader.stats(), reader.stats(CallQuery(session="s")), reader.stats(CallQuery(provider="p1"))]


def delete(state: Path, *ids: str) -> pruning.PruneReport:
    return pruning.remove(state, pruning.these(state, ids), "deleted")


@pytest.mark.parametrize("fold_runs", [1, 64])
def test_what_is_deleted_stays_in_the_statistics(
    three: tuple[Path, list[str]], fold_runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_FOLD_RUNS", fold_runs)
    state, ids = three
    rebuild_index(state)
    before = everything(state)
    report = delete(state, ids[1])
    assert ([run.run_id for run in report.removed], report.calls, report.living) == ([ids[1]], 2, [])
    assert not [path for path in state.rglob("*.jsonl") if ids[1] in path.name]
    assert everything(state) == before
    with Reader(state) as reader:
        assert [run.run_id for run in reader.runs()] == [ids[2], ids[0]]
        assert {call.run_id for call in reader.calls()} == {ids[0], ids[2]}
        assert reader.damage() == []
    kept = tables(state)
    report_of_rebuild = rebuild_index(state)
    assert (report_of_rebuild.runs, report_of_rebuild.damage) == (2, [])
    assert tables(state) == kept
    assert everything(state) == before
    (state / "index.sqlite").unlink()
    assert everything(state) == before
    assert check_index(state) == []


def test_a_run_that_lives_is_not_deleted(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        one_call(run)
        report = delete(tmp_path, run.run_id)
        assert (report.removed, report.living) == ([], [run.run_id])
        assert run.journal_path.exists()
        one_call(run, step=2)
        run.finish(status="completed")
    with Reader(tmp_path) as reader:
        assert reader.stats()["total_calls"] == 2


@pytest.mark.parametrize("moment", ["before_the_index", "before_the_journal_goes"])
def test_a_kill_while_deleting_is_finished_by_the_next(
    three: tuple[Path, list[str]], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, ids = three
    before = everything(state)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "before_the_index":
            patch.setattr(pruning, "_sync", die)
        else:
            patch.setattr(Path, "unlink", die)
        with pytest.raises(Killed):
            delete(state, ids[0])
    assert [path for path in state.rglob("*.jsonl") if ids[0] in path.name]
    assert everything(state) == before
    assert not [path for path in state.rglob("*.jsonl") if ids[0] in path.name]
    assert check_index(state) == []
    assert len([line for line in (state / "runs.jsonl").read_bytes().splitlines() if b'"deleted"' in line]) == 1


@pytest.mark.parametrize(
    "journal",
    [
        *("../victim.jsonl", "journals/../../victim.jsonl", "journals/2026/../../../victim.jsonl", "{outside}"),
        *("runs.jsonl", "mine.jsonl", "journals/mine.jsonl"),
    ],
)
def test_a_tombstone_cannot_remove_anything_but_a_journal(three: tuple[Path, list[str]], journal: str) -> None:
    state, ids = three
    outside = state.parent / "victim.jsonl"
    others = [outside, state / "mine.jsonl", state / "journals" / "mine.jsonl"]
    for other in others:
        other.write_text("mine")
    line = {
        "v": 1,
        "at": "x",
        "type": "deleted",
        "run_id": ids[0],
        "journal": journal.format(outside=outside),
        "statistics": "odd",
        "actors": 7,
    }
    with (state / "runs.jsonl").open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
    with Reader(state) as reader:
        assert ids[0] not in [run.run_id for run in reader.runs()]
    assert [other.read_text() for other in others] == ["mine"] * 3 and (state / "runs.jsonl").exists()
    assert (state / "runs.jsonl").exists()


def test_a_rebuild_meanwhile_has_the_tombstone_too(
    three: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is deleted, and another one recorded, while the new index is being made: both are in it."""
    from equitrcoder.ledger import rebuild

    state, ids = three
    before = everything(state)
    real = rebuild.catch_up.catch_up_run
    done = []

    def slow(index: Any, run_id: str, **more: Any) -> Any:
        if not done:
            done.append(True)
            delete(state, ids[2])
            assert everything(state) == before  # the old one answers
        return real(index, run_id, **more)

    monkeypatch.setattr(rebuild.catch_up, "catch_up_run", slow)
    report = rebuild_index(state)
    assert (report.runs, report.damage) == (2, [])
    assert everything(state) == before
    with Ledger(state) as ledger:
        run = start(ledger, session_id="s")
        one_call(run)
        run.finish(status="completed")
    with Reader(state) as reader:
        assert reader.stats()["total_calls"] == 7
    assert check_index(state) == []


# Checking.


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tool_calls SET outcome = 'denied' WHERE ordinal = 1",
        "UPDATE run_statistics SET success = success + 1",
        "DELETE FROM run_statistics WHERE tool_name = 'read_file'",
        "UPDATE statistics SET duration_us = 0 WHERE grouping = 'tool'",
        "UPDATE statistics SET sketch = x''",
        "DELETE FROM model_turns WHERE step = 2",
        "UPDATE journals SET offset = offset - 5",
        "UPDATE journals SET last_hash = 'x'",
        "DROP INDEX tool_calls_chosen",
    ],
)
def test_the_check_finds_what_was_planted(three: tuple[Path, list[str]], statement: str) -> None:
    state, _ = three
    rebuild_index(state)  # folds
    assert check_index(state) == []
    connection = sqlite3.connect(state / "index.sqlite")
    connection.execute(statement)
    connection.commit()
    connection.close()
    assert check_index(state)
    rebuild_index(state)
    assert check_index(state) == []
