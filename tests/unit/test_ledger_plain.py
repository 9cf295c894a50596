"""Exports take a short way for what the index holds whole: it must lead to the same bytes as the long one."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equitrcoder.ledger import CallQuery, Ledger, Reader, call_to_dict, log_entry, plain
from equitrcoder.ledger.export import export_calls, write_export
from equitrcoder.ledger.index import NAME
from equitrcoder.wires.values import Turn, WireCall

texts = st.text(max_size=40) | st.sampled_from(["", "ü\u2028", '"\\\n\x00\x7f', "=1", "x" * 3000, "\ud800", "𝄞"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
calls = st.fixed_dictionaries(
    {
        "arguments": st.dictionaries(texts, values, max_size=3) | texts,
        "id": st.none() | texts,
        "answered": st.none() | texts,
        "end": st.sampled_from(["none", "started", "success", "failed", "denied"]),
        "result": values,
        "metadata": st.none() | st.dictionaries(texts, values, max_size=2),
        "duration_ms": st.none() | st.floats(0, 1e9),
        "error": st.none() | texts,
    }
)
odd_times = st.sampled_from(
    ["2026-02-30T00:00:00.000000+00:00", "2026-13-01T00:00:00.000000+00:00", "2026-01-01T00:00:61.000000+00:00",
     "2026-01-01T02:00:00.000000+02:00", "2026-01-01", "soon", 7, "2028-02-29T23:59:59.999999+00:00"]
)  # fmt: skip


def record(state: Path, history: list[dict[str, Any]]) -> None:
    with Ledger(state) as ledger:
        run = ledger.start_run(provider="p", model_requested="p/ü", repo_path="/", task="t", capture="middleware")
        for step, call in enumerate(history, 1):
            asked = (WireCall(name="tool", arguments=call["arguments"], id=call["id"], index=0),)
            (recorded,) = run.record_turn(
                Turn(calls=asked, model_answered=call["answered"]), step=step, duration_ms=1.0,
                time_to_first_byte_ms=None, attempts=1, cost_nanousd=1, price_version=None,
            )  # fmt: skip
            if call["end"] != "none":
                run.start(recorded)
            if call["end"] in ("success", "failed", "denied"):
                run.close_call(
                    recorded, outcome=call["end"], result=call["result"], result_metadata=call["metadata"],
                    duration_ms=call["duration_ms"], error_message=call["error"],
                )  # fmt: skip
        if len(history) % 2:
            run.finish(status="completed")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(calls, max_size=6), st.lists(odd_times, max_size=2))
def test_the_short_way_gives_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, Any]], times: list[Any]
) -> None:
    state = tmp_path_factory.mktemp("state")
    record(state, history)
    with Reader(state) as reader:
        index = sqlite3.connect(state / NAME)
        for number, time in enumerate(times):
            index.execute("UPDATE tool_calls SET started_at = ? WHERE ordinal = ?", (time, number + 2))
            index.commit()
        index.close()
        for records, shape in ((True, call_to_dict), (False, log_entry)):
            for form in ("jsonl", "json", "csv"):
                short, long = io.BytesIO(), io.BytesIO()
                columns = list(shape(found)) if (found := next(reader.calls(), None)) else None
                export_calls(reader, CallQuery(), short, form, records=records)  # type: ignore[arg-type]
                exact = map(shape, reader.calls(full=True))
                write_export(exact, long, form, columns=columns)  # type: ignore[arg-type]
                if columns is not None or form != "csv":
                    assert short.getvalue() == long.getvalue()


def test_ordinary_calls_take_the_short_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"arguments": {"a": 1}, "id": "c", "answered": "m", "end": "success", "result": {"b": [1.5]}}
    record(tmp_path, [one | {"metadata": {"x": 1}, "duration_ms": 1.5, "error": None}] * 3)
    with Reader(tmp_path) as reader:
        monkeypatch.setattr(reader, "call_at", lambda key: pytest.fail("it was looked up one by one"))
        assert len(list(plain.records(reader, CallQuery()))) == len(list(plain.log_entries(reader, CallQuery()))) == 3
