"""The journal and the register of small runs, cut and garbled at every single byte.

At every byte the journal is read, closed and audited; the index is made from it at every 13th.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from equitrcoder.ledger import Ledger, Reader, rebuild_index
from equitrcoder.ledger.audit import audit
from equitrcoder.ledger.audit_report import AuditReport
from equitrcoder.ledger.audit_run import RunAudit
from equitrcoder.ledger.reading import Damage, Placed, read_events
from equitrcoder.ledger.recover import close_dead_run
from tests.ledger_runs import journal_of, one_call, start
from tests.unit.test_ledger_damage import (
    AFTER_A_KILL,
    check_a_cut_after_a_kill,
    check_a_cut_of_a_finished_run,
    check_garbled,
    copy_without_index,
    garble,
    known_before,
    make_whole,
)

pytestmark = pytest.mark.crash

INDEXED = 13


@pytest.fixture
def whole(in_memory: Path) -> Path:
    return make_whole(in_memory / "whole")


def test_the_journal_cut_at_every_byte_after_a_kill(whole: Path, in_memory: Path) -> None:
    """Whoever reads next closes the run: all entries before the cut stand, and the chain and the calls balance."""
    data = journal_of(whole).read_bytes()
    for end in range(len(data)):
        path = copy_without_index(whole, in_memory / "cut", finished=False)
        path.write_bytes(data[:end])
        report = _closed(path, in_memory / "cut")
        assert report.balanced or end == 0, end
        assert path.read_bytes().startswith(data[: data.rfind(b"\n", 0, end) + 1])
        events = [item.event for item in read_events(path) if isinstance(item, Placed)]
        found = {event["call_uid"]: event["outcome"] for event in events if event["type"] == "call_finished"}
        known = known_before(data, end)
        assert found == {uid: AFTER_A_KILL.get(str(call["outcome"]), call["outcome"]) for uid, call in known.items()}
        entered = {event["call_uid"] for event in events if event["type"] == "call_requested"}
        assert entered == set(known)
        torn = data[data.rfind(b"\n", 0, end) + 1 : end]
        assert events[-1].get("torn", {"text": ""})["text"].encode() == torn
        shutil.rmtree(in_memory / "cut")
        if end % INDEXED == 0:
            check_a_cut_after_a_kill(whole, in_memory / "indexed", end, rebuild=end % 50 == 0)


def _closed(path: Path, state: Path) -> AuditReport:
    """Close a dead run; what the audit of its journal alone says then."""
    journal = path.relative_to(state).as_posix()
    assert close_dead_run(state, path.stem, journal)
    report = AuditReport()
    RunAudit(state, path.stem, journal, report, ended=True).run()
    return report


def test_the_journal_cut_at_every_byte_after_the_end(whole: Path, in_memory: Path) -> None:
    """runs.jsonl knows how many entries there were: the audit says so, and what was open is not known."""
    data = journal_of(whole).read_bytes()
    for end in range(len(data)):
        if end % INDEXED == 0:
            check_a_cut_of_a_finished_run(whole, in_memory / "indexed", end)
            continue
        path = copy_without_index(whole, in_memory / "cut", finished=True)
        path.write_bytes(data[:end])
        report = AuditReport()
        looked_at = RunAudit(in_memory / "cut", path.stem, path.relative_to(in_memory / "cut").as_posix(), report)
        looked_at.run()
        assert not looked_at.finished
        assert looked_at.entries == data[:end].count(b"\n") < 11
        assert ("entry_cut" in {difference.kind for difference in report.differences}) is (data[end - 1 : end] != b"\n")
        shutil.rmtree(in_memory / "cut")


def test_every_byte_of_the_journal_garbled(whole: Path, in_memory: Path) -> None:
    """All other entries are read; the audit names the place, or the register does not know the last entry any more."""
    data = journal_of(whole).read_bytes()
    last = data.rfind(b"\n", 0, -1) + 1
    path = copy_without_index(whole, in_memory / "garbled", finished=True)
    for place in range(len(data)):
        path.write_bytes(garble(data, place))
        items = list(read_events(path))
        begins, ends = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place + 1) + 1 or len(data)
        assert len([item for item in items if isinstance(item, Placed)]) >= (
            data[:begins].count(b"\n") + data[ends:].count(b"\n")
        ), place
        looked_at = RunAudit(
            in_memory / "garbled", path.stem, path.relative_to(in_memory / "garbled").as_posix(), AuditReport()
        )
        looked_at.run()
        if place < last:
            assert [item for item in items if isinstance(item, Damage)], place
            assert looked_at.damaged, place
        else:
            assert looked_at.last_hash != _registered_hash(whole), place
        if place % INDEXED == 0:
            check_garbled(whole, in_memory / "indexed", place)


def _registered_hash(whole: Path) -> str:
    return str(json.loads((whole / "runs.jsonl").read_bytes().splitlines()[-1])["last"])


# The register.


@pytest.fixture
def two(in_memory: Path) -> Iterator[Path]:
    """A ledger of two runs that have ended, and no index."""
    state = in_memory / "two"
    with Ledger(state) as ledger:
        for number in range(2):
            run = start(ledger, session_id=f"s{number}")
            one_call(run, result=number)
            run.finish(status="completed", response=f"done {number}")
    for path in state.glob("index.*"):
        path.unlink()
    yield state


def test_the_register_cut(two: Path, in_memory: Path) -> None:
    """Both runs stand in their journals, with their ends: `db rebuild` brings back everything."""
    data = (two / "runs.jsonl").read_bytes()
    for end in range(len(data)):
        if end % INDEXED and b"\n" not in data[end - 1 : end + 1]:
            continue  # a cut within a line is one like the other: all that counts is which lines are whole
        state = in_memory / str(end)
        shutil.copytree(two, state)
        (state / "runs.jsonl").write_bytes(data[:end])
        lost = (2, 1, 1, 0)[data[:end].count(b"\n")]  # runs whose first line is gone
        torn = bool(end) and not data[:end].endswith(b"\n")
        report = audit(state)
        assert [difference.kind for difference in report.differences] == ["journal_unregistered"] * lost, end
        assert {difference.fix for difference in report.differences} <= {"equitrcoder db rebuild"}
        only_its_end = data[end : end + 1] == b"\n"  # then the next line completes it
        assert only_its_end or any("is cut off" in note for note in report.notes) is torn, end
        _check_it_is_whole_again(state, None if only_its_end else lost)
        report = audit(state)
        assert report.balanced, (end, report.to_dict()["differences"])
        shutil.rmtree(state)


def test_the_register_garbled(two: Path, in_memory: Path) -> None:
    """Each byte of a line that matters is told; what the line says comes back from the journal."""
    data = (two / "runs.jsonl").read_bytes()
    for place in range(0, len(data), INDEXED):
        state = in_memory / str(place)
        shutil.copytree(two, state)
        (state / "runs.jsonl").write_bytes(garble(data, place))
        report = audit(state)
        where_it_ended = (
            data[:place].count(b"\n") % 2 == 1
        )  # what that line says, the journal says: it is entered again
        if not where_it_ended and not _means_the_same(data, garble(data, place)):
            assert not report.balanced, place
        _check_it_is_whole_again(state, None)
        shutil.rmtree(state)


def _check_it_is_whole_again(state: Path, lost: int | None) -> None:
    rebuild_index(state)
    with Reader(state) as reader:
        runs = reader.runs()
        assert {(run.response, run.status) for run in runs} == {("done 0", "completed"), ("done 1", "completed")}
        assert {str(call.result) for call in reader.calls()} == {"0", "1"}
        if lost is not None:
            assert len(runs) == 2
            assert sum("was missing in it" in damage.what for damage in reader.damage()) == lost


def _means_the_same(one: bytes, other: bytes) -> bool:
    """Whether the change is in the time of a line or in its version, which nothing follows from."""
    try:
        pairs = zip(map(json.loads, one.splitlines()), map(json.loads, other.splitlines()), strict=True)
        return all(b.get(name) == value for a, b in pairs for name, value in a.items() if name not in ("at", "v"))
    except ValueError:
        return False
