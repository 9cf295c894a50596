"""`audit`: what agrees is said to balance, and a difference of every kind is found at its place."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equitrcoder.ledger import Ledger, Reader, Redactor, cells, rebuild_index
from equitrcoder.ledger.audit import audit
from equitrcoder.ledger.audit_report import KINDS, AuditReport, Difference
from equitrcoder.ledger.audit_values import agree
from equitrcoder.ledger.content import Content
from equitrcoder.ledger.index import Index
from equitrcoder.ledger.recorder import RunRecorder
from equitrcoder.wires.values import Turn, WireCall

SECRET = "gsk_0123456789abcdefXYZ"
Lines = list[dict[str, Any]]


def native_of(calls: tuple[WireCall, ...]) -> dict[str, Any]:
    """The calls as a message of Chat Completions."""
    client = [call for call in calls if call.kind == "client"]
    executed = [call for call in calls if call.kind != "client"]
    return {
        "role": "assistant",
        "content": "let me see",
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
                },
            }
            for call in client
        ],
        "executed_tools": [
            {"id": call.id, "type": call.name, "arguments": json.dumps(call.arguments), "output": call.result}
            for call in executed
        ],
    }


def answer(run: RunRecorder, step: int, *calls: tuple[str, Any], executed: tuple[str, ...] = ()) -> list[Any]:
    asked = [(name, arguments, "client", None) for name, arguments in calls]
    asked += [(name, {"q": name}, "provider-executed", "found it") for name in executed]
    wire_calls = tuple(
        WireCall(name=name, arguments=arguments, id=f"c{step}{place}", index=place, kind=kind, result=result)  # type: ignore[arg-type]
        for place, (name, arguments, kind, result) in enumerate(asked)
    )
    turn = Turn(text="let me see", calls=wire_calls, native=native_of(wire_calls))
    facts: dict[str, Any] = {"duration_ms": 1.0, "time_to_first_byte_ms": None, "attempts": 1}
    return list(run.record_turn(turn, step=step, cost_nanousd=5, price_version="p", **facts))


def start(ledger: Ledger, wire: str | None = "openai-chat") -> RunRecorder:
    return ledger.start_run(
        provider="groq", model_requested="groq/x", repo_path="/r", task="t", capture="middleware", wire=wire
    )


def one_run(ledger: Ledger) -> str:
    """Four calls in two answers: two of ours, one that fails, one that the provider ran."""
    run = start(ledger)
    run.message(role="user", text="fix it")
    first, second, _ = answer(
        run, 1, ("read_file", {"file_path": "a.py"}), ("search", '{"broken'), executed=("web_search",)
    )
    run.start(first)
    run.close_call(first, outcome="success", result="one\ntwo", duration_ms=1.5)
    run.close_call(second, outcome="invalid", result={"b": [1, 2.5], "a": None}, error_type="invalid_arguments")
    (third,) = answer(run, 2, ("run_command", {"command": f"echo {SECRET}"}))
    run.start(third, sandbox="none")
    run.close_call(third, outcome="failed", result="cut", result_bytes=9, result_sha256="d" * 64, truncated_to=3)
    run.finish(status="completed", response="done")
    return run.run_id


def make(state: Path) -> str:
    """Two runs; the id of the second."""
    with Ledger(state, redactor=Redactor([SECRET])) as ledger:
        one_run(ledger)
        return one_run(ledger)


def only(report: AuditReport, kind: str) -> Difference:
    found = [difference for difference in report.differences if difference.kind == kind]
    assert len(found) == 1, [str(one) for one in report.differences]
    return found[0]


def test_a_ledger_as_it_was_written_balances(tmp_path: Path) -> None:
    make(tmp_path)
    report = audit(tmp_path)
    assert report.differences == []
    assert report.balanced and str(report) == "2 runs, 8 calls: balanced"
    assert report.in_messages == report.requested == {"client": 6, "provider": 2}
    assert report.outcomes == {"client": {"failed": 2, "invalid": 2, "success": 2}, "provider": {"success": 2}}
    assert report.results_checked == 6 and report.not_kept == {"results": 2}  # two were cut by their tool
    rebuild_index(tmp_path)
    assert audit(tmp_path).balanced


def test_of_an_empty_ledger_nothing_is_wrong(tmp_path: Path) -> None:
    report = audit(tmp_path)
    assert str(report) == "0 runs, 0 calls: balanced" and report.to_dict()["differences"] == []


# A difference of every kind.


class Case(NamedTuple):
    """What is done to the second run, and what must be found."""

    plant: Callable[[Planter], Any]
    """Returns the line of the journal at which it must be found; None: not in a journal."""
    kind: str
    step: int | None = None
    ordinal: int | None = None
    path: str = "journal"


class Planter:
    """Damages the ledger of a state directory."""

    def __init__(self, state: Path, run_id: str) -> None:
        self.state = state
        self.run_id = run_id
        (self.journal,) = state.glob(f"journals/*/*/{run_id}.jsonl")
        self.lines = self.journal.read_bytes().splitlines(keepends=True)

    def number(self, kind: str, nth: int = 0) -> int:
        """Line number of the nth entry of a kind."""
        return [i for i, line in enumerate(self.lines, 1) if json.loads(line)["type"] == kind][nth]

    def put(self, lines: list[bytes]) -> None:
        self.journal.write_bytes(b"".join(lines))

    def chain_again(self, edit: Callable[[Lines], Any], *, renumber: bool = True) -> Any:
        """Change entries, compute numbers, chain and register anew, and let the index be made anew."""
        events = [json.loads(line) for line in self.lines]
        place = edit(events)
        before, lines = "", []
        for seq, event in enumerate(events, 1):
            event["prev"] = before
            event["seq"] = seq if renumber else event["seq"]
            lines.append(json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode())
            before = hashlib.sha256(lines[-1]).hexdigest()
        self.put([line + b"\n" for line in lines])
        self.register(lambda ours: ours[-1].update(entries=events[-1]["seq"], last=before))
        (self.state / "index.sqlite").unlink()
        return place

    def register(self, edit: Callable[[Lines], Any]) -> Any:
        """Change the lines of runs.jsonl that are the run's."""
        path = self.state / "runs.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        ours = [row for row in rows if row["run_id"] == self.run_id]
        place = edit(ours)
        left = [row for row in rows if row["run_id"] != self.run_id] + ours
        path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in left))
        return place

    def sql(self, statement: str) -> None:
        connection = sqlite3.connect(self.state / "index.sqlite")
        connection.execute(statement, (self.run_id,))
        connection.commit()
        connection.close()


