"""Exports: every format, empty ones, streaming, what is left behind when something goes wrong, and promise 10."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equitrcoder.errors import ExportError, LedgerError, UsageError
from equitrcoder.ledger import CallQuery, Ledger, Reader, call_to_dict, log_entry
from equitrcoder.ledger.export import (
    FORMATS,
    LOG_FIELDS,
    STEPS_FIELDS,
    csv_cell,
    export_calls,
    export_runs,
    export_turns,
    write_export,
)
from equitrcoder.ledger.views import run_to_dict, turn_to_dict
from equitrcoder.wires.values import Turn, Usage, WireCall

csv.field_size_limit(100_000_000)


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def record(state: Path, *, runs: int = 2, calls: int = 7, result: str = "text") -> None:
    """Runs whose calls end in every way, with results that are longer than the index keeps."""
    outcomes = ["success", "failed", "invalid", "denied", "timeout", "cancelled", "success"]
    with Ledger(state) as ledger:
        for number in range(runs):
            run = ledger.start_run(
                provider=("groq", "mistral")[number % 2],
                model_requested="p/m",
                repo_path="/r",
                task='=task\n, "quoted"',
                capture="middleware",
            )
            asked = tuple(
                WireCall(
                    name=f"tool_{index % 3}",
                    arguments={"file_path": "ü.py", "n": 10**25} if index % 5 else "{broken",
                    id=f"c{index}",
                    index=index,
                )
                for index in range(calls)
            )
            recorded = run.record_turn(
                Turn(calls=asked, usage=Usage(input_tokens=100, output_tokens=5), model_answered="m-2"),
                step=1, duration_ms=1.5, time_to_first_byte_ms=None, attempts=1, cost_nanousd=5, price_version="p",
            )  # fmt: skip
            for index, call in enumerate(recorded[:-1] if calls > 1 else recorded):
                outcome: Any = outcomes[index % len(outcomes)]
                started = outcome not in ("invalid", "denied")
                if started:
                    run.start(call)
                run.close_call(
                    call,
                    outcome=outcome,
                    result=result * 1000 if index % 2 else {"b": [result, None]},
                    duration_ms=(index * 37.123 + number * 11.7) % 900 if started else None,
                    error_message="=cmd|' /C calc'!A0" if outcome == "failed" else None,
                )
            if number % 2 == 0:
                run.finish(status="completed", response="done")
            # else it is open while the ledger is, and interrupted when it is closed


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    record(tmp_path / "state")
    with Reader(tmp_path / "state") as reader:
        yield reader


def read(path: Path, form: str) -> list[dict[str, Any]]:
    """An export, read back with nothing of ours."""
    if form == "json":
        found: list[dict[str, Any]] = json.loads(path.read_bytes())
        return found
    if form == "jsonl":
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    with path.open(encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file, strict=True)]


def exports(reader: Reader) -> dict[str, Any]:
    """Each kind: how it is exported, and what must be in it."""
    calls = list(reader.calls(full=True))
    runs = reader.runs()[::-1]
    return {
        "calls": (lambda *to: export_calls(reader, CallQuery(), *to), [log_entry(call) for call in calls]),
        "records": (
            lambda *to: export_calls(reader, CallQuery(), *to, records=True),
            [call_to_dict(call) for call in calls],
        ),
        "turns": (
            lambda *to: export_turns(reader, *to),
            [turn_to_dict(turn) for run in runs for turn in reader.turns(run.run_id)],
        ),
        "runs": (lambda *to: export_runs(reader, *to), [run_to_dict(run) for run in runs]),
        "steps": (lambda *to: export_runs(reader, *to, steps=True), [reader.run_view(run.run_id) for run in runs]),
    }


@pytest.mark.parametrize("kind", ["calls", "records", "turns", "runs", "steps"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_exported_is_what_the_ledger_holds(reader: Reader, tmp_path: Path, kind: str, form: str) -> None:
    export, expected = exports(reader)[kind]
    path = tmp_path / f"out.{form}"
    assert export(path, form) == len(expected) > 0
    found = read(path, form)
    if form == "csv":
        assert found == [{name: csv_cell(value) for name, value in record.items()} for record in plain(expected)]
    else:
        assert found == plain(expected)
    assert [list(record) for record in found] == [list(record) for record in expected]


@pytest.mark.parametrize("kind", ["calls", "records", "turns", "runs", "steps"])
@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_export_is_valid(tmp_path: Path, kind: str, form: str) -> None:
    with Reader(tmp_path / "state") as empty:
        export, _ = exports(empty)[kind]
        path = tmp_path / "out"
        assert export(path, form) == 0
    record(tmp_path / "full")
    with Reader(tmp_path / "full") as full:
        columns = list(exports(full)[kind][1][0])
    assert path.read_bytes().decode() == {"json": "[]\n", "jsonl": "", "csv": ",".join(columns) + "\r\n"}[form]


def test_the_columns_are_the_fields(reader: Reader) -> None:
    call = next(reader.calls())
    assert tuple(log_entry(call)) == LOG_FIELDS
    assert tuple(reader.run_view("last")) == STEPS_FIELDS


def test_cells_hold_json_and_texts_as_they_are(reader: Reader, tmp_path: Path) -> None:
    export_calls(reader, CallQuery(), tmp_path / "c.csv", "csv")
    rows = read(tmp_path / "c.csv", "csv")
    calls = list(reader.calls(full=True))
    for row, call in zip(rows, calls, strict=True):
        expected = log_entry(call)
        assert json.loads(row["result"] or "null") == plain(expected["result"])
        arguments = call.arguments_raw if call.arguments is None else call.arguments
        assert (row["tool_args"] if isinstance(arguments, str) else json.loads(row["tool_args"])) == arguments
        assert row["duration_ms"] == ("" if call.duration_ms is None else repr(call.duration_ms))
        assert row["success"] == str(call.success).lower()
    assert rows[1]["error"] == "'=cmd|' /C calc'!A0"  # a spreadsheet shows it and does nothing


@given(st.text())
def test_no_text_is_a_formula_in_a_cell_and_none_is_lost(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    unmarked = cell[1:] if cell.startswith("'") and csv_cell(cell[1:]) != cell[1:] else cell
    assert unmarked == text


@given(
    st.lists(st.dictionaries(st.just("a"), st.text() | st.none() | st.lists(st.floats(allow_nan=False))), max_size=5)
)
def test_every_csv_reads_back_whatever_it_holds(records: list[dict[str, Any]]) -> None:
    out = io.BytesIO()
    write_export(records, out, "csv", columns=["a"])
    text = out.getvalue().decode("utf-8", "surrogatepass")
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    expected = [csv_cell(record.get("a")).encode("utf-8", "backslashreplace").decode() for record in records]
    assert ["".join(row) for row in rows] == expected


def test_a_record_with_other_fields_is_not_cut() -> None:
    with pytest.raises(ValueError, match="the header lacks b"):
        write_export([{"a": 1}, {"a": 1, "b": 2}], io.BytesIO(), "csv")


@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_the_number_of_records(tmp_path: Path, form: Any) -> None:
    def records(number: int) -> Iterator[dict[str, Any]]:
        for index in range(number):
            yield {"number": index, "text": "x" * 200, "args": {"file_path": f"{index}.py"}, "none": None}

    def peak(number: int) -> int:
        tracemalloc.start()
        try:
            assert write_export(records(number), tmp_path / "out", form) == number
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    few = peak(5_000)
    assert peak(100_000) < few + 100_000
    assert (tmp_path / "out").stat().st_size > 20_000_000


def test_results_of_the_ledger_are_read_one_at_a_time(tmp_path: Path) -> None:
    record(tmp_path / "state", runs=3, calls=600, result="x" * 40)  # 40 KB each, 36 MB altogether
    with Reader(tmp_path / "state") as reader:
        export_calls(reader, CallQuery(limit=1), tmp_path / "out")
        tracemalloc.start()
        try:
            assert export_calls(reader, CallQuery(), tmp_path / "out") == 1800
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (tmp_path / "out").stat().st_size > 30_000_000
    assert peak < 12_000_000


def test_runs_come_a_page_at_a_time_and_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "state", runs=11, calls=1)
    monkeypatch.setattr("equitrcoder.ledger.export._PAGE", 3)
    with Reader(tmp_path / "state") as reader:
        assert export_runs(reader, tmp_path / "runs.jsonl", "jsonl") == 11
        assert export_turns(reader, tmp_path / "turns.jsonl", "jsonl") == 11
        expected = [run.run_id for run in reader.runs()][::-1]
    for name in ("runs", "turns"):
        assert [record["run_id"] for record in read(tmp_path / f"{name}.jsonl", "jsonl")] == expected


def test_what_chooses(reader: Reader, tmp_path: Path) -> None:
    old, new = reader.runs()[::-1]
    out = tmp_path / "out.jsonl"

    def runs_of(count: int) -> set[str]:
        found = read(out, "jsonl")
        assert len(found) == count
        return {record["run_id"] for record in found}

    assert runs_of(export_runs(reader, out, "jsonl", status="interrupted")) == {new.run_id}
    assert runs_of(export_runs(reader, out, "jsonl", provider="groq")) == {old.run_id}
    assert runs_of(export_runs(reader, out, "jsonl", run="last")) == {new.run_id}
    assert runs_of(export_runs(reader, out, "jsonl", run="last", provider="groq")) == set()
    assert runs_of(export_runs(reader, out, "jsonl", since=new.started_at)) == {new.run_id}
    assert runs_of(export_turns(reader, out, "jsonl", run=old.run_id)) == {old.run_id}
    assert runs_of(export_turns(reader, out, "jsonl", provider="mistral")) == {new.run_id}
    turns = [*reader.turns(old.run_id), *reader.turns(new.run_id)]
    assert runs_of(export_turns(reader, out, "jsonl", since=turns[1].at)) == {new.run_id}
    failed = CallQuery(failed=True, run=old.run_id)
    assert export_calls(reader, failed, out, "jsonl") == 6
    with pytest.raises(LedgerError, match="No run ends in"):
        export_runs(reader, out, "jsonl", run="nothing")
    assert len(read(out, "jsonl")) == 6  # and what was there still is


def recomputed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The statistics, from nothing but exported calls."""
    closed = [entry for entry in entries if entry["outcome"] not in ("requested", "running")]
    usage: dict[str, dict[str, Any]] = {}
    for entry in closed:
        tool = usage.setdefault(entry["tool_name"], {"count": 0, "success_count": 0, "total_duration_ms": 0.0})
        tool["count"] += 1
        tool["success_count"] += entry["success"]
        tool["total_duration_ms"] += entry["duration_ms"] or 0.0
    total = sum(entry["duration_ms"] or 0.0 for entry in closed)
    good = sum(entry["success"] for entry in closed)
    return {
        "total_calls": len(closed),
        "successful_calls": good,
        "failed_calls": len(closed) - good,
        "success_rate": good / len(closed),
        "total_duration_ms": pytest.approx(total),
        "average_duration_ms": pytest.approx(total / len(closed), abs=0.001),
        "tool_usage": {
            name: tool | {"total_duration_ms": pytest.approx(tool["total_duration_ms"])} for name, tool in usage.items()
        },
    }


