"""Journals cut or garbled at any byte: all earlier entries survive, and the damage is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from equitrcoder.ledger import Ledger, Reader
from equitrcoder.ledger.audit import audit
from equitrcoder.ledger.reading import Damage, Placed, read_events
from equitrcoder.wires.values import WireCall
from tests.ledger_runs import ask, dump, journal_of, start


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole(tmp_path_factory.mktemp("whole"))


def make_whole(state: Path) -> Path:
    """One finished run with three calls: closed, in flight at the end, never started."""
    with Ledger(state) as ledger:
        run = start(ledger)
        calls = ask(run, ("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3}))
        run.start(calls[0])
        run.close_call(calls[0], outcome="success", result="one", duration_ms=1.0)
        run.start(calls[1])
        run.finish(status="completed", response="done")
    return state


def copy_without_index(whole: Path, target: Path, *, finished: bool) -> Path:
    """A copy of the state directory; without `finished` as a kill would have left runs.jsonl."""
    shutil.copytree(whole / "journals", target / "journals")
    lines = (whole / "runs.jsonl").read_bytes().splitlines(keepends=True)
    (target / "runs.jsonl").write_bytes(b"".join(lines if finished else lines[:1]))
    return journal_of(target)


def known_before(data: bytes, end: int) -> dict[str, dict[str, object]]:
    """What the whole lines before a place say of each call."""
    calls: dict[str, dict[str, object]] = {}
    for line in data[:end].splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        event = json.loads(line)
        if event["type"] == "turn":
            for call in event["calls"]:
                calls[call["call_uid"]] = {"outcome": "requested"}
        elif event["type"] in ("call_started", "call_finished"):
            calls[event["call_uid"]]["outcome"] = event.get("outcome", "running")
    return calls


AFTER_A_KILL = {"requested": "cancelled", "running": "interrupted"}


def check_a_cut_after_a_kill(whole: Path, target: Path, end: int, *, rebuild: bool) -> None:
    """A run that was killed and whose journal ends at a byte: everything before is there, and told what is not."""
    data = journal_of(whole).read_bytes()
    path = copy_without_index(whole, target, finished=False)
    path.write_bytes(data[:end])
    torn = end - (data.rfind(b"\n", 0, end) + 1)
    with Reader(target) as reader:
        found = {call.call_uid: call.outcome for call in reader.calls()}
        run = reader.run("last")
        damage = [item.what for item in reader.damage()]
    known = known_before(data, end)
    assert found == {uid: AFTER_A_KILL.get(str(call["outcome"]), call["outcome"]) for uid, call in known.items()}, end
    ended = b'"type":"run_finished"' in data[: end - torn]
    assert run.status == ("completed" if ended else "interrupted")
    assert run.completed_at is not None or end == torn
    assert damage == ["the last entry was cut off"] * (torn > 0) + ["it is empty"] * (end == 0)
    assert path.read_bytes().startswith(data[: end - torn])
    assert not [item for item in read_events(path) if isinstance(item, Damage)]
    if torn:
        closing = json.loads(path.read_bytes().splitlines()[-1])
        assert closing["torn"]["text"].encode() == data[end - torn : end]
    if rebuild:
        live = dump(target)
        (target / "index.sqlite").unlink()
        Reader(target).close()
        assert dump(target) == live
    shutil.rmtree(target)


def check_a_cut_of_a_finished_run(whole: Path, target: Path, end: int) -> None:
    """A journal that lost its tail after its run had ended: runs.jsonl knows better, and that is told."""
    data = journal_of(whole).read_bytes()
    path = copy_without_index(whole, target, finished=True)
    path.write_bytes(data[:end])
    with Reader(target) as reader:
        found = {call.call_uid: call.outcome for call in reader.calls()}
        run = reader.run("last")
        damage = reader.damage()
    known = known_before(data, end)
    assert found == {
        uid: "unknown" if call["outcome"] in AFTER_A_KILL else call["outcome"] for uid, call in known.items()
    }, end
    assert (run.status, "had 11 entries" in str(damage)) == ("completed", True), end
    shutil.rmtree(target)


def garble(data: bytes, place: int) -> bytes:
    """One byte is another."""
    return data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :]


def check_garbled(whole: Path, target: Path, place: int) -> None:
    """One byte is another: the index has the calls of all entries before it; index and audit tell the damage."""
    data = journal_of(whole).read_bytes()
    path = copy_without_index(whole, target, finished=True)
    path.write_bytes(garble(data, place))
    with Reader(target) as reader:
        calls = {call.call_uid: call.outcome for call in reader.calls()}
        damage = reader.damage()
        reader.runs()
    before = data.rfind(b"\n", 0, place) + 1
    assert set(known_before(data, before)) <= set(calls), place
    assert damage, place
    report = audit(target)
    assert path.relative_to(target).as_posix() in {difference.path for difference in report.differences}, place
    shutil.rmtree(target)


def test_a_tail_cut_after_a_kill(whole: Path, in_memory: Path) -> None:
    for end in range(0, journal_of(whole).stat().st_size, 41):  # every byte: tests/crash/test_ledger_cut.py
        check_a_cut_after_a_kill(whole, in_memory / str(end), end, rebuild=True)


def test_a_tail_cut_of_a_finished_run(whole: Path, in_memory: Path) -> None:
    for end in range(0, journal_of(whole).stat().st_size, 41):
        check_a_cut_of_a_finished_run(whole, in_memory / str(end), end)


def test_an_entry_garbled_at_any_place(whole: Path, in_memory: Path) -> None:
    for place in range(3, journal_of(whole).stat().st_size, 29):  # every byte: tests/crash/test_ledger_cut.py
        check_garbled(whole, in_memory / str(place), place)


def test_a_call_that_the_provider_ran_is_unknown_after_a_kill(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        searched = WireCall(name="web_search", arguments={}, id="1", index=0, kind="provider-executed", result="hit")
        ask(run, calls=(searched,))
        run.finish(status="completed")
    path = journal_of(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))  # run_started, turn
    register = tmp_path / "runs.jsonl"
    register.write_bytes(register.read_bytes().splitlines(keepends=True)[0])
    (tmp_path / "index.sqlite").unlink()
    with Reader(tmp_path) as reader:
        (call,) = reader.calls()
    assert (call.tool_name, call.executed_by, call.outcome, call.error_type) == (
        "web_search",
        "provider",
        "unknown",
        "process_died",
    )


def test_an_intact_journal_reads_without_damage(whole: Path) -> None:
    items = list(read_events(journal_of(whole)))
    assert all(isinstance(item, Placed) for item in items)
    assert len(items) == 11


def test_garbage_of_every_kind_is_passed_over(whole: Path, tmp_path: Path) -> None:
    path = copy_without_index(whole, tmp_path, finished=True)
    good = path.read_bytes().splitlines()
    garbage = [b"", b"\x00" * 100, b"[]", b"{}", b'"x"', b'{"seq":1}', b"\xff\xfe", b"{" * 5000]
    garbage.append(b'{"seq":true,"type":"x","at":"y"}')
    path.write_bytes(b"\n".join([*garbage, *good[:6], *garbage, good[3], *good[6:]]) + b"\n")
    with Reader(tmp_path) as reader:
        assert [call.outcome for call in reader.calls()] == ["success", "cancelled", "cancelled"]
        assert reader.run("last").response == "done"
        told = [damage.what for damage in reader.damage()]
    assert sum("cannot be read" in what for what in told) == 2 * len(garbage)
    assert "entry 4 stands twice" in told


def test_entries_that_make_no_sense_are_told(whole: Path, tmp_path: Path) -> None:
    path = copy_without_index(whole, tmp_path, finished=True)
    lines = path.read_bytes().splitlines()
    for number in (2, 3, 4, 5, 6, 7):
        event = json.loads(lines[number])
        keep = {name: event[name] for name in ("v", "seq", "prev", "at", "type")}
        odd = {"call_uid": ["x"], "step": "one", "ordinal": None, "calls": 7, "usage": "much", "outcome": {}}
        lines[number] = json.dumps(keep | odd).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    with Reader(tmp_path) as reader:
        list(reader.calls())
        assert reader.run("last").response == "done"
        assert any("makes no sense" in damage.what for damage in reader.damage())


def test_lines_of_the_register_that_are_none_are_told(whole: Path, tmp_path: Path) -> None:
    copy_without_index(whole, tmp_path, finished=True)
    register = tmp_path / "runs.jsonl"
    register.write_bytes(b"garbage\n" + register.read_bytes() + b'{"type":"started","run_id":7}\n{"half')
    with Reader(tmp_path) as reader:
        assert len(reader.runs()) == 1
        assert [damage.what for damage in reader.damage()] == ["a line cannot be read"] * 2
    with Ledger(tmp_path) as ledger:
        start(ledger).finish(status="completed")
    with Reader(tmp_path) as reader:
        assert [run.status for run in reader.runs()] == ["completed", "completed"]