def flip_a_byte(plan: Planter) -> int:
    number = plan.number("message")
    plan.lines[number - 1] = plan.lines[number - 1].replace(b"fix it", b"fax it")
    plan.put(plan.lines)
    return number


def break_a_line(plan: Planter) -> int:
    number = plan.number("message")
    plan.lines[number - 1] = b"{" + plan.lines[number - 1]
    plan.put(plan.lines)
    return number


def drop_a_line(plan: Planter) -> int:
    number = plan.number("call_requested")
    del plan.lines[number - 1]
    plan.put(plan.lines)
    return number


def duplicate_a_line(plan: Planter) -> int:
    number = plan.number("call_finished", 2)
    plan.lines.insert(number, plan.lines[number - 1])
    plan.put(plan.lines)
    return number + 1


def swap_two_lines(plan: Planter) -> list[int]:
    number = plan.number("call_started", 1)
    plan.lines[number - 1 : number + 1] = reversed(plan.lines[number - 1 : number + 1])
    plan.put(plan.lines)
    return [number, number + 1]


def cut_the_tail(plan: Planter) -> int:
    plan.put(plan.lines[:-2])
    return len(plan.lines) - 2


def cut_within_the_last_line(plan: Planter) -> int:
    plan.put([*plan.lines[:-1], plan.lines[-1][:40]])
    return len(plan.lines)