@pytest.mark.parametrize("form", FORMATS)
def test_statistics_are_what_the_export_adds_up_to(tmp_path: Path, form: Any) -> None:
    """Promise 10 of DESIGN.md section 5."""
    record(tmp_path / "state", runs=4, calls=200)
    with Reader(tmp_path / "state") as reader:
        export_calls(reader, CallQuery(), tmp_path / "out", form)
        stats = reader.stats()
        by_tool = {row.name: row for row in reader.breakdown("tool").groups}
    entries = read(tmp_path / "out", form)
    if form == "csv":
        for entry in entries:
            entry["success"] = json.loads(entry["success"])
            entry["duration_ms"] = json.loads(entry["duration_ms"] or "null")
    assert stats == recomputed(entries)
    assert stats["total_calls"] == 800
    for name, row in by_tool.items():
        durations = sorted(
            entry["duration_ms"] for entry in entries if entry["tool_name"] == name and entry["duration_ms"] is not None
        )
        for share, said in ((0.5, row.p50_ms), (0.95, row.p95_ms), (0.99, row.p99_ms)):
            assert said == pytest.approx(durations[math.ceil(share * len(durations)) - 1], rel=0.01)


def test_there_is_no_such_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'E120 "xml" is no format of an export\. Fix: one of json, jsonl, csv'):
        write_export([], tmp_path / "out", "xml")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_while_it_goes_on() -> None:
    told: list[int] = []
    write_export(({"a": index} for index in range(250)), io.BytesIO(), "json", told.append)
    assert told == [100, 200]


