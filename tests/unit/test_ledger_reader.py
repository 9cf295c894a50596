"""Questions to the ledger: queries, lookups, statistics, order."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import CallQuery, Ledger, Reader
from equitrcoder.ledger import journal as journal_module
from equitrcoder.records import utc_now
from tests.ledger_runs import ask, dump, one_call, start


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Two sessions, three runs, five calls."""
    with Ledger(tmp_path) as ledger:
        first = start(ledger, session_id="s1", repo_path="/one")
        calls = ask(first, ("read_file", {}), ("run_command", {}))
        for call, outcome, duration in zip(calls, ("success", "failed"), (10.0, 900.0), strict=True):
            first.start(call)
            first.close_call(call, outcome=outcome, duration_ms=duration)  # type: ignore[arg-type]
        worker = start(
            ledger, session_id="s1", parent_run_id=first.run_id, agent_role="worker", agent_name="w1", provider="openai"
        )
        one_call(worker)
        worker.finish(status="completed")
        first.finish(status="completed")
        second = start(ledger, session_id="s2", repo_path="/two", model_requested="groq/other")
        one_call(second, outcome="timeout")
        ask(second, ("write_file", {}), step=2, model_answered="other-1")
        second.finish(status="failed")
    return tmp_path


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (CallQuery(), ["read_file", "run_command", "read_file", "read_file", "write_file"]),
        (CallQuery(session="s1"), ["read_file", "run_command", "read_file"]),
        (CallQuery(session="s2"), ["read_file", "write_file"]),
        (CallQuery(run="last"), ["read_file", "write_file"]),
        (CallQuery(tool="run_command"), ["run_command"]),
        (CallQuery(outcome="timeout"), ["read_file"]),
        (CallQuery(failed=True), ["run_command", "read_file", "write_file"]),
        (CallQuery(provider="openai"), ["read_file"]),
        (CallQuery(model="groq/other"), ["read_file", "write_file"]),
        (CallQuery(model="other-1"), ["write_file"]),
        (CallQuery(agent="w1"), ["read_file"]),
        (CallQuery(agent="worker"), ["read_file"]),
        (CallQuery(limit=2), ["read_file", "write_file"]),
        (CallQuery(limit=2, session="s1"), ["run_command", "read_file"]),
        (CallQuery(limit=0), []),
        (CallQuery(limit=-3), []),
        (CallQuery(since=utc_now() + timedelta(days=1)), []),
        (CallQuery(until=utc_now() - timedelta(days=1)), []),
        (
            CallQuery(since=utc_now() - timedelta(days=1), until=utc_now() + timedelta(days=1), tool="write_file"),
            ["write_file"],
        ),
        (CallQuery(tool="' OR 1=1 --"), []),
    ],
)
def test_queries_choose_and_keep_the_order(state: Path, query: CallQuery, expected: list[str]) -> None:
    with Reader(state) as reader:
        assert [call.tool_name for call in reader.calls(query)] == expected


