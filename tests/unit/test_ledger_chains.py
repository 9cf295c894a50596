"""Which run is gone on with, and that only one can do it, decided by lock and register."""

from __future__ import annotations

from pathlib import Path

import pytest

from equitrcoder.errors import LedgerError, UsageError
from equitrcoder.ledger import Ledger, chains
from tests.ledger_runs import one_call, start


def ended(state: Path, **facts: object) -> str:
    with Ledger(state) as ledger:
        run = start(ledger, **facts)
        one_call(run)
        run.finish(status="limit")
    return run.run_id


def test_who_holds_it_keeps_others_out_until_it_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "_LOOKS", 3)
    run_id = ended(tmp_path)
    with chains.claim(tmp_path, run_id) as held:
        assert (held.asked.run_id, held.newest.status) == (run_id, "limit")
        with pytest.raises(UsageError, match=f"E122 Somebody else is going on with run {run_id[-4:]} at this moment"):
            chains.claim(tmp_path, "last")
    chains.claim(tmp_path, "last").release()


def test_who_comes_second_sees_who_was_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = ended(tmp_path)
    held = chains.claim(tmp_path, run_id)
    begun = []
    with Ledger(tmp_path) as ledger:

        def while_the_second_waits(_seconds: float) -> None:
            if not begun:
                begun.append(start(ledger, session_id=held.newest.session_id, previous_run_id=run_id, attempt=2))
                held.release()

        monkeypatch.setattr(chains.time, "sleep", while_the_second_waits)
        monkeypatch.setattr(chains, "_LOOKS", 5)
        with pytest.raises(UsageError, match=r"is gone on with already: run .{4} lives in process") as refused:
            chains.claim(tmp_path, run_id)
        assert begun[0].run_id[-4:] in str(refused.value)
        begun[0].finish(status="failed")
    with chains.claim(tmp_path, run_id) as third:
        assert third.newest.run_id == begun[0].run_id
        assert [run.attempt for run in third.runs] == [1, 2]


def test_a_run_is_found_by_its_tail_and_last_is_the_newest_of_its_own(tmp_path: Path) -> None:
    first = ended(tmp_path)
    second = ended(tmp_path)
    ended(tmp_path, parent_run_id=second)
    with chains.claim(tmp_path, "last") as held:
        assert held.newest.run_id == second
    with chains.claim(tmp_path, f"…{first[-8:].lower()}") as held:
        assert [run.run_id for run in held.runs] == [first]
    for which in ("7F3K7F3K", " "):
        with pytest.raises(LedgerError, match="E604 No run ends in"):
            chains.claim(tmp_path, which)


def test_a_journal_that_is_gone_is_told(tmp_path: Path) -> None:
    run_id = ended(tmp_path)
    for journal in tmp_path.glob("journals/*/*/*.jsonl"):
        journal.unlink()
    with pytest.raises(LedgerError, match=f"E602 The journal of run {run_id[-4:]} cannot be used: no such file"):
        chains.claim(tmp_path, run_id)
