"""The index is a function of the journals: missing, damaged, old or replaced, it comes back the same."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equitrcoder.errors import IndexBusy
from equitrcoder.ledger import Ledger, Reader, rebuild_index
from equitrcoder.ledger import reader as reader_module
from equitrcoder.ledger.catch_up import catch_up, open_index
from equitrcoder.ledger.index import Index
from tests.ledger_runs import TABLES, ask, dump, journal_of, one_call, start

INDEX = "index.sqlite"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with Ledger(tmp_path) as ledger:
        for number in range(3):
            run = start(ledger, session_id=f"s{number}")
            one_call(run, result={"n": number})
            one_call(run, step=2, outcome="failed", result="x" * 4000)
            ask(run, ("open", {"a": "y" * 20_000}), step=3)
            run.finish(status="completed", response="done")
    return tmp_path


def test_a_deleted_index_comes_back_equal(state: Path) -> None:
    before = dump(state)
    (state / INDEX).unlink()
    Reader(state).close()
    assert dump(state) == before
    report = rebuild_index(state)
    assert dump(state) == before
    assert (report.runs, report.calls, report.damage) == (3, 9, [])


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_index_is_made_anew(state: Path, content: bytes) -> None:
    before = dump(state)
    (state / INDEX).write_bytes(content)
    with Reader(state) as reader:
        assert len(list(reader.calls())) == 9
    assert dump(state) == before


def test_damage_that_shows_late_is_repaired_too(state: Path) -> None:
    """The first page is whole, so the file opens; the rows are garbage."""
    before = dump(state)
    data = bytearray((state / INDEX).read_bytes())
    size = int.from_bytes(data[16:18], "big")
    for offset in range(size, len(data)):
        data[offset] ^= 0x5A
    (state / INDEX).write_bytes(data)
    with Reader(state) as reader:
        assert len(list(reader.calls())) == 9
    assert dump(state) == before


def test_an_index_without_a_table_is_made_anew(state: Path) -> None:
    before = dump(state)
    connection = sqlite3.connect(state / INDEX)
    connection.execute("DROP TABLE tool_calls")
    connection.close()
    with Reader(state) as reader:
        assert len(list(reader.calls())) == 9
    assert dump(state) == before


def test_an_index_of_another_version_is_made_anew(state: Path) -> None:
    before = dump(state)
    connection = sqlite3.connect(state / INDEX)
    connection.execute("PRAGMA user_version = 999")
    connection.execute("DROP TABLE tool_calls")
    connection.close()
    Reader(state).close()
    assert dump(state) == before


def test_a_reader_and_a_writer_go_on_while_the_index_is_replaced(state: Path) -> None:
    with Ledger(state) as ledger, Reader(state) as reader:
        run = start(ledger)
        one_call(run)
        assert len(list(reader.calls())) == 10
        rebuild_index(state)
        one_call(run, step=2)
        assert len(list(reader.calls())) == 11
        (state / INDEX).unlink()
        one_call(run, step=3)
        assert len(list(reader.calls())) == 12
        run.finish(status="completed")
    live = dump(state)
    rebuild_index(state)
    assert dump(state) == live


def test_the_index_left_by_a_rebuild_is_the_only_one(state: Path) -> None:
    seen: list[tuple[int, int]] = []
    rebuild_index(state, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert sorted(path.name for path in state.iterdir()) == ["index.lock", INDEX, "journals", "runs.jsonl"]
    assert (state / INDEX).stat().st_mode & 0o777 == 0o600


def test_the_same_events_again_change_nothing(state: Path) -> None:
    before = dump(state)
    index = open_index(state)
    for run_id in [row[0] for row in index.connection.execute("SELECT run_id FROM journals").fetchall()]:
        index.connection.execute("UPDATE journals SET offset = 0 WHERE run_id = ?", (run_id,))
        index.connection.execute("UPDATE journals SET finished = 0 WHERE run_id = ?", (run_id,))
    catch_up(index, close_dead=False)
    assert len(list(index.connection.execute("SELECT * FROM tool_calls"))) == 9
    index.close()
    after = dump(state)
    assert [after[table] for table in ("agent_runs", "model_turns", "tool_calls")] == [
        before[table] for table in ("agent_runs", "model_turns", "tool_calls")
    ]


def test_catching_up_looks_at_new_things_only(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = Index.follow

    def follow(self: Index, run_id: str, *, verify: bool = True) -> bool:
        opened.append(run_id)
        return real(self, run_id, verify=verify)

    monkeypatch.setattr(Index, "follow", follow)
    with Ledger(state) as ledger:
        run = start(ledger)
        with Reader(state) as reader:
            reader.stats()
        assert set(opened) == {run.run_id}
        run.finish(status="completed")
    opened.clear()
    with Reader(state) as reader:
        reader.stats()
    assert opened == []


def test_journals_that_the_register_lost_are_found(state: Path) -> None:
    (state / "runs.jsonl").unlink()
    with Reader(state) as reader:
        assert len(list(reader.calls())) == 9
        assert [damage.path for damage in reader.damage()] == ["runs.jsonl"] * 3
        assert [run.session_id for run in reader.runs()] == ["s2", "s1", "s0"]
    with Ledger(state) as ledger:
        start(ledger, session_id="s3").finish(status="completed")
    with Reader(state) as reader:
        assert [run.session_id for run in reader.runs()] == ["s3", "s2", "s1", "s0"]


def test_a_missing_journal_is_told_and_the_rest_answers(state: Path) -> None:
    with Ledger(state) as ledger:
        run = start(ledger)
        run.journal_path.unlink()
        with Reader(state) as reader:
            assert len(list(reader.calls())) == 9
            assert [damage.what for damage in reader.damage()] == ["the journal is missing"]


def test_a_locked_index_is_told_as_busy(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from equitrcoder.ledger import index as index_module

    monkeypatch.setattr(index_module, "_BUSY_S", 0.05)
    blocker = sqlite3.connect(state / INDEX, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with Ledger(state) as ledger:
            one_call(start(ledger))
            with pytest.raises(IndexBusy, match="Another process"):
                Reader(state)
    finally:
        blocker.close()
    with Reader(state) as reader:
        assert len(list(reader.calls())) == 10


def test_where_nothing_can_be_written_an_index_in_memory_answers(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [(path, path.read_bytes()) for path in sorted(state.rglob("*")) if path.is_file()]

    real = reader_module.open_index

    def refuse(state_dir: Path, current: Index | None = None) -> Index:
        if current is None:
            raise PermissionError(13, "Permission denied")
        return real(state_dir, current)

    monkeypatch.setattr(reader_module, "open_index", refuse)
    with Reader(state) as reader:
        assert len(list(reader.calls())) == 9
        assert len(reader.runs()) == 3
    assert [(path, path.read_bytes()) for path in sorted(state.rglob("*")) if path.is_file()] == before


WORDS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e300, 1e300) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
CALL = st.tuples(
    WORDS,
    st.dictionaries(WORDS, VALUES, max_size=3) | WORDS | st.none(),
    st.sampled_from(["requested", "running", "success", "failed", "denied", "timeout"]),
    VALUES | st.text(min_size=2000, max_size=3000),
    st.floats(allow_nan=True, allow_infinity=True) | st.none(),
    st.dictionaries(WORDS, VALUES, max_size=2) | st.none(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(CALL, max_size=4), max_size=3), st.booleans())
def test_what_is_handed_over_equals_what_the_journal_says(
    tmp_path_factory: pytest.TempPathFactory, answers: list[list[tuple[object, ...]]], in_between: bool
) -> None:
    state = tmp_path_factory.mktemp("state")
    with Ledger(state) as ledger:
        run = start(ledger)
        for step, answer in enumerate(answers, 1):
            calls = ask(run, *((str(name), arguments) for name, arguments, *_ in answer), step=step)
            for call, (_, _, outcome, result, duration, metadata) in zip(calls, answer, strict=True):
                if outcome in ("running", "success", "failed"):
                    run.start(call)
                if outcome not in ("requested", "running"):
                    run.close_call(
                        call,
                        outcome=outcome,
                        result=result,
                        duration_ms=duration,
                        result_metadata=metadata,  # type: ignore[arg-type]
                    )
            if in_between:
                Reader(state).close()
        run.finish(status="completed")
    live = dump(state)
    rebuild_index(state)
    assert dump(state) == live
    lines = [json.loads(line) for line in journal_of(state).read_bytes().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert set(TABLES) <= set(live)