def alter_the_last_entry(plan: Planter) -> int:
    plan.put([*plan.lines[:-1], plan.lines[-1].replace(b'"done"', b'"gone"')])
    return len(plan.lines)


def remove(kind: str, nth: int = 0) -> Callable[[Planter], None]:
    def plant(plan: Planter) -> None:
        number = plan.number(kind, nth)
        plan.chain_again(lambda events: events.pop(number - 1))

    return plant


def alter(kind: str, nth: int, **changes: Any) -> Callable[[Planter], int]:
    def plant(plan: Planter) -> int:
        number = plan.number(kind, nth)
        plan.chain_again(lambda events: events[number - 1].update(changes))
        return number

    return plant


def repeat(kind: str, nth: int, after: int = 0, **changes: Any) -> Callable[[Planter], int]:
    """Enter an entry once more, behind itself or so many lines later, with a number of its own."""

    def plant(plan: Planter) -> int:
        number = plan.number(kind, nth)
        plan.chain_again(lambda events: events.insert(number + after, {**events[number - 1], **changes}))
        return min(number + after, len(plan.lines)) + 1

    return plant


def edit_message(edit: Callable[[dict[str, Any]], Any], shows_after: int = 0) -> Callable[[Planter], int]:
    def plant(plan: Planter) -> int:
        number = plan.number("turn")
        plan.chain_again(lambda events: edit(events[number - 1]["native"]))
        return number + shows_after

    return plant


def skip_a_number(plan: Planter) -> int:
    number = plan.number("message")

    def edit(events: Lines) -> None:
        for event in events[number:]:
            event["seq"] += 1

    plan.chain_again(edit, renumber=False)
    return number + 1


def delete_the_journal(plan: Planter) -> None:
    plan.journal.unlink()


def drop_register_line(which: int) -> Callable[[Planter], None]:
    """One that the index does not miss: else the next reader brings it back."""

    def plant(plan: Planter) -> None:
        plan.register(lambda ours: [ours.pop(which), None][1])
        size = (plan.state / "runs.jsonl").stat().st_size
        plan.sql(f"UPDATE progress SET value = {size} WHERE name = 'register' AND ? != ''")

    return plant


def put_in_register(which: int, **changes: Any) -> Callable[[Planter], None]:
    return lambda plan: plan.register(lambda ours: ours[which].update(changes))


def garble_the_register(plan: Planter) -> None:
    path = plan.state / "runs.jsonl"
    path.write_bytes(path.read_bytes() + b'{"no\n')


def sql(statement: str) -> Callable[[Planter], None]:
    return lambda plan: plan.sql(statement)


