"""What disks do: short writes, no room, deleted and replaced files. Said once, counted, and the run goes on."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from equitrcoder.errors import LedgerError
from equitrcoder.ledger import Ledger, Reader
from equitrcoder.ledger import journal as journal_module
from equitrcoder.ledger.reading import Placed, read_events
from tests.ledger_runs import journal_of, one_call, start


class Disk:
    """Stands between the journal and `os.write`: full, or giving less than asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.full = False
        self.short = 0
        self._path = path
        self._real = os.write
        monkeypatch.setattr(os, "write", self._write)

    def _write(self, fd: int, data: Any) -> int:
        name = os.readlink(f"/proc/self/fd/{fd}")  # also the copy that is made in its place
        if not name.startswith(str(self._path)) or name.endswith("(deleted)"):
            return self._real(fd, data)
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.short:
            self.short -= 1
            return self._real(fd, bytes(data)[: len(data) // 2])
        return self._real(fd, data)


def whole_journal(path: Path) -> list[dict[str, Any]]:
    """Its events; fails when anything is damaged."""
    items = list(read_events(path))
    assert [item for item in items if not isinstance(item, Placed)] == []
    return [item.event for item in items if isinstance(item, Placed)]


def test_a_short_write_is_cut_back_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        disk = Disk(monkeypatch, run.journal_path)
        for step in range(1, 5):
            disk.short = 1
            one_call(run, step=step)
        run.finish(status="completed")
    assert told == []
    assert len(whole_journal(journal_of(tmp_path))) == 2 + 4 * 4
    with Reader(tmp_path) as reader:
        assert reader.stats()["successful_calls"] == 4
        assert reader.damage() == []


def test_what_finds_no_room_waits_and_is_written_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        disk = Disk(monkeypatch, run.journal_path)
        one_call(run, step=1)
        disk.full = True
        one_call(run, step=2)
        disk.full, disk.short = False, 2  # twice in a row a short write is a full disk too
        one_call(run, step=3)
        one_call(run, step=4, outcome="failed")
        run.finish(status="completed")
    assert len(told) == 1
    assert "no space left" in told[0]
    events = whole_journal(journal_of(tmp_path))
    assert [event.get("step") for event in events if event["type"] == "turn"] == [1, 2, 3, 4]
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    with Reader(tmp_path) as reader:
        assert [call.outcome for call in reader.calls()] == ["success", "success", "success", "failed"]
        assert reader.damage() == []


def test_what_never_finds_room_is_counted_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_KEPT_BYTES", 2_000)
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        disk = Disk(monkeypatch, run.journal_path)
        one_call(run, step=1)
        disk.full = True
        for step in range(2, 10):
            one_call(run, step=step)
        disk.full = False
        run.finish(status="completed", response="done")
    assert len(told) == 2
    assert "are lost" in told[1]
    events = whole_journal(journal_of(tmp_path))
    assert events[-1]["entries_lost"] > 0
    assert str(events[-1]["entries_lost"]) in told[1]
    with Reader(tmp_path) as reader:
        assert reader.run("last").response == "done"
        assert not {"requested", "running"} & {call.outcome for call in reader.calls()}


def test_a_disk_that_stays_full_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run, step=1)
        Disk(monkeypatch, run.journal_path).full = True
        one_call(run, step=2)
        run.finish(status="completed")
    assert [line.split()[0] for line in told] == ["Cannot", "5"]
    monkeypatch.undo()
    with Reader(tmp_path) as reader:
        assert [call.outcome for call in reader.calls()] == ["success"]
        assert reader.run("last").status == "completed"  # runs.jsonl knows it
        assert any("5 left" in damage.what or "are left" in damage.what for damage in reader.damage())


@pytest.mark.parametrize("how", ["deleted", "replaced", "rotated"])
def test_a_journal_taken_away_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(journal_module, "_LOOK_EVERY_NS", 0)
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run, step=1)
        path = run.journal_path
        if how == "deleted":
            path.unlink()
        else:
            path.rename(path.with_name("moved"))
            if how == "replaced":
                path.write_text("somebody else's\n")
        one_call(run, step=2)
        with Reader(tmp_path) as reader:
            assert reader.run("last").status == "running"  # the lock is held on the new file too
        run.finish(status="completed")
    assert len(told) == 1
    assert "made anew with all its entries" in told[0]
    assert len(whole_journal(path)) == 10
    kept = list(path.parent.glob("*.replaced-*"))
    assert [file.read_text() for file in kept] == (["somebody else's\n"] if how == "replaced" else [])
    with Reader(tmp_path) as reader:
        assert [call.outcome for call in reader.calls()] == ["success", "success"]
        assert reader.damage() == []


def test_a_journal_that_cannot_be_made_anew_goes_on_in_the_open_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "_LOOK_EVERY_NS", 0)
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        disk = Disk(monkeypatch, run.journal_path)
        run.journal_path.unlink()
        disk.full = True  # no room for the copy
        one_call(run, step=1)
        disk.full = False
        one_call(run, step=2)
        run.finish(status="completed")
    assert len(told) == 1
    assert "cannot be made anew" in told[0]
    assert len(whole_journal(run.journal_path)) == 10