def test_more_calls_than_a_page_come_in_order(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        ask(run, *(("tool", {"n": number}) for number in range(1203)))
        run.finish(status="completed")
    with Reader(tmp_path) as reader:
        assert [call.arguments for call in reader.calls()] == [{"n": number} for number in range(1203)]
        assert [call.arguments for call in reader.calls(CallQuery(limit=3))] == [{"n": n} for n in (1200, 1201, 1202)]


def test_runs_are_newest_first_and_chosen(state: Path) -> None:
    with Reader(state) as reader:
        everything = reader.runs()
        assert [run.session_id for run in everything] == ["s2", "s1", "s1"]
        assert [run.status for run in reader.runs(status="failed")] == ["failed"]
        assert [run.repo_path for run in reader.runs(repo="/one")] == ["/one"]
        assert reader.runs(limit=1) == everything[:1]
        assert reader.runs(since=utc_now() + timedelta(hours=1)) == []
        assert [run.session_id for run in reader.runs(session="s1")] == ["s1", "s1"]
        assert reader.runs(limit=0) == []


def test_a_run_is_found_by_id_tail_or_last(state: Path) -> None:
    with Reader(state) as reader:
        newest, worker, first = reader.runs()
        assert reader.run("last") == newest
        assert reader.run(first.run_id) == first
        assert reader.run(first.run_id[-8:].lower()) == first
        assert reader.run(worker.run_id) == worker
        with pytest.raises(LedgerError, match="No run ends in"):
            reader.run("ZZZZZZZZ")
        with pytest.raises(LedgerError, match="No run ends in"):
            reader.run("")


def test_an_ambiguous_tail_names_the_runs(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ids = [start(ledger).run_id for _ in range(60)]
    tails = [run_id[-1] for run_id in ids]
    twice = next(tail for tail in tails if tails.count(tail) > 1)
    with Reader(tmp_path) as reader, pytest.raises(LedgerError, match="More than one"):
        reader.run(twice)


def test_last_is_never_a_workers_run(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        main = start(ledger)
        start(ledger, parent_run_id=main.run_id).finish(status="completed")
        main.finish(status="completed")
    with Reader(tmp_path) as reader:
        assert reader.run("last").run_id == main.run_id


def test_an_empty_ledger_answers(tmp_path: Path) -> None:
    with Reader(tmp_path / "none") as reader:
        assert list(reader.calls()) == []
        assert reader.runs() == []
        assert reader.damage() == []
        assert reader.stats() == {
            "total_calls": 0,
            "successful_calls": 0,
            "failed_calls": 0,
            "success_rate": 0.0,
            "total_duration_ms": 0.0,
            "average_duration_ms": 0.0,
            "tool_usage": {},
        }
        with pytest.raises(LedgerError, match="There is no run yet"):
            reader.run("last")
        with pytest.raises(LedgerError, match="No call has the id"):
            reader.full_result("x")


def test_statistics_have_the_seeds_shape(state: Path) -> None:
    with Reader(state) as reader:
        stats = reader.stats()
        assert stats == {
            "total_calls": 5,
            "successful_calls": 2,
            "failed_calls": 3,
            "success_rate": 0.4,
            "total_duration_ms": 913.0,
            "average_duration_ms": 182.6,
            "tool_usage": {
                "read_file": {"count": 3, "success_count": 2, "total_duration_ms": 13.0},
                "run_command": {"count": 1, "success_count": 0, "total_duration_ms": 900.0},
                "write_file": {"count": 1, "success_count": 0, "total_duration_ms": 0.0},
            },
        }
        assert list(stats["tool_usage"]) == ["read_file", "run_command", "write_file"]
        assert reader.stats(CallQuery(session="s2"))["total_calls"] == 2
        assert json.loads(json.dumps(stats)) == stats


def test_open_calls_are_not_counted(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        (call, _) = ask(run, ("a", {}), ("b", {}))
        run.start(call)
        with Reader(tmp_path) as reader:
            assert reader.stats()["total_calls"] == 0
            assert reader.run("last").calls == 2


def test_two_sessions_never_see_each_others_records(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as two:
        runs = [start(one, session_id="one"), start(two, session_id="two")]
        for step in range(1, 20):
            for run in runs:
                one_call(run, step=step, result=run.session_id)
        with Reader(tmp_path) as reader:
            for run in runs:
                found = list(reader.calls(CallQuery(session=run.session_id)))
                assert {(call.session_id, call.run_id, call.result) for call in found} == {
                    (run.session_id, run.run_id, run.session_id)
                }
                assert len(found) == 19


def test_clock_steps_change_no_order_and_no_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    shift_ns = 0
    monkeypatch.setattr(journal_module.time, "time_ns", lambda: real() + shift_ns)
    with Ledger(tmp_path) as ledger:
        for number in range(4):
            run = start(ledger, task=str(number))
            for step in range(1, 4):
                # A day forward, two back, and so on: later runs and calls get earlier times.
                shift_ns = (86_400 if (number + step) % 2 else -2 * 86_400 * (number + 1)) * 1_000_000_000
                one_call(run, step=step, result=f"{number}.{step}")
            run.finish(status="completed")
    expected = [f"{number}.{step}" for number in range(4) for step in range(1, 4)]
    with Reader(tmp_path) as reader:
        calls = list(reader.calls())
        assert [call.result for call in calls] == expected
        assert {call.duration_ms for call in calls} == {1.5}
        assert [call.requested_at for call in calls] != sorted(call.requested_at for call in calls)
        assert [call.result for call in reader.calls(CallQuery(limit=4))] == expected[-4:]
        assert [run.task for run in reader.runs()] == ["3", "2", "1", "0"]
    live = dump(tmp_path)
    (tmp_path / "index.sqlite").unlink()
    Reader(tmp_path).close()
    assert dump(tmp_path) == live


def test_calls_of_parallel_runs_are_ordered_by_time(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        one, two = start(ledger), start(ledger)
        for step in range(1, 6):
            one_call(one, step=step, result=f"one {step}")
            one_call(two, step=step, result=f"two {step}")
        with Reader(tmp_path) as reader:
            found = [call.result for call in reader.calls()]
    assert found == [f"{name} {step}" for step in range(1, 6) for name in ("one", "two")]