EXTRA = {"id": "cX", "type": "function", "function": {"name": "delete_all", "arguments": "{}"}}
CASES = {
    "a byte flipped": Case(flip_a_byte, "entry_changed"),
    "a line made unreadable": Case(break_a_line, "entry_unreadable"),
    "a line dropped": Case(drop_a_line, "entries_out_of_sequence", 1, 2),
    "a line duplicated": Case(duplicate_a_line, "entries_out_of_sequence", 1, 2),
    "two lines swapped": Case(swap_two_lines, "entries_out_of_sequence", 2, 4),
    "the tail cut": Case(cut_the_tail, "tail_missing"),
    "the last line cut": Case(cut_within_the_last_line, "entry_cut"),
    "the last entry altered": Case(alter_the_last_entry, "last_entry_changed"),
    "the journal deleted": Case(delete_the_journal, "journal_missing"),
    "a register line deleted": Case(drop_register_line(0), "journal_unregistered"),
    "a register end deleted": Case(drop_register_line(1), "register_end_missing"),
    "a register hash altered": Case(put_in_register(1, last="0" * 64), "last_entry_changed"),
    "a register fact altered": Case(put_in_register(0, provider="openai"), "register_differs", path="runs.jsonl"),
    "the register garbled": Case(garble_the_register, "register_unreadable", path="runs.jsonl"),
    "a requested entry removed": Case(remove("call_requested"), "call_not_entered", 1, 1),
    "a close removed": Case(remove("call_finished", 1), "call_never_closed", 1, 1),
    "a requested entry altered": Case(alter("call_requested", 0, tool_name="write_file"), "call_differs", 1, 1),
    "arguments altered": Case(alter("call_requested", 0, arguments={"file_path": "b.py"}), "call_differs", 1, 1),
    "raw arguments altered": Case(alter("call_requested", 1, arguments_raw='{"brokeN'), "call_differs", 1, 2),
    "an id altered": Case(alter("call_requested", 3, provider_call_id="c99"), "call_differs", 2, 4),
    "a requested entry twice": Case(repeat("call_requested", 0), "call_entered_twice", 1, 1),
    "a requested entry of its own": Case(
        repeat("call_requested", 0, call_uid="X" * 26, ordinal=9), "call_not_in_message", 1, 9
    ),
    "an outcome there is not": Case(alter("call_finished", 1, outcome="great"), "outcome_unknown", 1, 1),
    "a result altered": Case(alter("call_finished", 1, result="one\nTwo"), "result_differs", 1, 1),
    "a JSON result altered": Case(alter("call_finished", 2, result={"b": [1, 2.5], "a": 0}), "result_differs", 1, 2),
    "a result hash altered": Case(alter("call_finished", 1, result_sha256="e" * 64), "result_differs", 1, 1),
    "a large result gone": Case(
        alter("call_finished", 1, result_metadata={"spilled": {"sha256": "a" * 64, "bytes": 5, "complete": True}}),
        "spilled_result_differs",
        1,
        1,
    ),
    "an orphan close": Case(repeat("call_finished", 1, call_uid="Y" * 26), "close_without_call"),
    "a double close": Case(repeat("call_finished", 1), "call_closed_twice", 1, 1),
    "an orphan start": Case(repeat("call_started", 0, call_uid="Z" * 26), "start_without_call"),
    "a start after the end": Case(repeat("call_started", 0, after=1), "start_without_call", 1, 1),
    "a call added to a message": Case(edit_message(lambda m: m["tool_calls"].append(EXTRA)), "call_not_entered", 1),
    "a call taken from a message": Case(
        edit_message(lambda m: m.update(executed_tools=[])), "call_not_in_message", 1, 3
    ),
    "a call altered in a message": Case(
        edit_message(lambda m: m["tool_calls"][0]["function"].update(arguments='{"file_path":"b.py"}'), 1),
        *("call_differs", 1, 1),
    ),
    "no message": Case(edit_message(lambda m: m.update(tool_calls=[7])), "message_unreadable", 1),
    "a number left out": Case(skip_a_number, "entries_out_of_sequence", 1),
    "entries lost": Case(alter("run_finished", 0, entries_lost=3), "entries_lost"),
    "an entry after the end": Case(repeat("message", 0, after=99), "entry_after_the_end"),
    "an outcome altered in the index": Case(
        sql("UPDATE tool_calls SET outcome = 'success' WHERE run_id = ? AND ordinal = 4"),
        *("index_row_differs", 2, 4, "index.sqlite"),
    ),
    "a column of a run altered in the index": Case(
        sql("UPDATE agent_runs SET cost_nanousd = 1 WHERE run_id = ?"), "index_row_differs", path="index.sqlite"
    ),
    "a turn altered in the index": Case(
        sql("UPDATE model_turns SET text = '' WHERE run_id = ? AND step = 2"),
        "index_row_differs",
        2,
        None,
        "index.sqlite",
    ),
    "an index row deleted": Case(
        sql("DELETE FROM tool_calls WHERE run_id = ? AND ordinal = 2"), "index_row_missing", 1, 2, "index.sqlite"
    ),
    "a row too many": Case(
        sql("INSERT INTO model_turns (run_id, step, at, attempts, text, calls) VALUES (?, 3, '2026-01-01', 1, '+', 0)"),
        *("index_row_extra", 3, None, "index.sqlite"),
    ),
    "statistics of a run altered": Case(
        sql(
            "UPDATE run_statistics SET failed = failed + 1 "
            "WHERE tool_name = 'search' AND run_number = (SELECT number FROM agent_runs WHERE run_id = ?)"
        ),
        *("statistics_differ", None, None, "index.sqlite"),
    ),
    "a run the index lacks": Case(
        sql("DELETE FROM journals WHERE run_id = ?"), "index_row_missing", path="index.sqlite"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_planted_difference_is_found(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    run_id = make(tmp_path)
    planter = Planter(tmp_path, run_id)
    line = case.plant(planter)
    report = audit(tmp_path)
    assert not report.balanced
    found = [difference for difference in report.differences if difference.kind == case.kind]
    assert found, [(one.kind, one.what) for one in report.differences]
    first = found[0]
    assert {one.run_id for one in report.differences} <= {run_id, None}, "the other run balances"
    if case.kind != "register_unreadable":
        assert first.run_id == run_id
    assert (first.step, first.ordinal) == (case.step, case.ordinal)
    assert (first.call_uid is not None) == (case.ordinal is not None) or "orphan" in name
    journal = planter.journal.relative_to(tmp_path).as_posix()
    assert first.path == (journal if case.path == "journal" else case.path)
    if line is not None:
        assert first.line in (line if isinstance(line, list) else [line])
        whole = planter.journal.read_bytes()
        assert first.byte is not None and whole[: first.byte].count(b"\n") == first.line - 1  # type: ignore[operator]
        assert first.byte == 0 or whole[first.byte - 1 : first.byte] == b"\n"
    assert first.what and first.fix
    if first.fix == "equitrcoder db rebuild":
        rebuild_index(tmp_path)
        assert audit(tmp_path).balanced, "the fix that it names helps"


def test_every_kind_is_planted_once() -> None:
    assert {case.kind for case in CASES.values()} == set(KINDS)


def test_sums_that_are_not_those_of_the_runs_are_found(tmp_path: Path) -> None:
    make(tmp_path)
    index = Index(tmp_path / "index.sqlite", tmp_path)
    connection = index.connection
    with index.transaction():
        cells.fold(connection, cells.foldable(connection))
    assert audit(tmp_path).differences == []
    with index.transaction():
        connection.execute("UPDATE statistics SET success = success + 1 WHERE grouping = 'tool' AND period = ''")
    index.close()
    found = audit(tmp_path).differences
    assert {one.kind for one in found} == {"statistics_differ"}
    assert "sums by tool" in found[0].what and found[0].expected != found[0].found


# What is no difference.


def test_runs_of_one_kind_alone(tmp_path: Path) -> None:
    run_id = make(tmp_path)
    planter = Planter(tmp_path, run_id)
    flip_a_byte(planter)
    with Reader(tmp_path) as reader:
        other = next(run.run_id for run in reader.runs() if run.run_id != run_id)
        session = reader.run(run_id).session_id
    assert str(audit(tmp_path, runs=[other])) == "1 run, 4 calls: balanced"
    assert str(audit(tmp_path, session=session)) == "1 run, 4 calls: 1 difference"


def test_a_run_that_goes_on_is_no_difference(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        first, _ = answer(run, 1, ("read_file", {}), ("search", {}))
        run.start(first)
        report = audit(tmp_path)
        assert str(report) == "1 run (1 still running), 2 calls: balanced"
        assert report.open_calls == {"client": 2} and report.in_messages == report.requested
        path = run.journal_path
        path.write_bytes(path.read_bytes() + b'{"v":1,"seq":5,"pr')  # being written at this moment
        assert audit(tmp_path).balanced
        path.write_bytes(path.read_bytes()[: -len(b'{"v":1,"seq":5,"pr')])
        run.finish(status="completed")
    assert str(audit(tmp_path)) == "1 run, 2 calls: balanced"


def test_what_a_killed_run_left_balances_once_it_is_closed(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        first, _ = answer(run, 1, ("read_file", {}), ("search", {}))
        run.start(first)
        lines = run.journal_path.read_bytes().splitlines(keepends=True)
        path = run.journal_path
        register = (tmp_path / "runs.jsonl").read_bytes()
    path.write_bytes(b"".join(lines[:3]))  # killed before the second call had its own entry
    (tmp_path / "runs.jsonl").write_bytes(register)
    (tmp_path / "index.sqlite").unlink()
    report = audit(tmp_path)
    assert report.differences == []
    assert report.outcomes == {"client": {"cancelled": 2}}


def test_racing_with_a_writer_gives_no_difference(tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        with Ledger(tmp_path) as ledger:
            for _ in range(12):
                one_run(ledger)
            run = start(ledger)
            for step in range(1, 60):
                for call in answer(run, step, ("read_file", {"n": step}), ("search", {"n": step})):
                    run.start(call)
                    run.close_call(call, outcome="success", result="r" * step)
            run.finish(status="completed")
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    reports = []
    while not done.is_set():
        reports.append(audit(tmp_path))
    thread.join()
    reports.append(audit(tmp_path))
    assert [report.differences for report in reports if not report.balanced] == []
    assert reports[-1].calls == 12 * 4 + 59 * 2


@pytest.mark.parametrize("kept", ["hash", "off"])
def test_what_is_not_kept_is_said_and_no_difference(tmp_path: Path, kept: Any) -> None:
    with Ledger(tmp_path, content=Content(arguments=kept, results=kept)) as ledger:
        one_run(ledger)
    report = audit(tmp_path)
    assert report.differences == []
    assert report.requested == {"client": 3, "provider": 1}
    assert report.not_kept["arguments" if report.in_messages else "messages"] == 4
    assert report.results_checked == 0
    assert report.not_kept.get("results", 0) == (4 if kept == "hash" else 0)


def test_a_redacted_message_is_compared_all_the_same(tmp_path: Path) -> None:
    with Ledger(tmp_path, redactor=Redactor([SECRET])) as ledger:
        run = start(ledger)
        answer(run, 1, ("run_command", {"command": f"curl -H {SECRET} x", "n": 1}))
        run.finish(status="completed")
    assert audit(tmp_path).balanced
    planter = Planter(tmp_path, run.run_id)
    alter("call_requested", 0, arguments={"command": "curl -H [redacted:known_value] y", "n": 1})(planter)
    assert only(audit(tmp_path), "call_differs").what == "its arguments"


def test_runs_that_somebody_reported_have_no_messages(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger, wire=None)
        for call in answer(run, 1, ("read_file", {})):
            run.close_call(call, outcome="success", result="x")
        run.finish(status="completed")
    report = audit(tmp_path)
    assert report.balanced and report.not_kept == {"messages": 1, "arguments": 1} and report.in_messages == {}


def test_it_hears_of_progress(tmp_path: Path) -> None:
    make(tmp_path)
    heard: list[tuple[int, int, int]] = []
    audit(tmp_path, on_progress=lambda *told: heard.append(told))
    assert heard == [(1, 2, 4), (2, 2, 8)]


TEXTS = st.text(max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(VALUES)
def test_a_value_agrees_with_itself_its_text_and_what_is_redacted_of_it(value: Any) -> None:
    assert agree(value, value)
    redacted, _ = Redactor(["secret-secret"]).json({"a": ["x secret-secret y", value]})
    assert agree(redacted, {"a": ["x secret-secret y", value]}) and agree({"a": ["x secret-secret y", value]}, redacted)
    assert not agree(redacted, {"a": ["x secret-secret z", value]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        ({"a": 1}, {"b": 1}),
        ([1], [1, 2]),
        ("1", 1),
        (None, ""),
        ({"a": 1}, '{"a":2}'),
        ("a", "b"),
    ],
)
def test_what_differs_does_not_agree(one: Any, other: Any) -> None:
    assert not agree(one, other) and not agree(other, one)