def test_a_sync_that_fails_is_told_and_writes_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from equitrcoder.ledger import files

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "sync_data", fail)
    told: list[str] = []
    with Ledger(tmp_path, durability="full", on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run)
        run.finish(status="completed")
    assert len(told) == 1
    assert "loss of power" in told[0]
    assert len(whole_journal(journal_of(tmp_path))) == 6


def test_a_journal_emptied_under_us_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_LOOK_EVERY_NS", 0)
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run, step=1)
        with Reader(tmp_path) as reader:
            assert reader.stats()["total_calls"] == 1
        os.truncate(run.journal_path, 0)
        one_call(run, step=2)
        run.finish(status="completed")
    with Reader(tmp_path) as reader:
        assert [call.outcome for call in reader.calls()] == ["success", "success"]
        assert any("was cut to" in damage.what for damage in reader.damage())
    assert len(told) == 1
    assert "was cut from" in told[0]


@pytest.mark.parametrize("where", ["state", "state/journals", "state/runs.jsonl"])
def test_where_nothing_can_be_written_nothing_starts(tmp_path: Path, where: str) -> None:
    blocked = tmp_path / where
    blocked.parent.mkdir(parents=True, exist_ok=True)
    if where.endswith("runs.jsonl"):
        blocked.mkdir()
    else:
        blocked.write_text("a file, not a folder")
    ledger = Ledger(tmp_path / "state")
    with pytest.raises(LedgerError, match="Nothing was run") as caught:
        start(ledger)
    assert "EQUITRCODER_STATE_DIR" in caught.value.hint
    ledger.close()
    assert list(tmp_path.glob("state/journals/*/*/*")) == []


def test_a_link_in_the_journals_place_is_not_followed(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        one_call(start(ledger))
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "runs.jsonl").unlink()
    (tmp_path / "runs.jsonl").symlink_to(tmp_path / "victim")
    with Ledger(tmp_path) as ledger, pytest.raises(LedgerError, match="Nothing was run"):
        start(ledger)
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_listener_that_fails_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("listener")

    with Ledger(tmp_path, on_trouble=fail) as ledger:
        run = start(ledger)
        disk = Disk(monkeypatch, run.journal_path)
        disk.full = True
        one_call(run)
        disk.full = False
        run.finish(status="completed")
    assert len(whole_journal(journal_of(tmp_path))) == 6


def test_an_index_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").mkdir(parents=True)
    told: list[str] = []
    with Ledger(tmp_path, on_trouble=told.append) as ledger:
        run = start(ledger)
        one_call(run)
        run.finish(status="completed")
    assert len(told) == 1
    assert "index cannot be written" in told[0]
    (tmp_path / "index.sqlite").rmdir()
    with Reader(tmp_path) as reader:
        assert reader.stats()["total_calls"] == 1


def test_full_durability_syncs_every_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from equitrcoder.ledger import files

    synced: list[int] = []
    monkeypatch.setattr(files, "sync_data", synced.append)
    with Ledger(tmp_path, durability="full") as ledger:
        run = start(ledger)
        one_call(run)
        run.finish(status="completed")
    assert len(synced) == len(whole_journal(journal_of(tmp_path))) == 6


def test_a_ledger_that_is_never_closed_does_not_keep_the_process() -> None:
    import subprocess
    import sys

    code = """
import sys, tempfile
from pathlib import Path
from equitrcoder.ledger import Ledger
from tests.ledger_runs import one_call, start
folder = tempfile.mkdtemp()
run = start(Ledger(Path(folder)))
one_call(run)
print(folder)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    state = Path(done.stdout.strip())
    with Reader(state) as reader:
        assert [call.outcome for call in reader.calls()] == ["success"]
        assert reader.run("last").status == "interrupted"
    assert json.loads((state / "runs.jsonl").read_text().splitlines()[-1])["status"] == "interrupted"


def test_a_look_at_a_new_journal_does_not_take_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks whether it is locked holds the lock for a moment, also between its making and its locking."""
    import threading

    from equitrcoder.ledger import files

    real = files.open_to_append
    looking: list[threading.Timer] = []

    def open_while_somebody_looks(path: Path, *, new: bool = False, create: bool = False) -> int:
        fd = real(path, new=new, create=create)
        if new:
            other = files.open_to_read(path)
            assert files.try_lock(other)
            looking.append(threading.Timer(0.05, os.close, [other]))
            looking[-1].start()
        return fd

    monkeypatch.setattr(files, "open_to_append", open_while_somebody_looks)
    with Ledger(tmp_path) as ledger:
        run = start(ledger)
        for timer in looking:
            timer.join()
        assert files.is_locked(run.journal_path)
        with Reader(tmp_path) as reader:
            assert reader.run("last").status == "running"
        run.finish(status="completed")
    assert looking