# what is left behind


def failing() -> Iterator[dict[str, Any]]:
    yield {"a": "x" * 1_000_000}
    raise KeyboardInterrupt


def test_a_file_has_its_old_content_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(KeyboardInterrupt):
        write_export(failing(), path, "json")
    assert path.read_text() == "old"

    def records() -> Iterator[dict[str, Any]]:
        yield {"a": "x" * 1_000_000}
        assert path.read_text() == "old"
        yield {"a": 2}

    write_export(records(), path, "json")
    assert len(json.loads(path.read_bytes())) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    write_export([], tmp_path / "a" / "b" / "out.json", "json")
    assert (tmp_path / "a" / "b" / "out.json").read_text() == "[]\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "out.json").symlink_to("target")
    with pytest.raises(ExportError, match=r"E301 Cannot write the export .*out\.json: it is a symbolic link"):
        write_export([], tmp_path / "out.json", "json")
    assert (tmp_path / "target").read_text() == "precious"


def test_a_device_stays_one() -> None:
    if Path("/dev/full").exists():
        with pytest.raises(ExportError, match=r"E301 Cannot write the export /dev/full: no space left on device"):
            write_export([{"a": 1}], Path("/dev/full"), "json")
        assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    write_export([{"a": 1}], Path("/dev/null"), "json")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize(
    ("name", "why"),
    [("folder", "is a directory"), ("file/out", "(not a directory|file exists)"), ("x" * 300, "file name too long")],
)
def test_what_cannot_be_written_says_why_and_what_to_do(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=rf"E301 Cannot write the export .*: {why}\. .* Fix: name another file"):
        write_export([], tmp_path / name, "json")
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file"}


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    (tmp_path / "out").chmod(0o400)
    with pytest.raises(ExportError, match="it is read-only"):
        write_export([], tmp_path / "out", "json")


def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    path.write_text("old")

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ExportError, match=r"no space left on device\. What was there before is unharmed"):
        write_export([{"a": 1}], path, "json")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_open_stream_gets_it_and_stays_open() -> None:
    out = io.BytesIO()
    assert write_export([{"a": 1}], out, "jsonl") == 1
    assert out.getvalue() == b'{"a":1}\n'


def test_the_trouble_of_a_stream_is_told(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    class Full(io.RawIOBase):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Left(io.RawIOBase):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    with pytest.raises(ExportError, match="E301 Cannot write the export: no space left on device"):
        write_export([{"a": 1}], Full(), "json")  # type: ignore[arg-type]
    with pytest.raises(BrokenPipeError):
        write_export([{"a": 1}], Left(), "json")  # type: ignore[arg-type]
